"""The benchmarks by name: what `triptych evaluate` can be pointed at."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from triptych.benchmarks.fashion_products import load_fashion_products
from triptych.benchmarks.protocol import Task
from triptych.benchmarks.wardrobe import load_wardrobe
from triptych.errors import UsageError
from triptych.wardrobe import VOCABULARY


@dataclass(frozen=True)
class Benchmark:
    """How a benchmark's tasks are loaded: `load(root, split, task)`."""

    load: Callable[[Path, str, str], Task]
    tasks: tuple[str, ...]
    splits: tuple[str, ...]
    vocabulary: Path | None = None
    """Its attributes' words; None for the default vocabulary."""


BENCHMARKS: dict[str, Benchmark] = {
    "fashion-products": Benchmark(load_fashion_products, ("colourway", "attribute"), ("val", "test", "all")),
    "wardrobe": Benchmark(
        lambda root, split, task: load_wardrobe(root, split), ("edits",), ("val", "test"), VOCABULARY
    ),
}


def load_tasks(name: str, root: Path, split: str) -> list[Task]:
    """Load every task of a benchmark's split from its folder.

    Raises:
        UsageError: there is no such benchmark or split.
        DataError: the folder does not hold the benchmark.
    """
    if name not in BENCHMARKS:
        raise UsageError(f"there is no benchmark {name!r}; choose one of {', '.join(BENCHMARKS)}")
    benchmark = BENCHMARKS[name]
    if split not in benchmark.splits:
        raise UsageError(f"{name} has no split {split!r}; choose one of {', '.join(benchmark.splits)}")
    return [benchmark.load(root, split, task) for task in benchmark.tasks]
