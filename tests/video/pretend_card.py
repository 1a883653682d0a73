"""PretendCard: a card's decoder without a card, which gives frames in a card's formats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidsr.video import card
from vidsr.video.card import FROM_CARD, CardDecoding
from vidsr.video.decoding import Decoding
from vidsr.video.source import open_input


class PretendCard(CardDecoding):
    """Decodes in software, behind the card's back; counts what it gave."""

    given = 0
    opened = 0

    def _open(self, path: Path) -> InputContainer:
        type(self).opened += 1
        return open_input(path)

    def _from_card(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[VideoFrame]:
        for frame in Decoding.frames(self, packets):
            type(self).given += 1
            yield frame.reformat(format=FROM_CARD[self._pixel_format], threads=1)


def pretend(monkeypatch: pytest.MonkeyPatch) -> type[PretendCard]:
    """A card of one's own, that is found."""
    monkeypatch.setattr(card, "find_card", lambda: None)
    return type("Card", (PretendCard,), {})
