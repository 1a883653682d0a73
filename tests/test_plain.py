from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

from vidsr.config import EncodeConfig, UpscaleConfig
from vidsr.plain import plain


@dataclass(frozen=True)
class Inner:
    rate: Fraction = Fraction(30000, 1001)
    files: tuple[Path, ...] = (Path("a/b.mkv"),)


def test_everything_becomes_what_json_holds() -> None:
    assert plain(Inner()) == {"rate": "30000/1001", "files": ["a/b.mkv"]}
    assert plain({"x": (Inner(), 1, True)}) == {"x": [plain(Inner()), 1, True]}
    assert plain(MappingProxyType({"crf": 16.5})) == {"crf": 16.5}


def test_a_configuration_is_kept_whole_by_json() -> None:
    config = UpscaleConfig(
        Path("in.mp4"),
        Path("out.mp4"),
        fps=Fraction(25),
        encode=EncodeConfig(options=(("tune", "film"),)),
    )
    record = json.loads(json.dumps(plain(config)))
    assert record == plain(config)
    assert (record["fps"], record["output"]) == ("25", "out.mp4")
    assert record["encode"]["options"] == [["tune", "film"]]
