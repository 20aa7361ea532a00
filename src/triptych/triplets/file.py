"""The record that everything turns on, <reference, modification, target>, and its file.

One Parquet file holds the accepted triplets and the refused ones with the reason; its metadata say what made it.
`docs/reference/formats.md` documents the columns.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from triptych.core.errors import DataError, FailureError
from triptych.core.files import atomic

FORMAT = "triptych-triplets-4"
_BEFORE = ("triptych-triplets-3", "triptych-triplets-2")  # without exclusions; without rounds either
_BLOCK = 5000  # triplets turned into columns at a time


@dataclass(frozen=True)
class Modification:
    """One wording of what should differ."""

    style: str
    """shorthand, sentence, captions or relative."""
    text: str


@dataclass(frozen=True)
class Change:
    """What differs, as the reasoner says: the word for it in the reference and in the target."""

    group: str
    old: str
    new: str | None
    """None where the modification only excludes the old word ("not blue"): any other is right."""

    @property
    def said(self) -> str:
        """In a message: the new word, or `not` and the old one."""
        return f"not {self.old}" if self.new is None else self.new


@dataclass(frozen=True)
class Triplet:
    """A reference and a target, by picture name, and the modification that leads from one to the other."""

    reference: str
    target: str
    modifications: tuple[Modification, ...]
    changes: tuple[Change, ...]
    group: tuple[str, ...]
    """The other pictures that were considered: hard negatives."""
    accepted: bool
    reason: str
    """Why the critic refused it; empty if it did not."""
    confidence: float
    """How sure the critic is, from 0 to 1; weighs the triplet in training."""
    similarity: float
    """Cosine of the two pictures, apart from what changes."""
    reasoner: str
    other_targets: tuple[str, ...] = ()
    """Other pictures that answer the modification as the target does, drawn alike: targets too, and no negatives."""
    round: int = 1
    """Of mining: 1 for the first, 2 for what `mine --refined` added to it, and so on."""


_COLUMNS = {"similarity": "likeness", "other_targets": "also"}
"""The columns of files, and names in ledgers, that differ from the fields."""

_FIELDS = {column: field for field, column in _COLUMNS.items()}

_COLUMN_OF = {field.name: _COLUMNS.get(field.name, field.name) for field in fields(Triplet)}


_SCHEMA = pa.schema(
    [
        ("reference", pa.string()),
        ("target", pa.string()),
        ("modifications", pa.list_(pa.struct([("style", pa.string()), ("text", pa.string())]))),
        (
            "changes",
            pa.list_(pa.struct([("group", pa.string()), ("old", pa.string()), ("new", pa.string())])),
        ),
        ("group", pa.list_(pa.string())),
        ("accepted", pa.bool_()),
        ("reason", pa.string()),
        ("confidence", pa.float32()),
        ("likeness", pa.float32()),
        ("reasoner", pa.string()),
        ("also", pa.list_(pa.string())),
        ("round", pa.int32()),
    ]
)


def kind_of_reason(reason: str) -> str:
    """Why a triplet or a reference was refused, without the particulars that follow the last colon that matters."""
    who, _, what = reason.partition(": ")
    return f"{who}: {what.partition(':')[0]}" if who in ("reasoner", "critic") else reason.partition(":")[0]


def kinds_of_reasons(reasons: Mapping[str, int]) -> dict[str, int]:
    """Counts of reasons added up by `kind_of_reason`, most frequent first."""
    counted: Counter[str] = Counter()
    for reason, count in reasons.items():
        counted[kind_of_reason(reason)] += count
    return dict(counted.most_common())


def write_triplets(path: Path, triplets: Iterable[Triplet], made_by: Mapping[str, Any]) -> None:
    """Write a triplet file, atomically."""
    _write(path, table_of(triplets), made_by)


def table_of(triplets: Iterable[Triplet]) -> pa.Table:
    """The columns of a triplet file. Raises FailureError where a confidence or a similarity is not finite."""
    rows = map(_checked_row, triplets)
    tables = [_SCHEMA.empty_table()]
    while part := list(islice(rows, _BLOCK)):  # plain objects take far more memory than columns
        tables.append(pa.Table.from_pylist(part, schema=_SCHEMA))
    return pa.concat_tables(tables)


def join_triplets(path: Path, parts: Sequence[Path], made_by: Mapping[str, Any]) -> None:
    """Write the triplets of `parts`, in order, as one file."""
    tables = [_SCHEMA.empty_table(), *(pq.read_table(part, schema=_SCHEMA) for part in parts)]
    _write(path, pa.concat_tables(tables), made_by)


def read_triplets(path: Path) -> tuple[list[Triplet], dict[str, Any]]:
    """The triplets of a file, accepted and refused, and what made them. Raises DataError where it is no such file."""
    triplets, note = stream_triplets(path)
    return list(triplets), note


def stream_triplets(path: Path) -> tuple[Iterator[Triplet], dict[str, Any]]:
    """As `read_triplets`, one triplet after the other: all at once take many times the memory of the file."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no triplet file here; make one with `triptych mine`") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: not a readable triplet file ({str(error).splitlines()[0]})") from None
    try:
        note = json.loads((table.schema.metadata or {}).get(b"triptych", b"{}"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a readable triplet file (its note is no JSON: {error})") from None
    if not isinstance(note, dict) or not isinstance(note.get("made_by", {}), dict):
        note = {}
    if note.get("format") == _BEFORE[-1]:
        table = table.append_column(_SCHEMA.field("round"), pa.repeat(pa.scalar(1, pa.int32()), len(table)))
    if note.get("format") not in (FORMAT, *_BEFORE) or not table.schema.equals(_SCHEMA):
        raise DataError(f"{path}: not a triplet file of this version ({FORMAT}); make one with `triptych mine`")
    # Block by block: as plain rows, all of them at once would take several times the memory of the triplets.
    blocks = table.to_batches(max_chunksize=4096)
    return (triplet_of(row) for block in blocks for row in block.to_pylist()), note.get("made_by", {})


def row_of(triplet: Triplet) -> dict[str, Any]:
    """A triplet's plain form, as Parquet and JSON hold it."""
    row = {column: getattr(triplet, field) for field, column in _COLUMN_OF.items()}
    for name in ("modifications", "changes"):
        row[name] = [dict(vars(one)) for one in row[name]]
    return row


def _checked_row(triplet: Triplet) -> dict[str, Any]:
    for name in ("confidence", "similarity"):
        value = getattr(triplet, name)
        if not math.isfinite(value):
            raise FailureError(
                f"{triplet.reference} to {triplet.target}: the {name} that {triplet.reasoner} and its critic give "
                f"is not finite ({value}), and was not stored"
            )
    return row_of(triplet)


def triplet_of(row: Mapping[str, Any]) -> Triplet:
    """A triplet from its plain form."""
    known = {_FIELDS.get(name, name): value for name, value in row.items()}
    parts: dict[str, Any] = {
        "modifications": tuple(Modification(**item) for item in row["modifications"]),
        "changes": tuple(Change(**item) for item in row["changes"]),
        "group": tuple(row["group"]),
        "other_targets": tuple(row["also"]),
    }
    return Triplet(**{**known, **parts})


def _write(path: Path, table: pa.Table, made_by: Mapping[str, Any]) -> None:
    note = {"format": FORMAT, "made_by": dict(made_by)}
    table = table.replace_schema_metadata({b"triptych": json.dumps(note).encode()})
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
