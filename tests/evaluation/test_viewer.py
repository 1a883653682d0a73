"""The page in a real browser: what is done to it with mouse, keys and fingers shows in its pixels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.browser import Watched, chromium
from tests.waiting import until
from vidsr.evaluation.page import Curve, Moment, Page, Series, Shown, Table, render_page
from vidsr.video.webp import encode_webp

HEIGHT, WIDTH = 120, 240
NASTY = "</script><img src=x onerror=alert(1)>&\"' $title"

Opener = Callable[..., Watched]


def coordinates(blue: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """A picture whose red tells the column and whose green tells the row of each pixel."""
    rgb = torch.full((height, width, 3), blue, dtype=torch.uint8)
    rgb[..., 0] = torch.arange(width)
    rgb[..., 1] = torch.arange(height).view(-1, 1)
    return rgb


def page(moments: int = 3, *, curves: bool = True, title: str = "film.mkv") -> Page:
    """Versions are told by their blue: 0 left, 255 right, and a quarter of the pixels."""
    whole = (0.0, 0.0, float(WIDTH), float(HEIGHT))
    found = []
    for index in range(moments):
        pictures = [coordinates(0), coordinates(255), coordinates(128)[::2, ::2].contiguous()]
        if index:
            pictures = [picture.flip(1).contiguous() for picture in pictures]
        shown = tuple(Shown(encode_webp(picture, None), whole) for picture in pictures)
        thumbnail = encode_webp(pictures[1], 80)
        found.append(
            Moment(float(index), f"0:0{index}.000", f"frame {25 * index}", whole, shown, thumbnail)
        )
    times = tuple(i / 10 for i in range(41))
    rising = tuple(30 + time for time in times)
    gaps = tuple(None if i == 7 else 35 - i / 20 for i in range(41))
    return Page(
        title=title,
        summary=f"a summary of {title}",
        size=(HEIGHT, WIDTH),
        pixel_aspect=1.0,
        versions=("dark", "bright", "small", title),
        first_pair=(0, 1),
        moments=tuple(
            Moment(m.time_s, m.label, m.note, m.window, (*m.pictures, m.pictures[0]), m.thumbnail)
            for m in found
        ),
        times=times if curves else (),
        curves=(Curve("PSNR", "dB", "higher", 2, (Series("A", rising), Series("B", gaps))),)
        if curves
        else (),
        tables=(Table("Measures", ("", "A"), (("PSNR", "31.2"), (title, title))),),
        notes=(f"a note on {title}",),
        made_by="Made by vidsr",
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Opener]:
    """Opens pages, and at the end demands that none of them complained or asked the network."""
    opened: list[Watched] = []

    def opener(content: Page | None = None, **context: Any) -> Watched:
        file = tmp_path / "page.html"
        file.write_text(render_page(content or page()), encoding="utf-8")
        opened.append(Watched(browser, file, **context))
        return opened[-1]

    yield opener
    for each in opened:
        each.close()


def blue(shot: Tensor, x: float, y: float = 0.5) -> int:
    """Blue at a place of the stage, in shares of its size."""
    return int(shot[int(y * (shot.shape[0] - 1)), int(x * (shot.shape[1] - 1)), 2])


def press(watched: Watched, target: str, *keys: str) -> None:
    watched.page.locator(target).focus()
    for key in keys:
        watched.page.keyboard.press(key)
    watched.settle()


def looked_at(watched: Watched) -> tuple[int, int, list[int], list[int]]:
    """Column, row and both colours of the pixel that the page tells about."""
    x, y, *colours = map(int, re.findall(r"\d+", watched.text("readout")))
    return x, y, colours[:3], colours[3:]


def test_the_divider_follows_the_mouse(open_page: Opener) -> None:
    watched = open_page()
    before = watched.stage()
    assert [blue(before, x) for x in (0.2, 0.45, 0.55, 0.8)] == [0, 0, 255, 255]
    box = watched.page.locator("#stage").bounding_box()
    middle = box["y"] + box["height"] / 2
    watched.page.mouse.move(box["x"] + box["width"] / 2, middle)
    watched.page.mouse.down()
    watched.page.mouse.move(box["x"] + 0.25 * box["width"], middle, steps=4)
    watched.page.mouse.up()
    after = watched.stage()
    assert (blue(after, 0.2), blue(after, 0.45)) == (0, 255)
    assert watched.page.locator("#divider").get_attribute("aria-valuenow") == "25"
    watched.page.mouse.move(box["x"] + 0.9 * box["width"], middle)  # not held any more
    assert torch.equal(watched.stage()[..., 2], after[..., 2])


def test_the_divider_follows_the_keys(open_page: Opener) -> None:
    watched = open_page()
    divider = watched.page.locator("#divider")
    press(watched, "#divider", "End")
    assert (divider.get_attribute("aria-valuenow"), blue(watched.stage(), 0.97)) == ("100", 0)
    press(watched, "#divider", "Home", "ArrowRight", "Shift+ArrowRight", "PageUp", "ArrowLeft")
    assert divider.get_attribute("aria-valuenow") == "20"
    assert "20 % left: dark, the rest: bright" in (divider.get_attribute("aria-valuetext") or "")


def test_zoom_shows_single_pixels_of_both_pictures_in_step(open_page: Opener) -> None:
    watched = open_page()
    fit = watched.text("zoom")
    box = watched.page.locator("#stage").bounding_box()
    watched.page.mouse.dblclick(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    shot = watched.stage()
    assert (watched.text("zoom"), fit != "800 %") == ("800 %", True)
    row = shot[int(0.3 * shot.shape[0])]
    cut = int(row.shape[0] * 0.5)
    left, right = row[20 : cut - 8], row[cut + 8 : -20]
    for side, colour in ((left, 0), (right, 255)):
        assert set(side[:, 2].tolist()) == {colour}
        edges = torch.nonzero(side[1:, 0].int() - side[:-1, 0].int()).flatten()
        assert set(edges.diff().tolist()) == {8}  # every pixel is a square of eight
    # The column that red tells goes on across the divider as if it were one picture.
    across = (row[cut + 8, 0].int() - row[cut - 8, 0].int()).item()
    assert across == 2
    watched.page.locator("#zoom-fit").click()
    assert watched.text("zoom") == fit
    watched.page.locator("#zoom-one").click()
    watched.settle()
    assert watched.text("zoom") == fit  # the picture is smaller than the stage: it is never shrunk


def test_zoomed_pictures_are_moved_by_mouse_and_keys_and_told_by_pixel(open_page: Opener) -> None:
    watched = open_page()
    press(watched, "#stage", "+", "+")
    assert watched.text("zoom") == "1600 %"
    x, y, left, right = looked_at(watched)
    assert (left, right) == ([x, y, 0], [x, y, 255])
    assert (x, y) == (pytest.approx(120, abs=1), pytest.approx(60, abs=1))
    press(watched, "#stage", "Shift+ArrowRight", "ArrowDown")
    after = looked_at(watched)
    assert after[2] == [after[0], after[1], 0]
    # Half of the stage and a tenth of it, in pixels of sixteen.
    box = watched.page.locator("#stage").bounding_box()
    assert after[0] - x == pytest.approx(box["width"] / 2 / 16, abs=1)
    assert after[1] - y == pytest.approx(box["width"] / 10 / 16, abs=1)
    watched.page.mouse.move(box["x"] + 700, box["y"] + 100)
    watched.page.mouse.down()
    watched.page.mouse.move(box["x"] + 700 + 160, box["y"] + 100, steps=3)
    watched.page.mouse.up()
    watched.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 5)
    assert looked_at(watched)[0] == pytest.approx(after[0] - 10, abs=1)
    press(watched, "#stage", "0")
    assert watched.page.locator("#zoom-fit").get_attribute("aria-pressed") == "true"


def test_pictures_are_swapped_chosen_and_held(open_page: Opener) -> None:
    watched = open_page()
    press(watched, "#stage", "x")
    assert (blue(watched.stage(), 0.2), blue(watched.stage(), 0.8)) == (255, 0)
    watched.page.keyboard.down(" ")
    assert blue(watched.stage(), 0.8) == 255
    watched.page.keyboard.up(" ")
    assert blue(watched.stage(), 0.8) == 0
    watched.page.locator("#right").select_option(label="small")
    shot = watched.stage()
    assert (blue(shot, 0.2), blue(shot, 0.8)) == (255, 128)
    # Half as many pixels, each twice as large: the input's own pixels stay squares.
    assert len(set(shot[shot.shape[0] // 3, -400:-20, 0].tolist())) <= 400 / 10 + 1
    watched.page.locator("#right").select_option(label="bright")  # as the left one: they change places
    assert (blue(watched.stage(), 0.2), blue(watched.stage(), 0.8)) == (128, 255)
    assert "small left of the divider" in str(watched.page.locator("canvas").get_attribute("aria-label"))


def test_another_frame_keeps_the_place_that_is_looked_at(open_page: Opener) -> None:
    watched = open_page()
    press(watched, "#stage", "+", "+")
    first = watched.stage()
    press(watched, "#stage", ".")
    assert watched.text("status").startswith("0:01.000, frame 25")
    assert watched.text("zoom") == "1600 %"
    assert not torch.equal(first, watched.stage())  # mirrored there
    x, y, left, _ = looked_at(watched)
    assert left == [WIDTH - 1 - x, y, 0]
    watched.page.get_by_role("radio").nth(2).check()
    assert watched.text("status").startswith("0:02.000")
    press(watched, "#stage", ",", ",", ",")
    assert watched.page.get_by_role("radio").first.is_checked()


def test_the_strip_of_frames_moves_and_the_page_does_not(open_page: Opener) -> None:
    watched = open_page(page(6), viewport={"width": 360, "height": 300})
    assert watched.page.evaluate("[scrollY, document.getElementById('frames').scrollLeft]") == [0, 0]
    place = "() => [scrollY, document.getElementById('frames').getBoundingClientRect().right]"
    press(watched, "#stage", *"." * 5)
    scrolled, right = watched.page.evaluate(place)
    last = watched.page.locator("#frames label").last.bounding_box()
    assert last["x"] + last["width"] <= right + 1
    press(watched, "#stage", *"," * 5)
    assert watched.page.evaluate(place)[0] == scrolled
    assert watched.page.locator("#frames label").first.bounding_box()["x"] >= 0


def test_a_point_of_a_curve_shows_the_nearest_frame(open_page: Opener) -> None:
    watched = open_page()
    plot = watched.page.locator("#curve-0")
    box = plot.bounding_box()
    left, width = 52, box["width"] - 62
    plot.click(position={"x": left + width * 0.55, "y": 60})  # 2.2 s
    assert watched.page.get_by_role("radio").nth(2).is_checked()
    status = watched.text("status")
    assert status == "0:02.200 is not on this page; shown is the nearest frame, 0:02.000"
    assert "0:02.200: A 32.20 dB, B 33.90 dB" in str(plot.get_attribute("aria-valuetext"))
    press(watched, "#curve-0", "Home", "PageUp")
    assert watched.text("status") == "0:01.000, frame 25"
    press(watched, "#curve-0", "ArrowLeft", "ArrowLeft", "ArrowLeft")
    assert "0:00.700: A 30.70 dB, B none" in str(plot.get_attribute("aria-valuetext"))
    assert plot.locator("path.line").count() == 2
    assert str(plot.locator("path.line").nth(1).get_attribute("d")).count("M") == 2  # the gap
    watched.page.get_by_role("radio").first.check()
    assert "0:00.000: A 30.00 dB" in str(plot.get_attribute("aria-valuetext"))


def test_fingers_wipe_and_pinch(open_page: Opener) -> None:
    watched = open_page(has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740})
    box = watched.page.locator("#stage").bounding_box()
    session = watched.context.new_cdp_session(watched.page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": i}
            for i, (x, y) in enumerate(places)
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (0.5, 0.5))
    assert watched.page.locator("#divider").get_attribute("aria-valuenow") == "50"
    for x in (0.4, 0.3, 0.2):
        touch("touchMove", (x, 0.5))
    touch("touchEnd")
    watched.settle()
    assert watched.page.locator("#divider").get_attribute("aria-valuenow") == "20"
    before = int(watched.text("zoom").split()[0])
    touch("touchStart", (0.45, 0.5), (0.55, 0.5))
    for spread in (0.1, 0.15, 0.2):
        touch("touchMove", (0.5 - spread, 0.5), (0.5 + spread, 0.5))
    touch("touchEnd")
    watched.settle()
    assert int(watched.text("zoom").split()[0]) == pytest.approx(4 * before, rel=0.1)


def test_the_wheel_zooms_with_ctrl_alone(open_page: Opener) -> None:
    watched = open_page()
    fit = watched.text("zoom")
    watched.page.mouse.move(400, 300)
    watched.page.mouse.wheel(0, 200)
    until(lambda: watched.page.evaluate("window.scrollY") > 0, "the page has moved")
    assert watched.text("zoom") == fit
    watched.page.keyboard.down("Control")
    watched.page.mouse.wheel(0, -300)
    until(lambda: watched.text("zoom") != fit, "the picture is larger")
    watched.page.keyboard.up("Control")


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_is_legible_in_both_themes_and_widths(
    open_page: Opener, theme: str, width: int
) -> None:
    watched = open_page(color_scheme=theme, viewport={"width": width, "height": 740})
    watched.page.locator("details").evaluate("(details) => { details.open = true; }")
    assert watched.page.evaluate("document.documentElement.scrollWidth") == width
    shade = watched.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (shade == "rgb(247, 247, 246)") == (theme == "light")
    texts = watched.page.evaluate(CONTRASTS)
    assert len(texts) > 25
    # WCAG 2.2, 1.4.3: 4.5 to 1 for text of this size.
    assert [text for text in texts if text["ratio"] < 4.5] == []
    if width == 360:  # 2.5.8: at least 24 CSS pixels to hit
        for button in watched.page.get_by_role("button").all():
            assert min(button.bounding_box()[side] for side in ("width", "height")) >= 24


CONTRASTS = """() => {
  const channel = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const colour = numbers(getComputedStyle(each).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.5) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    const silent = ["SCRIPT", "STYLE", "NOSCRIPT"].includes(node.tagName);
    if (!own || silent || !node.getClientRects().length) continue;
    const style = getComputedStyle(node);
    const ink = node instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [luminance(numbers(ink)), luminance(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push({ text: node.textContent.trim().slice(0, 30), ratio });
  }
  return found;
}"""


def test_everything_can_be_reached_by_tab_and_has_a_name(open_page: Opener) -> None:
    watched = open_page()
    reached = []
    for _ in range(20):
        watched.page.keyboard.press("Tab")
        reached.append(watched.page.evaluate(f"({WHERE})(document.activeElement)"))
        outline = watched.page.evaluate(FOCUS)
        if reached[-1] == "BODY":
            break
        assert outline, f"no focus is seen on {reached[-1]}"
    first = "left swap right stage divider zoom-out zoom-in zoom-fit zoom-one hold INPUT curve-0"
    assert " ".join(reached).startswith(first)
    assert "SUMMARY" in reached
    for role, name in (
        ("combobox", "Left"),
        ("combobox", "Right"),
        ("button", "Swap left and right"),
        ("slider", "Divider between left and right"),
        ("button", "Zoom in"),
        ("radio", "0:01.000 frame 25"),
        ("slider", "PSNR over time"),
    ):
        assert watched.page.get_by_role(role, name=name, exact=True).count() == 1, name


WHERE = "({ id, tagName }) => id || tagName"
FOCUS = """() => {
  const node = document.activeElement;
  const seen = (style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const parts = [[node], [node, "::after"], [node.nextElementSibling ?? node]];
  return parts.some(([each, part]) => seen(getComputedStyle(each, part)));
}"""


def test_nothing_moves_for_those_who_asked_for_that(open_page: Opener) -> None:
    for wish, still in (("reduce", True), ("no-preference", False)):
        watched = open_page(reduced_motion=wish)
        duration = watched.page.locator("#swap").evaluate(
            "(button) => getComputedStyle(button).transitionDuration"
        )
        assert (duration == "0s") == still


def test_names_are_text_and_never_markup(open_page: Opener) -> None:
    watched = open_page(page(title=NASTY))
    assert watched.page.title() == NASTY
    assert watched.page.locator("h1").text_content() == NASTY
    assert watched.page.locator("td").last.text_content() == NASTY
    assert watched.page.locator("#left option").last.text_content() == NASTY
    assert watched.page.locator("img[src='x']").count() == 0


def test_a_part_of_a_frame_is_shown_at_its_own_place(open_page: Opener) -> None:
    content = page(1, curves=False)
    window = (61.0, 31.0, 100.0, 50.0)
    picture = coordinates(0)[31:81, 61:161].contiguous()
    # The input's own pixels reach a little beyond the window, which covers that.
    small = coordinates(128)[::2, ::2][15:41, 30:81].contiguous()
    shown = (
        Shown(encode_webp(picture, None), window),
        Shown(encode_webp(small, None), (60.0, 30.0, 102.0, 52.0)),
    )
    moment = Moment(0.0, "0:00.000", "frame 0", window, shown, encode_webp(picture, 80))
    watched = open_page(
        Page(content.title, "", content.size, 1.0, ("a", "b"), (0, 1), (moment,), made_by="vidsr")
    )
    press(watched, "#stage", "+")
    x, y, left, right = looked_at(watched)
    assert (x, y) == (pytest.approx(111, abs=1), pytest.approx(56, abs=1))
    assert (left, right) == ([x, y, 0], [x // 2 * 2, y // 2 * 2, 128])
    assert not watched.page.locator("#curves").is_visible()
    press(watched, "#stage", "0")
    shot = watched.stage()
    assert (blue(shot, 0.01), blue(shot, 0.99)) == (0, 128)
