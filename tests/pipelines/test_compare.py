"""`vidsr compare`: two videos on a page, measured at the same frames that it shows."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.pipelines.test_sample import data_of
from tests.synthetic import frame_numbers, make_video
from vidsr.config import EvaluateConfig
from vidsr.errors import InputError, UsageError
from vidsr.evaluation.page_pictures import rgb_bytes
from vidsr.page_config import CompareConfig
from vidsr.pipelines.compare import compare_videos
from vidsr.pipelines.evaluate import evaluate_video
from vidsr.pipelines.page_report import PageReport
from vidsr.progress import Event, Notice
from vidsr.video.stills import read_still

SIZE = (48, 96)


def run(a: Path, b: Path, output: Path, events: list[Event] | None = None, **options: Any) -> PageReport:
    config = CompareConfig(a=a, b=b, output=output, **options)
    heard: list[Event] = [] if events is None else events
    return compare_videos(config, heard.append)


def rough(path: Path, **options: Any) -> Path:
    """A video that compression has changed."""
    return make_video(path, size=SIZE, options={"crf": "38"}, **options)


def test_the_curves_are_those_of_evaluate(tmp_path: Path) -> None:
    original = make_video(tmp_path / "original.mp4", size=SIZE, frames=9)
    a, b = rough(tmp_path / "a.mp4", frames=9), make_video(tmp_path / "b.mkv", size=SIZE, frames=9)
    report = run(a, b, tmp_path / "out", reference=original)
    assert report.versions == ("A: a.mp4", "B: b.mkv", "reference: original.mp4")
    data = data_of(tmp_path / "out" / "index.html")
    assert data["times"] == pytest.approx([i / 25 for i in range(9)])
    curves = {curve["title"]: curve["series"] for curve in data["curves"]}
    for index, video in enumerate((a, b)):
        expected = evaluate_video(EvaluateConfig(reference=original, distorted=video))
        told = curves["PSNR"][index]["values"]
        assert told == pytest.approx([frame.score.psnr_db for frame in expected.frames], abs=6e-4)
        told = curves["SSIM"][index]["values"]
        assert told == pytest.approx([frame.score.ssim for frame in expected.frames], abs=6e-6)
        steps = [frame.flicker and frame.flicker.warping for frame in expected.frames]
        told = curves["Flicker"][index]["values"]
        assert [value is None for value in told] == [step is None for step in steps]
        known = [1000 * step for step in steps if step is not None]
        assert [value for value in told if value is not None] == pytest.approx(known, abs=6e-6)
        assert report.measures["AB"[index]]["psnr_db"] == pytest.approx(expected.mean.psnr_db)
    lowest = [min(range(9), key=series["values"].__getitem__) for series in curves["PSNR"]]
    notes = {moment["time"]: moment["note"] for moment in data["moments"]}
    for index, name in zip(lowest, "AB", strict=True):
        words = "A and B" if lowest[0] == lowest[1] else name
        assert notes[data["times"][index]] == f"frame {index}, lowest PSNR of {words}"


def test_only_some_frames_of_a_longer_video_are_measured(tmp_path: Path) -> None:
    original = make_video(tmp_path / "original.mp4", size=SIZE, frames=20)
    other = rough(tmp_path / "b.mp4", frames=20)
    run(original, other, tmp_path / "all", frames=1)
    run(original, other, tmp_path / "some", frames=1, points=5)
    every, some = (data_of(tmp_path / name / "index.html") for name in ("all", "some"))
    assert some["times"] == pytest.approx([i * 4 / 25 for i in range(5)])
    for whole, part in zip(every["curves"], some["curves"], strict=True):
        for one, other_ in zip(whole["series"], part["series"], strict=True):
            # The first has no frame before it in either.
            assert other_["values"] == one["values"][::4]


def test_frames_are_those_of_one_time_in_every_video(tmp_path: Path) -> None:
    # B tells time in another unit and lacks the third frame.
    a = make_video(tmp_path / "a.mp4", size=SIZE, frames=6)
    kept = [0, 1, 3, 4, 5]
    b = make_video(
        tmp_path / "b.mkv",
        size=SIZE,
        frames=kept,
        pts=[40 * i for i in kept],
        time_base=Fraction(1, 1000),
    )
    events: list[Event] = []
    report = run(a, b, tmp_path / "out", events, at=(Fraction(4, 25),))
    assert report.times_s == (0.16,)
    for name in ("A", "B"):
        assert frame_numbers(read_still(tmp_path / "out" / f"000004_{name}.png")) == [4]
    warnings = [event.text for event in events if isinstance(event, Notice)]
    assert warnings == [f"{a}: 1 of 6 frames have no partner of the same time"]


def test_a_smaller_video_is_enlarged_to_the_other(tmp_path: Path) -> None:
    small = make_video(tmp_path / "a.mp4", size=(48, 64), frames=3)
    large = make_video(tmp_path / "b.mp4", size=(96, 128), frames=3)
    events: list[Event] = []
    report = run(small, large, tmp_path / "page.html", events, frames=1)
    assert report.size == (128, 96)
    assert any("enlarged to the largest" in e.text for e in events if isinstance(e, Notice))
    assert {tuple(rgb_bytes(path).shape) for path in (tmp_path / "page_files").iterdir()} == {
        (96, 128, 3)
    }
    text = (tmp_path / "page.html").read_text()
    assert "64x48, by Lanczos to 128x96" in text


def test_a_video_is_the_same_as_itself(tmp_path: Path) -> None:
    a = make_video(tmp_path / "a.mp4", size=SIZE, frames=4)
    report = run(a, a, tmp_path / "out", frames=2)
    assert report.measures["A and B"]["psnr_db"] == 100
    one, other = (rgb_bytes(min((tmp_path / "out").glob(f"*_{name}.png"))) for name in "AB")
    assert torch.equal(one, other)


def test_videos_that_do_not_belong_together_are_refused_in_one_line(tmp_path: Path) -> None:
    a = make_video(tmp_path / "a.mp4", size=SIZE, frames=6)
    out = tmp_path / "out"
    misfits: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("long.mp4", {"frames": 9}, r"long\.mp4: lasts 0:00\.360, .*a\.mp4 0:00\.240: bring"),
        ("wide.mp4", {"size": (48, 128)}, r"128x48 is another shape than .*a\.mp4, 96x48"),
        ("turned.mp4", {"rotation": 90}, "turned by 90 degrees is another shape"),
        ("late.mkv", {"start": 50}, "no frame has the time of a frame"),
    )
    for name, options, words in misfits:
        other = make_video(tmp_path / name, **{"frames": 6, "size": SIZE, **options})
        with pytest.raises(InputError, match=words) as caught:
            run(a, other, out)
        assert "\n" not in str(caught.value)
    tiny = make_video(tmp_path / "tiny.mp4", size=(16, 16), frames=3)
    with pytest.raises(InputError, match="too small to score"):
        run(tiny, tiny, out)
    assert not out.exists()
    with pytest.raises(UsageError, match="--points must be at least 2, not 1"):
        CompareConfig(a=a, b=a, points=1)


def test_the_worst_frame_of_both_is_on_the_page_once(tmp_path: Path) -> None:
    original = make_video(tmp_path / "original.mp4", size=SIZE, frames=5)
    rest = {"size": SIZE, "frames": [0, 1, 2, 150, 4]}  # another picture in the place of the fourth
    a, b = (make_video(tmp_path / f"{name}.mp4", **rest) for name in "ab")  # type: ignore[arg-type]
    run(a, b, tmp_path / "out", reference=original, frames=2)
    notes = [moment["note"] for moment in data_of(tmp_path / "out" / "index.html")["moments"]]
    assert len(notes) == 2
    assert "frame 3, lowest PSNR of A and B" in notes
