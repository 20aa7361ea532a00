"""LaSCo: COCO's pictures of 2014, with queries made from questions that have different answers for two pictures.

Levy et al., *Data Roaming and Quality Assessment for Composed Image Retrieval* (AAAI 2024). The layout is that of the
authors: `lasco_val.json`, `lasco_val_corpus.json` (39,826 pictures), and COCO's `val2014/`. The authors report
R@1/5/10/50/100/500/1000. They publish no evaluation code, so a setting decides whether the reference is ranked.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from triptych.benchmarks.annotations import Record, read_records
from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.circus import QuerySubset
from triptych.benchmarks.settings import ReferenceSettings, Subset
from triptych.benchmarks.task import MetricCutoffs, Query, Task

SOURCE = "LaSCo's files are the folder downloads of github.com/levymsn/LaSCo"
PICTURES = "get COCO's val2014.zip from cocodataset.org"


@dataclass(frozen=True)
class LaSCoSettings(ReferenceSettings):
    """`reference`: whether it may be an answer; it is in the authors' list of gallery pictures.

    `subset`: the queries with a CIRCUS label.
    """

    subset: Subset = "all"


def load_lasco(root: Path, split: str, settings: LaSCoSettings) -> list[Task]:
    """Load the task of the split val. Pictures may be missing. Raises DataError for wrong or missing files."""
    listed = read_records(root / f"lasco_{split}_corpus.json", SOURCE)
    gallery = {_name(record.path("path")) for record in listed}
    labelled = QuerySubset.of(root, "lasco", settings.subset, split)
    queries = []
    for record in read_records(root / f"lasco_{split}.json", SOURCE):
        if not labelled.keeps(record, lambda each: each.identifier("qid")):
            continue
        reference, target = _picture(record, "query-image"), _picture(record, "target-image")
        if reference == target:
            raise record.error(f"{reference!r} is its own target")
        for name in (reference, target):
            if name not in gallery:
                raise record.error(f"{name!r} is not in the corpus; is it of another split?")
        text = settings.wrap(record.text("query-text"))
        queries.append(Query(record.identifier("qid"), reference, text, frozenset({target})))
    labelled.report(len(queries))
    return [
        Task(
            benchmark="lasco",
            name="relative",
            split=split,
            root=root / f"{split}2014",
            gallery=tuple(sorted(gallery)),
            queries=tuple(queries),
            settings=settings,
            measures=MetricCutoffs(recall=(1, 5, 10, 50, 100, 500, 1000), map_at=()),
            source=PICTURES,
        )
    ]


def _picture(record: Record, field: str) -> str:
    pair = record.items(field)
    if len(pair) != 2 or not isinstance(pair[1], str):
        raise record.error(f'"{field}" must be an id and a path')
    return _name(record.path(field, pair[1]))


def _name(path: str) -> str:
    """The file name without folders, since the two official files disagree on the folder."""
    return PurePosixPath(path).name


LASCO = Benchmark("lasco", load_lasco, ("val",), settings=LaSCoSettings)
