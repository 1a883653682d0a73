from __future__ import annotations

import subprocess
import sys

import pytest

import vidsr


@pytest.mark.parametrize("name", [*vidsr.__all__, "__version__"])
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(vidsr, name) is not None


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="nonesuch"):
        _ = vidsr.nonesuch


def test_importing_vidsr_loads_nothing_heavy() -> None:
    code = "import vidsr, sys; assert not {'torch', 'av', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
