"""Train and evaluate composers on paired sets of triplets: what critic_effect.py and reasoners.py share."""

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
    """Draw `count` triplets by the seed and keep the order of the file."""
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
    """Train a composer on all of these triplets, accepted and refused, unless the folder holds one."""
    if (composer / "config.json").exists():
        return
    file = composer.with_suffix(".parquet")
    # `train` skips refused triplets.
    accepted = [replace(one, accepted=True, reason="") for one in triplets]
    write_triplets(file, accepted, {"command": command, "variant": composer.name})
    triptych.train(file, catalog, composer, options, runtime=Runtime(threads))


def evaluate(
    name: str, root: Path, out: Path, variant: str, methods: Sequence[str] = (), **options: Any
) -> list[ResultRow]:
    """Evaluate on each split, unless its result is there. The rows bear the name of the variant as their method."""
    rows: list[ResultRow] = []
    for split in SPLITS:
        result = out.with_suffix(f".{split}.json")
        if not result.exists():
            given = EvaluateOptions(split=split, gap=False, methods=tuple(methods))
            triptych.evaluate(name, given, root=root, output=result, **options)
        rows += [replace(row, method=variant) for row in read_rows(result)]
    return rows


def retrieval_tables(rows: Sequence[ResultRow], metrics: Sequence[str] = METRICS) -> list[str]:
    """The lines of a table for each task and split. Several runs of a variant become mean ± standard deviation."""
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
