"""`vidsr sample`: the frames asked for, each version exact, one page."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.blends import save_sets
from tests.inference.nearest import NearestBackend
from tests.synthetic import decoded_numbers, frame_numbers, make_video
from tests.waiting import started, until
from vidsr.config import UpscaleConfig
from vidsr.errors import BackendUnavailable, InputError, OutputError, UsageError
from vidsr.evaluation.page_pictures import rgb_bytes
from vidsr.models.weights import Weights, find_weights, registry
from vidsr.page_config import SampleConfig, seconds_of
from vidsr.pipelines.page_report import PageReport
from vidsr.pipelines.sample import default_name, sample_video
from vidsr.progress import Event, Notice, Progress
from vidsr.video.reader import VideoReader
from vidsr.video.stills import read_still, write_still

LITE = find_weights("srgan-lite", 4).label
LITE_FILE = LITE.replace(", ", "_").replace(" ", "_")
"""What the shipped model is called on a page, and in the names of its pictures."""


def nearest(weights: Weights, config: UpscaleConfig, progress: Progress) -> NearestBackend:
    return NearestBackend(weights.scale)


def run(source: Path, output: Path, events: list[Event] | None = None, **options: Any) -> PageReport:
    config = SampleConfig(input=source, output=output, **options)
    heard: list[Event] = [] if events is None else events
    return sample_video(config, heard.append, opener=nearest)


def data_of(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found.group(1))
    return content


def test_frames_at_times_are_those_on_the_screen_then(tmp_path: Path) -> None:
    # Late start, variable rate: frame 2 is shown from 0.4 s to 1.2 s after the first.
    source = make_video(
        tmp_path / "a.mkv", frames=5, pts=[100, 300, 500, 1300, 1400], time_base=Fraction(1, 1000)
    )
    at = tuple(Fraction(text) for text in ("0", "1.199", "1.2"))
    report = run(source, tmp_path / "out", at=at)
    assert report.times_s == (0, 0.4, 1.2)
    shown = [tmp_path / "out" / f"00000{index}_{LITE_FILE}.png" for index in (0, 2, 3)]
    assert [frame_numbers(read_still(path)) for path in shown] == [[0], [2], [3]]
    assert (report.versions, report.size) == (("nearest", "Lanczos", LITE), (256, 192))


def test_every_version_is_what_it_says(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=3)
    report = run(source, tmp_path / "page.html", frames=1)
    assert report.page == str(tmp_path / "page.html")
    folder = tmp_path / "page_files"
    names = sorted(path.name.split("_", 1)[1] for path in folder.iterdir())
    assert names == ["input.png", "lanczos.png", f"{LITE_FILE}.png"]
    (lr,) = folder.glob("*_input.png")
    (sr,) = folder.glob(f"*_{LITE_FILE}.png")
    repeated = rgb_bytes(lr).repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert torch.equal(rgb_bytes(sr), repeated)
    moment = data_of(tmp_path / "page.html")["moments"][0]
    for entry, path in zip(moment["pictures"], (lr, next(folder.glob("*lanczos*")), sr), strict=True):
        packed = tmp_path / "packed.webp"
        packed.write_bytes(base64.b64decode(entry["source"].removeprefix("data:image/webp;base64,")))
        assert torch.equal(rgb_bytes(packed), rgb_bytes(path))  # few and small: lossless
        assert entry["rect"] == [0, 0, 256, 192]
    assert report.quality is None


def test_deep_video_keeps_its_depth_in_the_pictures(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mkv", codec="ffv1", pix_fmt="yuv420p10le", frames=2)
    run(source, tmp_path / "out", frames=1)
    assert {read_still(path).color.depth for path in (tmp_path / "out").glob("*.png")} == {16}


def test_a_turned_video_is_shown_upright(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=2, rotation=90, sar=Fraction(4, 3))
    report = run(source, tmp_path / "out", frames=1, clip_s=Fraction(1))
    assert report.size == (192, 256)
    assert {read_still(path).size for path in (tmp_path / "out").glob("*_input.png")} == {(64, 48)}
    assert data_of(tmp_path / "out" / "index.html")["aspect"] == pytest.approx(3 / 4)
    with VideoReader(tmp_path / "out" / "clip.mp4") as clip:
        assert (clip.info.width, clip.info.height) == (2 * 192 + 4, 256)
        assert (clip.info.rotation, clip.info.sample_aspect_ratio) == (0, Fraction(3, 4))


def test_models_and_details_make_one_result_each(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=2)
    report = run(source, tmp_path / "out", frames=1, models=("srgan-lite", "auto", "srgan-lite"))
    assert report.versions == ("nearest", "Lanczos", LITE, f"{LITE} (2)")
    model = save_sets(tmp_path / "run")
    details = (None, 0, 0.5, 1)
    report = run(source, tmp_path / "both", models=(str(model),), details=details, scale=2)
    names = [f"run, detail {detail}" for detail in ("0.75", "0", "0.5", "1")]
    assert report.versions == ("nearest", "Lanczos", *names)
    table = (tmp_path / "both" / "index.html").read_text(encoding="utf-8")
    assert "run x2, detail 0.75" in table and "run x2, detail 0.5" in table
    assert len(list((tmp_path / "both").glob("*_run_detail_0.75.png"))) == 2
    (model / "adversarial.safetensors").unlink()
    with pytest.raises(UsageError, match="needs the adversarial set"):
        run(source, tmp_path / "new", models=(str(model),), details=(0.5,), scale=2)
    assert not (tmp_path / "new").exists()


def test_a_model_may_have_the_name_of_a_filter(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=1)
    shipped = next(entry for entry in registry() if entry.scale == 4).files["pixel"]
    named = tmp_path / "lanczos.safetensors"
    named.write_bytes(shipped.read_bytes())
    report = run(source, tmp_path / "out", models=(str(named), "srgan-lite"))
    assert report.versions == ("nearest", "Lanczos", "lanczos", LITE)
    assert len(list((tmp_path / "out").glob("*.png"))) == 4
    (enlarged,) = (tmp_path / "out").glob("*_lanczos_2.png")
    (lr,) = (tmp_path / "out").glob("*_input.png")
    assert torch.equal(
        rgb_bytes(enlarged), rgb_bytes(lr).repeat_interleave(4, 0).repeat_interleave(4, 1)
    )


def test_a_backend_that_cannot_be_had_leaves_nothing_behind(tmp_path: Path) -> None:
    def missing(weights: Weights, config: UpscaleConfig, progress: Progress) -> NearestBackend:
        raise BackendUnavailable("not here")

    source = make_video(tmp_path / "a.mp4", frames=1)
    with pytest.raises(BackendUnavailable):
        sample_video(SampleConfig(input=source, output=tmp_path / "out"), opener=missing)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_the_clip_shows_the_same_frames_beside_each_other(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=20)
    report = run(source, tmp_path / "out", at=(Fraction("0.6"),), clip_s=Fraction("0.2"))
    clip = tmp_path / "out" / "clip.mp4"
    assert report.clip == str(clip)
    with VideoReader(clip) as reader:
        assert (reader.info.width, reader.info.height) == (2 * 256 + 4, 192)
        assert reader.timeline.count == 5
        batch = next(reader.batches(5))
    right = replace(
        batch, planes=tuple(p[..., -256 // s :] for p, s in zip(batch.planes, (1, 2, 2), strict=True))
    )
    assert frame_numbers(right) == [15, 16, 17, 18, 19]
    assert 'href="clip.mp4"' in (tmp_path / "out" / "index.html").read_text()
    left_behind = sorted(path.suffix for path in (tmp_path / "out").iterdir())
    assert left_behind == [".html", ".mp4", ".png", ".png", ".png"]


def test_too_short_videos_are_taken_whole_and_it_is_said(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=2)
    events: list[Event] = []
    report = run(source, tmp_path / "out", events, clip_s=Fraction(3))
    assert len(report.times_s) == 2
    texts = [event.text for event in events if isinstance(event, Notice)]
    assert any("too short for 6 frames: all 2 are taken" in text for text in texts)
    assert any("shorter than the clip" in text for text in texts)
    assert decoded_numbers(tmp_path / "out" / "clip.mp4") is not None


def test_a_picture_can_be_sampled(tmp_path: Path) -> None:
    with VideoReader(make_video(tmp_path / "a.mkv", frames=1)) as reader:
        write_still(tmp_path / "photo.png", next(reader.batches(1)))
    report = run(tmp_path / "photo.png", tmp_path / "out")
    assert report.times_s == (0,)


def test_file_names_cannot_become_markup(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=2)
    name = "x<img src=x onerror=alert(1)>&\"'$title<!--.mp4"
    report = run(source.rename(tmp_path / name), tmp_path / "out", frames=1)
    text = Path(report.page).read_text(encoding="utf-8")
    assert "<img src=x" not in text and "<!--" not in text
    assert "x&lt;img src=x onerror=alert(1)&gt;&amp;&quot;&#x27;$title&lt;!--.mp4" in text


def test_what_cannot_be_is_refused_before_any_work(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=5)
    with pytest.raises(UsageError, match=r"--at 0:12\.000: .*a\.mp4 lasts only 0:00\.200"):
        run(source, tmp_path / "out", at=(Fraction(12),))
    with pytest.raises(OutputError, match="no such directory"):
        run(source, tmp_path / "gone" / "out")
    with pytest.raises(OutputError, match="is a file"):
        run(source, source)
    with pytest.raises(InputError, match="no such file"):
        run(tmp_path / "b.mp4", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    run(source, tmp_path / "out", frames=1)
    with pytest.raises(OutputError, match=r"index\.html: exists already"):
        run(source, tmp_path / "out", frames=1)
    run(source, tmp_path / "out", frames=1, overwrite=True)


def test_an_interrupt_ends_in_one_line_and_leaves_no_page(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mp4", frames=50, size=(96, 128))
    command = [sys.executable, "-m", "vidsr", "sample", "in.mp4", "--frames", "50", "--clip", "2s"]
    with started(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: list(tmp_path.glob("in_sample/*.png")), "a picture is there", process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.endswith("vidsr: stopped; no page was written\n")
    assert "Traceback" not in errors
    assert {path.suffix for path in (tmp_path / "in_sample").iterdir()} == {".png"}


def test_impossible_configurations_are_refused() -> None:
    for options, words in (
        ({"frames": 0}, "--frames must be from 1 to 60, not 0"),
        ({"at": (Fraction(1),) * 61}, "--at can be given 60 times"),
        ({"models": ()}, "one model at least"),
        ({"clip_s": Fraction(0)}, "--clip must be above 0"),
        ({"scale": 5.0}, "--scale must be from 1 to 4"),
        ({"details": (2.0,)}, "--detail must be from 0 to 1"),
    ):
        with pytest.raises(UsageError, match=words):
            SampleConfig(input=Path("a.mp4"), **options)  # type: ignore[arg-type]


def test_times_are_read_as_players_show_them() -> None:
    for text, seconds in (("1:02:03.5", "3723.5"), ("12:30", "750"), ("750", "750"), ("3s", "3")):
        assert seconds_of(text, "--at") == Fraction(seconds)
    for text in ("", "x", "1:2:3:4", "1.5:00", "-3", "1:", "..", "nan"):
        with pytest.raises(UsageError, match="--at takes a time such as"):
            seconds_of(text, "--at")


def test_pages_are_named_after_their_video(tmp_path: Path) -> None:
    assert default_name(Path("films/film.mkv")) == "film_sample"
    assert default_name(Path("frames/%05d.png")) == "frames_sample"
    assert default_name(Path("frames/shot_%05d.png")) == "shot_sample"
