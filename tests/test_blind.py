"""The blind comparison: what a tally tells, that a choice counts once, and that it is kept with the composer."""

import json
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from triptych.serving.blind import ENOUGH, FIELD, BlindComparison, Tally
from triptych.serving.problems import Problem


def test_a_tally_tells_a_large_difference_and_no_small_one() -> None:
    assert Tally().as_json() | {} == {
        "composer": 0, "sum": 0, "ties": 0, "share": 0.5, "interval": [0.0, 1.0], "p": 1.0, "decision": "undecided",
        "enough": ENOUGH,
    }  # fmt: skip
    assert Tally(15, ENOUGH - 15).decision == "composer"
    assert Tally(ENOUGH - 15, 15, 30).decision == "sum"
    assert Tally(14, ENOUGH - 14).decision == "undecided"
    # Checked against tables of the binomial distribution and of Wilson's interval.
    assert Tally(15, 5).p == pytest.approx(0.0414, abs=1e-4)
    assert Tally(15, 5).interval == pytest.approx((0.5313, 0.8881), abs=1e-4)
    assert Tally(3, 0).p == pytest.approx(0.25)


def test_a_choice_counts_once_and_is_kept(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"format": "x", "verdict": None}), "utf-8")
    comparison = BlindComparison(tmp_path)
    sides = []
    for _ in range(40):
        token, left = comparison.ask()
        sides.append(left)
        comparison.choose(token, "left" if left else "right")
        with pytest.raises(Problem) as raised:
            comparison.choose(token, "left")
        assert raised.value.status == 404
    assert {True, False} == set(sides)
    token, _ = comparison.ask()
    comparison.choose(token, "tie")
    assert comparison.tally == BlindComparison(tmp_path).tally == Tally(40, 0, 1)
    kept = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert (kept["format"], kept[FIELD]["decision"]) == ("x", "composer")


def test_questions_that_nobody_decides_are_forgotten(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", "utf-8")
    comparison = BlindComparison(tmp_path)
    first, _ = comparison.ask()
    for _ in range(200):
        comparison.ask()
    with pytest.raises(Problem):
        comparison.choose(first, "tie")
