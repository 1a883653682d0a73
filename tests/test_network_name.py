"""What networks are called."""

from __future__ import annotations

from vidsr.network_name import network_name


def test_the_detail_is_told_where_two_sets_are_blended() -> None:
    assert network_name("srgan-lite", None, 4) == "srgan-lite x4"
    assert network_name("srgan-lite", 0.75, 4) == "srgan-lite x4, detail 0.75"
    assert network_name("srgan-lite", 0.5) == "srgan-lite, detail 0.5"
    assert network_name("my own") == "my own"
