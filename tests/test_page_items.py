"""What the page lets a person do, at the size of a desktop and by finger on a phone; slow networks, failing uploads."""

import csv
import json
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from browsing import Visit, both_sizes, dragged, expect, slowed, started_browser, values_of
from serving_helpers import Service
from triptych.benchmarks.datasets.wardrobe.garments import VOCABULARY


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started_browser() as running:
        yield running


@pytest.fixture(scope="module")
def service(shown_catalog: Path) -> Iterator[Service]:
    with Service(shown_catalog, "--vocabulary", VOCABULARY) as running:
        yield running


@pytest.fixture
def visit(browser: Any, service: Service, request: pytest.FixtureRequest) -> Iterator[Visit]:
    visit = Visit(browser, service, getattr(request, "param", "desktop"))
    yield visit
    assert visit.is_within()
    visit.close_after("ERR_FAILED", "status of 500")


@pytest.fixture(scope="module")
def garment(few_garments: Path) -> bytes:
    return (few_garments / "images" / "w000005.jpg").read_bytes()


# --- a picture that is being sent ------------------------------------------------------------------------------------


@both_sizes
def test_over_a_slow_network_find_waits_for_the_picture(visit: Visit, garment: bytes) -> None:
    page = visit.page
    out = BytesIO()
    with Image.open(BytesIO(garment)) as picture:
        picture.resize((480, 480)).save(out, "JPEG", quality=95)
    slowed(visit)
    visit.upload(out.getvalue())
    expect(page.locator("#reference-picture")).to_have_attribute("src", re.compile("^blob:"))  # at once
    expect(page.locator("#status")).to_have_text("Your picture is being sent …")
    visit.say("in red")
    expect(page.locator("#status")).to_have_text("Your picture is being sent; the search follows.")
    visit.results()
    expect(page.locator("#words")).to_have_value("in red")
    assert re.search(r"step=u[0-9a-f]{24}~in\+red", visit.fragment())
    assert len([url for url in visit.asked if url.endswith("/v1/uploads")]) == 1


@both_sizes
def test_an_upload_that_fails_leaves_what_was_typed(visit: Visit, garment: bytes) -> None:
    page = visit.page
    alert = page.get_by_role("alert")
    page.fill("#words", "in red")
    refusal = json.dumps({"title": "x", "status": 500, "detail": "the disk is full"})
    for fail, message in (
        (lambda route: route.abort(), "The service cannot be reached"),
        (
            lambda route: route.fulfill(status=500, content_type="application/problem+json", body=refusal),
            "disk is full",
        ),
    ):
        page.route("**/v1/uploads", fail)
        visit.upload(garment)
        expect(alert).to_contain_text(message)
        expect(page.locator("#words")).to_have_value("in red")
        expect(page.locator("#reference-picture")).to_be_hidden()
        page.unroute("**/v1/uploads")
    # Words that were searched for meanwhile are searched for when it is sent once more.
    held: list[Any] = []
    page.route("**/v1/uploads", lambda route: held.append(route))
    visit.upload(garment)
    page.press("#words", "Enter")
    expect(page.locator("#status")).to_contain_text("the search follows")
    held[0].abort()
    expect(alert).to_be_visible()
    page.unroute("**/v1/uploads")
    alert.get_by_role("button", name="Try again").click()
    visit.results()
    expect(alert).to_be_hidden()
    assert re.search(r"step=u[0-9a-f]{24}~in\+red", visit.fragment())


@both_sizes
def test_sending_can_be_stopped(visit: Visit, garment: bytes) -> None:
    page = visit.page
    page.route("**/v1/uploads", lambda route: None)
    visit.upload(garment)
    page.get_by_role("button", name="Stop sending").click()
    expect(page.locator("#reference-picture")).to_be_hidden()
    expect(page.locator("#grid .look").first).to_be_visible()
    expect(page.locator("#status")).to_have_text("Or start from one of these.")
    page.unroute("**/v1/uploads")
    visit.say("shirt")
    visit.results()


def test_the_last_question_is_answered_whatever_comes_late(visit: Visit, service: Service) -> None:
    page = visit.page
    held: list[Any] = []
    page.route("**/v1/search", lambda route: held.append(route) if not held else route.continue_())
    visit.say("trousers")
    expect(page.locator("#status")).to_have_text("Looking …")
    visit.say("dress")
    found = visit.results()
    held[0].continue_()
    page.wait_for_function("() => true")
    assert visit.results() == found
    assert [hit["id"] for hit in service.search(("text", "dress"), ("k", str(len(found))))["hits"]] == found


