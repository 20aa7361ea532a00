"""The drawn wardrobe as a benchmark, whose attributes are all known."""

import csv
from dataclasses import replace
from pathlib import Path

from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.datasets.queries import load_queries
from triptych.benchmarks.datasets.wardrobe.garments import VOCABULARY
from triptych.benchmarks.task import Task, Truth
from triptych.core.errors import DataError


def load_wardrobe(root: Path, split: str) -> Task:
    """Load a split of a wardrobe that `write_wardrobe` wrote.

    Args:
        root: the wardrobe's folder.
        split: "val" or "test".

    Raises:
        DataError: its queries cannot be used.
        UsageError: `root` holds no wardrobe.
    """
    task = load_queries(root / f"queries.{split}.jsonl", root / f"{split}.txt", root / "images")
    return replace(task, benchmark="wardrobe", name="edits", split=split)


def read_truth(world: Path) -> Truth:
    """The true attributes of each picture, from the table of garments.

    Raises:
        DataError: there is no table.
    """
    path = world / "garments.csv"
    try:
        with path.open(encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); it is in the folder that `triptych wardrobe` made"
        ) from None
    if not rows or "image" not in rows[0]:
        raise DataError(f"{path}: no table of garments; it is in the folder that `triptych wardrobe` made")
    beside = ("image", "split", "line", "garment")
    return {row["image"]: {key: row[key] for key in row if key not in beside} for row in rows}


WARDROBE = Benchmark(
    "wardrobe",
    lambda root, split, _: [load_wardrobe(root, split)],
    ("val", "test"),
    {"val": "val", "test": "val"},
    vocabulary=VOCABULARY,
    truth=read_truth,
    attributes=("colour", "kind", "pattern", "sleeve", "neckline", "length", "print"),
)
