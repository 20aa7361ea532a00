"""Benchmarks by name: those of the program, plug-ins, and the user's own queries."""

from collections.abc import Callable, Sequence
from pathlib import Path

from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.datasets.circled import CIRCLED
from triptych.benchmarks.datasets.circo import CIRCO
from triptych.benchmarks.datasets.cirr import CIRR
from triptych.benchmarks.datasets.closet.benchmark import CLOSET
from triptych.benchmarks.datasets.fashion200k import FASHION200K
from triptych.benchmarks.datasets.fashion_products.benchmark import FASHION_PRODUCTS
from triptych.benchmarks.datasets.fashioniq import FASHIONIQ
from triptych.benchmarks.datasets.genecis import GENECIS
from triptych.benchmarks.datasets.icir import ICIR
from triptych.benchmarks.datasets.lasco import LASCO
from triptych.benchmarks.datasets.pinpoint import PINPOINT
from triptych.benchmarks.datasets.queries import load_queries
from triptych.benchmarks.datasets.wardrobe.benchmark import WARDROBE
from triptych.benchmarks.settings import parse_settings
from triptych.benchmarks.submissions import SubmissionFormat
from triptych.benchmarks.task import Task, Truth
from triptych.core.errors import UsageError
from triptych.core.plugins import Registry

BUILT_IN = (
    *(FASHION_PRODUCTS, CLOSET, WARDROBE),
    *(FASHIONIQ, CIRR, CIRCO, GENECIS, FASHION200K, LASCO, ICIR, PINPOINT, CIRCLED),
)
"""The benchmarks that come with the program."""

BENCHMARKS: Registry[Benchmark] = Registry("benchmark", Benchmark, "triptych.benchmarks", flag="benchmark")
for _benchmark in BUILT_IN:
    BENCHMARKS.register(_benchmark.name, _benchmark)


def names_where(has: Callable[[Benchmark], object]) -> list[str]:
    """The names of the program's own benchmarks that fulfil a condition, for messages and choices."""
    return [benchmark.name for benchmark in BUILT_IN if has(benchmark)]


def find_benchmark(given: Benchmark | str, split: str | None = None) -> Benchmark:
    """Find a benchmark.

    Args:
        given: a benchmark, its name, the name of an installed plug-in, or `module:attribute`.
        split: a split to check.

    Raises:
        UsageError: there is no such benchmark, or it has no such split.
    """
    benchmark = BENCHMARKS.get(given)
    if split is not None and split not in benchmark.splits:
        raise UsageError(f"{benchmark.name} has no split {split!r}; choose one of {', '.join(benchmark.splits)}")
    return benchmark


def is_queries_file(given: Benchmark | str) -> bool:
    """Whether it is a file of the user's own queries instead of a benchmark."""
    return isinstance(given, str) and given.endswith(".jsonl")


def load_benchmark(
    given: Benchmark | str, root: Path | None, gallery: Path | None, split: str, settings: Sequence[str] = ()
) -> list[Task]:
    """Load the tasks of a benchmark's split in `root`, or of a .jsonl file of queries over a `gallery`.

    Raises:
        UsageError: arguments contradict each other, or one is missing.
        DataError: files are missing or wrong.
    """
    if isinstance(given, str) and is_queries_file(given):
        if gallery is None:
            raise UsageError(f"{given}: your own queries need --gallery, the folder of their pictures")
        parse_settings(given, None, settings)
        return [load_queries(Path(given), gallery, root)]
    if root is None:
        name = find_benchmark(given).name
        raise UsageError(f"{name}: needs --root, the folder that its authors distribute")
    return load_tasks(given, root, split, settings)


def load_tasks(given: Benchmark | str, root: Path, split: str, settings: Sequence[str] = ()) -> list[Task]:
    """Load every task of a benchmark's split from its folder, with `settings` such as "gallery=union".

    Raises:
        UsageError: there is no such benchmark, split or setting.
        DataError: the folder does not contain the benchmark.
    """
    benchmark = find_benchmark(given, split)
    return list(benchmark.load(root, split, parse_settings(benchmark.name, benchmark.settings, settings)))


def submission_of(given: Benchmark | str) -> SubmissionFormat:
    """The submission files of a benchmark's server. Raises UsageError if it has no server."""
    found = None if is_queries_file(given) else find_benchmark(given).submission
    if found is None:
        name = given if isinstance(given, str) else given.name
        those = ", ".join(names_where(lambda benchmark: benchmark.submission))
        raise UsageError(f"{name} has no submission server; these benchmarks have: {those}")
    return found


def load_truth(given: Benchmark | str, root: Path) -> Truth:
    """Load the true attributes of each picture of a benchmark such as `wardrobe` or `fashion-products`.

    Raises:
        UsageError: the benchmark has no known attributes.
        DataError: the folder does not contain them.
    """
    benchmark = find_benchmark(given)
    if benchmark.truth is None:
        those = ", ".join(names_where(lambda known: known.truth))
        raise UsageError(f"{benchmark.name!r} has no known attributes; these benchmarks have: {those}")
    return benchmark.truth(root)
