"""How a file was made: in the file, beside all of the source's tags, and found again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from tests.blends import save_sets
from tests.pipelines.test_upscale import FAST, LOSSLESS, run
from tests.synthetic import make_video
from vidsr.config import EncodeConfig, UpscaleConfig
from vidsr.errors import ProofError
from vidsr.pipelines import upscale as module
from vidsr.pipelines.info import describe
from vidsr.pipelines.report import UpscaleReport
from vidsr.video.durable import sha256_of
from vidsr.video.provenance import Provenance, history, made_by, read_history
from vidsr.video.stills import read_still, write_still

VP9 = EncodeConfig(codec="vp9", preset="8")
ENCODE = {".mkv": LOSSLESS, ".nut": LOSSLESS, ".avi": LOSSLESS, ".webm": VP9}


def enlarge(source: Path, target: Path, **values: Any) -> UpscaleReport:
    if target.suffix == ".avi":
        values["fps"] = Fraction(25)
    return run(source, target, encode=ENCODE.get(target.suffix, FAST), **values)


STEP = Provenance("0.1.0", "srgan-lite", "ab" * 32, 4, (320, 180), "openvino", "int8")
FOREIGN = Provenance("9.0+x", "my; own = 100 % model", "cd" * 32, 2, (7, 9), "cpu", "fp32", detail=0.25)


@pytest.mark.parametrize("step", [STEP, FOREIGN])
def test_a_step_survives_as_text(step: Provenance) -> None:
    assert str(step).isascii()
    assert "; " not in str(step)
    assert Provenance.parse(str(step)) == step


def test_a_history_is_read_backwards_as_far_as_it_is_understood() -> None:
    text = made_by(STEP, made_by(FOREIGN, "vidsr/99 by=magic"))
    assert read_history(text) == (STEP, FOREIGN)
    assert Provenance.parse(f"{STEP} shoe_size=44") == STEP
    for wrong in ("", "Lavf62", "vidsr/0.1.0", f"{STEP}".replace("factor=4", "factor=four")):
        assert read_history(wrong) == ()


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv", ".webm", ".nut", ".avi"])
def test_every_container_with_a_place_says_how_it_was_made(tmp_path: Path, suffix: str) -> None:
    source = make_video(tmp_path / "in.mkv", frames=3)
    target = tmp_path / f"out{suffix}"
    report = enlarge(source, target)
    (step,) = read_history(history(target))
    assert (step.model, step.factor, step.size) == ("srgan-lite", 2, (64, 48))
    assert (step.backend, step.precision) == ("nearest", "exact")
    assert str(step) == report.provenance
    assert "how it was made" in report.checks
    assert (
        describe(UpscaleConfig(target, tmp_path / "x.mkv")).to_json()["facts"]["made by"] == step.summary
    )


def test_a_blend_says_its_detail_in_every_place(tmp_path: Path) -> None:
    source, model = make_video(tmp_path / "in.mkv", frames=3), str(save_sets(tmp_path / "run"))
    report = enlarge(source, tmp_path / "out.mp4", model=model)
    (step,) = read_history(history(tmp_path / "out.mp4"))
    assert (step.model, step.factor, step.detail) == ("run", 2, 0.75)
    assert f" by run x2, detail 0.75 ({step.sha256[:12]}), on nearest, exact" in step.summary
    assert " run x2, detail 0.75 on nearest, exact" in report.summary()
    assert report.to_json()["weights"]["detail"] == 0.75
    facts = describe(UpscaleConfig(tmp_path / "out.mp4", tmp_path / "x.mkv", scale=2, model=model))
    assert dict(facts.facts)["made by"] == step.summary
    assert dict(facts.facts)["model"].startswith("run x2, detail 0.75 on ")
    report = enlarge(source, tmp_path / "alone.mp4", model=model, detail=1)
    assert " run x2, detail 1 on nearest, exact" in report.summary()
    (step,) = read_history(report.provenance)
    assert step.detail == 1 and step.sha256 == sha256_of(tmp_path / "run" / "adversarial.safetensors")


def test_a_container_without_a_place_is_proven_all_the_same(tmp_path: Path) -> None:
    report = enlarge(make_video(tmp_path / "in.mp4", frames=3), tmp_path / "out.ts")
    assert history(tmp_path / "out.ts") == ""
    assert "how it was made" not in report.checks


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("tags", [{"title": "t", "comment": "c"}, {"title": "t", "MY_OWN": "x"}])
def test_no_tag_of_the_source_is_given_up(tmp_path: Path, suffix: str, tags: dict[str, str]) -> None:
    source = make_video(tmp_path / "in.mkv", frames=3, metadata={**tags, "encoded_by": "someone"})
    target = tmp_path / f"out{suffix}"
    enlarge(source, target)
    with av.open(str(target)) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    for key, value in tags.items():
        assert found[key.lower()] == value
    assert found["encoded_by"] == "someone"
    assert len(read_history(history(target))) == 1


def test_a_field_that_the_source_has_filled_is_left_alone(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", frames=3, metadata={"encoded_by": "someone"})
    report = enlarge(source, tmp_path / "out.avi")
    assert history(tmp_path / "out.avi") == ""
    with av.open(str(tmp_path / "out.avi")) as container:
        assert container.metadata["encoded_by"] == "someone"
    assert "how it was made" not in report.checks


@pytest.mark.parametrize("way", [(".mp4", ".mkv"), (".mkv", ".mp4"), (".mov", ".mov"), (".mkv", ".mkv")])
def test_what_was_enlarged_twice_says_so(tmp_path: Path, way: tuple[str, str]) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3)
    first, second = tmp_path / f"a{way[0]}", tmp_path / f"b{way[1]}"
    enlarge(source, first)
    enlarge(first, second, scale=4)
    steps = read_history(history(second))
    assert [(step.factor, step.size) for step in steps] == [(4, (128, 96)), (2, (64, 48))]
    with av.open(str(second)) as container:
        values = [value for value in container.metadata.values() if "64x48" in value]
    assert len(values) <= 1, "the old history is no tag beside the new one"


def test_a_file_that_does_not_say_how_it_was_made_is_not_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = module.join
    monkeypatch.setattr(
        module, "join", lambda *args, metadata, **kwargs: joined(*args, metadata={}, **kwargs)
    )
    with pytest.raises(ProofError, match="of how it was made"):
        enlarge(make_video(tmp_path / "in.mp4", frames=3), tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_pictures_say_it_too(tmp_path: Path, suffix: str) -> None:
    video = make_video(tmp_path / "in.mp4", frames=1)
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    enlarge(video, first)
    enlarge(first, second)
    assert [step.size for step in read_history(history(second))] == [(128, 96), (64, 48)]
    assert read_still(second).size == (192, 256)
    facts = describe(UpscaleConfig(second, tmp_path / f"c{suffix}")).to_json()["facts"]
    assert facts["made by"].count("srgan-lite") == 2
    write_still(tmp_path / f"plain{suffix}", read_still(second))
    assert history(tmp_path / f"plain{suffix}") == ""
