"""Fashion200k: queries such as "replace red with blue" between products whose descriptions differ in one word.

The pictures are of Han et al., *Automatic Spatially-aware Fashion Concept Discovery* (ICCV 2017), queries and protocol
of Vo et al., *Composing Text and Image for Image Retrieval* (TIRG, CVPR 2019; its datasets.py and test_retrieval.py).
The layout: `labels/*_test_*.txt`, lines of path, score and description; the pictures at these paths; TIRG's
`test_queries.txt`, lines of a source and a target picture. Every test picture with the target's description is a
target, and the source is not ranked. The metrics are R@1/10/50.
"""

from dataclasses import dataclass
from pathlib import Path

from triptych.benchmarks.annotations import inner_path
from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.settings import Reference, ReferenceSettings
from triptych.benchmarks.task import MetricCutoffs, Query, Task
from triptych.core.errors import DataError

SOURCE = "labels and pictures are at github.com/xthan/fashion-200k, test_queries.txt comes with github.com/google/tirg"


@dataclass(frozen=True)
class Fashion200kSettings(ReferenceSettings):
    """`reference`: whether it may be an answer; published code removes it."""

    reference: Reference = "removed"


def load_fashion200k(root: Path, split: str, settings: Fashion200kSettings) -> list[Task]:
    """Load the task of the split test. The pictures may still be missing.

    Raises:
        DataError: annotation files are missing or wrong.
    """
    described = _descriptions(root / "labels", split)
    by_text: dict[str, set[str]] = {}
    for name, text in described.items():
        by_text.setdefault(text, set()).add(name)
    path = root / "test_queries.txt"
    queries = []
    for number, line in enumerate(_lines(path), start=1):
        where = f"{path}:{number}"
        pair = line.split()
        if len(pair) != 2:
            raise DataError(f"{where}: not a source and a target picture")
        for name in pair:
            if name not in described:
                raise DataError(f"{where}: {name!r} is not in the test labels")
        source, target = pair
        if described[source] == described[target]:
            raise DataError(f"{where}: source and target have the same description")
        text = f"replace {_odd(described[source], described[target])} with {_odd(described[target], described[source])}"
        queries.append(Query(str(number), source, settings.wrap(text), frozenset(by_text[described[target]])))
    if not queries:
        raise DataError(f"{path}: no queries; {SOURCE}")
    return [
        Task(
            benchmark="fashion200k",
            name="one-word-apart",
            split=split,
            root=root,
            gallery=tuple(sorted(described)),
            queries=tuple(queries),
            settings=settings,
            measures=MetricCutoffs(recall=(1, 10, 50), map_at=()),
            source=SOURCE,
        )
    ]


def _descriptions(folder: Path, split: str) -> dict[str, str]:
    """Read the description of every labelled picture of a split. If a picture has two, the last counts, as in TIRG."""
    files = sorted(folder.glob(f"*{split}*.txt")) if folder.is_dir() else []
    if not files:
        raise DataError(f"{folder}: has no labels *_{split}_*.txt; {SOURCE}")
    described = {}
    for path in files:
        for number, line in enumerate(_lines(path), start=1):
            parts = line.split("\t")
            if len(parts) < 3:
                raise DataError(f"{path}:{number}: not a path, a score and a description, separated by tabs")
            described[inner_path(f"{path}:{number}", parts[0])] = parts[2].strip()
    return described


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise DataError(f"{path}: missing; {SOURCE}")
    try:
        return [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); get it again: {SOURCE}") from None


def _odd(words: str, others: str) -> str:
    """The first word that is not among the others; the last word if all are."""
    known = set(others.split())
    return next((word for word in words.split() if word not in known), (words.split() or [""])[-1])


FASHION200K = Benchmark("fashion200k", load_fashion200k, ("test",), settings=Fashion200kSettings)
