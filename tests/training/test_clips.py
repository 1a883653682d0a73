from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.pictures import panned, textured, write_still, write_video
from vidsr.errors import InputError
from vidsr.training.clips import ClipRules, clips_of, flaw, sharpest_run, sharpness, textured_window
from vidsr.training.degradations import blur, gaussian_kernel

RULES = ClipRules(scale=4, clips=3, frames=3, crop=64)


def test_clips_come_from_all_over_the_video(tmp_path: Path) -> None:
    scenes = [panned(12, 96, 128, seed) for seed in range(3)]
    path = write_video(tmp_path / "a.mp4", [frame for scene in scenes for frame in scene])
    refused: Counter[str] = Counter()
    clips = list(clips_of(path, RULES, refused))
    assert [clip.shape for clip in clips] == [(3, 64, 64, 3)] * 3
    assert all(clip.dtype == torch.uint8 for clip in clips)
    assert not refused
    for clip, scene in zip(clips, scenes, strict=True):
        # Each clip is a window of its own scene: some frame of it holds these very pixels, nearly.
        best = min(
            np.abs(frame[y : y + 64, x : x + 64].astype(int) - clip[0].numpy()).mean()
            for frame in scene
            for y in range(33)
            for x in range(65)
        )
        assert best < 10  # chroma at half resolution; another scene is 50 off


def test_no_clip_lies_over_a_cut(tmp_path: Path) -> None:
    frames = [*panned(4, 96, 128, 1), *panned(2, 96, 128, 2)]
    path = write_video(tmp_path / "a.mp4", frames)
    (clip,) = clips_of(path, ClipRules(4, 1, 3, 96), Counter())
    steps = (clip[1:].float() - clip[:-1].float()).abs().mean(dim=(1, 2, 3))
    across = np.abs(frames[4].astype(float) - frames[3]).mean()
    assert float(steps.max()) < across / 2


def test_the_same_again_is_passed_over(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [textured(96, 128, 1)] * 18)
    refused: Counter[str] = Counter()
    assert len(list(clips_of(path, RULES, refused))) == 1
    assert refused == {"repeated": 2}


def test_what_teaches_nothing_is_named() -> None:
    sharp = torch.from_numpy(textured(96, 128, 1))
    floats = sharp.permute(2, 0, 1)[None].float()
    soft = blur(floats, gaussian_kernel(3, 3))[0].permute(1, 2, 0).to(torch.uint8)
    credits = torch.full((96, 128, 3), 16, dtype=torch.uint8)
    credits[20:80:10, 30:100:3] = 235
    credits[22:82:10, 30:100:2] = 235
    assert flaw(sharp) is None
    assert flaw(soft) == "blurred"
    assert flaw(torch.full((96, 128, 3), 16, dtype=torch.uint8)) == "black"
    assert flaw(torch.full((96, 128, 3), 128, dtype=torch.uint8)) == "blurred"
    assert flaw(credits) == "credits"
    dark = torch.randint(0, 38, (96, 128, 1), dtype=torch.uint8)
    night = torch.where(credits == 16, dark, credits)  # the same lights over a filmed ground
    assert flaw(night) is None


def test_the_sharpest_run_is_taken() -> None:
    sharp = torch.from_numpy(textured(64, 64, 1))
    floats = sharp.permute(2, 0, 1)[None].float()
    soft = blur(floats, gaussian_kernel(1, 1))[0].permute(1, 2, 0).to(torch.uint8)
    window = torch.stack([soft, soft, sharp, sharp, soft])
    run = sharpest_run(window, 2)
    assert run is not None
    assert torch.equal(run, window[2:4])
    assert sharpness(sharp) > 2 * sharpness(soft)
    assert sharpness(torch.full((8, 8, 3), 9, dtype=torch.uint8)) == 0


def test_only_cuts_give_no_run() -> None:
    window = torch.stack([torch.full((32, 32, 3), level, dtype=torch.uint8) for level in (0, 90, 200)])
    assert sharpest_run(window, 2) is None


def test_the_window_with_the_most_texture_is_found() -> None:
    frame = torch.full((60, 80, 3), 100, dtype=torch.uint8)
    frame[30:50, 50:70] = torch.randint(0, 255, (20, 20, 3), dtype=torch.uint8)
    top, left = textured_window(frame, 24, 24)
    assert 26 <= top <= 30
    assert 46 <= left <= 50
    assert textured_window(frame, 60, 80) == (0, 0)


def test_stills_are_taken_whole_and_trimmed_to_the_scale(tmp_path: Path) -> None:
    path = write_still(tmp_path / "a.png", textured(99, 121, 1))
    (clip,) = clips_of(path, RULES, Counter())
    assert clip.shape == (1, 96, 120, 3)


def test_shrinking_halves_the_sides(tmp_path: Path) -> None:
    path = write_still(tmp_path / "a.png", textured(96, 128, 1))
    (clip,) = clips_of(path, ClipRules(4, 1, 3, 64, shrink=2.0), Counter())
    assert clip.shape == (1, 48, 64, 3)


def test_small_frames_and_short_videos(tmp_path: Path) -> None:
    refused: Counter[str] = Counter()
    tiny = write_still(tmp_path / "a.png", textured(24, 128, 1))
    assert list(clips_of(tiny, RULES, refused)) == []
    assert refused == {"small": 1}
    short = write_video(tmp_path / "a.mp4", panned(2, 96, 128, 1))
    (clip,) = clips_of(short, RULES, Counter())
    assert len(clip) == 2


def test_a_file_that_is_no_video_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("no video")
    with pytest.raises(InputError, match=r"a\.mp4"):
        list(clips_of(path, RULES, Counter()))