# --- the first screen ------------------------------------------------------------------------------------------------


@both_sizes
def test_the_first_screen_has_pictures_and_examples(visit: Visit, service: Service) -> None:
    page = visit.page
    expect(page.locator("#grid .card").first).to_be_in_viewport()
    own = {picture["id"] for picture in service.get("/v1/pictures?k=1000")}
    shown = page.locator("#grid .card").evaluate_all("cards => cards.map(card => card.dataset.id)")
    assert set(shown) <= own
    columns = page.evaluate("getComputedStyle(document.querySelector('#grid')).gridTemplateColumns.split(' ').length")
    assert len(shown) % columns == 0  # no row is left with a picture or two
    example = page.locator("#examples button").first
    expect(example).to_be_in_viewport()
    words = example.inner_text().strip()
    example.click()
    assert len(visit.results()) % columns == 0
    expect(page.locator("#words")).to_have_value(words)
    expect(page.locator("#examples")).to_be_hidden()


def test_on_a_phone_the_results_are_on_the_first_screen(browser: Any, service: Service) -> None:
    visit = Visit(browser, service, "phone")
    page = visit.page
    words = page.locator("#words")
    visit.say("shirt")
    visit.results()
    first, edit = page.locator("#grid .look").first, page.locator("#edit")
    expect(first).to_be_in_viewport(ratio=1)
    expect(page.locator("#avoid")).to_be_hidden()
    edit.click()
    expect(edit).to_have_attribute("aria-expanded", "true")
    page.fill("#avoid", "stripes")
    page.press("#avoid", "Enter")
    visit.results()
    expect(first).to_be_in_viewport(ratio=1)
    expect(page.locator("#avoid")).to_be_visible()  # since it holds a word
    page.mouse.wheel(0, 2000)
    page.locator("#grid .look").nth(5).click()  # the chosen result is shown large
    expect(page.locator("#found-picture")).to_be_in_viewport()
    visit.say("dress")
    visit.results()
    expect(first).to_be_in_viewport(ratio=1)
    expect(words).to_be_visible()
    page.locator("#home").click()
    expect(page.locator("#found")).to_be_visible()
    expect(edit).to_be_hidden()
    assert visit.is_within()
    visit.close()


@both_sizes
def test_without_words_a_facet_alone_shows_what_it_names(visit: Visit, service: Service) -> None:
    page = visit.page
    page.fill("#words", "with stripes")  # not searched for yet
    page.locator("#filter").click()
    values_of(page, "Colour").first.check()
    colour = values_of(page, "Colour").first.input_value()
    expect(page.locator("#status")).to_contain_text("These pictures match your filters")
    wanted = {one["id"] for one in service.get("/v1/pictures?k=1000") if one["metadata"]["colour"] == colour}
    while page.locator("#more").is_visible():
        count = page.locator("#grid .card").count()
        page.locator("#more").click()
        page.wait_for_function(f"document.querySelectorAll('#grid .card').length > {count}")
    assert set(page.locator("#grid .card").evaluate_all("cards => cards.map(card => card.dataset.id)")) == wanted
    expect(page.locator("#words")).to_have_value("with stripes")
    page.locator("#find").click()
    assert set(visit.results()) <= wanted


# --- facets ----------------------------------------------------------------------------------------------------------


@both_sizes
def test_several_values_and_written_conditions(visit: Visit, service: Service) -> None:
    page = visit.page
    visit.say("shirt")
    visit.results()
    page.locator("#filter").click()
    column = next(one for one in service.get("/v1/catalog")["columns"] if one["name"] == "colour")
    first, second = column["values"][:2]
    group = page.get_by_role("group", name="Colour", exact=True)
    expect(group.locator("li").first).to_have_text(f"{first}{column['counts'][0]}")
    for place in (0, 1):
        values_of(page, "Colour").nth(place).check()
    expect(values_of(page, "Colour").nth(1)).to_be_focused()  # though the list was drawn anew
    expect(page.locator(".chip")).to_have_text(f"Colour: {first}, {second}")
    ids = visit.results()
    shown = {service.get(f"/v1/pictures/{id}")["metadata"]["colour"] for id in ids}
    assert shown == {first, second}
    page.reload()  # the address holds it
    assert visit.results() == ids
    page.locator("#filter").click()
    assert [box.is_checked() for box in values_of(page, "Colour").all()[:3]] == [True, True, False]
    # Within a facet of many values one searches.
    page.get_by_label("Search in Colour").fill(second.upper())
    expect(values_of(page, "Colour")).to_have_count(2)  # the one that is found, and the other that is chosen
    page.locator(".chip").click()
    expect(page.locator(".chip")).to_have_count(0)
    # Beside what the fields say.
    page.fill("#condition", f"colour={first} or colour={second}")
    page.press("#condition", "Enter")
    expect(page.locator(".chip")).to_have_count(1)
    assert visit.results() == ids
    values_of(page, "Kind").first.check()
    expect(page.locator(".chip")).to_have_count(2)
    visit.results()
    page.get_by_label("Line from").fill("1000003")
    page.get_by_label("Line from").dispatch_event("change")
    expect(page.locator(".chip")).to_have_count(3)
    lines = [service.get(f"/v1/pictures/{id}")["metadata"]["line"] for id in visit.results()]
    assert min(lines) >= 1_000_003


