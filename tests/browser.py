"""A real browser for the tests of pages: Chromium without a screen, and what it shows as pixels."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from vidsr.evaluation.page_pictures import rgb_bytes

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = (
    "--no-sandbox",  # CI runs as root, where Chromium has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",  # pixels are compared with what was put in
)

WITHIN_MS = 60_000
"""For one frame of the screen and for the browser's start, on a busy machine too."""

NEXT_FRAME = f"""new Promise((done, fail) => {{
    const limit = setTimeout(() => fail(new Error("no frame within {WITHIN_MS} ms")), {WITHIN_MS});
    requestAnimationFrame(() => setTimeout(() => {{ clearTimeout(limit); done(); }}));
}})"""
"""Playwright itself waits for such a promise without an end."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A running Chromium, as Playwright's Browser; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no Chromium on this machine ({', '.join(NAMES)})")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(FLAGS), timeout=WITHIN_MS)
        yield browser
        browser.close()


class Watched:
    """A page that is open in a browser, and everything it complained about or asked the network for."""

    def __init__(self, browser: Any, file: Path, **context: Any) -> None:
        options = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", **context}
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._file = file
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())
        self.settle()

    def settle(self) -> None:
        """Wait until both pictures are on the canvas."""
        # What was asked for before this is drawn in the next frame of the screen.
        self.page.evaluate(NEXT_FRAME)
        self.page.locator("#stage[data-ready]").wait_for()
        self.page.evaluate(NEXT_FRAME)

    def stage(self) -> Tensor:
        """What the stage shows, (H, W, 3) uint8."""
        self.settle()
        shot = self._file.with_name("shot.png")
        self.page.locator("#stage").screenshot(path=shot)
        return rgb_bytes(shot)

    def text(self, id: str) -> str:
        """What an element says."""
        self.settle()
        return str(self.page.locator(f"#{id}").text_content())

    def close(self) -> None:
        """End, and demand that nothing was complained about and nothing left the machine."""
        self.context.close()
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))] == []
