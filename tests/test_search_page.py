"""The page in a real browser, as a person uses it."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import triptych
from browsing import Visit, expect, started_browser, values_of
from serving_helpers import Service, picture_file
from triptych.benchmarks.datasets.wardrobe.garments import VOCABULARY
from triptych.catalog.catalog import Catalog
from triptych.core.environment import Runtime
from triptych.encoders.registry import load_encoder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started_browser() as running:
        yield running


@pytest.fixture(scope="module")
def service(shown_catalog: Path) -> Iterator[Service]:
    with Service(shown_catalog, "--vocabulary", VOCABULARY) as running:
        yield running


@pytest.fixture
def visit(browser: Any, service: Service) -> Iterator[Visit]:
    visit = Visit(browser, service)
    yield visit
    visit.close()


CHOOSE = "value => [...document.querySelectorAll('#fields input')].find(input => input.value === value).click()"


def test_a_catalog_unlike_what_its_encoder_was_trained_on_is_warned_of_once(
    browser: Any, visit: Visit, shown_catalog: Path, tmp_path: Path
) -> None:
    expect(visit.page.locator("#warning")).to_be_hidden()
    catalog = tmp_path / "catalog"
    shutil.copytree(shown_catalog, catalog)
    noted = json.loads((catalog / "domain.json").read_text())
    warning = "40% of these pictures are unlike those that the encoder <b>x</b> was trained on"
    (catalog / "domain.json").write_text(json.dumps(noted | {"warning": warning}))
    with Service(catalog) as running:
        other = Visit(browser, running)
        expect(other.page.get_by_text("are unlike those")).to_have_count(1)
        expect(other.page.locator("#warning")).to_have_text(warning)
        other.context.close()
        assert other.said == []


def test_upload_refine_twice_and_go_back(visit: Visit, few_garments: Path) -> None:
    page = visit.page
    visit.upload(few_garments / "images" / "w000005.jpg")
    alike = visit.results()
    visit.say("but in red")
    expect(page.locator("#status")).to_contain_text("nearest")
    red = visit.results()
    assert red != alike
    page.locator("#grid .next").nth(1).click()  # the first refinement
    expect(page.locator("#words")).to_have_value("")
    expect(page.locator("#trail li")).to_have_count(2)
    visit.results()
    visit.say("with stripes")
    striped = visit.results()
    expect(page.locator("#trail [aria-current]")).to_have_text("with stripes")
    page.locator("#grid .look").nth(1).click()
    expect(page.locator(".card.chosen")).to_have_attribute("data-id", striped[1])
    expect(page.locator("#differences")).to_contain_text("striped", timeout=60_000)
    page.locator("#go-on").click()  # the second
    expect(page.locator("#trail li")).to_have_count(3)
    visit.results()
    # Back along the trail, and back with the browser.
    page.locator("#trail button").first.click()
    expect(page.locator("#trail")).to_be_hidden()
    expect(page.locator("#words")).to_have_value("but in red")
    assert visit.results() == red
    page.go_back()
    page.go_back()
    expect(page.locator("#words")).to_have_value("with stripes")
    assert visit.results() == striped


def test_an_address_tells_the_whole_state(visit: Visit, browser: Any, service: Service) -> None:
    page = visit.page
    page.locator("#grid .look").nth(2).click()
    visit.results()
    visit.say("in blue")
    visit.results()
    page.locator("#filter").click()
    values_of(page, "Kind").first.check()
    expect(page.locator(".chip")).to_have_count(1)
    page.locator("#weight").fill("0.7")
    page.locator("#weight").dispatch_event("change")
    found = visit.results()
    page.locator("#grid .look").nth(1).click()
    expect(page.locator(".card.chosen")).to_have_attribute("data-id", found[1])
    other = Visit(browser, service)
    other.page.goto(page.url)
    other.page.reload()
    assert other.results() == found
    expect(other.page.locator(".card.chosen")).to_have_attribute("data-id", found[1])
    expect(other.page.locator("#words")).to_have_value("in blue")
    expect(other.page.locator("#weight")).to_have_value("0.7")
    expect(other.page.locator(".chip")).to_have_count(1)
    other.context.close()


def test_filters_leave_only_what_fits(visit: Visit, service: Service) -> None:
    page = visit.page
    visit.say("shirt")
    visit.results()
    page.locator("#filter").click()
    colour = values_of(page, "Colour").first
    colour.check()
    chosen = colour.input_value()
    expect(page.locator(".chip")).to_have_text(f"Colour: {chosen}")
    page.wait_for_function(
        f"() => [...document.querySelectorAll('.what')].every(what => what.textContent.includes({chosen!r}))"
    )
    ids = visit.results()
    assert all(service.get(f"/v1/pictures/{id}")["metadata"]["colour"] == chosen for id in ids)
    page.locator(".chip").click()
    expect(page.locator(".chip")).to_have_count(0)
    expect(colour).not_to_be_checked()


def test_a_written_condition_that_makes_no_sense(browser: Any, service: Service) -> None:
    visit = Visit(browser, service)
    page = visit.page
    visit.say("shirt")
    before = visit.results()
    page.locator("#filter").click()
    page.fill("#condition", "colour<500")
    page.press("#condition", "Enter")
    expect(page.get_by_role("alert")).to_contain_text("cannot be compared with 500")
    page.get_by_role("alert").get_by_role("button").click()
    expect(page.locator(".chip")).to_have_count(0)
    assert visit.results() == before
    visit.context.close()


def test_words_that_are_not_understood_are_shown(visit: Visit) -> None:
    visit.say("in rot")
    expect(visit.page.locator("#status")).to_contain_text("Not understood: rot; wardrobe does not know such words.")
    visit.say("in red")
    expect(visit.page.locator("#status")).not_to_contain_text("Not understood")


class _Below:
    """A service as it is shown below a path."""

    def __init__(self, service: Service) -> None:
        self.url = f"{service.url}/shop"


def test_the_page_below_a_path(browser: Any, shown_catalog: Path) -> None:
    with Service(shown_catalog, "--root-path", "/shop") as running:
        visit = Visit(browser, _Below(running))  # type: ignore[arg-type]
        visit.say("in red")
        assert visit.results()
        visit.shown()
        visit.context.close()
        assert visit.said == []
        assert [url for url in visit.asked if not url.startswith((f"{running.url}/shop", "blob:"))] == []


def test_more_of_them(visit: Visit) -> None:
    visit.say("shirt")
    first = visit.results()
    visit.page.locator("#more").click()
    expect(visit.page.locator("#grid .card")).to_have_count(2 * len(first))
    ranks = [card.get_attribute("alt") or "" for card in visit.page.locator("#grid img").all()]
    assert [int(alt.split(":")[0].split()[1]) for alt in ranks] == list(range(1, 2 * len(first) + 1))


def test_what_was_found_stays_where_there_are_no_more(browser: Any, service: Service) -> None:
    visit = Visit(browser, service)
    page = visit.page
    visit.say("shirt")
    first = visit.results()
    page.route("**/v1/search", lambda route: route.abort())
    page.locator("#more").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The service cannot be reached")
    assert visit.results() == first
    expect(page.locator("#status")).to_contain_text("nearest")
    assert (
        page.evaluate("document.querySelector('#grid').compareDocumentPosition(document.querySelector('#trouble'))")
        == 4
    )
    page.unroute("**/v1/search")
    alert.get_by_role("button", name="Try again").click()
    expect(page.locator("#grid .card")).to_have_count(2 * len(first))
    expect(alert).to_be_hidden()
    assert visit.results()[: len(first)] == first
    # A search that fails still takes the place of what there was.
    page.route("**/v1/search", lambda route: route.abort())
    visit.say("dress")
    expect(alert).to_be_visible()
    expect(page.locator("#grid .card")).to_have_count(0)
    assert (
        page.evaluate("document.querySelector('#grid').compareDocumentPosition(document.querySelector('#trouble'))")
        == 2
    )
    assert [line for line in visit.said if "ERR_FAILED" not in line] == []
    visit.context.close()


def test_while_it_looks_it_says_so(visit: Visit) -> None:
    page = visit.page
    held: list[Any] = []
    page.route("**/v1/search", lambda route: held.append(route))
    visit.say("shirt")
    expect(page.locator("#status")).to_have_text("Looking …")
    expect(page.locator("#results")).to_have_attribute("aria-busy", "true")
    expect(page.locator("#grid .blank")).to_have_count(12)
    expect(page.locator("#grid .look")).to_have_count(0)
    expect(page.locator("#more")).to_be_hidden()
    page.wait_for_function("() => true")  # so that what was asked has come here
    (route,) = held
    route.continue_()
    visit.results()
    expect(page.locator("#grid .blank")).to_have_count(0)
    expect(page.locator("#status")).to_contain_text("nearest")


def test_where_nothing_fits_it_says_so(visit: Visit) -> None:
    page = visit.page
    visit.say("shirt")
    visit.results()
    page.goto(f"{visit.service.url}/#{urlencode({'step': '~shirt', 'where': 'colour=octarine'})}")
    expect(page.locator("#grid .nothing")).to_contain_text("No picture matches all filters")
    expect(page.locator("#status")).to_have_text("No results.")
    expect(page.locator("#go-on")).to_be_hidden()
    page.locator(".chip").click()
    visit.results()


def test_an_empty_catalog_says_how_to_fill_it(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    Catalog.create(tmp_path / "catalog", tmp_path / "pictures", load_encoder("wardrobe", threads=1), {})
    with Service(tmp_path / "catalog") as running:
        page = browser.new_page()
        page.goto(running.url)
        expect(page.locator("#facts")).to_contain_text("0 pictures")
        expect(page.locator("#grid .nothing")).to_contain_text("The catalog is empty")
        expect(page.locator("#filter")).to_be_hidden()
        page.fill("#words", "shirt")
        page.press("#words", "Enter")
        expect(page.locator("#grid .nothing")).to_contain_text("The catalog has no other picture")
        status, answer, _ = running.post("/v1/pictures", [("picture", picture_file())])
        assert status == 201, answer
        page.reload()
        expect(page.locator("#grid .look")).to_have_count(1)
        page.close()


def test_values_with_spaces_and_signs_can_be_chosen(browser: Any, own_catalog: Path, tmp_path: Path) -> None:
    names = Catalog(own_catalog).names
    odd = dict(zip(names, (" wide ", "wide", '"wide"', "<b"), strict=False))
    with (tmp_path / "table.csv").open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("name", "cut (<=40)"), *odd.items()])
    triptych.index(
        Catalog(own_catalog).root,
        own_catalog,
        metadata=tmp_path / "table.csv",
        runtime=Runtime(threads=1),
        encoder="wardrobe",
    )
    with Service(own_catalog) as running:
        visit = Visit(browser, running)
        page = visit.page
        visit.say("shirt")
        visit.results()
        page.locator("#filter").click()
        for name, value in odd.items():
            page.evaluate(CHOOSE, value)
            expect(page.locator("#grid .card")).to_have_count(1)
            (found,) = visit.results()
            assert running.get(f"/v1/pictures/{found}")["name"] == name
            page.evaluate(CHOOSE, value)
            expect(page.locator(".chip")).to_have_count(0)
            visit.results()
        assert visit.said == []
        visit.context.close()


def test_a_corrupt_picture_is_said_to_be_one(browser: Any, service: Service) -> None:
    visit = Visit(browser, service)
    page = visit.page
    visit.say("shirt")
    before = visit.results()
    visit.upload(picture_file()[:-40])
    expect(page.get_by_role("alert")).to_contain_text("The picture cannot be used")
    page.get_by_role("alert").get_by_role("button").click()
    assert visit.results() == before
    expect(page.get_by_role("alert")).to_be_hidden()
    # The browser itself notes every answer that is no success; beyond that there is nothing.
    assert [line for line in visit.said if "422" not in line] == []
    visit.context.close()


def test_by_keyboard_alone(visit: Visit) -> None:
    page = visit.page
    page.keyboard.press("/")
    page.keyboard.type("red shirt")
    page.keyboard.press("Enter")
    visit.results()
    page.locator("#grid .look").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    second = page.locator("#grid .card").nth(1)
    expect(second.locator(".look")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#trail li")).to_have_count(2)
    expect(page.locator("#words")).to_be_focused()


def test_every_control_has_a_name(visit: Visit) -> None:
    visit.say("shirt")
    visit.results()
    visit.page.locator("#filter").click()
    nameless = visit.page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea')].filter(e => e.offsetParent
           && !(e.ariaLabel || e.labels?.length || e.textContent.trim() || e.querySelector('img')?.alt))
           .map(e => e.outerHTML)"""
    )
    assert nameless == []
    assert visit.page.evaluate("[...document.images].every(i => i.hasAttribute('alt'))")


