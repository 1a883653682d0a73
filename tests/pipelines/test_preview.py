"""A look at a running job: the newest frame beside Lanczos, whole each time, and nothing left of it."""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.pipelines.test_upscale import FAST, LOSSLESS, Stop, run, stopping_after
from tests.synthetic import decoded_numbers, frame_numbers, make_video
from vidsr.errors import UsageError, VidsrError
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.pipelines import preview as module
from vidsr.pipelines.preview import GAP_PX, SHOWN, Preview, side_by_side, write_preview
from vidsr.pipelines.segment import FramePair
from vidsr.progress import Advanced, Event, Notice
from vidsr.video.color import to_planes, to_rgb
from vidsr.video.reader import VideoReader
from vidsr.video.stills import read_still


def pair(color: ColorSpec, size: tuple[int, int] = (24, 32), scale: int = 2) -> FramePair:
    """A smooth picture, and itself enlarged without a network."""
    y, x = np.meshgrid(*(np.linspace(0.2, 0.8, side, dtype=np.float32) for side in size), indexing="ij")
    rgb = np.stack((y, x, (x + y) / 2), axis=-1)[None]
    large = rgb.repeat(scale, 1).repeat(scale, 2)
    source, enlarged = (
        FrameBatch(to_planes(picture, color), color, (7,), Fraction(1, 25)) for picture in (rgb, large)
    )
    return FramePair(source, enlarged)


@pytest.mark.parametrize(
    "color",
    [
        ColorSpec(),
        ColorSpec(depth=10, subsampling=(1, 2)),
        ColorSpec("rgb", range="full", subsampling=(1, 1)),
        ColorSpec("bt601", range="full", subsampling=(1, 1)),
    ],
)
def test_both_halves_show_the_same_picture(color: ColorSpec) -> None:
    shown = to_rgb(side_by_side(pair(color))).astype(int)
    assert shown.shape == (1, 48, 2 * 64 + GAP_PX, 3)
    left, right = shown[:, :, :64], shown[:, :, 64 + GAP_PX :]
    assert (shown[:, :, 64 : 64 + GAP_PX] == 255).all()
    assert abs(left - right).max() <= 12  # a slope, by Lanczos and in steps of two pixels
    assert right[0, 40, 10, 0] > right[0, 10, 10, 0] + 50


def test_the_last_frame_of_a_batch_is_shown() -> None:
    one = pair(ColorSpec())
    dark = tuple(
        np.full_like(plane, 30 if i == 0 else 128) for i, plane in enumerate(one.enlarged.planes)
    )
    both = FramePair(
        replace(one.source, planes=tuple(np.concatenate((p, p)) for p in one.source.planes), pts=(7, 8)),
        replace(
            one.enlarged,
            planes=tuple(np.concatenate(p) for p in zip(one.enlarged.planes, dark, strict=True)),
            pts=(7, 8),
        ),
    )
    right = to_rgb(side_by_side(both))[:, :, 64 + GAP_PX :]
    assert right.max() < 40


