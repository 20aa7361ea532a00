"""The generated wardrobe world: a gallery whose every edit is known."""

from dataclasses import replace
from pathlib import Path

from triptych.benchmarks.protocol import Task
from triptych.benchmarks.queries import load_queries


def load_wardrobe(root: Path, split: str) -> Task:
    """Read the `split` ("val" or "test") of a wardrobe that `triptych` generated in `root`.

    Raises:
        DataError: its queries cannot be used.
        UsageError: there is no wardrobe in `root`.
    """
    task = load_queries(root / f"queries.{split}.jsonl", root / f"{split}.txt", root / "images")
    return replace(task, benchmark="wardrobe", name="edits", split=split)
