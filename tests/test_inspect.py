"""The page that shows a result file's queries with their pictures."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import triptych
from made_benchmarks import evaluate, read, write_cirr
from planted import Squares
from triptych.core.errors import DataError, MismatchError, UsageError
from triptych.evaluation.options import InspectOptions

SQUARES: Any = Squares()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A made benchmark, and what two methods did on it."""
    folder = tmp_path_factory.mktemp("inspect")
    root = write_cirr(folder / "cirr")
    evaluate(
        "cirr",
        root=root,
        split="val",
        methods=["picture", "text"],
        encoder=SQUARES,
        gap=False,
        answers=6,
        output=folder / "a.json",
    )
    return root, folder / "a.json"


def kinds(page: Path) -> list[str]:
    """What the cards of a page say of who solved them."""
    return re.findall(r'<li data-kind="(\w+)"', page.read_text("utf-8"))


def test_a_result_file_holds_the_first_answers_of_each_query(results):
    _, file = results
    first, second = read(file)["rows"]
    assert len(first["answers"]) == first["queries"]
    assert all(len(names) == 6 for names in first["answers"].values())
    assert first["answers"] != second["answers"]


def test_one_method_is_shown_with_its_answers(results, tmp_path):
    _, file = results
    found = triptych.inspect(file, out=tmp_path / "page.html")
    count = read(file)["rows"][0]["queries"]
    assert (found.queries, found.chosen_from) == (count, count)
    text = (tmp_path / "page.html").read_text("utf-8")
    assert len(kinds(tmp_path / "page.html")) == count
    assert "picture · " in text
    assert "show 1 dogs in group 0" in text
    # Reference, target and six answers of every query, none of them by an address.
    assert text.count("data:image/jpeg;base64,") >= count * 8
    assert "http" not in re.sub(r'http-equiv="Content-Security-Policy"', "", text)


def test_two_methods_stand_side_by_side_filtered_by_who_failed(results, tmp_path):
    _, file = results
    options = {"method": "picture", "against": "text", "cutoff": 1}
    triptych.inspect(file, None, InspectOptions(**options), out=tmp_path / "all.html")
    every = kinds(tmp_path / "all.html")
    assert {len(kind) for kind in every} == {2}
    for show, kind in (("both-failed", "nn"), ("only-first", "yn"), ("only-second", "ny")):
        wanted = every.count(kind)
        asked = InspectOptions(**options, show=show)
        if wanted:
            assert triptych.inspect(file, file, asked, out=tmp_path / f"{show}.html").queries == wanted
            assert kinds(tmp_path / f"{show}.html") == [kind] * wanted
        else:
            with pytest.raises(DataError, match=f"--show {show} selects none of the {len(every)} queries"):
                triptych.inspect(file, file, asked, out=tmp_path / f"{show}.html")
    few = triptych.inspect(file, None, InspectOptions(**options, count=2), out=tmp_path / "few.html")
    assert (few.queries, few.chosen_from) == (2, len(every))


def test_a_method_that_only_the_first_file_has_is_shown_beside_the_other_files_own(results, tmp_path):
    _, file = results
    content = read(file)
    content["rows"] = [row for row in content["rows"] if row["method"] == "picture"]
    (tmp_path / "other.json").write_text(json.dumps(content), "utf-8")
    triptych.inspect(file, tmp_path / "other.json", InspectOptions(method="text"), out=tmp_path / "both.html")
    page = (tmp_path / "both.html").read_text("utf-8")
    assert re.search(r"<h2[^>]*>text · ", page)
    assert re.search(r"<h2[^>]*>picture · ", page)


def test_what_cannot_be_inspected_is_said(results, tmp_path):
    root, file = results
    with pytest.raises(UsageError, match="has no method 'sum', only picture, text"):
        triptych.inspect(file, None, InspectOptions(method="sum"), out=tmp_path / "x.html")
    with pytest.raises(UsageError, match="--show some: not one of all, failed"):
        InspectOptions(show="some")
    content = read(file)
    for row in content["rows"]:
        del row["answers"]
    (tmp_path / "bare.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(DataError, match="picture has no answers; measure it with triptych eval --answers 10"):
        triptych.inspect(tmp_path / "bare.json", out=tmp_path / "x.html")
    other = write_cirr(tmp_path / "other")
    captions = other / "captions" / "cap.rc2.val.json"
    captions.write_text(captions.read_text("utf-8").replace("dogs", "cats"), "utf-8")
    with pytest.raises(MismatchError, match="the benchmark's folder has other queries than the result file"):
        triptych.inspect(file, out=tmp_path / "x.html", root=other)
    assert triptych.inspect(file, out=tmp_path / "y.html", root=root).queries > 0
