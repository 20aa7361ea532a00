"""axe-core finds nothing that keeps people out, in each state of the pages: sizes, light and dark, languages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browsing import Visit, expect, started_browser
from serving_helpers import Service, picture_file
from triptych.benchmarks.datasets.wardrobe.garments import VOCABULARY

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe is not installed: pip install axe-playwright-python"
)
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started_browser() as running:
        yield running


@pytest.fixture(scope="module")
def service(shown_catalog: Path) -> Iterator[Service]:
    with Service(shown_catalog, "--vocabulary", VOCABULARY) as running:
        yield running


@pytest.fixture(scope="module")
def garment(few_garments: Path) -> bytes:
    return (few_garments / "images" / "w000005.jpg").read_bytes()


def found(page: Any, state: str) -> list[str]:
    """What axe-core objects to, one line for each kind and element."""
    violations = axe.Axe().run(page, options=RULES).response["violations"]
    return [
        f"{state}: {one['impact']} {one['id']}: {node['html'][:160]} ({node.get('failureSummary', '')[:300]})"
        for one in violations
        for node in one["nodes"]
    ]


@pytest.mark.parametrize(
    ("size", "scheme", "locale"),
    [
        ("phone", "dark", "de"),
        pytest.param("desktop", "light", "en", marks=pytest.mark.slow),
        pytest.param("desktop", "dark", "en", marks=pytest.mark.slow),
        pytest.param("phone", "light", "en", marks=pytest.mark.slow),
    ],
)
def test_axe_finds_no_violation(
    browser: Any, service: Service, garment: bytes, size: str, scheme: str, locale: str
) -> None:
    visit = Visit(browser, service, size, color_scheme=scheme, locale=locale, reduced_motion="reduce")
    page = visit.page
    objections = found(page, "the first screen")
    visit.upload(garment)
    visit.results()
    visit.say("stripes")
    visit.results()
    page.locator("#grid .sign").nth(1).click()  # not like this
    visit.unfold()
    page.fill("#avoid", "sleeves")
    page.press("#avoid", "Enter")
    visit.results()
    page.locator("#numbers").check()
    page.locator("#filter").click()
    page.locator("#fields [type=checkbox]").first.check()
    visit.results()
    expect(page.locator("#differences")).to_be_visible(timeout=60_000)
    objections += found(page, "results, with facets")
    visit.unfold()
    objections += found(page, "the whole query")
    page.locator("#compare").click()
    expect(page.locator("#beside-facts tr").first).to_be_visible()
    expect(page.locator("#beside-tags")).not_to_be_empty()
    objections += found(page, "side by side")
    page.keyboard.press("Escape")
    page.locator("#grid .heart-sign").first.click()
    page.locator("#basket-open").click()
    objections += found(page, "the basket")
    page.keyboard.press("Escape")
    page.locator("#grid .next").first.click()
    visit.results()
    visit.unfold()
    page.locator("#part").click()
    objections += found(page, "a part is chosen")
    page.locator("#crop-use").click()
    visit.results()
    page.evaluate("document.querySelector('#door').showModal()")
    objections += found(page, "a key is asked for")
    page.evaluate("document.querySelector('#door').remove()")
    page.fill("#condition", "colour=octarine")
    page.press("#condition", "Enter")
    expect(page.locator("#grid .nothing")).to_be_visible()
    visit.upload(picture_file()[:-40])
    expect(page.get_by_role("alert")).to_be_visible()
    objections += found(page, "a picture that cannot be used")
    visit.context.close()
    assert objections == []


@pytest.mark.slow
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_axe_finds_no_violation_on_the_other_pages(browser: Any, service: Service, size: str) -> None:
    visit = Visit(browser, service, size, color_scheme="dark" if size == "phone" else "light", reduced_motion="reduce")
    page = visit.page
    page.goto(f"{service.url}/page/embed.html")
    page.get_by_role("textbox").fill("shirt")
    page.keyboard.press("Enter")
    expect(page.locator("triptych-search li")).to_have_count(12)
    objections = found(page, "embedded")
    page.goto(f"{service.url}/page/api.html")
    page.locator("summary", has_text="/v1/search").first.click()
    objections += found(page, "the API")
    # The blind comparison as it looks; this service compares nothing, so its answers are made here.
    some = service.get("/v1/pictures?k=8")
    tally = {"composer": 0, "sum": 0, "ties": 0, "interval": [0, 1], "decision": "undecided", "enough": 20}
    question = {"question": "x", "left": some, "right": some[::-1]}
    page.route("**/v1/blind", lambda route: route.fulfill(json=tally if route.request.method == "GET" else question))
    page.goto(f"{service.url}/page/blind.html")
    page.locator("#pictures button").first.click()
    page.locator("#text").fill("in red")
    page.locator("#ask").click()
    expect(page.locator("#left img")).to_have_count(8)
    objections += found(page, "the blind comparison")
    visit.context.close()
    assert objections == []
