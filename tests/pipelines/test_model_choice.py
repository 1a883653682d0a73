from __future__ import annotations

from vidsr.pipelines.model_choice import NIGHT_S, SLOWEST, Expected, choose_model

BEST, NEXT, LAST = Expected("best", 1.0), Expected("next", 0.1), Expected("last", 0.2)


def test_the_preferred_one_is_taken_for_up_to_a_night() -> None:
    assert choose_model([BEST, NEXT], frames=int(NIGHT_S), duration_s=60) is BEST
    assert choose_model([BEST, NEXT], frames=int(NIGHT_S) + 1, duration_s=60) is NEXT


def test_a_long_video_may_take_long() -> None:
    frames = 10 * int(NIGHT_S)
    assert choose_model([BEST, NEXT], frames, duration_s=frames * SLOWEST) is BEST
    assert choose_model([BEST, NEXT], frames, duration_s=frames * SLOWEST - 1) is NEXT


def test_where_all_are_too_slow_the_fastest_is_taken() -> None:
    assert choose_model([BEST, LAST, NEXT], frames=10**9, duration_s=1) is NEXT
    assert choose_model([BEST], frames=10**9, duration_s=1) is BEST
