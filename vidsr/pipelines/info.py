"""What `vidsr upscale` would do with a file, without doing it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vidsr.config import UpscaleConfig
from vidsr.frames import ColorSpec, VideoInfo
from vidsr.inference.backend import choose_device
from vidsr.pipelines.geometry import plan_geometry
from vidsr.pipelines.model_choice import choose_weights
from vidsr.pipelines.segment import Reader
from vidsr.pipelines.upscale_plan import (
    UpscalePlan,
    is_deinterlaced,
    open_reader,
    plan_anyhow,
    writes_pictures,
)
from vidsr.video.plan import StreamPlan
from vidsr.video.provenance import history, read_history
from vidsr.video.sequences import SequenceReader
from vidsr.video.stills import stored_color

TRANSFERS = {16: "PQ (HDR)", 18: "HLG (HDR)"}
"""H.273 transfer characteristics worth a word of their own."""


@dataclass(frozen=True)
class Description:
    """A file, and what would become of it."""

    facts: tuple[tuple[str, str], ...]
    streams: tuple[tuple[str, str, str, str], ...]  # number, kind, what, in the output
    notices: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "facts": dict(self.facts)}


def describe(config: UpscaleConfig) -> Description:
    """Look at a file as `upscale_video` would; writes nothing.

    A container that cannot hold all streams is part of the description here, not an error.
    """
    with open_reader(config) as reader:
        if writes_pictures(config.output):
            return _describe_pictures(config, reader)
        return describe_plan(config, reader, *plan_anyhow(config, reader))


def describe_plan(
    config: UpscaleConfig, reader: Reader, plan: UpscalePlan, refusal: str | None
) -> Description:
    """The same of a plan that was made already; `refusal` is why it is not quite that of the options."""
    facts = (
        *_facts_of_input(config, reader),
        ("output", f"{config.output}"),
        ("becomes", _becomes(plan)),
        ("model", _model(plan, choose_device(config))),
        ("segments", f"{len(plan.segments)}, of {config.segment_s:g} s at most"),
    )
    notices = plan.notices if refusal is None else (refusal, *plan.notices)
    return Description(facts, tuple(_row(stream) for stream in plan.remux.streams), notices)


def _describe_pictures(config: UpscaleConfig, reader: Reader) -> Description:
    geometry = plan_geometry(config, reader.info, (1, 1))
    weights = choose_weights(config, reader.info, reader.timeline).weights
    color = _color(stored_color(config.output, reader.info.color))
    facts = (
        *_facts_of_input(config, reader),
        ("output", f"{config.output}"),
        ("becomes", f"{geometry.width}x{geometry.height} {config.output.suffix[1:].lower()}, {color}"),
        ("model", f"{weights.title} on {choose_device(config)}"),
    )
    return Description(facts, (), ())


def _facts_of_input(config: UpscaleConfig, reader: Reader) -> tuple[tuple[str, str], ...]:
    first = reader.files[0] if isinstance(reader, SequenceReader) else config.input
    steps = [step.summary for step in read_history(history(first))]
    return (
        ("input", f"{config.input}"),
        ("video", _video(reader.info, reader)),
        ("colour", _color(reader.info.color)),
        *((("made by", "; before that ".join(steps)),) if steps else ()),
    )


def _video(info: VideoInfo, reader: Reader) -> str:
    timeline = reader.timeline
    seconds = float((timeline.end - timeline.start) * timeline.time_base)
    parts = [
        f"{info.width}x{info.height} {info.codec}{' on the card' * reader.on_card}",
        f"{timeline.count} frames",
        f"{seconds:.2f} s",
    ]
    gaps = {b - a for a, b in zip(timeline.pts, timeline.pts[1:], strict=False)}
    if info.frame_rate is not None:
        # Rounding to ticks makes neighbours differ by one; more than that is a variable rate.
        variable = gaps and max(gaps) - min(gaps) > 1
        parts.append(f"{float(info.frame_rate):.5g} fps{' (variable)' if variable else ''}")
    if info.sample_aspect_ratio != 1:
        parts.append(
            f"pixels {info.sample_aspect_ratio.numerator}:{info.sample_aspect_ratio.denominator}"
        )
    if info.rotation:
        parts.append(f"rotated by {info.rotation} degrees")
    if info.interlaced:
        parts.append("interlaced" + (", will be deinterlaced" if is_deinterlaced(reader) else ""))
    if timeline.corrupt:
        parts.append(f"{timeline.corrupt} damaged packets")
    return ", ".join(parts)


def _color(color: ColorSpec) -> str:
    words = [color.matrix.upper().replace("BT", "BT."), f"{color.range} range", f"{color.depth} bit"]
    if color.matrix not in ("rgb", "gray"):
        names = {(1, 1): "4:4:4", (1, 2): "4:2:2", (2, 2): "4:2:0", (1, 4): "4:1:1", (2, 1): "4:4:0"}
        words.append(names.get(color.subsampling, str(color.subsampling)))
    if color.transfer in TRANSFERS:
        words.append(TRANSFERS[color.transfer])
    return ", ".join(words + (["with alpha"] if color.alpha else []))


def _becomes(plan: UpscalePlan) -> str:
    options = plan.encoding.options
    quality = "".join(f", {key} {options[key]}" for key in ("crf", "preset") if key in options)
    return (
        f"{plan.output.width}x{plan.output.height} {plan.encoding.codec} "
        f"({plan.encoding.encoder}, {plan.encoding.pixel_format}{quality})"
    )


def _model(plan: UpscalePlan, device: str) -> str:
    said = f"{plan.weights.title} on {device}"
    return said if plan.expectation is None else f"{said}; {plan.expectation}"


def _row(stream: StreamPlan) -> tuple[str, str, str, str]:
    what = stream.codec if stream.language == "und" else f"{stream.codec}, {stream.language}"
    if stream.title:
        what += f", {stream.title}"
    fate = {
        "upscale": "enlarged",
        "copy": "copied",
        "convert": f"converted to {stream.target_codec}",
        "attach": "attached",
        "rebuild": "written by the container itself",
        "drop": "left out",
    }[stream.action]
    return str(stream.index), stream.kind, what, f"{fate} ({stream.reason})" if stream.reason else fate
