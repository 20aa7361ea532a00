"""The benchmarks by name: what `triptych eval` can be pointed at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triptych.benchmarks.datasets.circo import CIRCOSettings, load_circo
from triptych.benchmarks.datasets.cirr import CIRRSettings, load_cirr
from triptych.benchmarks.datasets.fashion200k import Fashion200kSettings, load_fashion200k
from triptych.benchmarks.datasets.fashion_products.products import _fashion_products, load_fashion_products
from triptych.benchmarks.datasets.fashioniq import FashionIQSettings, load_fashioniq
from triptych.benchmarks.datasets.genecis import GeneCISSettings, load_genecis
from triptych.benchmarks.datasets.lasco import LaSCoSettings, load_lasco
from triptych.benchmarks.datasets.queries import load_queries
from triptych.benchmarks.datasets.wardrobe.benchmark import _wardrobe, load_wardrobe
from triptych.benchmarks.datasets.wardrobe.garments import VOCABULARY
from triptych.benchmarks.settings import Settings, parse_settings
from triptych.benchmarks.task import Task, Truth
from triptych.core.errors import UsageError


@dataclass(frozen=True)
class Benchmark:
    """How a benchmark's tasks are loaded: `load(root, split, settings)`."""

    load: Callable[[Path, str, Any], Sequence[Task]]
    splits: tuple[str, ...]
    weights_from: Mapping[str, str] = field(default_factory=dict)
    """For a split the one that weights are chosen on; for one that is not here they are given, or one half."""
    settings: type[Settings] | None = None
    averaged: bool = False
    """Whether published tables have the mean over its tasks."""
    vocabulary: Path | None = None
    """Its attributes' words; None for the default vocabulary."""


BENCHMARKS: dict[str, Benchmark] = {
    "fashion-products": Benchmark(
        lambda root, split, _: [load_fashion_products(root, split, task) for task in ("colourway", "attribute")],
        ("val", "test", "all"),
        {"val": "val", "test": "val"},
    ),
    "wardrobe": Benchmark(
        lambda root, split, _: [load_wardrobe(root, split)],
        ("val", "test"),
        {"val": "val", "test": "val"},
        vocabulary=VOCABULARY,
    ),
    "fashioniq": Benchmark(load_fashioniq, ("val",), settings=FashionIQSettings, averaged=True),
    "cirr": Benchmark(load_cirr, ("val", "test1"), {"test1": "val"}, CIRRSettings),
    "circo": Benchmark(load_circo, ("val", "test"), {"test": "val"}, CIRCOSettings),
    "genecis": Benchmark(load_genecis, ("test",), settings=GeneCISSettings, averaged=True),
    "fashion200k": Benchmark(load_fashion200k, ("test",), settings=Fashion200kSettings),
    "lasco": Benchmark(load_lasco, ("val",), settings=LaSCoSettings),
}


def load_benchmark(
    name: str, root: Path | None, gallery: Path | None, split: str, settings: Sequence[str] = ()
) -> list[Task]:
    """The tasks of a benchmark's split in `root`, or of a .jsonl file of queries over a `gallery`.

    Raises UsageError for what makes no sense together, and DataError where the files do not hold what they should.
    """
    if name.endswith(".jsonl"):
        if gallery is None:
            raise UsageError(f"{name}: your own queries need --gallery, the folder of their pictures")
        parse_settings(name, None, settings)
        return [load_queries(Path(name), gallery, root)]
    if root is None:
        raise UsageError(f"{name}: needs --root, the folder that its authors distribute")
    return load_tasks(name, root, split, settings)


def load_tasks(name: str, root: Path, split: str, settings: Sequence[str] = ()) -> list[Task]:
    """Load every task of a benchmark's split from its folder, with `settings` such as "gallery=union".

    Raises:
        UsageError: there is no such benchmark, split or setting.
        DataError: the folder does not hold the benchmark.
    """
    benchmark = find_benchmark(name, split)
    return list(benchmark.load(root, split, parse_settings(name, benchmark.settings, settings)))


def find_benchmark(name: str, split: str) -> Benchmark:
    """The benchmark of that name. Raises UsageError where there is none, or it has no such split."""
    if name not in BENCHMARKS:
        raise UsageError(f"there is no benchmark {name!r}; choose one of {', '.join(BENCHMARKS)}")
    if split not in BENCHMARKS[name].splits:
        raise UsageError(f"{name} has no split {split!r}; choose one of {', '.join(BENCHMARKS[name].splits)}")
    return BENCHMARKS[name]


"""Picture to attribute to word, as the agent's vocabulary has it."""


def load_truth(name: str, root: Path) -> Truth:
    """The truth of a world: `wardrobe`, a folder that `triptych wardrobe` made, or `fashion-products`.

    Raises UsageError for another name, DataError where the folder does not hold it.
    """
    if name not in WORLDS:
        raise UsageError(f"the truth of {name!r} is not known; it is of {' and '.join(WORLDS)}")
    return WORLDS[name](root)


WORLDS: Mapping[str, Callable[[Path], Truth]] = {"wardrobe": _wardrobe, "fashion-products": _fashion_products}
