"""Different scenes: the measure of change, and what is chosen by it."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.synthetic import make_video
from vidsr.evaluation.scenes import choose_scenes, difference, look_at
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.video.glimpses import glimpses
from vidsr.video.reader import VideoReader

GRAY = ColorSpec(matrix="gray", range="full")


def frame(plane: Tensor, pts: int = 0) -> FrameBatch:
    return FrameBatch((plane[None],), GRAY, (pts,), Fraction(1, 25))


def texture(seed: int, least: int = 0, most: int = 255) -> Tensor:
    noise = torch.rand(18, 32, generator=torch.Generator().manual_seed(seed))
    large = noise.repeat_interleave(8, 0).repeat_interleave(8, 1)
    return (least + large * (most - least)).byte()


def test_the_difference_goes_from_nothing_to_one() -> None:
    black, white = torch.zeros(144, 256).byte(), torch.full((144, 256), 255).byte()
    assert difference(look_at(frame(black)), look_at(frame(black))) == pytest.approx(0, abs=1e-6)
    assert difference(look_at(frame(black)), look_at(frame(white))) == pytest.approx(1, abs=1e-6)
    half = black.clone()
    half[72:] = 255  # half of the regions change wholly
    assert difference(look_at(frame(black)), look_at(frame(half))) == pytest.approx(0.5, abs=1e-6)


def test_motion_within_a_scene_differs_less_than_another_scene() -> None:
    scene = texture(1)
    moved = look_at(frame(scene.roll(6, 1)))
    other = look_at(frame(texture(2, 120, 250)))
    assert difference(look_at(frame(scene)), moved) < 0.5 * difference(look_at(frame(scene)), other)


def test_one_frame_of_each_scene_is_chosen_and_black_ones_last() -> None:
    looks = [(0, 255), (0, 90), (160, 255), (60, 140)]
    seen = []
    for index in range(40):
        plane = texture(index // 10, *looks[index // 10]).roll(index, 1)
        seen.append(look_at(frame(torch.zeros_like(plane) if index in (0, 39) else plane, index)))
    chosen = choose_scenes(seen, 4)
    assert [glimpse.pts // 10 for glimpse in chosen] == [0, 1, 2, 3]
    assert {0, 39}.isdisjoint(glimpse.pts for glimpse in choose_scenes(seen, 38))
    assert len(choose_scenes(seen, 60)) == 40
    rest = choose_scenes(seen, 2, [seen[5], seen[15]])
    assert [glimpse.pts // 10 for glimpse in rest] == [2, 3]


def test_glimpses_of_a_long_video_are_its_keyframes_and_of_a_short_one_all_frames(
    tmp_path: Path,
) -> None:
    many = make_video(tmp_path / "many.mp4", frames=120, gop=4, bframes=2)
    with VideoReader(many) as reader:
        keyframes = reader.timeline.keyframes
        found = list(glimpses(reader, 10))
        exact = {batch.pts[0]: batch for batch in reader.batches(1)}
    assert len(found) == 10
    for batch in found:
        assert batch.pts[0] in keyframes
        assert all(
            np.array_equal(ours, theirs)
            for ours, theirs in zip(batch.planes, exact[batch.pts[0]].planes, strict=True)
        )
    few = make_video(tmp_path / "few.mkv", frames=7, gop=100)
    with VideoReader(few) as reader:
        assert [batch.pts[0] for batch in glimpses(reader, 48)] == list(reader.timeline.pts)
        assert len(list(glimpses(reader, 3))) == 3


def test_a_fade_does_not_take_the_place_of_the_rest() -> None:
    """Its steps differ more from each other than the rest of the video does."""
    seen = []
    for index in range(60):
        light = min(max(index - 20, 0), 10) / 10  # frames 20 to 30 become bright
        seen.append(
            look_at(frame((texture(1).float() * (0.2 + 0.8 * light)).byte().roll(index, 1), index))
        )
    times = [glimpse.pts for glimpse in choose_scenes(seen, 6)]
    assert sum(20 < time < 30 for time in times) <= 2
    assert max(b - a for a, b in pairwise([0, *times, 59])) <= 25


def test_chosen_frames_of_a_real_video_are_of_different_scenes() -> None:
    clip = Path(__file__).parents[2].parent / "shared/clips/nasa_320x180_480x270_2video_2audio_2subs.mp4"
    if not clip.is_file():
        pytest.skip(f"{clip}: not here")
    with VideoReader(clip) as reader:
        seen = [look_at(batch) for batch in glimpses(reader, 100)]
    steps = sorted(difference(a, b) for a, b in pairwise(seen))
    chosen = choose_scenes(seen, 4)
    apart = [difference(a, b) for a, b in combinations(chosen, 2)]
    assert min(apart) > 10 * steps[len(steps) // 2]