def test_paste_and_drop(visit: Visit) -> None:
    give = """kind => fetch(document.querySelector('#grid img').src).then(r => r.blob()).then(blob => {
        const held = new DataTransfer(); held.items.add(new File([blob], 'x.jpg', {type: 'image/jpeg'}));
        const event = kind === 'paste' ? new ClipboardEvent('paste', {clipboardData: held, bubbles: true})
                                       : new DragEvent('drop', {dataTransfer: held, bubbles: true});
        document.body.dispatchEvent(event); })"""
    for kind, steps in (("paste", 1), ("drop", 2)):
        visit.page.evaluate(give, kind)
        expect(visit.page.locator("#reference-picture")).to_be_visible()
        visit.page.wait_for_function(f"() => location.hash.split('step=').length === {steps + 1}")
        visit.results()


def test_phone_and_dark(browser: Any, service: Service, few_garments: Path) -> None:
    visit = Visit(browser, service, color_scheme="dark")
    visit.page.set_viewport_size({"width": 390, "height": 844})
    visit.upload(few_garments / "images" / "w000005.jpg")
    visit.results()
    visit.say("in green")
    visit.results()
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it must not scroll sideways"
    red, green, blue = visit.page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
    )[:3]
    assert max(red, green, blue) < 60
    expect(visit.page.locator("#differences")).to_be_visible(timeout=60_000)
    assert visit.said == []
    visit.context.close()


