"""The search in a shop's own page on another site, and the owner's blind comparison, in a real browser."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import triptych
from browsing import SIZES, Visit, both_sizes, expect, started_browser
from serving_helpers import Service
from triptych.serving.blind import ENOUGH, FIELD

pytestmark = pytest.mark.slow  # services and composers of their own
SHOP = """<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>A shop</title>
<link rel="icon" href="data:,">
<meta http-equiv="Content-Security-Policy" content="style-src 'none'">
<script type="module" src="{service}/page/embed.js"></script></head>
<body><triptych-search count="6" link="/product/{{name}}" {more}></triptych-search></body></html>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started_browser() as running:
        yield running


@contextmanager
def shop(folder: Path) -> Iterator[str]:
    """The files of a folder at another site than the service's, as a browser sees it; its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def searched_in(page: Any, words: str, ask: str, search: str) -> Any:
    """The results of a search in the shop's page, once all their pictures are there."""
    page.get_by_role("textbox", name=ask).fill(words)
    page.get_by_role("button", name=search, exact=True).click()
    found = page.locator("triptych-search li")
    expect(found).to_have_count(6)
    page.wait_for_function(
        "() => [...document.querySelector('triptych-search').shadowRoot.querySelectorAll('li img')]"
        ".every(img => img.complete && img.naturalWidth)"
    )
    return found


@pytest.mark.parametrize("size", SIZES)
def test_a_page_of_another_site_embeds_the_search(
    browser: Any, shown_catalog: Path, few_garments: Path, tmp_path: Path, size: str
) -> None:
    with shop(tmp_path) as site, Service(shown_catalog, "--allow-origin", site) as service:
        (tmp_path / "index.html").write_text(SHOP.format(language="en", service=service.url, more=""), "utf-8")
        page = browser.new_page(**SIZES[size])
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(site)
        found = searched_in(page, "shirt", "What are you looking for?", "Search")
        first = found.locator("a").first.get_attribute("href")
        assert first.startswith(f"{site}/product/w0")
        page.set_input_files("triptych-search input[type=file]", few_garments / "images" / "w000005.jpg")
        expect(found.locator("a").first).not_to_have_attribute("href", first)
        expect(page.get_by_role("status")).to_have_text("")
        chosen: list[str] = []
        page.expose_function("chosen", lambda id: chosen.append(id))
        page.evaluate(
            "addEventListener('triptych-choose', event => { event.preventDefault(); chosen(event.detail.id); })"
        )
        page.keyboard.press("Escape")
        found.locator("a").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_function("() => true")
        assert (len(chosen), page.url) == (1, f"{site}/")
        second = found.locator("a").first.get_attribute("href")
        found.get_by_role("button", name="Similar").nth(2).click()
        expect(found.locator("a").first).not_to_have_attribute("href", second)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert said == []
        page.close()


def test_another_site_needs_to_be_allowed_and_may_need_a_key(browser: Any, shown_catalog: Path, tmp_path: Path) -> None:
    key = triptych.make_key(tmp_path / "keys.json", "shop")
    options = ("--keys", tmp_path / "keys.json", "--allow-origin")
    (tmp_path / "pages").mkdir()
    with shop(tmp_path / "pages") as site, Service(shown_catalog, *options, site) as service:
        for name, more in (("with", f'key="{key}"'), ("without", "")):
            html = SHOP.format(language="de-AT", service=service.url, more=more)
            (tmp_path / "pages" / f"{name}.html").write_text(html, "utf-8")
        page = browser.new_page()
        page.goto(f"{site}/with.html")
        searched_in(page, "shirt", "Was suchen Sie?", "Suchen")
        page.goto(f"{site}/without.html")
        page.get_by_role("textbox").fill("shirt")
        page.get_by_role("textbox").press("Enter")
        expect(page.get_by_role("status")).to_contain_text("a key is needed")
        # The same page at an address that is not allowed gets not even the script.
        page.goto(f"{site.replace('localhost', '127.0.0.1')}/with.html")
        assert page.evaluate("customElements.get('triptych-search') === undefined")
        page.close()


@pytest.fixture(scope="module")
def judged(tiny_composer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A composer of its own, with all choices but the last two of as many as are enough."""
    folder = tmp_path_factory.mktemp("judged") / "composer"
    shutil.copytree(tiny_composer, folder)
    content = json.loads((folder / "config.json").read_text("utf-8"))
    content[FIELD] = {"composer": ENOUGH - 2, "sum": 0, "ties": 1}
    (folder / "config.json").write_text(json.dumps(content), "utf-8")
    return folder


@pytest.fixture(scope="module")
def comparing(tiny_catalog: Path, judged: Path) -> Iterator[Service]:
    with Service(tiny_catalog, "--composer", judged, "--blind") as running:
        yield running


@pytest.fixture
def visit(browser: Any, comparing: Service, request: pytest.FixtureRequest) -> Iterator[Visit]:
    visit = Visit(browser, comparing, request.param)
    yield visit
    assert visit.is_within()
    visit.close()


@both_sizes
def test_the_owner_compares_two_methods_blindly(visit: Visit, judged: Path) -> None:
    page = visit.page
    kept = json.loads((judged / "config.json").read_text("utf-8"))[FIELD]
    first = kept["composer"] + kept["sum"] < ENOUGH
    page.goto(f"{visit.service.url}/page/blind.html")
    tally = page.locator("#tally")
    expect(tally).to_contain_text(f"{ENOUGH - 2} of {ENOUGH} choices" if first else "The composer is better")
    page.get_by_role("textbox").fill("in red")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("alert")).to_have_text("Choose a picture first.")
    page.locator("#pictures button").nth(2).click()
    expect(page.get_by_role("textbox")).to_be_focused()
    for choice in ("Neither", "Left", "Right"):
        page.get_by_role("textbox").fill("in red")
        page.keyboard.press("Enter")
        for side in ("#left", "#right"):
            expect(page.locator(f"{side} img")).to_have_count(8)
        expect(page.get_by_role("alert")).to_be_hidden()
        names = page.locator("main").inner_text().casefold()
        assert not first or "composer" not in names
        page.get_by_role("button", name=choice, exact=True).click()
        expect(page.locator("#sides")).to_be_hidden()
        expect(page.get_by_role("textbox")).to_be_focused()
        if first and choice != "Right":
            expect(tally).to_contain_text(f"{ENOUGH - (1 if choice == 'Left' else 2)} of {ENOUGH} choices")
    expect(tally).to_contain_text("The composer is better (share ")
    verdict = json.loads((judged / "config.json").read_text("utf-8"))[FIELD]
    assert verdict["composer"] + verdict["sum"] == kept["composer"] + kept["sum"] + 2
    assert verdict["ties"] == kept["ties"] + 1


def test_the_blind_comparison_is_for_those_with_a_key(
    browser: Any, tiny_catalog: Path, judged: Path, tmp_path: Path
) -> None:
    key = triptych.make_key(tmp_path / "keys.json", "owner", write=True)
    with Service(tiny_catalog, "--composer", judged, "--blind", "--keys", tmp_path / "keys.json") as running:
        page = browser.new_page()
        page.goto(f"{running.url}/page/blind.html")
        for given in ("wrong", key):
            page.get_by_role("textbox", name="Key").fill(given)
            page.get_by_role("textbox", name="Key").press("Enter")
        expect(page.locator("#pictures img").first).to_be_visible()
        page.wait_for_function("() => document.querySelector('#pictures img').naturalWidth > 0")
        page.close()
