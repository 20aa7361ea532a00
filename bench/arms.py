"""Composers that learnt from different triplets, side by side: what critic_effect.py and reasoners.py share."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import triptych
from triptych.core.environment import Runtime
from triptych.evaluation.options import EvaluateOptions
from triptych.evaluation.results.reading import group_runs, read_rows
from triptych.evaluation.results.row import ResultRow
from triptych.training.options import TrainOptions
from triptych.triplets.file import Triplet, write_triplets
from write_results import METRICS, span

SPLITS = ("val", "test")


def draw(pool: Sequence[Triplet], count: int, seed: int) -> list[Triplet]:
    """So many of them by the seed, in the order of the file."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(pool))[:count])
    return [pool[row] for row in rows.tolist()]


def train(
    triplets: Sequence[Triplet],
    catalog: Path,
    composer: Path,
    command: str,
    options: TrainOptions,
    threads: int | None = None,
) -> None:
    """A composer from all of these, unless it is there."""
    if (composer / "config.json").exists():
        return
    file = composer.with_suffix(".parquet")
    # To `train`, what is refused is not there.
    taken = [replace(one, accepted=True, reason="") for one in triplets]
    write_triplets(file, taken, {"command": command, "arm": composer.name})
    triptych.train(file, catalog, composer, options, runtime=Runtime(threads))


def measured(
    name: str, root: Path, out: Path, arm: str, methods: Sequence[str] = (), **options: Any
) -> list[ResultRow]:
    """Evaluate what the options name, unless that was done before; the rows of all splits, under the arm's name."""
    rows: list[ResultRow] = []
    for split in SPLITS:
        result = out.with_suffix(f".{split}.json")
        if not result.exists():
            given = EvaluateOptions(split=split, gap=False, methods=tuple(methods))
            triptych.evaluate(name, given, root=root, output=result, **options)
        rows += [replace(row, method=arm) for row in read_rows(result)]
    return rows


def retrieval(rows: Sequence[ResultRow], metrics: Sequence[str] = METRICS) -> list[str]:
    """The lines of a table for each task and split; several runs of an arm as mean ± standard deviation."""
    parts: list[str] = []
    by_task: dict[tuple[str, str], list[ResultRow]] = defaultdict(list)
    for row in rows:
        by_task[row.task, row.split].append(row)
    for (task, split), same in by_task.items():
        asked, runs = span([row.queries for row in same]), max(Counter(row.method for row in same).values())
        parts.append(f"\n**{task}**, {split} split, {asked} queries, {runs} run(s) each\n")
        parts.append("| learnt from | " + " | ".join(metrics) + " |\n|---|" + "--:|" * len(metrics))
        for line in group_runs(same):
            figures = [line.figure(metric) for metric in metrics]
            cells = ["" if figure is None else figure.text() for figure in figures]
            parts.append(f"| {line.method} | {' | '.join(cells)} |")
    return parts
