"""What a run comes to in which a process that runs tests dies: a plugin of pytest."""

from __future__ import annotations

from typing import Any

import pytest

_ONE_DIED = pytest.StashKey[bool]()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Remember it: before its first test it is no failure for xdist, which ends with none run."""
    if error:
        node.config.stash[_ONE_DIED] = True


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Have the run fail, whatever was run until then."""
    if session.config.stash.get(_ONE_DIED, False):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
