"""The language of a search over HTTP: the same answers as from Python, and one sentence for what cannot be read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import triptych
from serving_helpers import Service, form, picture_file, problem
from triptych.core.environment import Runtime
from triptych.retrieval.open_catalog import OpenCatalog

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from triptych.serving.facets import columns, label_of, values_of


@pytest.fixture(scope="module")
def service(shown_catalog: Path) -> Iterator[Service]:
    with Service(shown_catalog) as running:
        yield running


@pytest.fixture(scope="module")
def opened(shown_catalog: Path) -> OpenCatalog:
    return triptych.open_catalog(shown_catalog, runtime=Runtime(threads=1))


def ids(answer: Any) -> list[str]:
    return [hit["id"] for hit in answer["hits"]]


def test_a_question_of_many_parts_is_answered_as_in_python(service: Service, opened: OpenCatalog) -> None:
    one, other, disliked = (hit.id for hit in opened.search(text="red shirt", k=3))
    expected = opened.search(
        like=[one, f"{other}:0.5"], unlike=disliked, text=["long:0.5", "in blue:0.7"], unwanted="stripes",
        boost="line=1.5", sort="kind", unique=True, among=50, k=7,
    )  # fmt: skip
    answer = service.search(
        ("like", one), ("like", f"{other}:0.5"), ("unlike", disliked), ("text", "long:0.5"), ("text", "in blue:0.7"),
        ("not", "stripes"), ("boost", "line=1.5"), ("sort", "kind"), ("unique", "true"), ("among", "50"), ("k", "7"),
    )  # fmt: skip
    assert ids(answer) == [hit.id for hit in expected]
    assert answer["reference"] == one
    assert any("stripes" in note for note in answer["notes"])
    assert all(isinstance(hit["folded"], list) for hit in answer["hits"])


def test_what_was_uploaded_once_can_be_searched_with_often(service: Service, opened: OpenCatalog) -> None:
    status, answer, _ = service.post("/v1/uploads", [("picture", picture_file((200, 30, 30)))])
    assert status == 201
    upload = answer["id"]
    by_file = ids(service.search(("picture", picture_file((200, 30, 30))), ("text", "shirt")))
    assert ids(service.search(("like", upload), ("text", "shirt"))) == by_file
    assert ids(service.search(("like", upload), ("like", opened.search(text="dress", k=1)[0].id))) != by_file
    # A part of it is a picture of its own.
    status, part, _ = service.post("/v1/uploads", [("picture", picture_file()), ("box", "0,0,0.5,0.5")])
    assert status == 201
    assert part["id"] != upload
    answer = service.search(("picture", picture_file()), ("box", "0,0,0.5,0.5"))
    assert answer["reference"] == part["id"]
    assert service.search(("like", upload), ("box", "0,0,0.5,0.5"))["hits"]


def test_pages_join_whichever_way_they_are_asked_for(service: Service) -> None:
    whole = service.search(("text", "red"), ("k", "20"))
    first = service.search(("text", "red"), ("k", "10"))
    for more in ({"offset": "10"}, {"after": ids(first)[-1]}, {"after": "gone", "offset": "10"}):
        rest = service.search(("text", "red"), ("k", "10"), *more.items())
        assert ids(first) + ids(rest) == ids(whole)
        assert [hit["rank"] for hit in rest["hits"]] == list(range(11, 21))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([("like", "x")] * 21, "like"),
        ([("text", "red"), ("not", "x" * 201)], "not.0"),
        ([("text", "red"), ("boost", "colour=2")], "boost 'colour=2': the column has neither"),
        ([("text", "red"), ("boost", "nothing=2")], "boost"),
        ([("text", "red"), ("sort", "nothing")], "sort 'nothing': there is no such column"),
        ([("text", "red"), ("among", "5000")], "among"),
        ([("text", "red"), ("box", "0,0,1,1")], "box applies to one picture"),
        ([("picture", picture_file()), ("box", "a,b,c,d")], "box 'a,b,c,d'"),
        ([("picture", picture_file()), ("box", "0,0,1e999,1")], "box"),
        ([("text", "red"), ("unlike", "nobody")], "no such picture"),
        ([("text", "red:5000.5")], "weight must be above 0"),
        ([("text", "red"), ("unique", "perhaps")], "unique"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_sentence(service: Service, fields: list[tuple[str, Any]], why: str) -> None:
    body, kind = form(fields)
    answer, content = service.ask("POST", "/v1/search", body, {"Content-Type": kind})
    refusal = problem(answer, content)
    assert 400 <= answer.status < 500
    assert why in refusal["detail"]
    assert "--" not in refusal["detail"]


def test_earlier_addresses_still_answer(service: Service) -> None:
    assert service.get("/api/catalog") == service.get("/v1/catalog")


def test_the_page_is_not_sent_again_to_whoever_has_it(service: Service) -> None:
    for path in ("/", "/page/page.js", "/page/words.de.json"):
        answer, _ = service.ask("GET", path)
        tag = answer.getheader("ETag")
        again, body = service.ask("GET", path, headers={"If-None-Match": tag or ""})
        assert (again.status, body) == (304, b"")
        head, body = service.ask("HEAD", path)
        assert (head.status, body, head.getheader("ETag")) == (200, b"", tag)


def test_values_can_be_searched_within_a_column(service: Service) -> None:
    (column,) = (one for one in service.get("/v1/catalog")["columns"] if one["name"] == "colour")
    assert column["label"] == "Colour"
    assert len(column["counts"]) == len(column["values"]) == column["distinct"]
    part = column["values"][0][1:3]
    found = service.get(f"/v1/values?column=colour&contains={part.upper()}")
    assert {"value": column["values"][0], "count": column["counts"][0]} in found
    answer, _ = service.ask("GET", "/v1/values?column=nothing")
    assert answer.status == 404


def test_columns_have_names_that_people_read() -> None:
    given = {
        "articleType": "Article type", "base_colour": "Base colour", "price": "Price", "SKU": "SKU",
        "productID": "Product ID", "size (<40)": "Size (<40)", "Größe": "Größe", "in-stock": "In stock", "__": "__",
    }  # fmt: skip
    assert {name: label_of(name) for name in given} == given


def test_a_facet_of_many_values_is_kept_and_a_column_of_titles_is_none() -> None:
    brands = [f"brand {row % 100}" for row in range(400)] + ["brand 7"] * 5
    table = pa.table({"name": [str(row) for row in range(405)], "brand": brands,
                      "title": [f"title {row}" for row in range(405)]})  # fmt: skip
    brand, title = columns(table)
    assert (brand["values"][0], brand["counts"][0], len(brand["values"]), brand["distinct"]) == ("brand 7", 9, 60, 100)
    assert (title["values"], title["distinct"]) == ([], 405)
    assert values_of(table, "brand", " 99 ") == [{"value": "brand 99", "count": 4}]
    assert len(values_of(table, "title", "")) == 50
    with pytest.raises(KeyError):
        values_of(table, "name", "")
