"""The report of a finished training: one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence
from html import escape

from torch import Tensor

from vidsr.training.journal import Journal

WIDTH, HEIGHT, MARGIN = 420, 180, 44  # of a chart, CSS pixels

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem;
       color: #222; background: #fff }
h1, h2 { font-weight: 600 } table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0;
text-align: left; vertical-align: top } figure { margin: 0 0 1rem } img { max-width: 100%;
image-rendering: pixelated } .charts { display: flex; flex-wrap: wrap; gap: 1rem }
svg { overflow: visible }
svg text { font-size: 11px; fill: #555 } figcaption { color: #555 }
"""


def render_report(
    title: str,
    journal: Journal,
    settings: Mapping[str, object],
    scores: Mapping[str, float],
    strips: Sequence[Tensor],
) -> str:
    """The page: scores beside those of bicubic and Lanczos, samples, curves, settings.

    `strips` are (H, W, 3) uint8 pictures of LR, bicubic, SR and HR side by side.
    """
    stages = "".join(
        f"<p>{escape(name.capitalize())} stage: {stage['updates']:.0f} updates in "
        f"{stage['seconds'] / 60:.1f} minutes.</p>"
        for name, stage in journal.finished.items()
    )
    samples = "".join(
        f'<figure><img alt="LR, bicubic, SR, HR" src="data:image/png;base64,'
        f'{base64.b64encode(to_png(strip)).decode()}"></figure>'
        for strip in strips
    )
    charts = "".join(chart(name, curve) for name, curve in journal.curves.items() if len(curve) > 1)
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>"
        for name, value in settings.items()
    )
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style>\n<h1>{escape(title)}</h1>\n{stages}\n"
        f"<h2>Scores on held-out files</h2>\n{_score_table(scores, journal)}\n"
        f"<h2>Samples</h2>\n<p>Low resolution, bicubic, this model, original.</p>\n{samples}\n"
        f'<h2>Curves</h2>\n<div class="charts">{charts}</div>\n'
        f"<h2>Settings</h2>\n<table>{rows}</table>\n</html>\n"
    )


def chart(name: str, curve: Sequence[tuple[int, float]]) -> str:
    """An SVG line chart of points (update, value), with its least and greatest value."""
    steps = [step for step, _ in curve]
    # The first updates, from random weights, would flatten all that follows: scale to the later 95 %.
    values = [value for _, value in curve]
    shown = values[len(values) // 20 :]
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    length = (steps[-1] - steps[0]) or 1
    points = " ".join(
        f"{MARGIN + (WIDTH - MARGIN) * (step - steps[0]) / length:.1f},"
        f"{HEIGHT - HEIGHT * (min(max(value, low), high) - low) / span:.1f}"
        for step, value in curve
    )
    return (
        f'<figure><svg width="{WIDTH}" height="{HEIGHT + 20}" role="img" aria-label="{escape(name)}">'
        f'<polyline fill="none" stroke="#1668b8" stroke-width="1.5" points="{points}"/>'
        f'<text x="0" y="10">{high:.4g}</text><text x="0" y="{HEIGHT}">{low:.4g}</text>'
        f'<text x="{MARGIN}" y="{HEIGHT + 16}">update {steps[0]}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 16}" text-anchor="end">{steps[-1]}</text></svg>'
        f"<figcaption>{escape(name)}: {values[-1]:.4g} at the end</figcaption></figure>"
    )


def to_png(picture: Tensor) -> bytes:
    """An (H, W, 3) uint8 picture as a PNG file (ISO/IEC 15948): RGB, 8 bit, rows unfiltered."""
    height, width = int(picture.shape[0]), int(picture.shape[1])
    rows = b"".join(b"\0" + row.numpy().tobytes() for row in picture.cpu().contiguous())
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _score_table(scores: Mapping[str, float], journal: Journal) -> str:
    if not scores:
        return "<p>Nothing was held out.</p>"
    head = "".join(f"<th>{escape(name.upper())}</th>" for name in scores)
    rows = f"<tr><td>this model</td>{''.join(f'<td>{v:.4f}</td>' for v in scores.values())}</tr>"
    for other in ("lanczos", "bicubic"):
        cells = "".join(
            f"<td>{journal.baselines.get(f'{other} {name}', float('nan')):.4f}</td>" for name in scores
        )
        rows += f"<tr><td>{other}</td>{cells}</tr>"
    return f"<table><tr><th></th>{head}</tr>{rows}</table>"
