"""Routes for programs: JSON with base64, batches, metadata, feedback, and several catalogs with their own keys."""

import base64
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import triptych
from serving_helpers import Service, picture_file, problem
from triptych.catalog.catalog import Catalog
from triptych.core.errors import DataError
from triptych.serving.catalogs import read_catalogs

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")


class Shop:
    """A service of two catalogs, and whoever may use them."""

    def __init__(self, service: Service, keys: Mapping[str, str], feedback: Path, catalog: Path) -> None:
        self.service, self.keys, self.feedback, self.catalog = service, keys, feedback, catalog

    def ask(self, method: str, path: str, content: Any = None, key: str = "first") -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.keys[key]}"} if key else {})
        answer, body = self.service.ask(
            method, path, None if content is None else json.dumps(content).encode(), headers
        )
        return answer.status, json.loads(body) if body else None


@pytest.fixture(scope="module")
def shop(few_garments: Path, shown_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    shutil.copytree(few_garments / "images", folder / "pictures")
    shutil.copytree(shown_catalog, folder / "own")
    note = json.loads((folder / "own" / "catalog.json").read_text("utf-8"))
    note["root"] = str((folder / "pictures").resolve())
    (folder / "own" / "catalog.json").write_text(json.dumps(note), "utf-8")
    keys = {
        "first": triptych.make_key(folder / "first.json", "first", write=True),
        "reader": triptych.make_key(folder / "first.json", "reader"),
        "second": triptych.make_key(folder / "second.json", "second"),
    }
    named = {"shoes": {"catalog": str(shown_catalog), "keys": "second.json"}, "open": {"catalog": str(shown_catalog)}}
    (folder / "catalogs.json").write_text(json.dumps(named), "utf-8")
    options = (
        "--keys",
        folder / "first.json",
        "--catalogs",
        folder / "catalogs.json",
        "--feedback",
        folder / "f.jsonl",
    )
    with Service(folder / "own", *options) as running:
        yield Shop(running, keys, folder / "f.jsonl", folder / "own")


def test_a_search_as_json_is_the_search_as_a_form(shop: Shop) -> None:
    form = [("picture", picture_file()), ("text", "in red"), ("k", "5")]
    key = {"Authorization": f"Bearer {shop.keys['reader']}"}
    _, expected, _ = shop.service.post("/v1/search", form, key)
    picture = base64.b64encode(picture_file()).decode()
    for given in (picture, f"data:image/png;base64,{picture}"):
        assert shop.ask("POST", "/v1/search", {"picture": given, "text": ["in red"], "k": 5}) == (200, expected)
    empty = {"picture": picture, "text": [], "like": [], "weight": None, "box": "", "url": "", "after": "", "where": []}
    assert shop.ask("POST", "/v1/search", empty)[0] == 200
    assert shop.ask("POST", "/v1/search", {**empty, "picture": ""})[0] == 422
    for wrong in ("%%%", "abc", base64.b64encode(b"no picture").decode()):
        status, answer = shop.ask("POST", "/v1/search", {"picture": wrong})
        assert (status, "picture" in answer["detail"]) == (422, True)
    for wrong in ([], {"text": "in red"}, {"k": "many"}, {"nothing": 1}, {"text": ["\ud800"]}):
        assert shop.ask("POST", "/v1/search", wrong)[0] == 422, wrong
    assert shop.ask("POST", "/v1/search", {"url": "http://shop.example/x.png"})[0] == 403  # it was not allowed


def test_many_searches_are_answered_each_for_itself(shop: Shop) -> None:
    asked = [{"text": ["red shirt"], "k": 3}, {"text": ["red"], "where": ["nonsense"]}, {"text": ["blue"], "k": 2}]
    status, answer = shop.ask("POST", "/v1/searches", {"searches": asked}, "reader")
    assert status == 200
    first, wrong, last = answer["answers"]
    assert first == shop.ask("POST", "/v1/search", asked[0])[1]
    assert (wrong["status"], "where" in wrong["detail"]) == (422, True)
    assert len(last["hits"]) == 2
    for bad in ({"searches": []}, {"searches": [{"text": ["red"]}] * 33}, {}):
        assert shop.ask("POST", "/v1/searches", bad)[0] == 422


def test_what_is_known_of_a_picture_is_changed(shop: Shop) -> None:
    status, answer = shop.ask("POST", "/v1/search", {"text": ["shirt"], "k": 1})
    hit = answer["hits"][0]
    nasty = "<img src=x onerror=alert(1)>"
    changes = {"metadata": {"colour": nasty, "line": 7.0, "kind": None}}
    status, changed = shop.ask("PATCH", f"/v1/pictures/{hit['id']}", changes)
    assert (status, changed["metadata"]["colour"], "kind" in changed["metadata"]) == (200, nasty, False)
    found = shop.ask("POST", "/v1/search", {"text": ["red"], "where": [f'colour="{nasty}"']})[1]
    assert [one["id"] for one in found["hits"]] == [hit["id"]]
    assert Catalog(shop.catalog).metadata.filter(
        [name == hit["name"] for name in Catalog(shop.catalog).names]
    ).to_pylist()[0]["line"] == 7  # fmt: skip
    for wrong, status in (({"line": "many"}, 422), ({"nothing": 1}, 422), ({"name": "x"}, 422), ({"colour": []}, 422)):
        assert shop.ask("PATCH", f"/v1/pictures/{hit['id']}", {"metadata": wrong})[0] == status, wrong
    assert shop.ask("PATCH", "/v1/pictures/0000", {"metadata": {}})[0] == 404
    assert shop.ask("PATCH", f"/v1/pictures/{hit['id']}", changes, "reader")[0] == 403
    assert shop.ask("PATCH", f"/v1/pictures/{hit['id']}", changes, "")[0] == 401


def test_feedback_becomes_triplets(shop: Shop, tmp_path: Path) -> None:
    hits = shop.ask("POST", "/v1/search", {"text": ["shirt"], "k": 4})[1]["hits"]
    reference, good, other, bad = (hit["id"] for hit in hits)
    said = {"reference": reference, "text": "in red, <b>please</b>"}
    for results, verdict in (([good, other], "good"), ([bad], "bad"), ([good], "chosen")):
        asked = {**said, "results": results, "verdict": verdict}
        assert shop.ask("POST", "/v1/feedback", asked, "reader") == (201, {"kept": len(results)})
    lines = [json.loads(line) for line in shop.feedback.read_text("utf-8").splitlines()]
    assert [line["verdict"] for line in lines] == ["good", "bad", "chosen"]
    assert {line["user"] for line in lines} == {"key reader"}
    assert lines[0]["modification"] == said["text"]
    result = triptych.triplets_import(shop.feedback, tmp_path / "t.parquet", catalog=shop.catalog)
    assert (result.triplets, sum(result.left_out.values())) == (2, 1)
    for wrong, status in (
        ({"results": [good], "verdict": "great"}, 422),
        ({"results": [], "verdict": "good"}, 422),
        ({"results": ["nobody"], "verdict": "good"}, 404),
        ({"results": [good], "verdict": "good", "text": "x" * 1001}, 422),
        ({"results": [good], "verdict": "good", "more": 1}, 422),
    ):
        assert shop.ask("POST", "/v1/feedback", {**said, **wrong})[0] == status, wrong


def test_each_catalog_has_its_own_keys_and_pictures(shop: Shop, shown_catalog: Path) -> None:
    for path, good, bad in (("/v1", "first", "second"), ("/c/shoes/v1", "second", "first")):
        for key, status in ((good, 200), (bad, 401), ("", 401)):
            assert shop.ask("GET", f"{path}/catalog", key=key)[0] == status, (path, key)
    assert shop.ask("GET", "/c/open/v1/catalog", key="first")[0] == 200  # without its own, it needs those of the first
    assert shop.ask("GET", "/c/open/v1/catalog", key="")[0] == 401
    # An upload of one is none of the other's.
    key = {"Authorization": f"Bearer {shop.keys['first']}"}
    _, upload, _ = shop.service.post("/v1/uploads", [("picture", picture_file((9, 9, 9)))], key)
    assert shop.ask("POST", "/v1/search", {"like": [upload["id"]]})[0] == 200
    assert shop.ask("POST", "/c/shoes/v1/search", {"like": [upload["id"]]}, "second")[0] == 404
    for path in ("/c/shoes/", "/c/shoes", "/c/shoes/page/page.js", "/c/shoes/health"):
        answer, _ = shop.service.ask("GET", path)
        assert answer.status == 200, path
    for path in ("/c/other/health", "/c/", "/c/shoes/../v1/catalog", "/c/shoes/%2e%2e/v1/catalog", "/c//v1/catalog"):
        answer, body = shop.service.ask("GET", path)
        assert problem(answer, body)["status"] in (401, 404), path
    assert shop.ask("DELETE", "/c/shoes/v1/pictures/0000", key="second")[0] == 403


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([], "must be an object"),
        ({"A b": {"catalog": "x"}}, "lower-case letters"),
        ({"../x": {"catalog": "x"}}, "lower-case letters"),
        ({"a": {}}, "the field `catalog`"),
        ({"a": {"catalog": "x", "key": "y"}}, "unknown field 'key'"),
        ({"a": {"catalog": 3}}, "must be a string"),
    ],
)
def test_a_file_of_catalogs_that_makes_no_sense(tmp_path: Path, content: object, why: str) -> None:
    (tmp_path / "catalogs.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(DataError, match=why):
        read_catalogs(tmp_path / "catalogs.json")