def test_markup_in_a_catalog_stays_text(browser: Any, own_catalog: Path) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    pictures = Catalog(own_catalog).root
    (pictures / f"{nasty}.jpg").write_bytes(picture_file((0, 0, 255), "JPEG"))
    triptych.index(pictures, own_catalog, runtime=Runtime(threads=1), encoder="wardrobe")
    with Service(own_catalog) as running:
        metadata = json.dumps({"colour": nasty, "kind": "</script><b>bold</b>"})
        status, added, _ = running.post("/v1/pictures", [("picture", picture_file()), ("metadata", metadata)])
        assert status == 201
        visit = Visit(browser, running)
        page = visit.page
        page.on("dialog", lambda dialog: visit.said.append("alert"))

        def go(**state: str) -> None:
            page.goto(f"{running.url}/#{urlencode(state)}")
            page.reload()
            visit.results()

        go(step=f"{added['id']}~<b>red</b>")
        expect(page.locator("#words")).to_have_value("<b>red</b>")
        go(step=f"~{nasty}", where=f"colour={nasty}")
        expect(page.locator(".what")).to_have_text(f"</script><b>bold</b> · {nasty}")
        expect(page.locator(".chip")).to_have_text(f"Colour: {nasty}")
        go(step="~red", where=f"name={nasty}.jpg")
        expect(page.locator(".what")).to_have_text(f"{nasty}.jpg")
        assert page.evaluate("document.querySelectorAll('img[src=x], .what *, .chip *').length") == 0
        assert visit.said == []
        visit.context.close()


