"""Scores come from what the encoder wrote, land on the right frames, and stay in the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.video.segments import encoding_for, flat, info_of, noise
from vidsr.errors import OutputError
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.video.color import to_planes
from vidsr.video.encoders import Encoding
from vidsr.video.faithfulness import comparable, score
from vidsr.video.frame_score import decibels
from vidsr.video.replay import Replay, stride
from vidsr.video.writer import SegmentRecord, VideoWriter, record_path

LR, HR = (48, 64), (96, 128)
TARGETS = {
    "h264": "out.mp4",
    "hevc": "out.mp4",
    "av1": "out.mp4",
    "vp9": "out.webm",
    "prores": "out.mov",
    "ffv1": "out.mkv",
}
QUICK = {"h264": "ultrafast", "hevc": "ultrafast", "av1": "12", "vp9": "8"}
# x265 8-bit reads beyond small pictures with its default lookahead of block costs.
OPTIONS = {"hevc": (("x265-params", "cutree=0"),)}


def encoding_of(codec: str, color: ColorSpec, **config: object) -> Encoding:
    info = info_of(color, size=HR)
    config.setdefault("preset", QUICK.get(codec))
    config.setdefault("options", OPTIONS.get(codec, ()))
    return encoding_for(info, TARGETS[codec], codec=codec, **config)


def enlarged(source: FrameBatch) -> FrameBatch:
    return replace(source, planes=tuple(plane.repeat(2, 1).repeat(2, 2) for plane in source.planes))


def written(
    path: Path, encoding: Encoding, pairs: Sequence[tuple[FrameBatch, FrameBatch]]
) -> SegmentRecord:
    with VideoWriter(path, info_of(encoding.color, size=HR), encoding) as writer:
        for source, batch in pairs:
            writer.write(batch, source)
    record = SegmentRecord.load(record_path(path))
    assert record is not None
    return record


@pytest.mark.parametrize("codec", TARGETS)
def test_every_frame_is_scored_in_its_place(tmp_path: Path, codec: str) -> None:
    """One frame of twenty is another than its input says; B-frames must not move it."""
    depth = 10 if codec == "prores" else 8
    color = ColorSpec(depth=depth, subsampling=(1, 2) if codec == "prores" else (2, 2))
    source = flat(color, range(0, 60000, 3000), size=LR)
    large = enlarged(source)
    luma = large.planes[0]
    luma[13] += 60 << depth - 8
    encoding = encoding_of(codec, color)
    record = written(tmp_path / f"a{encoding.segment_suffix}", encoding, [(source, large)])
    assert sorted(record.scores) == list(range(20))
    errors = [record.scores[place].luma for place in range(20)]
    assert errors.index(max(errors)) == 13
    assert decibels(errors[13]) == pytest.approx(12.6, abs=1)  # 10 log10(255^2 / 60^2)
    assert min(decibels(error) for place, error in enumerate(errors) if place != 13) > 35


def test_the_encoder_s_own_loss_counts(tmp_path: Path) -> None:
    source = noise(ColorSpec(), range(0, 9000, 3000), size=LR)
    worst = [
        max(
            score.luma for score in written(path, encoding, [(source, enlarged(source))]).scores.values()
        )
        for path, encoding in (
            (tmp_path / "fine.nut", encoding_of("h264", ColorSpec(), crf=4)),
            (tmp_path / "coarse.nut", encoding_of("h264", ColorSpec(), crf=45)),
        )
    ]
    assert worst[1] > 3 * worst[0]


@pytest.mark.parametrize(
    "color",
    [
        ColorSpec(),
        ColorSpec(depth=12, subsampling=(1, 1)),
        ColorSpec("rgb", range="full", subsampling=(1, 1)),
        ColorSpec("rgb", range="full", subsampling=(1, 1), depth=10, alpha=True),
        ColorSpec("gray", range="full", subsampling=(1, 1)),
    ],
)
def test_a_lossless_codec_changes_no_score(tmp_path: Path, color: ColorSpec) -> None:
    source = noise(color, (0, 3003), size=LR)
    large = enlarged(source)
    record = written(tmp_path / "a.nut", encoding_of("ffv1", color), [(source, large)])
    pairs = zip(source.split(1), large.split(1), strict=True)
    expected = [score(comparable(before, color), after) for before, after in pairs]
    assert [record.scores[place].to_json() for place in (0, 1)] == [e.to_json() for e in expected]


def test_without_the_input_nothing_is_scored(tmp_path: Path) -> None:
    batch = noise(ColorSpec(), (0, 3000), size=HR)
    encoding = encoding_of("ffv1", ColorSpec())
    with VideoWriter(tmp_path / "a.nut", info_of(ColorSpec(), size=HR), encoding) as writer:
        writer.write(batch)
    record = SegmentRecord.load(record_path(tmp_path / "a.nut"))
    assert record is not None
    assert record.scores == {}


def test_of_large_frames_one_in_several_is_measured() -> None:
    assert stride(320 * 180 * 3 // 2) == 1
    assert stride(1280 * 720 * 3 // 2) == 2
    assert stride(1920 * 1080 * 3 // 2) == 3
    assert stride(3840 * 2160 * 3) == 24  # one a second of 4K in ten bits


def test_frames_that_do_not_decode_are_not_taken_for_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Replay.feed
    monkeypatch.setattr(Replay, "feed", lambda self, packet: packet.pts and feed(self, packet))
    source = noise(ColorSpec(), (0, 3000, 6000), size=LR)
    with pytest.raises(OutputError, match=r"a\.nut: of 3 frames that ffv1 wrote 2 decode"):
        written(tmp_path / "a.nut", encoding_of("ffv1", ColorSpec()), [(source, enlarged(source))])
    assert not list(tmp_path.iterdir())


def test_damaged_scores_make_a_damaged_record(tmp_path: Path) -> None:
    source = noise(ColorSpec(), (0,), size=LR)
    written(tmp_path / "a.nut", encoding_of("ffv1", ColorSpec()), [(source, enlarged(source))])
    path = record_path(tmp_path / "a.nut")
    path.write_text(path.read_text().replace('"scores": {"0": [', '"scores": {"0": [1, '))
    assert SegmentRecord.load(path) is None


def test_an_input_of_other_kind_is_compared_all_the_same(tmp_path: Path) -> None:
    rgb = noise(ColorSpec("rgb", range="full", subsampling=(1, 1)), (0,), size=LR)
    smooth = replace(
        rgb, planes=tuple(np.full_like(p, v) for p, v in zip(rgb.planes, (200, 90, 40), strict=True))
    )
    color = ColorSpec()
    picture = np.stack([plane.repeat(2, 1).repeat(2, 2) for plane in smooth.planes], -1)
    large = replace(smooth, planes=to_planes(picture, color), color=color)
    record = written(tmp_path / "a.nut", encoding_of("ffv1", color), [(smooth, large)])
    found = record.scores[0]
    assert decibels(found.luma) > 55
    assert found.chroma is not None and decibels(found.chroma) > 50
