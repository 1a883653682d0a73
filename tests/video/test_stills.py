from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vidsr.errors import InputError, OutputError, UsageError
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.video.color import to_rgb
from vidsr.video.image_tags import ImageTags, add_tags, image_format, read_tags
from vidsr.video.stills import is_still, read_still, stored_color, write_still

RGB = ColorSpec(matrix="rgb", range="full", subsampling=(1, 1), transfer=13)
GRAY = ColorSpec(matrix="gray", range="full", subsampling=(1, 1))
PROFILE = bytes(range(256)) * 300  # two segments of a JPEG; nobody here looks inside


def batch(*planes: NDArray[np.uint8] | NDArray[np.uint16], color: ColorSpec = RGB) -> FrameBatch:
    return FrameBatch(tuple(plane[None] for plane in planes), color, (0,), Fraction(1))


def noise(count: int, *, depth: int = 8, size: tuple[int, int] = (13, 17)) -> list[NDArray[np.uint8]]:
    kind = np.uint8 if depth == 8 else np.uint16
    generator = np.random.default_rng(0)
    return [generator.integers(0, 1 << depth, size).astype(kind) for _ in range(count)]


def smooth(height: int = 48, width: int = 64) -> list[NDArray[np.uint8]]:
    y, x = np.mgrid[0:height, 0:width]
    return [(x * 3 + 20).astype(np.uint8), (y * 4 + 20).astype(np.uint8), (x + y + 60).astype(np.uint8)]


def exif(orientation: int, order: str = "<") -> bytes:
    """A TIFF structure of one directory with the orientation and a description."""
    head = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "I", 8)
    entries = struct.pack(order + "HHII", 0x010E, 2, 4, 0)[:-4] + b"abc\x00"
    entries += struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return head + struct.pack(order + "H", 2) + entries + bytes(4)


@pytest.mark.parametrize(
    ("planes", "color"),
    [
        (noise(3), RGB),
        (noise(3, depth=16), ColorSpec("rgb", 1, 13, "full", 16, (1, 1))),
        (noise(4), ColorSpec("rgb", 1, 13, "full", 8, (1, 1), alpha=True)),
        (noise(4, depth=16), ColorSpec("rgb", 1, 13, "full", 16, (1, 1), alpha=True)),
        (noise(1), GRAY),
        (noise(1, depth=16), ColorSpec("gray", 1, 1, "full", 16, (1, 1))),
    ],
)
def test_png_gives_back_every_sample(
    tmp_path: Path, planes: list[NDArray[np.uint8]], color: ColorSpec
) -> None:
    path = tmp_path / "a.png"
    assert write_still(path, batch(*planes, color=color)) == ()
    read = read_still(path)
    assert (read.color.matrix, read.color.depth, read.color.alpha) == (
        color.matrix,
        color.depth,
        color.alpha,
    )
    assert read.color.range == "full"
    for ours, theirs in zip(read.planes, planes, strict=True):
        assert np.array_equal(ours[0], theirs)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_tensors_are_written_as_arrays_are(tmp_path: Path, name: str) -> None:
    source = batch(*smooth())
    contents = []
    for each in (source, source.tensors()):
        write_still(tmp_path / name, each)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


def test_jpeg_is_read_as_the_planes_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    color = ColorSpec("bt601", range="full", subsampling=(2, 2), siting="center")
    y, u, v = smooth()
    source = batch(y, u[::2, ::2].copy(), v[::2, ::2].copy(), color=color)
    write_still(path, source)
    read = read_still(path)
    assert (read.color.matrix, read.color.range) == ("bt601", "full")
    assert (read.color.subsampling, read.color.siting) == ((2, 2), "center")
    for ours, theirs in zip(read.planes, source.planes, strict=True):
        assert np.abs(ours.astype(int) - theirs).max() <= 3


@pytest.mark.parametrize(("name", "tolerance"), [("a.jpg", 2.0), ("a.jpeg", 2.0), ("a.webp", 4.0)])
def test_lossy_formats_stay_close_to_the_picture(tmp_path: Path, name: str, tolerance: float) -> None:
    source = batch(*smooth())
    write_still(tmp_path / name, source)
    difference = to_rgb(read_still(tmp_path / name)).astype(float) - to_rgb(source)
    assert np.abs(difference).mean() < tolerance


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_ten_bit_video_becomes_a_picture(tmp_path: Path, name: str) -> None:
    color = ColorSpec("bt709", depth=10, subsampling=(2, 2))
    planes = [
        np.full((48 // s, 64 // s), value, np.uint16) for s, value in ((1, 700), (2, 400), (2, 600))
    ]
    source = batch(*planes, color=color)
    write_still(tmp_path / name, source)
    read = read_still(tmp_path / name)
    assert read.color.depth == (16 if name == "a.png" else 8)
    wanted = to_rgb(source)[0, 0, 0]
    found = to_rgb(read)[0, 0, 0]
    found = found / 255 if found.dtype == np.uint8 else found
    assert np.allclose(found, wanted, atol=1e-4 if name == "a.png" else 0.02)


def test_transparency_is_kept_or_laid_on_white(tmp_path: Path) -> None:
    color = ColorSpec("rgb", 1, 13, "full", 8, (1, 1), alpha=True)
    planes = [np.full((48, 64), value, np.uint8) for value in (200, 40, 90, 255)]
    planes[3][:, :32] = 0
    source = batch(*planes, color=color)
    write_still(tmp_path / "a.webp", source)
    kept = read_still(tmp_path / "a.webp")
    assert kept.color.alpha
    assert np.array_equal(kept.planes[3][0], planes[3])
    (notice,) = write_still(tmp_path / "a.jpg", source)
    assert "transparen" in notice
    flat = to_rgb(read_still(tmp_path / "a.jpg"))[0].astype(int)
    assert (flat[:, :24] >= 250).all()
    assert np.abs(flat[24, 48] - [200, 40, 90]).max() <= 4


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path: Path, orientation: int, order: str) -> None:
    (gray,) = noise(1)
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),  # to be turned clockwise, so it lies turned the other way
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: np.rot90(a, -1),
    }[orientation](gray)
    path = tmp_path / "a.png"
    write_still(path, batch(np.ascontiguousarray(stored), color=GRAY))
    path.write_bytes(add_tags(path.read_bytes(), ImageTags(exif=exif(orientation, order))))
    assert np.array_equal(read_still(path).planes[0][0], gray)


