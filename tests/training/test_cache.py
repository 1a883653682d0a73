import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.training.pictures import panned, textured, write_still, write_video
from vidsr.errors import InputError, TrainingError
from vidsr.progress import Event, Notice, silent
from vidsr.training import cache
from vidsr.training.cache import (
    CacheSettings,
    fill_cache,
    find_sources,
    hold_out,
    load_pictures,
)
from vidsr.training.clips import ClipRules
from vidsr.training.degradations import bicubic

RULES = ClipRules(scale=4, clips=2, frames=3, crop=64)
VIDEO = CacheSettings(RULES, "video", versions=3, seed=0)
CLEAN = CacheSettings(RULES, "bicubic", versions=1, seed=0)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    (folder / "deeper").mkdir()
    write_video(folder / "a.mp4", [*panned(8, 96, 128, 1), *panned(8, 96, 128, 2)])
    write_video(folder / "deeper" / "b.mkv", panned(8, 96, 128, 3))
    write_still(folder / "c.png", textured(80, 100, 4))
    (folder / "notes.txt").write_text("not a video")
    return folder


def test_sources_are_found_in_order(videos: Path, tmp_path: Path) -> None:
    assert [path.name for path in find_sources(videos)] == ["a.mp4", "c.png", "b.mkv"]
    assert find_sources(videos / "a.mp4") == [videos / "a.mp4"]
    with pytest.raises(InputError, match="holds no video"):
        find_sources(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_sources(tmp_path / "gone")


def test_pictures_come_back_as_they_were_cut(videos: Path, tmp_path: Path) -> None:
    shards = fill_cache(tmp_path, find_sources(videos), VIDEO, silent)
    assert [shard.source for shard in shards] == ["a.mp4", "c.png", "b.mkv"]
    pictures, file = load_pictures(shards, 4, CPU, tmp_path / "spill")
    assert file is None
    table = pictures.table
    assert len(table) == sum(shard.frames for shard in shards) == 6 + 1 + 3
    assert table.clip.tolist() == [0, 0, 0, 1, 1, 1, 2, 3, 3, 3]
    assert table.lr.shape == (10, 3)
    for row in range(len(table)):
        lr, hr = pictures.frame(row, 0)
        assert torch.equal(lr, bicubic(hr[None], 4)[0])
        degraded = [pictures.frame(row, version)[0].float() for version in (1, 2)]
        assert all(1e-3 < (made - lr.float()).abs().mean() < 25 for made in degraded)
    still = pictures.frame(6, 0)[1]
    assert np.array_equal(still.numpy(), textured(80, 100, 4))


def test_a_filled_cache_is_reused_and_follows_the_content(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = find_sources(videos)
    first = fill_cache(tmp_path / "cache", sources, CLEAN, silent)
    monkeypatch.setattr(cache, "_make_shard", lambda *_: pytest.fail("made again"))
    assert fill_cache(tmp_path / "cache", sources, CLEAN, silent) == first
    moved = tmp_path / "renamed.mp4"
    moved.write_bytes((videos / "a.mp4").read_bytes())
    (shard,) = fill_cache(tmp_path / "cache", [moved], CLEAN, silent)
    assert shard.path == first[0].path
    monkeypatch.undo()
    other = fill_cache(tmp_path / "cache", sources[:1], CacheSettings(RULES, "bicubic", 1, 5), silent)
    assert other[0].path != first[0].path


def test_the_same_settings_make_the_same_pictures(videos: Path, tmp_path: Path) -> None:
    one, other = (
        fill_cache(tmp_path / name, [videos / "a.mp4"], VIDEO, silent)[0].path for name in "xy"
    )
    first, second = load_file(one), load_file(other)
    assert all(torch.equal(first[name], second[name]) for name in ("frames", "hr", "lr"))


def test_unreadable_files_are_named_and_counted(videos: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video at all")
    heard: list[Event] = []
    shards = fill_cache(tmp_path / "cache", [broken, videos / "c.png"], CLEAN, heard.append)
    assert [shard.source for shard in shards] == ["c.png"]
    warnings = [event.text for event in heard if isinstance(event, Notice) and event.level == "warning"]
    assert any("broken.mp4" in text for text in warnings)
    assert "1 files could not be read" in warnings[-1]
    with pytest.raises(TrainingError, match="none of the 1 files"):
        fill_cache(tmp_path / "cache", [broken], CLEAN, silent)


def test_copies_of_a_file_count_once(videos: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes((videos / "c.png").read_bytes())
    shards = fill_cache(tmp_path / "cache", [videos / "c.png", copy], CLEAN, silent)
    assert len(shards) == 1


def test_stopping_keeps_what_is_made(videos: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        fill_cache(tmp_path, find_sources(videos), CLEAN, silent, stop=stop)
    assert not list(tmp_path.glob("*.partial"))


def test_a_damaged_shard_is_named(videos: Path, tmp_path: Path) -> None:
    (shard,) = fill_cache(tmp_path, [videos / "c.png"], CLEAN, silent)
    shard.path.write_bytes(shard.path.read_bytes()[:100])
    with pytest.raises(TrainingError, match="delete it"):
        fill_cache(tmp_path, [videos / "c.png"], CLEAN, silent)


def test_an_unwritable_cache_says_what_to_do(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder must be")
    with pytest.raises(TrainingError, match="cache"):
        fill_cache(tmp_path / "cache", [videos / "c.png"], CLEAN, silent)


def test_pictures_that_do_not_fit_are_mapped_from_a_file(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = fill_cache(tmp_path, find_sources(videos), VIDEO, silent)
    near, _ = load_pictures(shards, 4, CPU, tmp_path / "spill")
    monkeypatch.setattr(cache, "_room", lambda device: 1000)
    far, file = load_pictures(shards, 4, CPU, tmp_path / "spill")
    assert file == tmp_path / "spill"
    assert torch.equal(near.pixels, far.pixels)
    assert file.stat().st_size == near.pixels.numel()


def test_files_are_held_out_whole_and_always_the_same(videos: Path, tmp_path: Path) -> None:
    shards = fill_cache(tmp_path, find_sources(videos), CLEAN, silent)
    train, held = hold_out(shards, 0.1, seed=0)
    assert len(held) == 1
    assert {shard.content for shard in train}.isdisjoint(shard.content for shard in held)
    assert hold_out(shards[::-1], 0.1, seed=0)[1] == held
    assert hold_out(shards, 0.0, seed=0) == (shards, [])
    assert hold_out(shards[:1], 0.5, seed=0) == (shards[:1], [])
    assert len(hold_out(shards, 0.67, seed=0)[1]) == 2
