"""Closet: photos of clothes that people took at home, annotated by hand, with queries made by rules.

A protocol of this project. The photos are a part of Alexey Grigorev's clothing dataset (CC0).

- A photo has a kind, a colour, a pattern and sleeves. Plain cloth, melange, knit, denim and lace count as one pattern.
- One or two of these change to a combination that another photo has. The targets are all photos with exactly that
  combination. If the new kind has usual sleeves or none, the sleeves follow the kind without being mentioned.
- Each reference has up to three queries, spread over the kinds of change as evenly as possible.
- Photos are divided into splits by sender, since photos of one sender share their background.

Every choice depends only on a hash of names, not on an order or a random state.
"""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.datasets.closet.phrasings import phrase
from triptych.benchmarks.datasets.closet.words import COLOURS, KINDS, PATTERNS, PLAIN, SLEEVES, USUAL_SLEEVES
from triptych.benchmarks.task import Query, Task, Truth
from triptych.core.errors import DataError
from triptych.core.text import hash_number

ATTRIBUTES = ("kind", "colour", "pattern", "sleeve")
QUERIES_EACH = 3  # queries of a reference, at most; part of the protocol
_COLUMNS = ("image", *ATTRIBUTES, "sender")
_NOT_APPLICABLE = "na"  # the sleeves of kinds without sleeves, such as trousers
_UNLABELLED = "unlabelled"
Change = tuple[str, ...]
_CHANGES: list[Change] = [*((name,) for name in ATTRIBUTES), *combinations(ATTRIBUTES, 2)]
# All photos of a sender are in one split. Of a hundred divisions by hashes of the senders' numbers, this is the one
# whose test and val splits have the most similar distributions of kind, colour and pattern.
_SENDERS = Path(__file__).parent / "senders.json"
_SOURCE = "the data set is in the folder examples/closet of the project's repository"


@dataclass(frozen=True)
class Photo:
    """An annotated photo. `values` are in the order of ATTRIBUTES, with the benchmark's grouping of patterns."""

    image: str
    values: tuple[str, ...]
    sender: str
    split: str


def load_closet(root: Path, split: str) -> Task:
    """Load the queries of a split over its annotated photos.

    Args:
        root: the data set's folder.
        split: "val", "test", or "all" annotated photos of the folder.

    Raises:
        DataError: the folder does not hold the data set, or too little of it for a query.
    """
    photos = load_photos(root)
    gallery = [photo for photo in photos if split in ("all", photo.split)]
    queries = _queries(gallery, split)
    if not queries:
        raise DataError(f"{root}: too few photos for one query in the split {split}; {_SOURCE}")
    return Task(
        benchmark="closet",
        name="rule",
        split=split,
        root=root / "photos",
        gallery=tuple(photo.image for photo in gallery),
        queries=tuple(queries),
        notes={
            "source": "clothing dataset by Alexey Grigorev, CC0",
            "photos in no split": sum(photo.split == "" for photo in photos),
            "queries by change": dict(sorted(Counter("+".join(query.change or ()) for query in queries).items())),
        },
    )


def load_photos(root: Path) -> list[Photo]:
    """Load the annotated photos of a folder, sorted by name.

    The split is that of `split.csv`, if the folder has this file, else that of the sender. It is "" for senders in no
    split.

    Raises:
        DataError: a table cannot be read, or a photo is missing.
    """
    table, splits = root / "annotations.csv", root / "split.csv"
    given = {row["image"]: row["split"] for row in _table(splits, ("image", "split"))} if splits.exists() else {}
    by_sender = {str(sender): split for split, known in json.loads(_SENDERS.read_text()).items() for sender in known}
    photos = []
    for number, row in enumerate(_table(table, _COLUMNS), start=2):
        image, pattern = row["image"], "plain" if row["pattern"] in PLAIN else row["pattern"]
        if not (root / "photos" / image).is_file():
            raise DataError(f"{table}:{number}: names {image}, which is not in {root / 'photos'}; {_SOURCE}")
        if pattern not in PATTERNS or row["sleeve"] not in (*SLEEVES, _NOT_APPLICABLE):
            raise DataError(f"{table}:{number}: unknown pattern {row['pattern']} or sleeve {row['sleeve']}; {_SOURCE}")
        values = (row["kind"], row["colour"], pattern, row["sleeve"])
        split = given.get(image) or by_sender.get(row["sender"], "")
        photos.append(Photo(image, values, row["sender"], split))
    return sorted(photos, key=lambda photo: photo.image)