@pytest.mark.parametrize("alpha", [False, True])
def test_of_large_frames_the_middle_is_shown_pixel_for_pixel(
    alpha: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHOWN", (20, 24))
    color = ColorSpec()
    whole = pair(color)
    if alpha:
        color = replace(color, alpha=True)
        whole = FramePair(
            *(
                replace(batch, planes=(*batch.planes, np.full_like(batch.planes[0], 255)), color=color)
                for batch in (whole.source, whole.enlarged)
            )
        )
    shown = to_rgb(side_by_side(whole))
    assert shown.shape == (1, 20, 2 * 24 + GAP_PX, 3)
    right = shown[:, :, 24 + GAP_PX :].astype(int)
    top, left = 12, 20  # (48 - 20) / 2 and (64 - 24) / 2, in whole blocks of chroma
    opaque = replace(whole.enlarged, planes=whole.enlarged.planes[:3], color=replace(color, alpha=False))
    expected = to_rgb(opaque)[:, top : top + 20, left : left + 24].astype(int)
    assert abs(right - expected)[:, 2:-2, 2:-2].max() <= 1
    assert SHOWN[0] >= 1080


@pytest.mark.parametrize("rotation", [90, 180, 270, -90])
def test_both_halves_are_turned_as_players_turn_the_video(rotation: int) -> None:
    lying = to_rgb(side_by_side(pair(ColorSpec())))
    shown = to_rgb(side_by_side(pair(ColorSpec()), rotation))
    for half in (slice(None, 64), slice(64 + GAP_PX, None)):
        turned = lying[:, :, half]
        for _ in range(rotation // 90 % 4):  # counter-clockwise: what is right comes to the top
            turned = np.flip(turned, 2).swapaxes(1, 2)
        width = turned.shape[2]
        place = slice(None, width) if half.start is None else slice(width + GAP_PX, None)
        assert np.array_equal(shown[:, :, place], turned)


def test_a_picture_appears_whole_and_alone(tmp_path: Path) -> None:
    write_preview(tmp_path / "preview.png", pair(ColorSpec()))
    write_preview(tmp_path / "preview.png", pair(ColorSpec()))
    assert [path.name for path in tmp_path.iterdir()] == ["preview.png"]
    assert read_still(tmp_path / "preview.png").size == (48, 132)
    with pytest.raises(VidsrError, match=r"preview\.png|preview\.\d+\.png"):
        write_preview(tmp_path / "none" / "preview.png", pair(ColorSpec()))


def test_where_it_cannot_be_written_the_job_goes_on(tmp_path: Path) -> None:
    with Preview(tmp_path / "none" / "preview.png") as preview:
        for _ in range(3):
            preview.show(pair(ColorSpec()))
            time.sleep(0.01)


@pytest.mark.parametrize("rotation", [0.0, 90.0])
def test_a_job_shows_its_newest_frame_and_its_finished_parts_play(
    rotation: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAST_S", 0.0)
    monkeypatch.setattr(module, "SHARE", 1e9)
    source = make_video(tmp_path / "in.mp4", frames=40, bframes=2, rotation=rotation)
    target = tmp_path / "out.mp4"
    folder = tmp_path / "out.mp4.vidsr"
    texts: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            texts.append(event.text)
        if isinstance(event, Advanced) and event.task == "upscale" and event.done >= 25:
            deadline = time.monotonic() + 20
            while not (folder / "preview.png").exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            raise Stop

    with pytest.raises(Stop):
        run(source, target, listen, segment_frames=10, preview=True)
    assert any(f"preview: {folder / 'preview.png'}" in text for text in texts)
    assert any(f"{folder / '*.nut'}" in text for text in texts)
    shown = read_still(folder / "preview.png")
    size = (128, 2 * 96 + GAP_PX) if rotation else (96, 2 * 128 + GAP_PX)
    assert shown.size == size
    planes = (plane[:, :, size[1] // 2 + GAP_PX // 2 :] for plane in shown.planes)
    right = replace(
        shown, planes=tuple(np.rot90(plane, -int(rotation) // 90, (1, 2)) for plane in planes)
    )
    assert 0 <= frame_numbers(right)[0] < 40
    for number in (0, 1):
        part = folder / f"{number:06}.nut"
        assert decoded_numbers(part) == list(range(10 * number, 10 * number + 10))
        with av.open(str(part)) as container:
            times = [frame.time for frame in container.decode(video=0)]
        assert times == [pytest.approx(i / 25, abs=0.001) for i in range(10)]
    run(source, target, segment_frames=10, preview=True)
    assert decoded_numbers(target) == list(range(40))
    assert not folder.exists()


@pytest.mark.parametrize(
    ("source", "target"), [("in.mp4", "%02d.png"), ("-", "out.mkv"), ("in.mp4", "-")]
)
def test_pictures_and_pipes_need_no_preview(tmp_path: Path, source: str, target: str) -> None:
    make_video(tmp_path / "in.mp4", frames=2)
    paths = [Path(name) if name == "-" else tmp_path / name for name in (source, target)]
    with pytest.raises(UsageError, match="--preview is for videos in files"):
        run(*paths, preview=True, encode=LOSSLESS)


def test_the_frames_are_the_same_with_a_preview(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=8)
    run(source, tmp_path / "a.mp4", encode=FAST)
    run(source, tmp_path / "b.mp4", encode=FAST, preview=True)
    first, second = (VideoReader(tmp_path / name) for name in ("a.mp4", "b.mp4"))
    for one, other in zip(first.batches(8), second.batches(8), strict=True):
        assert all(np.array_equal(p, q) for p, q in zip(one.planes, other.planes, strict=True))


def test_nothing_is_stopped_halfway(tmp_path: Path) -> None:
    """A stop while a picture is being made leaves at most what the next run deletes."""
    source = make_video(tmp_path / "in.mp4", frames=30)
    with pytest.raises(Stop):
        run(source, tmp_path / "out.mp4", stopping_after(3), preview=True)
    names = {path.name for path in (tmp_path / "out.mp4.vidsr").iterdir()}
    assert {name for name in names if not name.startswith(("preview", "0", "job", "lock"))} == set()
    run(source, tmp_path / "out.mp4", preview=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]