# --- results ---------------------------------------------------------------------------------------------------------


@both_sizes
def test_more_like_this_and_not_this(visit: Visit) -> None:
    page = visit.page
    visit.say("shirt")
    first = visit.results()
    page.get_by_role("button", name="Not like this").first.click()
    visit.results()
    expect(page.locator("#others li")).to_have_count(1)
    assert first[0] not in visit.results()
    page.get_by_role("button", name="More like this").nth(1).click()  # the reference, since there was none
    visit.results()
    page.get_by_role("button", name="More like this").nth(2).click()
    second = visit.results()
    expect(page.locator("#others li")).to_have_count(2)
    visit.unfold()
    page.get_by_label("How much this picture counts").fill("0.2")
    page.get_by_label("How much this picture counts").dispatch_event("change")
    assert visit.results() != second
    assert ":0.2" in visit.fragment()
    visit.unfold()
    page.fill("#avoid", "stripes, long sleeves")
    page.press("#avoid", "Enter")
    expect(page.locator("#status")).to_contain_text("stripes, long sleeves")
    found = visit.results()
    page.reload()
    assert visit.results() == found
    expect(page.locator("#avoid")).to_have_value("stripes, long sleeves")


@both_sizes
def test_results_are_sorted_and_scores_shown_on_demand(visit: Visit, service: Service) -> None:
    page = visit.page
    visit.say("shirt")
    found = visit.results()
    widths = page.locator("#grid .bar").evaluate_all(
        "all => all.map(e => parseFloat(e.style.getPropertyValue('--share')))"
    )
    assert widths == sorted(widths, reverse=True)
    assert (widths[0], widths[-1]) == (100, 13)
    number = page.locator("#grid .score b").first
    expect(number).to_be_hidden()
    page.get_by_label("Scores as numbers").check()
    expect(number).to_be_visible()
    page.locator("#sort").select_option("line:desc")
    expect(page.locator("#status")).to_contain_text("in the chosen order")
    sorted_ids = visit.results()
    lines = [service.get(f"/v1/pictures/{id}")["metadata"]["line"] for id in sorted_ids]
    assert lines == sorted(lines, reverse=True)
    assert sorted_ids != found
    page.get_by_label("Near-duplicates once").check()
    expect(page.locator("#unique")).to_be_checked()
    visit.results()
    assert "unique=true" in page.url


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_white_pictures_do_not_glare_in_the_dark_and_titles_are_whole(
    browser: Any, service: Service, size: str
) -> None:
    visit = Visit(browser, service, size, color_scheme="dark")
    page = visit.page
    visit.say("shirt")
    visit.results()
    tile = page.locator("#grid .frame").first.evaluate(
        "e => getComputedStyle(e).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert max(tile[:3]) < 225
    assert page.locator("#grid .frame img").first.evaluate("e => getComputedStyle(e).mixBlendMode") == "multiply"
    for what in page.locator("#grid .what").all()[:3]:
        assert what.inner_text() in (what.get_attribute("title") or "")
        lines = what.evaluate("e => e.clientHeight / parseFloat(getComputedStyle(e).lineHeight)")
        assert 1.9 < lines < 2.1
    assert visit.is_within()
    visit.close()


@both_sizes
def test_the_basket_is_kept_and_saved(visit: Visit) -> None:
    page = visit.page
    visit.say("shirt")
    ids = visit.results()
    for place in (0, 2):
        page.locator("#grid .heart-sign").nth(place).click()
    expect(page.locator("#basket-open")).to_have_text("Basket (2)")
    page.reload()
    visit.results()
    page.locator("#basket-open").click()
    with page.expect_download() as saved:
        page.locator("#basket-csv").click()
    rows = list(csv.reader(saved.value.path().read_text("utf-8").splitlines()))
    assert rows[0][:2] == ["id", "name"]
    assert [row[0] for row in rows[1:]] == [ids[0], ids[2]]
    with page.expect_download() as saved:
        page.locator("#basket-json").click()
    assert [one["id"] for one in json.loads(saved.value.path().read_text("utf-8"))] == [ids[0], ids[2]]
    page.locator("#basket-clear").click()
    expect(page.locator("#basket-none")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(page.locator("#grid .heart-sign").first).to_have_attribute("aria-pressed", "false")


# --- a part, and side by side ----------------------------------------------------------------------------------------


@both_sizes
def test_a_part_of_the_picture_is_chosen(visit: Visit) -> None:
    page = visit.page
    page.locator("#grid .look").first.click()
    whole = visit.results()
    visit.unfold()
    page.locator("#part").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert visit.results() == whole
    page.locator("#part").click()
    page.wait_for_function("() => document.querySelector('#crop-picture').naturalWidth > 0")
    dragged(visit, page.locator("#crop-picture").bounding_box(), (0.1, 0.1), (0.5, 0.4))
    page.locator("#crop-frame").focus()
    page.keyboard.press("Shift+ArrowRight")
    page.locator("#crop-use").click()
    part = visit.results()
    assert part != whole
    said = re.search(r"box=([\d.,]+)", visit.fragment())
    assert said
    assert [float(one) for one in said[1].split(",")] == pytest.approx([0.1, 0.1, 0.42, 0.3], abs=0.02)
    expect(page.locator("#trail [aria-current] .boxed")).to_be_visible()
    page.reload()
    assert visit.results() == part


@both_sizes
def test_two_pictures_are_compared_side_by_side(visit: Visit, service: Service) -> None:
    page = visit.page
    page.locator("#grid .look").first.click()
    visit.results()
    page.locator("#grid .look").nth(3).click()
    page.locator("#compare").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog.locator("tbody tr").first).to_be_visible()
    reference, result = (page.locator(f"#beside-{side}").get_attribute("data-id") for side in ("reference", "result"))
    known = [service.get(f"/v1/pictures/{id}")["metadata"] for id in (reference, result)]
    for row in dialog.locator("tbody tr").all():
        column, before, after = row.locator("th, td").all_inner_texts()
        shown = [str(one.get(column.lower()) or "–") for one in known]
        assert [before, after] == shown
        assert ("differs" in (row.get_attribute("class") or "")) == (before != after and "–" not in (before, after))
    pictures = [page.locator(f"#beside-{side}").bounding_box() for side in ("reference", "result")]
    assert pictures[0]["x"] + pictures[0]["width"] <= pictures[1]["x"]  # beside each other, also on a phone
    # What the service is not sure of is not claimed.
    status, answer = service.ask(
        "POST",
        "/v1/compare",
        json.dumps({"reference": reference, "result": result}).encode(),
        {"Content-Type": "application/json"},
    )
    assert status.status == 200
    sure = [tag["attribute"] for tag in json.loads(answer)["changed"]]
    expect(dialog.locator("#beside-tags .label")).to_have_text(sure[:6])
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#compare")).to_be_focused()


# --- by keyboard -----------------------------------------------------------------------------------------------------


def test_the_keyboards_place_is_kept(visit: Visit) -> None:
    """Where what had the focus is drawn anew or taken away, the focus is near, and not at the top of the page."""
    page = visit.page
    visit.say("shirt")
    visit.results()
    page.get_by_role("button", name="Not like this").first.focus()
    page.keyboard.press("Enter")
    visit.results()
    assert page.evaluate("document.querySelector('#grid').contains(document.activeElement)")
    page.locator("#others").get_by_role("button", name="Remove").focus()
    page.keyboard.press("Enter")
    visit.results()
    expect(page.locator("#find")).to_be_focused()
    page.locator("#trail button").first.focus()
    page.keyboard.press("Enter")
    visit.results()
    expect(page.locator("#find")).to_be_focused()  # there is but one step, and so no trail
    page.locator("#filter").focus()
    page.keyboard.press("Enter")
    values_of(page, "Kind").first.focus()
    page.keyboard.press("Space")
    visit.results()
    expect(values_of(page, "Kind").first).to_be_focused()
    expect(values_of(page, "Kind").first).to_be_checked()
    page.locator(".chip").focus()
    page.keyboard.press("Enter")
    visit.results()
    expect(page.locator("#find")).to_be_focused()
    # Dialogs keep the focus within, close with Escape and give it back.
    page.locator("#basket-open").focus()
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.querySelector('#basket').contains(document.activeElement) || !document.hasFocus()"
        )
    page.keyboard.press("Escape")
    expect(page.locator("#basket-open")).to_be_focused()
