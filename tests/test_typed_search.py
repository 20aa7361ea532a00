"""Conditions on typed columns, alike in Python, on the command line and over HTTP."""

import json
from pathlib import Path

import pytest

import triptych
from serving_helpers import Service, form, picture_file, problem
from test_cli import run
from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.core.files import output_file

ONE_THREAD = Runtime(threads=1)
TABLE = """name;price;when;sold;colour
a.png;1.299,00 €;15.01.2024;ja;red
b.png;999 €;15.02.2024;ja;navy blue
c.png;450,50 €;15.03.2024;nein;red
d.png;2.100,00 €;15.06.2024;ja;pink
e.png;80 €;15.11.2024;nein;-
f.png;-;15.12.2024;ja;rock and roll
"""
ASKED = {
    "price<500": "ce",
    "price>=1.299,00": "ad",
    "price<500 or price>2000": "cde",
    "when<2024-3-1": "ab",
    "when>=2024-06 and when<2024-12": "de",
    "colour in (red, pink) and sold=ja": "ad",
    'colour not in (red, "rock and roll")': "bde",
    'price=""': "f",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "pictures").mkdir()
    for place, letter in enumerate("abcdef"):
        (folder / "pictures" / f"{letter}.png").write_bytes(picture_file((40 * place, 90, 200 - 30 * place)))
    (folder / "shop.csv").write_text(TABLE, encoding="cp1252")
    triptych.index(folder / "pictures", folder / "catalog", metadata=folder / "shop.csv", runtime=ONE_THREAD)
    return folder / "catalog"


def test_in_python(shop: Path) -> None:
    with triptych.open_catalog(shop, runtime=ONE_THREAD) as opened:
        for condition, wanted in ASKED.items():
            for where in (condition, [condition]):
                hits = opened.search(text="shirt", where=where)
                assert "".join(sorted(hit.name[0] for hit in hits)) == wanted, condition
        assert opened.picture("c.png").metadata == {
            "price": 450.5, "when": "2024-03-15", "sold": "nein", "colour": "red"
        }  # fmt: skip
        with pytest.raises(UsageError, match="no column 'not_sold'"):
            opened.search(text="shirt", where="colour in (red, pink) and not_sold=no")
        for numbers in ({"k": 0}, {"k": 3, "offset": -1}, {"k": 3, "step": 0}):
            with pytest.raises(UsageError, match="at least 1"):
                opened.pictures(**numbers)


def test_on_the_command_line(shop: Path) -> None:
    command = ("search", "--catalog", shop, "--text", "shirt", "--json", "--threads", "1")
    shown = run(*command, "--where", "price<500 or price>2000", "--where", "colour in (red, pink)")
    assert sorted(hit["name"] for hit in json.loads(shown.stdout)) == ["c.png", "d.png"]
    shown = run(*command, "--where", "colour=octarine")
    assert (shown.returncode, json.loads(shown.stdout)) == (1, [])
    assert shown.stderr == f"triptych: {shop}: there is no picture that fulfils the conditions\n"
    for wrong, said in (("colour<500", "cannot be compared with 500"), ("(price<5", "a closing bracket is missing")):
        shown = run(*command, "--where", wrong)
        assert (shown.returncode, shown.stdout, shown.stderr.count("\n")) == (2, "", 1)
        assert said in shown.stderr


def test_over_http(shop: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    with Service(shop) as running:
        for condition, wanted in ASKED.items():
            hits = running.search(("text", "shirt"), ("where", condition))["hits"]
            assert "".join(sorted(hit["name"][0] for hit in hits)) == wanted, condition
        columns = {column.pop("name"): column for column in running.get("/api/catalog")["columns"]}
        assert columns["price"] == {
            "kind": "number", "label": "Price", "distinct": 5, "counts": [1] * 5,
            "values": ["80.0", "450.5", "999.0", "1299.0", "2100.0"], "min": 80, "max": 2100
        }  # fmt: skip
        assert (columns["when"]["kind"], columns["when"]["min"]) == ("date", "2024-01-15")
        assert columns["when"]["values"] == sorted(columns["when"]["values"])
        assert (columns["colour"]["kind"], columns["colour"]["values"][0]) == ("text", "red")
        for fields in (
            [("text", "red"), ("where", "colour<500")],
            [("text", "red"), ("where", "((price<5)")],
            [("text", "red"), ("where", "price<5 and")],
            [("text", "red"), ("where", "price in (" + "1, " * 2000 + "2)")],
            [("text", "red"), ("weight", "0.3")],
            [("like", "a.png"), ("weight", "0.3")],
            [("text", "red"), ("k", "")],
        ):
            body, kind = form(fields)  # type: ignore[arg-type]
            answer, content = running.ask("POST", "/api/search", body, {"Content-Type": kind})
            assert problem(answer, content)["status"] == 422, fields
            assert len(content) < 1000
        metadata = json.dumps({"price": "1.300,50", "when": "2025-01-02", "colour": None})
        status, added, _ = running.post("/api/pictures", [("picture", picture_file((1, 2, 3))), ("metadata", metadata)])
        assert (status, added["metadata"]) == (201, {"price": 1300.5, "when": "2025-01-02"})
        for wrong in ('{"price": "cheap"}', '{"when": "1/2/2025"}', '{"when": true}', '{"price": [1]}'):
            status, _, _ = running.post("/api/pictures", [("picture", picture_file((9, 2, 3))), ("metadata", wrong)])
            assert status == 422


def test_what_makes_no_sense_together_is_refused(shop: Path) -> None:
    def search(**given: object) -> None:
        options = triptych.SearchOptions(like=given.get("like"), weight=0.3)  # type: ignore[arg-type]
        engine = triptych.EngineOptions(composer=given.get("composer"))
        triptych.search(shop, text=str(given.get("text", "")), options=options, engine=engine, runtime=ONE_THREAD)

    search(like="a.png", text="in red")
    for alone in ({"text": "in red"}, {"like": "a.png"}):
        with pytest.raises(UsageError, match="--weight needs a picture and words"):
            search(**alone)
    with pytest.raises(UsageError, match="--weight: the composer slerp has no weight; leave --weight out"):
        search(like="a.png", text="in red", composer="slerp")
    with pytest.raises(UsageError, match="--column-type goes with --metadata"):
        triptych.index(shop.parent / "pictures", shop, triptych.IndexOptions(column_types=("price=text",)))


def test_a_name_that_contradicts_what_is_written(tmp_path: Path) -> None:
    for path in ("triplets.parquet", "triplets", "triplets.v2", "triplets.PARQUET"):
        output_file(path, ".parquet")
    for path in ("triplets.json", "triplets.CSV", "triplets.txt"):
        with pytest.raises(UsageError, match=f"--out {path}: .*give a name that ends in .parquet"):
            output_file(path, ".parquet")
    # Before anything else is looked at.
    for call in (
        lambda: triptych.mine("none", tmp_path / "triplets.json"),
        lambda: triptych.refine("none", "none", tmp_path / "triplets.csv"),
        lambda: triptych.evaluate("wardrobe", output=tmp_path / "result.csv"),
        lambda: triptych.triplets_sample("none", "none", tmp_path / "sample.json"),
        lambda: triptych.triplets_review("none", "none", tmp_path / "review.png"),
        lambda: triptych.search("none", text="red", output=tmp_path / "hits.csv"),
    ):
        with pytest.raises(UsageError, match=str(tmp_path)):
            call()
    assert list(tmp_path.iterdir()) == []