def test_a_key_is_asked_for(browser: Any, shown_catalog: Path, tmp_path: Path) -> None:
    key = triptych.make_key(tmp_path / "keys.json", "me")
    with Service(shown_catalog, "--keys", tmp_path / "keys.json") as running:
        page = browser.new_page()
        page.goto(running.url)
        expect(page.get_by_role("dialog")).to_be_visible()
        page.get_by_role("textbox", name="Key").fill("wrong")
        page.get_by_role("textbox", name="Key").press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.get_by_role("textbox", name="Key").fill(key)
        page.get_by_role("textbox", name="Key").press("Enter")
        expect(page.locator("#grid .look").first).to_be_visible()
        page.wait_for_function("() => document.querySelector('#grid img')?.naturalWidth > 0")
        page.close()


def test_the_page_speaks_the_language_of_its_visitor(browser: Any, service: Service) -> None:
    visit = Visit(browser, service, locale="de-AT")
    expect(visit.page.locator("#find")).to_have_text("Suchen")
    assert visit.page.evaluate("document.documentElement.lang") == "de"
    visit.say("shirt")
    visit.results()
    expect(visit.page.locator("#status")).to_contain_text(re.compile(r"Die \d+ ähnlichsten"))
    assert visit.said == []
    visit.context.close()


def test_the_api_is_described_without_asking_anybody_else(visit: Visit) -> None:
    page = visit.page
    page.goto(f"{visit.service.url}/page/api.html")
    search = page.locator("details", has=page.locator("summary", has_text="/v1/search")).first
    search.locator("summary").click()
    expect(search.locator("tbody th", has_text="unlike")).to_be_visible()
    expect(search.locator("pre")).to_contain_text("curl")
    described = visit.service.get("/openapi.json")["paths"]
    expect(page.locator("details")).to_have_count(sum(map(len, described.values())))