@pytest.mark.parametrize("source_name", ["in.png", "in.jpg", "in.webp"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_profile_and_exif_pass_through(tmp_path: Path, source_name: str, name: str) -> None:
    source, target = tmp_path / source_name, tmp_path / name
    write_still(source, batch(*smooth()))
    source.write_bytes(add_tags(source.read_bytes(), ImageTags(PROFILE, exif(6))))
    picture = read_still(source)
    assert picture.size == (64, 48), "turned upright"
    write_still(target, picture, tags_from=source)
    tags = read_tags(target.read_bytes())
    assert tags.icc == PROFILE
    assert tags.exif == exif(1), "all of it but the orientation, which was carried out"
    assert read_still(target).size == (64, 48)
    if name == "a.png":
        data = target.read_bytes()
        assert b"cICP" not in data
        assert b"sRGB" not in data, "nothing overrides the profile"


def test_tags_that_are_not_there_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    write_still(path, batch(*smooth()))
    data = path.read_bytes()
    assert read_tags(data) == ImageTags()
    assert add_tags(data, ImageTags()) == data


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_pictures_of_another_program_are_read_as_it_reads_them(
    tmp_path: Path, mode: str, suffix: str
) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    possible = {".png": "L LA RGB RGBA P 1", ".jpg": "L RGB CMYK", ".webp": "RGB RGBA L"}[suffix].split()
    if mode not in possible:
        pytest.skip(f"{suffix} has no {mode}")
    source = image.fromarray(np.stack(smooth(), axis=-1)).convert(mode)
    path = tmp_path / f"a{suffix}"
    source.save(path, **({"lossless": True} if suffix == ".webp" else {}))
    read = to_rgb(read_still(path))[0].astype(int)
    seen = np.asarray(image.open(path).convert("RGB")).astype(int)
    # A JPEG's chroma may be enlarged by another filter, and CMYK has more than one conversion.
    assert np.abs(read - seen).mean() <= {".png": 0, ".jpg": 2, ".webp": 0}[suffix]


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(InputError, match="no such file"):
        read_still(path)
    path.touch()
    with pytest.raises(InputError, match="empty"):
        read_still(path)
    path.write_text("Dear diary")
    with pytest.raises(InputError, match="not a PNG, JPEG or WebP"):
        read_still(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"junk" * 40)
    with pytest.raises(InputError, match="damaged"):
        read_still(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_a_picture_that_is_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_still(path, batch(*noise(3, size=(64, 64))))
    data = path.read_bytes()
    for keep in (0.4, 0.8):
        path.write_bytes(data[: int(len(data) * keep)])
        with pytest.raises(InputError, match=f"{name}: the picture is"):
            read_still(path)


def test_an_animation_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_still(path, batch(*smooth()))
    data = path.read_bytes()
    control = b"acTL" + struct.pack(">II", 2, 0)
    chunk = struct.pack(">I", 8) + control + struct.pack(">I", zlib.crc32(control))
    path.write_bytes(data[:33] + chunk + data[33:])
    with pytest.raises(InputError, match="animation"):
        read_still(path)


def test_a_wrong_suffix_does_not_mislead_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    write_still(path, batch(*smooth()))
    named = path.rename(tmp_path / "a.png")
    assert image_format(named.read_bytes()) == "jpeg"
    assert read_still(named).color.matrix == "bt601"


def test_a_picture_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="absent"):
        write_still(tmp_path / "absent" / "a.png", batch(*smooth()))
    with pytest.raises(UsageError, match=r"\.png, \.jpg"):
        write_still(tmp_path / "a.bmp", batch(*smooth()))
    wide = batch(*(np.zeros((1, 16400), np.uint8) for _ in range(3)))
    with pytest.raises(OutputError, match="16383"):
        write_still(tmp_path / "a.webp", wide)
    assert list(tmp_path.iterdir()) == []


def test_names_of_pictures() -> None:
    assert is_still(Path("a.PNG"))
    assert is_still(Path("a.jpeg"))
    assert not is_still(Path("a.mp4"))
    assert not is_still(Path("%05d.png"))


def test_each_format_says_what_it_stores() -> None:
    video = ColorSpec("bt709", depth=10, subsampling=(1, 2))
    png, jpeg, webp = (stored_color(Path(f"a.{suffix}"), video) for suffix in ("png", "jpg", "webp"))
    assert (png.matrix, png.depth, png.range) == ("rgb", 16, "full")
    assert (jpeg.matrix, jpeg.depth, jpeg.range, jpeg.subsampling) == ("bt601", 8, "full", (1, 2))
    assert (webp.matrix, webp.depth, webp.range, webp.subsampling) == ("bt601", 8, "limited", (2, 2))
    assert stored_color(Path("a.jpg"), RGB).subsampling == (1, 1)
