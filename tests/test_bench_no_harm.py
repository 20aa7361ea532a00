"""What do_no_harm.py concludes from what its cells measured, and the queries that it measures with."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triptych.composers.truth import TruthQueries, TruthQuery

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

import harm_worlds
from do_no_harm import ahead, remember_texts
from harm_tables import gain, harmed, tables


def cell(catalog: str, judge: dict[str, Any], test: tuple[float, float], own: tuple[float, float]) -> dict[str, Any]:
    """A result whose composers are ahead by as much, give or take."""

    def row(task: str, difference: float, half: float) -> dict[str, Any]:
        found = [difference, difference - half, difference + half]
        recall = dict.fromkeys(("picture", "text", "sum", "composer", "judged"), 50.0)
        return {
            "task": task,
            "queries": 40,
            "recall": recall,
            "ahead": dict.fromkeys(("composer", "judged", "verdict"), found),
        }

    return {
        "encoder": "hf:/models/clip",
        "catalog": catalog,
        "stages": {"mine": {"refused": 7}, "train": {}, "judge": judge},
        "trust": {"composer": 0.4, "judged": 0.3},
        "truth_queries": 100,
        "tests": [row("rule", *test), row("own catalog", *own)],
    }


def verdict(decided: str) -> dict[str, Any]:
    return {"decided": decided, "difference": 1.0, "interval": [0.5, 1.5], "sum_weight": 0.5}


def test_a_cell_is_harmed_only_beyond_its_interval() -> None:
    below, level = cell("a", verdict("better"), (-3, 2), (4, 1)), cell("b", verdict("better"), (-1, 2), (4, 1))
    assert harmed(below, "composer", own=False)
    assert not harmed(level, "composer", own=False)
    assert not harmed(below, "composer", own=True)
    assert gain(below, "composer", own=False) == -3


def test_the_tables_count_refusals_and_right_verdicts() -> None:
    refused = cell("d", {"gave_up": "too few"}, (0, 1), (0, 1))
    for test in refused["tests"]:
        test |= {"ahead": {}, "recall": {"picture": 9.0, "text": 9.0, "sum": 9.0}}
    results = [
        cell("a", verdict("better"), (5, 2), (4, 1)),
        cell("b", verdict("worse"), (-5, 2), (4, 1)),  # by the larger set it is better
        cell("c", verdict("undecided"), (-5, 2), (0, 1)),
        refused,
    ]
    text = tables(results)
    assert "refused: 1 by mining or training, 1 by the verdict" in text
    assert (
        "without truth 2 harmed (clip/b, clip/c), mean gain -1.2; with truth 1 harmed (clip/c), mean gain +0.0" in text
    )
    assert "verdicts: 2 of 3 decided" in text
    assert "by the larger set of the same kind: 1 of 2 right, 1 the other way beyond its interval (clip/b)" in text
    assert "by the tests: 2 of 2 right, 0 the other way" in text


def test_a_difference_is_of_queries_and_its_interval_of_references() -> None:
    values = {"one": np.array([1.0, 1, 1, 0]), "other": np.array([0.0, 0, 0, 1])}
    found = ahead(values, {"composer": ("one", "other")}, ["a", "a", "a", "b"])
    mean, low, high = found["composer"]
    assert mean == 50
    assert low < 0 < high  # two references only, however many queries


def test_the_larger_set_has_other_references(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number}.jpg" for number in range(130)]
    labels = {name: {"kind": "shirt", "colour": "red"} for name in names[:-1]}
    asked = [TruthQuery(names[number % 120], "in blue", frozenset({names[125]})) for number in range(200)]
    made = TruthQueries(tuple(asked), "columns kind, colour")
    monkeypatch.setattr(harm_worlds.triptych, "truth_queries", lambda catalog, by: made)
    world = harm_worlds.World("x", Path("."), names, labels, ("kind", "colour"), lambda used: [])
    given, larger = world.queries(Path("catalog"))
    assert len(given.queries) == harm_worlds.TRUTH_QUERIES
    assert {query.candidates for query in given.queries} == {frozenset(names[:-1])}
    assert {query.reference for query in larger.queries} == set(names[100:120])
    assert larger.gallery == tuple(sorted(names[:-1]))


def test_a_text_is_encoded_once() -> None:
    class Counting:
        def __init__(self) -> None:
            self.asked: list[str] = []

        def encode_texts(self, texts: list[str]) -> np.ndarray:
            self.asked += texts
            return np.array([[len(text), 1] for text in texts], np.float32).reshape(-1, 2)

    encoder = Counting()
    remember_texts(encoder)  # type: ignore[arg-type]
    assert encoder.encode_texts(["a", "bb", "a"])[:, 0].tolist() == [1, 2, 1]
    assert encoder.encode_texts(["bb", "ccc"])[:, 0].tolist() == [2, 3]
    assert encoder.encode_texts([]).shape == (0, 2)
    assert encoder.asked == ["a", "bb", "ccc"]
