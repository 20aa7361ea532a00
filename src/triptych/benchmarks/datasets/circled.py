"""CIRCLED: sessions of two to six turns, over the pictures of FashionIQ, CIRR and CIRCO.

Takeda et al., *CIRCLED: A Multi-turn CIR Dataset with Consistent Dialogues across Domains* (arXiv 2605.26734). The
layout is that of the authors (huggingface.co/datasets/tk1441/CIRCLED): `cirr_val.json`, `fashioniq_dress_val.json` and
so on, lists of sessions. The folders of the data sets with the pictures are beside them, as `fashion-iq`, `cirr` and
`CIRCO`, each in its authors' layout. Missing subsets are not measured.

There is a task for each subset and turn, and one for the last turns: R@1/5/10/50 of any ground truth over the data
set's official gallery. The authors' evaluation code is not published with the data. So settings decide how a query is
made from a dialogue, and whether a reference may be an answer.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from triptych.benchmarks.annotations import Record, read_records
from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.datasets import circo, cirr, fashioniq
from triptych.benchmarks.settings import ReferenceSettings
from triptych.benchmarks.task import MetricCutoffs, Query, Task
from triptych.core.errors import DataError
from triptych.core.progress import say

SOURCE = "get the sessions from huggingface.co/datasets/tk1441/CIRCLED"
SUBSETS = {
    "val": ("fashioniq_dress_val", "fashioniq_shirt_val", "fashioniq_toptee_val", "cirr_val", "circo_val"),
    "train": ("fashioniq_dress_train", "fashioniq_shirt_train", "fashioniq_toptee_train", "cirr_train"),
}
MEASURES = MetricCutoffs(recall=(1, 5, 10, 50), map_at=())
_FOLDERS = {
    "fashioniq": ("fashion-iq", "fashioniq", "FashionIQ"),
    "cirr": ("cirr", "CIRR"),
    "circo": ("CIRCO", "circo"),
}


@dataclass(frozen=True)
class CIRCLEDSettings(ReferenceSettings):
    """`history`: the query's text consists of all captions so far, `joined` by full stops, or only of the `last` one.

    In both cases the reference is that of the turn. `reference`: whether it may be an answer.
    """

    history: Literal["joined", "last"] = "joined"


@dataclass(frozen=True)
class _Gallery:
    """The pictures of a subset's gallery, and their folder."""

    root: Path
    files: dict[str, str]
    source: str


def load_circled(root: Path, split: str, settings: CIRCLEDSettings) -> list[Task]:
    """Load a task for each turn of each subset with files.

    Raises:
        DataError: a file is wrong, or there is none.
    """
    tasks: list[Task] = []
    missing = []
    for subset in SUBSETS[split]:
        sessions = next(
            (place for place in (root / f"{subset}.json", root / "data" / f"{subset}.json") if place.is_file()), None
        )
        gallery = _gallery(root, subset) if sessions else None
        if sessions is None or gallery is None:
            missing.append(subset)
            continue
        tasks += _tasks(sessions, subset, split, gallery, settings)
    if not tasks:
        raise DataError(f"{root}: there is no subset of {split} with its dataset's folder beside it; {SOURCE}")
    if missing:
        say(f"circled: not measured, since sessions or dataset are missing: {', '.join(missing)}")
    return tasks


def _tasks(path: Path, subset: str, split: str, gallery: _Gallery, settings: CIRCLEDSettings) -> Iterator[Task]:
    turns: dict[str, list[Query]] = {}
    own = 0
    for session in read_records(path, SOURCE):
        queries = _session(session, subset, gallery, settings)
        own += sum(query is None for query in queries)
        for number, query in enumerate(queries, start=1):
            if query is not None:
                turns.setdefault(f"turn {number}", []).append(query)
        if queries and queries[-1] is not None:
            turns.setdefault("last turn", []).append(queries[-1])
    if own:
        say(f"circled {subset}: left out {own} turns whose reference is the only answer")
    for name in sorted(turns, key=lambda turn: (turn == "last turn", turn)):
        yield Task(
            benchmark="circled",
            name=f"{subset} {name}",
            split=split,
            root=gallery.root,
            gallery=tuple(sorted(gallery.files)),
            queries=tuple(turns[name]),
            files=gallery.files,
            settings=settings,
            measures=MEASURES,
            source=gallery.source,
        )


def _session(record: Record, subset: str, gallery: _Gallery, settings: CIRCLEDSettings) -> list[Query | None]:
    """Make the queries of a session, one for each turn; None for a query whose reference is the only answer."""
    name = record.text("session_id")
    turns = record.records("turns")
    if not turns or len(turns) != record.number("num_turns"):
        raise record.error(f'"num_turns" is {record.number("num_turns")}, but there are {len(turns)} turns')
    truths = frozenset(_picture(record, truth, subset, gallery) for truth in record.items("ground_truth_ids"))
    said: list[str] = []
    queries: list[Query | None] = []
    for number, turn in enumerate(turns, start=1):
        if turn.number("turn") != number:
            raise turn.error(f"turn {turn.number('turn')} is out of order; expected {number}")
        reference = _picture(turn, turn.identifier("reference_image_id"), subset, gallery)
        said.append(turn.text("relative_caption").strip())
        text = said[-1] if settings.history == "last" else ". ".join(each.rstrip(" .") for each in said)
        targets = truths - {reference}
        query = Query(f"{name} {number}", reference, settings.wrap(text), targets, family=name)
        queries.append(query if targets else None)
    return queries


def _picture(record: Record, given: object, subset: str, gallery: _Gallery) -> str:
    """A picture's name in its data set.

    Raises:
        DataError: the data set's gallery lacks it.
    """
    name = str(given)
    if subset.startswith("circo") and name.isdigit():
        name = circo.picture_name(int(name))
    if name not in gallery.files:
        raise record.error(f"{given!r} is not in the gallery of {subset}; is the dataset's folder of another split?")
    return name


def _gallery(root: Path, subset: str) -> _Gallery | None:
    """The official gallery of a subset; None if the data set's folder is missing."""
    dataset, _, rest = subset.partition("_")
    folder = next((root / name for name in _FOLDERS[dataset] if (root / name).is_dir()), None)
    if folder is None:
        return None
    if dataset == "circo":
        return _Gallery(folder / "COCO2017_unlabeled" / "unlabeled2017", circo.read_gallery(folder), circo.PICTURES)
    if dataset == "cirr":
        inner = folder / "cirr" if (folder / "cirr" / "captions").is_dir() else folder
        files = cirr.read_split(inner / "image_splits" / f"split.rc2.{rest}.json")
        pictures = cirr.pictures_folder(folder, inner, next(iter(files.values())))
        return _Gallery(pictures, files, cirr.PICTURES)
    category, _, split = rest.partition("_")
    names = fashioniq.read_split(folder / "image_splits" / f"split.{category}.{split}.json")
    pictures = folder / "images"
    if (pictures / category).is_dir():
        pictures /= category
    there = frozenset(os.listdir(pictures)) if pictures.is_dir() else frozenset()
    return _Gallery(pictures, {name: fashioniq.picture_file(name, there) for name in names}, fashioniq.PICTURES)


CIRCLED = Benchmark("circled", load_circled, ("val", "train"), settings=CIRCLEDSettings)
