"""Triplets <reference, modification, target>, and the Parquet file that holds them.

A file holds the accepted triplets, and the refused ones with the reason. Its metadata say what made it. The columns are
documented in `docs/reference/formats.md`.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from triptych.core.errors import DataError, FailureError
from triptych.core.files import atomic

FORMAT = "triptych-triplets-5"
_BLOCK = 5000  # triplets turned into columns at a time


@dataclass(frozen=True)
class Modification:
    """One wording of what should differ between reference and target."""

    style: str
    """`shorthand`, `sentence`, `captions` or `relative`."""
    text: str
    """The wording, one line of English."""


@dataclass(frozen=True)
class Change:
    """An attribute that differs between reference and target, as the reasoner describes it."""

    attribute: str
    """Its name, such as `colour`."""
    old: str
    """Its word for the reference, such as `blue`."""
    new: str | None
    """Its word for the target; None if the modification only excludes the old word ("not blue")."""

    @property
    def wanted(self) -> str:
        """What the target must show, for messages: the new word, or `not` and the old one."""
        return f"not {self.old}" if self.new is None else self.new


@dataclass(frozen=True)
class Triplet:
    """A reference, a target, and the modification that leads from one to the other.
    Pictures are named as in the catalog."""

    reference: str
    """The picture that a person has."""
    target: str
    """The picture that the modification asks for."""
    modifications: tuple[Modification, ...]
    """The same change in different wordings."""
    changes: tuple[Change, ...]
    """The attributes that differ; empty for imported triplets."""
    negatives: tuple[str, ...]
    """Hard negatives: the other pictures considered that do not answer the modification."""
    accepted: bool
    """Whether the critic accepted the triplet."""
    reason: str
    """Why the critic refused the triplet; empty if it was accepted."""
    confidence: float
    """The critic's confidence, from 0 to 1. It weights the triplet in training."""
    similarity: float
    """Cosine of the two pictures' vectors without what changes, from -1 to 1."""
    reasoner: str
    """Who wrote the modification: `tags`, `chat:MODEL (prompts VERSION)`, `import:FORMAT` or a plug-in's name."""
    other_targets: tuple[str, ...] = ()
    """Other pictures that answer the modification as the target does. They are never used as negatives."""
    round: int = 1
    """The round of mining: 1 for the first, 2 for what `mine --refined` added, and so on."""


_RENAMED = {"group": "negatives", "likeness": "similarity", "also": "other_targets"}
"""Columns up to format 4, and keys in older ledgers, with their present names."""

_CHANGE = [("attribute", pa.string()), ("old", pa.string()), ("new", pa.string())]
_OLD_CHANGE = [("group", pa.string()), ("old", pa.string()), ("new", pa.string())]

_SCHEMA = pa.schema(
    [
        ("reference", pa.string()),
        ("target", pa.string()),
        ("modifications", pa.list_(pa.struct([("style", pa.string()), ("text", pa.string())]))),
        ("changes", pa.list_(pa.struct(_CHANGE))),
        ("negatives", pa.list_(pa.string())),
        ("accepted", pa.bool_()),
        ("reason", pa.string()),
        ("confidence", pa.float32()),
        ("similarity", pa.float32()),
        ("reasoner", pa.string()),
        ("other_targets", pa.list_(pa.string())),
        ("round", pa.int32()),
    ]
)


def _old_schema() -> pa.Schema:
    """The columns of formats 3 and 4."""
    old_names = {new: old for old, new in _RENAMED.items()}
    return pa.schema(
        [
            (
                old_names.get(field.name, field.name),
                pa.list_(pa.struct(_OLD_CHANGE)) if field.name == "changes" else field.type,
            )
            for field in _SCHEMA
        ]
    )


_SCHEMAS = {
    FORMAT: _SCHEMA,
    "triptych-triplets-4": _old_schema(),
    "triptych-triplets-3": _old_schema(),  # no modification only excludes a word
    "triptych-triplets-2": _old_schema().remove(len(_SCHEMA) - 1),  # no column `round`
}


