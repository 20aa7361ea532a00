"""PinPoint: several right answers, explicit negatives, six wordings of each request, and sometimes two references.

Mahadev et al., *PinPoint: Evaluation of Composed Image Retrieval with Explicit Negatives, Multi-Image Queries, and
Paraphrase Testing* (CVPR 2026). The layout is that of the authors (github.com/pinterest/pinpoint-dataset):
`pinpoint_licensed.parquet`, 7,635 queries, and `index_signatures.txt`, the gallery. A picture's name is its signature;
its file is `images/SIGNATURE.jpg`, or as on their image host, `736x/da/93/91/da9391….jpg`.

The metrics are those of the authors' evaluate.py: P@k, mAP@k, the share of right answers among the first k (their
recall@k), NegRecall@k, the share of negatives, mAP@k without the negatives, and the spread of P@10 between wordings of
a request. Requests are grouped by their references alone, as in their code. Two references are averaged, as in their
run_retrieval.py. The file lists some pictures twice, and some as both right and wrong. As in their code, each entry
counts in the divisor of a share, a picture in both lists counts in both, and a picture outside the gallery is never
found.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from triptych.benchmarks.annotations import Record
from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.settings import ReferenceSettings
from triptych.benchmarks.task import MetricCutoffs, Query, Task
from triptych.core.errors import DataError
from triptych.core.progress import say

SOURCE = "PinPoint's files are at github.com/pinterest/pinpoint-dataset"
PICTURES = (
    "PinPoint's pictures are at i.pinimg.com/736x/AA/BB/CC/SIGNATURE.jpg, where AA, BB and CC are the first letters of "
    "a signature; put them into images/ as SIGNATURE.jpg"
)
CUTS = (1, 5, 10, 50)
MEASURES = MetricCutoffs(recall=(), map_at=CUTS, precision_at=CUTS, target_recall_at=CUTS, negatives=CUTS, spread=10)
_FILES = ("pinpoint_licensed.parquet", "pinpoint_metadata.parquet")
_LISTS = ("positive_candidates", "negative_candidates")
_NOTHING = ("", "None", "none", "nan")


@dataclass(frozen=True)
class PinPointSettings(ReferenceSettings):
    """`reference`: whether it may be an answer; the authors' code allows it."""


def load_pinpoint(root: Path, split: str, settings: PinPointSettings) -> list[Task]:
    """Load the task. The pictures may still be missing.

    Raises:
        DataError: a file is missing or wrong.
    """
    counts: Counter[str] = Counter()
    asked = [_query(record, settings, counts) for record in _rows(root)]
    listed = root / "index_signatures.txt"
    named = {name for query in asked for name in (*query.targets, *query.negatives)}
    gallery = _signatures(listed) if listed.is_file() else named
    if not listed.is_file():
        say(f"pinpoint: {listed.name} is missing; the gallery is the {len(named)} pictures that the queries name")
    queries = [_within(query, gallery, settings, counts) for query in asked]
    kept = [query for query in queries if query.targets]
    counts["queries without a right answer in the gallery, left out"] += len(queries) - len(kept)
    for what, count in counts.items():
        if count:
            say(f"pinpoint: {count} {what}")
    if not kept:
        raise DataError(f"{root}: no query has a right answer in {listed.name}; {SOURCE}")
    folder = root / "images"
    nested = not folder.is_dir() and (root / "736x").is_dir()
    names = gallery.union(*(query.references for query in kept))
    files = {name: f"{name[:2]}/{name[2:4]}/{name[4:6]}/{name}.jpg" if nested else f"{name}.jpg" for name in names}
    return [
        Task(
            benchmark="pinpoint",
            name="all",
            split=split,
            root=root / "736x" if nested else folder,
            gallery=tuple(sorted(gallery)),
            queries=tuple(kept),
            files=files,
            settings=settings,
            measures=MEASURES,
            source=PICTURES,
        )
    ]


def _rows(root: Path) -> Iterator[Record]:
    """The queries of the Parquet file."""
    path = next((root / name for name in _FILES if (root / name).is_file()), root / _FILES[0])
    if not path.is_file():
        raise DataError(f"{path}: missing; {SOURCE}")
    try:
        rows = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: not readable as Parquet ({str(error).splitlines()[0]}); get it again: {SOURCE}"
        ) from None
    if not rows:
        raise DataError(f"{path}: it is empty; get it again: {SOURCE}")
    for number, row in enumerate(rows, start=1):
        yield Record(f"{path}: row {number}", row)


def _query(record: Record, settings: PinPointSettings, counts: Counter[str]) -> Query:
    """Parse a query of the file. Duplicate and missing names are added to `counts`."""
    references = [name for name in (_name(record, "query_image_signature"), _second(record)) if name]
    if not references:
        raise record.error('"query_image_signature" names no picture')
    right, wrong = (_listed(record, field, counts) for field in _LISTS)
    counts["pictures listed as both right and wrong"] += len(right & wrong)
    return Query(
        id=record.identifier("query_id"),
        reference=references[0],
        modification=settings.wrap(record.text("instruction")),
        targets=right,
        more_references=tuple(references[1:]),
        negatives=wrong,
        listed=(len(record.items(_LISTS[0])), len(record.items(_LISTS[1]))),
        family=" ".join(references),
    )


def _within(query: Query, gallery: set[str], settings: PinPointSettings, counts: Counter[str]) -> Query:
    """Remove pictures outside the gallery, and the reference if it may not be an answer."""
    known = gallery if settings.reference_answers else gallery - {query.reference}
    counts["right answers that are not in the gallery"] += len(query.targets - gallery)
    counts["wrong answers that are not in the gallery"] += len(query.negatives - gallery)
    return replace(query, targets=query.targets & known, negatives=query.negatives & known)


def _listed(record: Record, field: str, counts: Counter[str]) -> frozenset[str]:
    names = [name for name in record.items(field) if isinstance(name, str) and name not in _NOTHING]
    counts["empty entries of candidates"] += len(record.items(field)) - len(names)
    counts["candidates that are listed twice"] += len(names) - len(set(names))
    return frozenset(names)


def _name(record: Record, field: str) -> str:
    value: Any = record.text(field) if field in record else ""
    return "" if value in _NOTHING else str(value)


def _second(record: Record) -> str:
    field = "query_image_signature2"
    return "" if field not in record or record.is_none(field) else _name(record, field)


def _signatures(path: Path) -> set[str]:
    try:
        return {line.strip() for line in path.read_text(encoding="utf-8").split("\n") if line.strip()}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); get it again: {SOURCE}") from None


PINPOINT = Benchmark("pinpoint", load_pinpoint, ("test",), settings=PinPointSettings)
