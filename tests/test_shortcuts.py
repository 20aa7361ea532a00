"""For every official benchmark `eval` counts what one input alone solves, and gives each method's score on the rest.

The numbers themselves are checked against a plain computation in test_scored.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_benchmarks import evaluate, write_circo, write_cirr, write_fashioniq, write_genecis
from planted import Squares
from test_benchmarks_2026 import circled, icir, pinpoint  # noqa: F401  # fixtures
from test_more_benchmarks import fashion200k, lasco  # noqa: F401  # fixtures

BENCHMARKS: dict[str, tuple[str, Callable[[Path], Path] | None]] = {
    "fashioniq": ("val", write_fashioniq),
    "cirr": ("val", write_cirr),
    "circo": ("val", write_circo),
    "genecis": ("test", write_genecis),
    "fashion200k": ("test", None),
    "lasco": ("val", None),
    "icir": ("test", None),
    "pinpoint": ("test", None),
    "circled": ("val", None),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_task_has_its_shares_and_each_method_its_score(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    split, make = BENCHMARKS[name]
    root = make(tmp_path) if make else request.getfixturevalue(name)
    encoder: Any = Squares()
    result = evaluate(name, root=root, split=split, methods=["picture", "sum", "product"], encoder=encoder)
    tasks = {row.task for row in result.rows if row.task != "mean"}
    printed = str(result)
    for row in result.rows:
        found = row.shortcuts
        if row.task == "mean":
            assert found is None  # a mean over tasks has no queries of its own
            continue
        assert found is not None, row.heading
        shares = (found.picture_only, found.text_only, found.either, found.neither)
        assert sum(shares) == pytest.approx(100, abs=1e-3)
        assert found.queries == pytest.approx(row.queries * found.neither / 100, abs=0.01)
        assert found.cutoff == (1 if name == "genecis" else 10)
        assert f"{row.benchmark} · {row.task}: picture only {found.picture_only:.1f} %" in printed
        if not found.queries:
            assert found.recall is found.interval is None
            continue
        low, high = found.interval or (np.nan, np.nan)
        assert found.recall is not None
        assert low <= found.recall <= high
        if row.method == "picture":
            assert found.recall == 0
        else:
            assert f"    {row.method}: R@{found.cutoff} {found.recall:.2f} [{low:.2f}, {high:.2f}]" in printed
    assert tasks
