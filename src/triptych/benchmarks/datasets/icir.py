"""i-CIR: find the same object in the state that the words describe, in a gallery for each object.

Psomas et al., *Instance-Level Composed Image Retrieval* (NeurIPS 2025). The layout is that of the authors:
`query_files.csv` and `database_files.csv`, lines of picture, text and instance without a header, and the pictures in
`query/` and `database/`. There are 202 instances, 1,883 queries, and about 750,000 pictures. Targets are the pictures
with the query's instance and text, ranked among the pictures of the instance (their run_retrieval.py). The metrics are
mAP by the trapezoidal rule over all queries, and mmAP, its mean over instances.
"""

from dataclasses import dataclass
from pathlib import Path

from triptych.benchmarks.annotations import inner_path, read_columns
from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.settings import ProtocolSettings
from triptych.benchmarks.task import MetricCutoffs, Query, Task
from triptych.core.errors import DataError
from triptych.core.progress import say

SOURCE = "get icir_v1.0.0.tar.gz from vrg.fel.cvut.cz/icir"
MEASURES = MetricCutoffs(recall=(1, 5, 10), map_at=(), whole=True)


@dataclass(frozen=True)
class ICIRSettings(ProtocolSettings):
    """The settings of every benchmark. The galleries are fixed, and none contains a query."""


def load_icir(root: Path, split: str, settings: ICIRSettings) -> list[Task]:
    """Load the task. The pictures may still be missing.

    Raises:
        DataError: a file is missing or wrong.
    """
    shown = _database(root)
    galleries = {instance: tuple(sorted(pictures)) for instance, pictures in shown.items()}
    answers = {
        (instance, text): frozenset(picture for picture, texts in pictures.items() if text in texts)
        for instance, pictures in shown.items()
        for text in {text for texts in pictures.values() for text in texts}
    }
    queries, lost = [], 0
    place = _placed(root, "query", "query_files.csv")
    for number, (where, (path, text, instance)) in enumerate(read_columns(root / "query_files.csv", SOURCE, 3)):
        if instance not in galleries:
            raise DataError(f"{where}: no picture of the database is of the instance {instance!r}")
        targets = answers.get((instance, text), frozenset())
        if not targets:
            lost += 1
            continue
        queries.append(
            Query(
                str(number),
                place + inner_path(where, path),
                settings.wrap(text),
                targets,
                candidates=galleries[instance],
                family=instance,
            )
        )
    if not queries:
        raise DataError(f"{root}: no query has an answer in the database; are both files of one release?")
    if lost:
        say(f"icir: left out {lost} queries without an answer in the database")
    return [
        Task(
            benchmark="icir",
            name="instances",
            split=split,
            root=root,
            gallery=tuple(sorted({picture for pictures in galleries.values() for picture in pictures})),
            queries=tuple(queries),
            settings=settings,
            measures=MEASURES,
            notes={"instances": len(galleries)},
            source=SOURCE,
        )
    ]


def _database(root: Path) -> dict[str, dict[str, set[str]]]:
    """Read the pictures of each instance, each with the texts that are true of it."""
    place = _placed(root, "database", "database_files.csv")
    shown: dict[str, dict[str, set[str]]] = {}
    for where, (path, text, instance) in read_columns(root / "database_files.csv", SOURCE, 3):
        shown.setdefault(instance, {}).setdefault(place + inner_path(where, path), set()).add(text)
    return shown


def _placed(root: Path, folder: str, file: str) -> str:
    """The prefix for the paths of a file: empty if they start at the root, else the folder."""
    _, (path, *_) = next(iter(read_columns(root / file, SOURCE, 3)))
    return "" if path.startswith(f"{folder}/") or (root / path).is_file() else f"{folder}/"


ICIR = Benchmark("icir", load_icir, ("test",), settings=ICIRSettings)