def unlabelled_photos(root: Path) -> list[str]:
    """The photos without annotations that `split.csv` of a folder names, sorted.

    Raises:
        DataError: the table cannot be read.
    """
    names = sorted(
        row["image"] for row in _table(root / "split.csv", ("image", "split")) if row["split"] == _UNLABELLED
    )
    if not names:
        raise DataError(f"{root / 'split.csv'}: names no photo of the split {_UNLABELLED}; {_SOURCE}")
    return names


def closet_truth(root: Path) -> Truth:
    """The true attributes of each annotated photo, in words."""
    return {photo.image: _words(dict(zip(ATTRIBUTES, photo.values, strict=True))) for photo in load_photos(root)}


def _queries(gallery: Sequence[Photo], split: str) -> list[Query]:
    by_values: dict[tuple[str, ...], list[Photo]] = defaultdict(list)
    for photo in gallery:
        by_values[photo.values].append(photo)
    by_rest: dict[tuple[Change, tuple[str, ...]], list[tuple[str, ...]]] = defaultdict(list)
    for values in sorted(by_values):
        for change in _CHANGES:
            by_rest[change, _rest(values, change)].append(values)
    queries = []
    for photo in gallery:
        possible: list[Query] = []
        for change in sorted(_CHANGES, key=lambda change: hash_number(f"{photo.image} {'+'.join(change)}")):
            others = [
                other
                for other in by_rest[change, _rest(photo.values, change)]
                if _differs(photo.values, other, change) and _is_said(photo.values, other, change)
            ]
            if others:
                values = others[hash_number(f"{photo.image}/{'+'.join(change)}") % len(others)]
                possible.append(_query(split, photo, change, values, by_values[values]))
        queries += possible[:QUERIES_EACH]
    return sorted(queries, key=lambda query: query.id)


def _rest(values: tuple[str, ...], change: Change) -> tuple[str, ...]:
    """The values that are unchanged when `change` changes. Sleeves may follow the kind."""
    free = {*change, "sleeve"} if "kind" in change else {*change}
    return tuple("" if name in free else value for name, value in zip(ATTRIBUTES, values, strict=True))


def _differs(values: tuple[str, ...], other: tuple[str, ...], change: Change) -> bool:
    """Whether the values of all attributes in `change` differ."""
    return all(other[place] != values[place] for place in map(ATTRIBUTES.index, change))


def _is_said(values: tuple[str, ...], other: tuple[str, ...], change: Change) -> bool:
    """Whether the words of `change` name the whole difference, and nothing that follows from the kind."""
    kind, sleeve = other[0], other[3]
    follows = "kind" in change and sleeve in (_NOT_APPLICABLE, USUAL_SLEEVES.get(kind))
    if "sleeve" in change:
        return not follows and sleeve != _NOT_APPLICABLE
    return follows or sleeve == values[3]


def _query(split: str, photo: Photo, change: Change, values: tuple[str, ...], targets: list[Photo]) -> Query:
    said = _words({name: values[ATTRIBUTES.index(name)] for name in change})
    name = "/".join((photo.image, *(f"{what}={word.replace(' ', '-')}" for what, word in said.items())))
    return Query(
        id=name,
        reference=photo.image,
        modification=phrase(split, said, name),
        targets=frozenset(target.image for target in targets),
        exclude=frozenset({photo.image}),
        change=said,
    )


def _words(values: Mapping[str, str]) -> dict[str, str]:
    """Annotated values as words, without sleeves that the kind cannot have."""
    known = {"kind": KINDS, "colour": COLOURS, "pattern": PATTERNS, "sleeve": SLEEVES}
    return {name: known[name].get(value, value) for name, value in values.items() if value != _NOT_APPLICABLE}


def _table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as content:
            reader = csv.DictReader(content)
            if lacking := [column for column in columns if column not in (reader.fieldnames or ())]:
                raise DataError(f"{path}: no column {', '.join(lacking)}; {_SOURCE}")
            return list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}); {_SOURCE}") from None


CLOSET = Benchmark(
    "closet",
    lambda root, split, _: [load_closet(root, split)],
    ("val", "test", "all"),
    tune_split={"val": "val", "test": "val"},
    vocabulary=Path(__file__).parent / "vocabulary.json",
    truth=closet_truth,
    attributes=ATTRIBUTES,
)
