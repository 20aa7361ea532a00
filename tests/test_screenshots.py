"""The documentation's pictures of the search page, from a trained composer on real photos: `make screenshots`.

TRIPTYCH_SCREENSHOTS is the folder to write to, TRIPTYCH_DEMO that of a finished `triptych demo`.
"""

import csv
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from PIL import Image

if not (os.environ.get("TRIPTYCH_SCREENSHOTS") and os.environ.get("TRIPTYCH_DEMO")):
    pytest.skip("pictures are made by `make screenshots`", allow_module_level=True)

import triptych
from browsing import Visit, expect, started_browser, values_of
from serving_helpers import Service, picture_file
from triptych.core.environment import Runtime

CLOSET = Path(__file__).parents[1] / "examples" / "closet"
SHIRT = "520086b3-e4a7-42d4-8590-a4a505bf6a49.jpg"  # a plain black T-shirt
WORDS = "but in red"
SIZE = {"viewport": {"width": 1180, "height": 860}}
MOST = 250_000  # bytes of a picture


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The test photos, which the composer has never seen, with what their annotations say."""
    folder = tmp_path_factory.mktemp("closet")
    with (CLOSET / "split.csv").open(encoding="utf-8") as table:
        names = [row["image"] for row in csv.DictReader(table) if row["split"] == "test"]
    (folder / "test.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
    with (CLOSET / "annotations.csv").open(encoding="utf-8") as table, (folder / "table.csv").open("w") as out:
        written = csv.writer(out)
        written.writerow(["image", "title", "kind", "colour", "pattern", "sleeve"])
        for row in csv.DictReader(table):
            pattern = "" if row["pattern"] == "plain" else row["pattern"]
            kind = "T-shirt" if row["kind"] == "t-shirt" else row["kind"].replace("-", " ")
            title = " ".join(filter(None, (row["colour"], pattern, kind)))
            title = title[:1].upper() + title[1:]
            sleeve = "" if row["sleeve"] == "na" else row["sleeve"]
            written.writerow([row["image"], title, kind, row["colour"], row["pattern"], sleeve])
    runtime = Runtime(threads=1)
    triptych.index(
        folder / "test.txt", folder / "catalog", root=CLOSET / "photos", metadata=folder / "table.csv", runtime=runtime
    )
    composer = Path(os.environ["TRIPTYCH_DEMO"]) / "composer"
    with Service(folder / "catalog", "--composer", composer, "--request-timeout", "300") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started_browser() as running:
        yield running


def photographed(visit: Visit, name: str) -> None:
    """Write the picture of that name."""
    visit.shown()
    visit.page.mouse.move(0, 0)
    visit.page.evaluate("document.activeElement.blur()")
    with Image.open(BytesIO(visit.page.screenshot(animations="disabled"))) as picture:
        out = Path(os.environ["TRIPTYCH_SCREENSHOTS"]) / f"{name}.jpg"
        picture.convert("RGB").save(out, "JPEG", quality=84, optimize=True, subsampling=0)
        assert out.stat().st_size < MOST


def opened(browser: Any, service: Service, *place: Any, **settings: Any) -> Visit:
    """A visit to the answers to that question."""
    visit = Visit(browser, service, *place, **settings)
    (shirt,) = service.get(f"/v1/pictures?where=name%3D{SHIRT}")
    steps = {"step": [f"{shirt['id']}~", f"{shirt['id']}~{WORDS}"]}
    visit.page.goto(f"{service.url}/#{urlencode(steps, doseq=True)}")
    visit.page.reload()
    visit.results()
    return visit


def test_the_first_screen(browser: Any, service: Service) -> None:
    visit = Visit(browser, service, **SIZE)
    photographed(visit, "search-page-start")
    visit.close()


def test_a_search_as_a_person_makes_it(browser: Any, service: Service) -> None:
    visit = opened(browser, service, **SIZE)
    page = visit.page
    expect(page.locator("#differences")).to_be_visible(timeout=300_000)
    photographed(visit, "search-page")
    page.locator("#compare").click()
    expect(page.locator("#beside-tags")).to_contain_text("red", timeout=300_000)
    photographed(visit, "search-page-compare")
    page.keyboard.press("Escape")
    page.locator("#filter").click()
    values_of(page, "Pattern").first.check()
    visit.results()
    photographed(visit, "search-page-filters")
    visit.upload(picture_file()[:-40])
    expect(page.get_by_role("alert")).to_contain_text("The picture cannot be used")
    page.locator("#filter").click()
    photographed(visit, "search-page-error")
    visit.close_after("422")


def test_on_a_phone_in_the_dark(browser: Any, service: Service) -> None:
    visit = opened(browser, service, "phone", color_scheme="dark")
    expect(visit.page.locator("#differences")).to_be_visible(timeout=300_000)
    photographed(visit, "search-page-phone")
    visit.close()
