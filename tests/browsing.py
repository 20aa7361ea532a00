"""A real browser for tests of pages, and a visit as a person makes it. TRIPTYCH_CHROMIUM names the program."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from serving_helpers import Service

CHROMIUM = Path(os.environ.get("TRIPTYCH_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium")
if not CHROMIUM.exists():
    pytest.skip("no browser: apt-get install chromium", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
expect = playwright.expect

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES: Mapping[str, Mapping[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
both_sizes = pytest.mark.parametrize("visit", ["desktop", pytest.param("phone", marks=pytest.mark.slow)], indirect=True)
"""For a test of what a visitor can do at either size."""


@contextmanager
def started_browser() -> Iterator[Any]:
    """Chromium. Start it once for a module."""
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """A page, with what its console said and what it asked for."""

    def __init__(self, browser: Any, service: Service, size: str = "desktop", **settings: object) -> None:
        self.context = browser.new_context(**{**SIZES[size], **settings})
        self.page = self.context.new_page()
        self.service = service
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(service.url)
        expect(self.page.locator("#grid .look").first).to_be_visible()

    def upload(self, file: Path | bytes) -> None:
        data = file if isinstance(file, bytes) else file.read_bytes()
        self.page.set_input_files("#file", {"name": "mine.jpg", "mimeType": "image/jpeg", "buffer": data})

    def say(self, words: str) -> None:
        self.page.fill("#words", words)
        self.page.press("#words", "Enter")

    def unfold(self) -> None:
        """Show the whole query, which is a bar on a phone."""
        edit = self.page.locator("#edit")
        if edit.is_visible() and edit.get_attribute("aria-expanded") == "false":
            edit.click()

    def results(self) -> list[str]:
        expect(self.page.locator("#results")).not_to_have_attribute("aria-busy", "true")
        expect(self.page.locator("#grid .score").first).to_be_visible()
        ids: list[str] = self.page.evaluate("[...document.querySelectorAll('#grid .card')].map(c => c.dataset.id)")
        return ids

    def fragment(self) -> str:
        """What the address says of the state."""
        state: str = self.page.evaluate("decodeURIComponent(location.hash)")
        return state

    def shown(self) -> None:
        """Wait until every picture in view is loaded."""
        self.page.wait_for_function(
            "() => [...document.images].filter(i => i.getBoundingClientRect().top < innerHeight && !i.hidden && i.src)"
            ".every(i => i.complete && i.naturalWidth)"
        )

    def is_within(self) -> bool:
        """Whether the page can be read without scrolling sideways."""
        fits: bool = self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        return fits

    def close(self) -> None:
        """A visit ends calm: no complaint on the console, and nothing asked of any other machine."""
        self.context.close()
        assert self.said == [], self.said
        assert [url for url in self.asked if not url.startswith((self.service.url, "blob:"))] == []

    def close_after(self, *expected: str) -> None:
        """The same, where the browser itself noted failures that were made on purpose."""
        self.said = [line for line in self.said if not any(one in line for one in expected)]
        self.close()


def values_of(page: Any, facet: str) -> Any:
    """The values that can be chosen in a facet."""
    return page.get_by_role("group", name=facet, exact=True).get_by_role("checkbox")


def slowed(visit: Visit, upload: int = 15_000, download: int = 200_000) -> None:
    """From here on the network is slow: bytes a second, and a fifth of a second each way."""
    said = {"offline": False, "latency": 200, "uploadThroughput": upload, "downloadThroughput": download}
    visit.context.new_cdp_session(visit.page).send("Network.emulateNetworkConditions", said)


def dragged(visit: Visit, place: Mapping[str, float], start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag over an element between two points, in shares of its size: by finger on a phone, else by mouse."""
    points = [(place["x"] + x * place["width"], place["y"] + y * place["height"]) for x, y in (start, end)]
    if not visit.page.evaluate("matchMedia('(pointer: coarse)').matches"):
        visit.page.mouse.move(*points[0])
        visit.page.mouse.down()
        visit.page.mouse.move(*points[1], steps=3)
        visit.page.mouse.up()
        return
    session = visit.context.new_cdp_session(visit.page)
    for kind, point in (("touchStart", points[0]), ("touchMove", points[1])):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": point[0], "y": point[1]}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
