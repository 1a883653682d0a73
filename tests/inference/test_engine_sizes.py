"""Which engine serves which frames."""

from __future__ import annotations

import pytest

from vidsr.inference.engine_key import ShapeRange
from vidsr.inference.engine_sizes import (
    COMMON_SIZES,
    MOST_WASTE,
    cheapest,
    computed_pixels,
    size_to_build,
)

FULL_HD = ShapeRange.fixed(1080, 1920)
HD = ShapeRange.fixed(720, 1280)
RADIUS = 40
PLENTY = 10**9


def test_a_cropped_film_takes_the_engine_of_the_uncropped_size() -> None:
    assert cheapest([HD, FULL_HD], 816, 1920, RADIUS) == FULL_HD
    assert size_to_build(816, 1920, RADIUS, PLENTY) == FULL_HD


def test_the_frames_own_size_wins() -> None:
    own = ShapeRange.fixed(816, 1920)
    assert cheapest([FULL_HD, own, ShapeRange.up_to(816, 1920)], 816, 1920, RADIUS) == own


def test_a_dynamic_engine_serves_what_no_fixed_one_does() -> None:
    dynamic = ShapeRange.up_to(1080, 1920)
    assert cheapest([FULL_HD, dynamic], 600, 900, RADIUS) == dynamic


def test_an_engine_that_wastes_too_much_is_not_taken() -> None:
    assert cheapest([FULL_HD], 180, 320, RADIUS) is None
    assert cheapest([], 180, 320, RADIUS) is None


def test_tiles_that_leave_nothing_are_no_engine() -> None:
    assert computed_pixels(ShapeRange.fixed(60, 60), 180, 320, RADIUS) is None


def test_what_is_near_no_common_size_gets_its_own() -> None:
    assert size_to_build(2160, 3840, RADIUS, PLENTY).greatest == (1, 2160, 3840)
    assert size_to_build(512, 512, RADIUS, PLENTY).greatest[1:] == (512, 512)


def test_4k_goes_in_tiles_where_it_does_not_fit() -> None:
    built = size_to_build(2160, 3840, RADIUS, 1080 * 1920)
    assert built.greatest[1:] in COMMON_SIZES
    cost = computed_pixels(built, 2160, 3840, RADIUS)
    assert cost is not None
    assert cost <= MOST_WASTE * 2160 * 3840


@pytest.mark.parametrize("size", [(50, 60), (100, 1000), (817, 333), *COMMON_SIZES])
def test_whatever_is_built_serves_its_frames(size: tuple[int, int]) -> None:
    built = size_to_build(*size, RADIUS, PLENTY)
    assert cheapest([built], *size, RADIUS) == built
    assert 1 <= built.greatest[0] <= 4


def test_what_does_not_fit_into_memory_is_not_built() -> None:
    for size in ((1080, 1920), (2160, 3840), (817, 1333)):
        _, height, width = size_to_build(*size, RADIUS, 400_000).greatest
        assert height * width <= 400_000
