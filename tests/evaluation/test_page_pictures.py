"""Pictures of a page: as good as fits, and parts of frames where nothing else does."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vidsr.errors import UsageError
from vidsr.evaluation.page_pictures import (
    QUALITIES,
    THUMBNAIL_PX,
    WINDOW_QUALITY,
    Packed,
    pack_pictures,
    rgb_bytes,
    thumbnail,
)
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.video.stills import write_still

HEIGHT, WIDTH = 320, 420
SIZE = (HEIGHT, WIDTH)


BUSY = (20, 40), (230, 330)  # row and column of what is rich in detail in each frame


def save(path: Path, rgb: Tensor, depth: int = 8) -> Path:
    color = ColorSpec(matrix="rgb", range="full", subsampling=(1, 1), depth=depth)
    planes = tuple(rgb[None, ..., i].contiguous() for i in range(3))
    write_still(path, FrameBatch(planes, color, (0,), Fraction(1)))
    return path


def scenery(size: tuple[int, int], busy: tuple[int, int]) -> Tensor:
    """Soft all over, with a square of strong texture at (row, column)."""
    noise = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(3))
    rgb = functional.interpolate(noise, size=size, mode="bilinear")[0].permute(1, 2, 0) * 40 + 100
    y, x = busy
    side = size[0] // 4
    rgb[y : y + side, x : x + side] = 255 * torch.rand(side, side, 3).round()
    return rgb.byte()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[list[Path]]:
    """Two frames: the input of half the size, and the enlarged one."""
    folder = tmp_path_factory.mktemp("pictures")
    torch.manual_seed(5)
    found = []
    for index, busy in enumerate(BUSY):
        large = scenery(SIZE, busy)
        small = save(folder / f"{index}_input.png", large[::2, ::2].contiguous())
        found.append([small, save(folder / f"{index}_large.png", large)])
    return found


def total(packed: Packed) -> int:
    return sum(len(shown.webp) for moment in packed.moments for shown in moment)


def decode(data: bytes, folder: Path) -> Tensor:
    path = folder / "decoded.webp"
    path.write_bytes(data)
    return rgb_bytes(path)


@pytest.fixture(scope="module")
def ladder(sources: list[list[Path]]) -> list[Packed]:
    """What comes of ever smaller budgets: each has one byte less than the last needed."""
    found = [pack_pictures(sources, SIZE)]
    while found[-1].windows[0][2:] == (WIDTH, HEIGHT):
        budget = total(found[-1]) - 1
        found.append(pack_pictures(sources, SIZE, budget))
        assert total(found[-1]) <= budget
    return found


def test_exact_where_there_is_room_and_then_step_by_step_less(
    sources: list[list[Path]], ladder: list[Packed], tmp_path: Path
) -> None:
    assert [packed.quality for packed in ladder[:-1]] == list(QUALITIES)
    for paths, moment in zip(sources, ladder[0].moments, strict=True):
        for path, shown in zip(paths, moment, strict=True):
            assert torch.equal(decode(shown.webp, tmp_path), rgb_bytes(path))
            assert shown.rect == (0, 0, WIDTH, HEIGHT)
    # The input's own pixels stay exact whatever happens to the others.
    last = ladder[-2].moments[0][0]
    assert torch.equal(decode(last.webp, tmp_path), rgb_bytes(sources[0][0]))


def test_parts_with_detail_where_nothing_else_fits(
    sources: list[list[Path]], ladder: list[Packed], tmp_path: Path
) -> None:
    packed = ladder[-1]
    assert packed.quality == WINDOW_QUALITY
    for busy, window, moment, paths in zip(BUSY, packed.windows, packed.moments, sources, strict=True):
        left, top, width, height = window
        assert min(width, height) >= 256
        assert 0 <= left <= WIDTH - width and 0 <= top <= HEIGHT - height
        middle = busy[0] + 40, busy[1] + 40
        assert top <= middle[0] < top + height and left <= middle[1] < left + width
        small, large = moment
        assert large.rect == window
        x, y, w, h = (int(value) for value in small.rect)
        assert x <= left and y <= top and x + w >= left + width and y + h >= top + height
        part = rgb_bytes(paths[0])[y // 2 : (y + h) // 2, x // 2 : (x + w) // 2]
        assert torch.equal(decode(small.webp, tmp_path), part)


def test_too_much_for_a_page_is_said_in_one_line(sources: list[list[Path]]) -> None:
    words = f"4 pictures of {WIDTH}x{HEIGHT} do not fit into a page of 10 MB"
    with pytest.raises(UsageError, match=words) as caught:
        pack_pictures(sources, SIZE, 2000)
    assert "\n" not in str(caught.value)


def test_thumbnails_and_deep_pictures(sources: list[list[Path]], tmp_path: Path) -> None:
    small = decode(thumbnail(sources[0][1]), tmp_path)
    assert tuple(small.shape) == (round(THUMBNAIL_PX * HEIGHT / WIDTH), THUMBNAIL_PX, 3)
    codes = torch.full((8, 8, 3), 0x8080, dtype=torch.int32).to(torch.uint16)
    deep = save(tmp_path / "deep.png", codes, depth=16)
    assert set(rgb_bytes(deep).flatten().tolist()) == {128}
