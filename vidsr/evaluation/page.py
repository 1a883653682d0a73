"""A page to judge pictures on: one HTML file that needs nothing beside it and asks nobody for anything.

What is on it is described by plain values here; how it looks and what it does lies in `viewer/`, as the
HTML, CSS and JavaScript that a browser's own tools can be used on.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

Rect = tuple[float, float, float, float]
"""x, y, width, height in pixels of the enlarged picture."""


@dataclass(frozen=True)
class Shown:
    """A picture on the page."""

    webp: bytes
    rect: Rect  # where it lies in the enlarged picture, which it may have fewer pixels than


@dataclass(frozen=True)
class Moment:
    """One frame of the video, in all versions."""

    time_s: float  # after the first frame
    label: str  # "0:12.480"
    note: str  # "frame 312", and why it is here
    window: Rect  # the part of the frame that is on the page
    pictures: tuple[Shown, ...]  # one for each version
    thumbnail: bytes  # WebP, the whole frame


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    name: str
    values: tuple[float | None, ...]  # one for each time of the chart; None where there is none


@dataclass(frozen=True)
class Curve:
    """A chart over the time of the video."""

    title: str
    unit: str
    meaning: str  # "higher is closer"
    digits: int  # behind the point, where a value is told
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Table:
    """Rows of text under a heading; the first cell of a row is its name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Link:
    """A file that lies beside the page."""

    text: str
    href: str  # relative to the page


@dataclass(frozen=True)
class Page:
    """Everything that a page shows."""

    title: str
    summary: str  # one line below the title
    size: tuple[int, int]  # (height, width) of the enlarged picture, pixels
    pixel_aspect: float  # width over height of a pixel as it is shown
    versions: tuple[str, ...]  # names of the ways in which every moment can be looked at
    first_pair: tuple[int, int]  # versions shown left and right at the beginning
    moments: tuple[Moment, ...]
    times: tuple[float, ...] = ()  # of the curves, seconds after the first frame
    curves: tuple[Curve, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()  # what a viewer must know to judge rightly
    link: Link | None = None
    made_by: str = ""  # the last line


SCRIPTS = ("stage.js", "controls.js", "curves.js")
"""One module in three files, in this order."""


def render_page(page: Page) -> str:
    """The page as one HTML document.

    A policy in its head forbids it every address but its own data, and every script and style but those
    it came with, told by their SHA-256; names of files cannot become markup or script.
    """
    viewer = files("vidsr.evaluation") / "viewer"
    style, document, *scripts = (
        (viewer / name).read_text(encoding="utf-8") for name in ("viewer.css", "viewer.html", *SCRIPTS)
    )
    script = "\n".join(scripts)
    policy = (
        "default-src 'none'; img-src data:; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )
    return Template(document).substitute(
        policy=escape(policy),
        title=escape(page.title),
        summary=escape(page.summary),
        notes="".join(f"<li>{escape(note)}</li>" for note in page.notes),
        tables="".join(map(_table, page.tables)),
        link="" if page.link is None else _link(page.link),
        made_by=escape(page.made_by),
        style=style,
        script=script,
        data=_json(_data(page)),
    )


def _data(page: Page) -> dict[str, Any]:
    """What the script works on, as plain values."""
    return {
        "width": page.size[1],
        "height": page.size[0],
        "aspect": page.pixel_aspect,
        "pair": page.first_pair,
        "versions": page.versions,
        "moments": [
            {
                "time": moment.time_s,
                "label": moment.label,
                "note": moment.note,
                "window": moment.window,
                "thumbnail": _webp(moment.thumbnail),
                "pictures": [
                    {"source": _webp(shown.webp), "rect": shown.rect} for shown in moment.pictures
                ],
            }
            for moment in page.moments
        ],
        "times": page.times,
        "curves": [
            {
                "title": curve.title,
                "unit": curve.unit,
                "meaning": curve.meaning,
                "digits": curve.digits,
                "series": [{"name": each.name, "values": each.values} for each in curve.series],
            }
            for curve in page.curves
        ],
    }


def _json(content: object) -> str:
    """JSON that cannot end the script element it stands in, whatever texts are in it."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _webp(data: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(data).decode()


def _digest(text: str) -> str:
    """The source of a policy that lets in just this text (Content Security Policy Level 3, 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    rows = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{_cells(row[1:])}</tr>' for row in table.rows
    )
    return (
        f'<section><h2>{escape(table.title)}</h2><div class="wide" tabindex="0" role="region" '
        f'aria-label="{escape(table.title)}"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _cells(cells: Sequence[str]) -> str:
    return "".join(f"<td>{escape(cell)}</td>" for cell in cells)


def _link(link: Link) -> str:
    return f'<p class="link"><a href="{escape(link.href)}">{escape(link.text)}</a></p>'
