"""The way of one stream's packets from the source's clock to the result's."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import Any

from av.audio.codeccontext import AudioCodecContext
from av.packet import Packet, PacketSideData
from av.stream import Disposition, Stream

from vidsr.video.containers import Container
from vidsr.video.heads import edited_end, skipped_samples
from vidsr.video.payload import frame_samples
from vidsr.video.plan import StreamPlan
from vidsr.video.subtitles import SubtitleConverter

_SKIP_SAMPLES = 11  # AV_PKT_DATA_SKIP_SAMPLES


class TickMap:
    """Carries ticks of one time base over to another, later by a shift, to the nearest tick."""

    def __init__(self, source: Fraction, target: Fraction, shift: Fraction) -> None:
        factor, offset = source / target, shift / target + Fraction(1, 2)
        self._divisor = math.lcm(factor.denominator, offset.denominator)
        self._factor = int(factor * self._divisor)
        self._offset = int(offset * self._divisor)

    def __call__(self, ticks: int) -> int:
        return (ticks * self._factor + self._offset) // self._divisor


class Route:
    """The way of one stream from the source to the result."""

    def __init__(
        self,
        stream: Stream,
        original: Stream,
        plan: StreamPlan,
        converter: SubtitleConverter | None,
    ) -> None:
        self.stream = stream
        self.plan = plan
        self.converter = converter
        context = getattr(original, "codec_context", None)
        self._audio = context if isinstance(context, AudioCodecContext) else None
        self._source_base = original.time_base or Fraction(1, 1000)
        self._is_cover = bool(Disposition(plan.disposition) & Disposition.attached_pic)
        self.time_base = self._source_base
        self._map = TickMap(Fraction(1), Fraction(1), Fraction(0))
        self._step = 1
        self._last_dts: int | None = None
        self._end: int | None = None  # where the packet before ends, ticks of the source
        self._held: Packet[Any] | None = None
        self._usual = 0  # duration of the packet before, for one that does not tell its own
        self._written = 0

    def settle(self, shift: Fraction, lenient: bool) -> None:
        """Fix the clock, once the muxer has chosen the stream's time base."""
        self.time_base = self.stream.time_base or self._source_base
        self._map = TickMap(self._source_base, self.time_base, shift + self.plan.codec_delay)
        self._step = 0 if lenient or self.plan.kind in ("subtitle", "data") else 1

    def prepare(self, packet: Packet[Any]) -> Packet[Any] | None:
        """The packet to write now: this one, its conversion, or for audio the one before it."""
        if self._is_cover and self._written:
            return None  # one picture; a demuxer repeats it after a seek
        self._written += 1
        if self.converter is not None:
            text = self.converter.convert(packet)
            if text is None:
                return None
            converted: Packet[Any] = Packet(text)
            converted.pts, converted.dts, converted.duration = packet.pts, packet.dts, packet.duration
            converted.is_keyframe = True
            return converted
        if self._audio is None:
            return packet
        # The last packet of an audio stream is treated apart, so one is always held back.
        ready, self._held = self._held, packet
        if ready is not None and not ready.duration and None not in (ready.pts, packet.pts):
            ready.duration = max(0, (packet.pts or 0) - (ready.pts or 0))
        if ready is not None and ready.duration:
            self._usual = ready.duration
        return ready

    def release(self) -> Packet[Any] | None:
        """The packet held back, if any."""
        held, self._held = self._held, None
        if held is None:
            return None
        if not held.duration:
            held.duration = self._usual
        end, begin = edited_end(held.stream), (held.pts or 0) * self._source_base
        if end is not None and begin < end < begin + held.duration * self._source_base:
            held.duration = round((end - begin) / self._source_base)
        return held

    def keep_end(self, packet: Packet[Any], container: Container, *, last: bool) -> None:
        """Say where the sound ends inside the last packet, in the container's own way.

        MP4 gives the last sample of a track a shorter duration, Matroska has DiscardPadding (side data
        with a count of samples, for FFmpeg).
        """
        assert self._audio is not None
        rate = self._audio.sample_rate
        full = frame_samples(packet.stream, bytes(packet)) if last else 0
        if not full or not rate:
            return
        _, end = skipped_samples(packet)
        samples = round((packet.duration or 0) * self._source_base * rate)
        exact = self._source_base <= Fraction(1, rate)  # a coarser clock's rounding looks like a cut
        if end and container.negative_times:
            heard = Fraction(max(1, min(samples, full - end)), rate)
            packet.duration = round(heard / self._source_base)
        elif not end and exact and container.codec_delay and 0 < samples < full:
            data = PacketSideData(_SKIP_SAMPLES, 10)  # type: ignore[call-arg]
            data.update(struct.pack("<IIBB", 0, full - samples, 0, 0))
            packet.set_sidedata(data)

    def stamp(self, packet: Packet[Any]) -> None:
        """Put the packet into the result's stream and on its clock, decoding times rising."""
        pts, dts = packet.pts, packet.dts
        if pts is None:
            pts = dts if dts is not None else self._end if self._end is not None else 0
        if dts is None:
            dts = pts  # only containers without reordering leave it out
        duration = packet.duration or 0
        self._end = pts + duration
        new_pts, new_dts = self._map(pts), self._map(dts)
        if self._last_dts is not None and new_dts < self._last_dts + self._step:
            new_dts = self._last_dts + self._step
        new_pts = max(new_pts, new_dts)
        self._last_dts = new_dts
        packet.stream = self.stream
        packet.time_base = self.time_base
        packet.pts, packet.dts = new_pts, new_dts
        packet.duration = max(0, self._map(pts + duration) - new_pts) if duration else 0
