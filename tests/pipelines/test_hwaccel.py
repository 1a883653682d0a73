"""Which decoder a run takes, and that the one in the job's earlier run need not be the same."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.inference.nearest import NearestBackend
from tests.pipelines.test_upscale import digest
from tests.synthetic import make_video
from tests.video.pretend_card import PretendCard, pretend
from tests.video.test_card import Failing
from vidsr.config import EncodeConfig, UpscaleConfig
from vidsr.errors import InputError, UsageError
from vidsr.pipelines import upscale_plan
from vidsr.pipelines.info import describe
from vidsr.pipelines.upscale import UpscaleReport, upscale_video
from vidsr.pipelines.upscale_plan import choose_hwaccel, open_reader
from vidsr.progress import Event, Notice, silent
from vidsr.video.job import job_folder
from vidsr.video.reader import VideoReader


def config(**values: Any) -> UpscaleConfig:
    return UpscaleConfig(Path("a.mp4"), Path("b.mp4"), **values)


@pytest.mark.parametrize(
    ("device", "codec", "asked", "tried"),
    [
        ("cuda", "hevc_nvenc", "auto", "auto"),
        ("cuda", None, "auto", "none"),  # the encoder in software is what everything waits for
        ("cuda", "hevc", "auto", "none"),
        ("cpu", "hevc_nvenc", "auto", "none"),
        ("cpu", None, "cuda", "cuda"),
        ("cuda", "hevc_nvenc", "none", "none"),
    ],
)
def test_auto_decodes_on_a_card_where_all_the_rest_is_there(
    device: str, codec: str | None, asked: Any, tried: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upscale_plan, "choose_device", lambda config: device)
    assert choose_hwaccel(config(hwaccel=asked, encode=EncodeConfig(codec=codec))) == tried


def with_card(monkeypatch: pytest.MonkeyPatch, card: type[PretendCard]) -> None:
    """Every reader that asks for a card's decoder gets this one."""

    class Reader(VideoReader):
        def __init__(self, path: Path, **options: Any) -> None:
            super().__init__(path, card=card, **options)

    monkeypatch.setattr(upscale_plan, "VideoReader", Reader)


class Stopping(NearestBackend):
    """Ends the run in its middle, once the first segment is on the disk."""

    def __init__(self, target: Path) -> None:
        super().__init__(2)
        self._record = job_folder(target) / "000000.json"

    def __call__(self, lr: Any) -> Any:
        if len(self.calls) == 6:
            deadline = time.monotonic() + 10
            while not self._record.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            raise InterruptedError
        return super().__call__(lr)


def run(
    source: Path, target: Path, backend: NearestBackend, progress: Any = silent, **values: Any
) -> UpscaleReport:
    job = UpscaleConfig(
        source, target, scale=2, segment_frames=4, encode=EncodeConfig(codec="ffv1"), **values
    )
    return upscale_video(job, progress, opener=lambda *_: backend)


@pytest.mark.parametrize(("first", "second"), [("cuda", "none"), ("none", "cuda")])
def test_a_stopped_run_goes_on_with_the_other_decoder(
    first: Any, second: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_video(tmp_path / "a.mp4", frames=12, bframes=2)
    run(source, tmp_path / "whole.mkv", NearestBackend(2), hwaccel="none")
    card = pretend(monkeypatch)
    with_card(monkeypatch, card)
    target = tmp_path / "b.mkv"
    with pytest.raises(InterruptedError):
        run(source, target, Stopping(target), hwaccel=first)
    report = run(source, target, NearestBackend(2), hwaccel=second)
    assert report.resumed_frames >= 4
    assert card.given > 12
    assert digest(target) == digest(tmp_path / "whole.mkv")


def test_a_card_that_fails_in_the_middle_is_told_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_video(tmp_path / "a.mp4", frames=40)
    pretend(monkeypatch)
    with_card(monkeypatch, Failing)
    events: list[Event] = []
    report = run(source, tmp_path / "b.mkv", NearestBackend(2), events.append, hwaccel="cuda")
    assert report.frames == 40
    warnings = [e.text for e in events if isinstance(e, Notice) and e.level == "warning"]
    assert len(warnings) == 1
    assert "went on in software" in warnings[0]


def test_info_says_what_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_video(tmp_path / "a.mp4", frames=4)
    job = UpscaleConfig(source, tmp_path / "b.mp4", hwaccel="cuda")
    with_card(monkeypatch, pretend(monkeypatch))
    assert "h264 on the card" in dict(describe(job).facts)["video"]


def test_what_cannot_be_had_is_refused_by_name(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mpg", frames=2)
    with pytest.raises(InputError, match="--hwaccel cuda: decoders of mpeg2video"):
        open_reader(UpscaleConfig(source, tmp_path / "b.mp4", hwaccel="cuda"))
    with pytest.raises(UsageError, match="is for videos"):
        open_reader(UpscaleConfig(tmp_path / "%03d.png", tmp_path / "b.mp4", hwaccel="cuda"))