def kind_of_reason(reason: str) -> str:
    """The general part of a reason for refusal, without the details of one triplet, for counting."""
    who, _, what = reason.partition(": ")
    return f"{who}: {what.partition(':')[0]}" if who in ("reasoner", "critic") else reason.partition(":")[0]


def kinds_of_reasons(reasons: Mapping[str, int]) -> dict[str, int]:
    """Add up counts of reasons by `kind_of_reason`, most frequent first."""
    counted: Counter[str] = Counter()
    for reason, count in reasons.items():
        counted[kind_of_reason(reason)] += count
    return dict(counted.most_common())


def write_triplets(path: Path, triplets: Iterable[Triplet], made_by: Mapping[str, Any]) -> None:
    """Write a triplet file atomically. `made_by` is kept in its metadata."""
    _write(path, table_of(triplets), made_by)


def table_of(triplets: Iterable[Triplet]) -> pa.Table:
    """Turn triplets into the columns of a triplet file.

    Raises:
        FailureError: a confidence or a similarity is not finite.
    """
    rows = map(_checked_row, triplets)
    tables = [_SCHEMA.empty_table()]
    while part := list(islice(rows, _BLOCK)):  # plain objects take far more memory than columns
        tables.append(pa.Table.from_pylist(part, schema=_SCHEMA))
    return pa.concat_tables(tables)


def join_triplets(path: Path, parts: Sequence[Path], made_by: Mapping[str, Any]) -> None:
    """Write the triplets of several triplet files, in order, as one file."""
    _write(path, pa.concat_tables([_SCHEMA.empty_table(), *map(_read_columns, parts)]), made_by)


def _read_columns(path: Path) -> pa.Table:
    table = pq.read_table(path)
    return table if table.schema.equals(_SCHEMA) else table_of(stream_triplets(path)[0])


def read_triplets(path: Path) -> tuple[list[Triplet], dict[str, Any]]:
    """Read a triplet file of this or an earlier format.

    Returns:
        All triplets, accepted and refused, in the order of the file; and the note `made_by`.

    Raises:
        DataError: the file is missing, damaged, or no triplet file.
    """
    triplets, note = stream_triplets(path)
    return list(triplets), note


def stream_triplets(path: Path) -> tuple[Iterator[Triplet], dict[str, Any]]:
    """Read a triplet file like `read_triplets`, but one triplet at a time, with far less memory."""
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
    written = note.get("format")
    schema = _SCHEMAS.get(written) if isinstance(written, str) else None
    if schema is None or not table.schema.equals(schema):
        raise DataError(f"{path}: not a triplet file of this version ({FORMAT}); make one with `triptych mine`")
    # All rows at once, as plain objects, would take several times the memory of the triplets.
    blocks = table.to_batches(max_chunksize=4096)
    return (triplet_of(row) for block in blocks for row in block.to_pylist()), note.get("made_by", {})


def row_of(triplet: Triplet) -> dict[str, Any]:
    """A triplet as a mapping, as Parquet and ledgers hold it."""
    row = dict(vars(triplet))
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
    """Make a triplet of a mapping, whose names may be those of an earlier version."""
    fields = {_RENAMED.get(name, name): value for name, value in row.items()}
    changes = (
        {("attribute" if name == "group" else name): word for name, word in one.items()} for one in fields["changes"]
    )
    parts: dict[str, Any] = {
        "modifications": tuple(Modification(**item) for item in fields["modifications"]),
        "changes": tuple(Change(**item) for item in changes),
        "negatives": tuple(fields["negatives"]),
        "other_targets": tuple(fields["other_targets"]),
    }
    return Triplet(**{**fields, **parts})


def _write(path: Path, table: pa.Table, made_by: Mapping[str, Any]) -> None:
    note = {"format": FORMAT, "made_by": dict(made_by)}
    table = table.replace_schema_metadata({b"triptych": json.dumps(note).encode()})
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
