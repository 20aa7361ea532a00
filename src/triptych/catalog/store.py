"""A catalog on disk: pictures, their vectors and their metadata.

    DIR/catalog.json         what made it, the encoder's fingerprint, and the names of the live parts
    DIR/part-*.parquet       one row a picture: name, bytes, mtime_ns, sha256, status, reason, vector
    DIR/metadata.parquet     the user's own columns, keyed by picture name
    DIR/rejected.csv         the pictures that could not be used, and why

A part is written first and named in `catalog.json` after, so whatever a crash leaves behind is either whole or unseen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from triptych.encoders.protocol import Encoder, Vectors
from triptych.errors import DataError, MismatchError
from triptych.files import atomic, read_json, write_json

FORMAT = "triptych-catalog-1"
Status = Literal["ok", "rejected", "vanished"]


@dataclass(frozen=True)
class Entry:
    """What is known of one picture file; `reason` says why it was rejected."""

    name: str
    """Path relative to the catalog's root, with forward slashes."""
    bytes: int
    mtime_ns: int
    sha256: str
    status: Status
    reason: str = ""


class Catalog:
    """A catalog, open for reading and for adding parts.

    Raises DataError where `folder` holds none or a damaged one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._note = self._read_note()
        self.root = Path(self._note["root"])
        self.encoder_name: str = self._note["encoder"]["name"]
        self.fingerprint: str = self._note["encoder"]["fingerprint"]
        self.dim: int = self._note["encoder"]["dim"]

    @classmethod
    def create(cls, folder: Path, root: Path, encoder: Encoder, made_by: Mapping[str, Any]) -> Self:
        """An empty catalog of pictures below `root`."""
        write_json(
            folder / "catalog.json",
            {
                "format": FORMAT,
                "root": str(root.resolve()),
                "encoder": {"name": encoder.name, "fingerprint": encoder.fingerprint, "dim": encoder.dim},
                "parts": [],
                "made_by": dict(made_by),
            },
        )
        return cls(folder)

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether a catalog was begun in `folder`."""
        return (folder / "catalog.json").is_file()

    def require(self, encoder: Encoder) -> None:
        """Raise MismatchError unless `encoder` made the vectors of this catalog."""
        if encoder.fingerprint != self.fingerprint:
            raise MismatchError(
                f"{self.folder}: indexed with encoder {self.encoder_name} ({self.fingerprint[:12]}), not with "
                f"{encoder.name} ({encoder.fingerprint[:12]}); use that encoder, or index into a new --catalog"
            )

    def require_same(self, other: "Catalog") -> None:
        """Raise MismatchError unless one encoder made the vectors of both catalogs."""
        if other.fingerprint != self.fingerprint:
            raise MismatchError(
                f"{self.folder} and {other.folder}: indexed with different encoders ({self.encoder_name}, "
                f"{self.fingerprint[:12]}; {other.encoder_name}, {other.fingerprint[:12]}); index one of them again"
            )

    @cached_property
    def entries(self) -> list[Entry]:
        """Every picture ever seen, with its status, in order of name."""
        columns = self._table.drop_columns(["vector"]).to_pylist()
        return [Entry(**row) for row in columns]

    @cached_property
    def names(self) -> list[str]:
        """The usable pictures, in order; row `i` of `vectors` is `names[i]`."""
        return self._usable.column("name").to_pylist()  # type: ignore[no-any-return]

    @cached_property
    def vectors(self) -> Vectors:
        """Vectors `(n, d)` of the usable pictures."""
        return _matrix(self._usable, self.dim)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Picture name to row."""
        return {name: row for row, name in enumerate(self.names)}

    def path(self, name: str) -> Path:
        """Where a picture of this catalog lies."""
        return self.root / name

    @cached_property
    def metadata(self) -> pa.Table:
        """The user's columns, one row a usable picture in the order of `names`; nulls where nothing is known."""
        file = self.folder / "metadata.parquet"
        if not file.exists():
            return pa.table({"name": self.names})
        stored = pq.read_table(file)
        row_of = {name: row for row, name in enumerate(stored.column("name").to_pylist())}
        rows = pa.array([row_of.get(name) for name in self.names], pa.int64())
        return stored.take(rows).set_column(0, "name", pa.array(self.names))

    def keep_metadata(self, table: pa.Table) -> None:
        """Replace the metadata; `table` has a column `name` first."""
        with atomic(self.folder / "metadata.parquet") as temporary:
            pq.write_table(table, temporary)

    def append(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Commit rows; `vectors` holds one row for each usable entry, in order. Later rows replace earlier ones."""
        self._commit(self._table_of(entries, vectors), keep=self._note["parts"])

    def compact(self, made_by: Mapping[str, Any]) -> None:
        """Merge all parts into one, in order of name, and note what made it."""
        self._note["made_by"] = dict(made_by)
        self._commit(self._table, keep=[])

    def known_vectors(self) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
        """Content hash to vector, over every picture whose vector is stored."""
        stored = self._table.filter(pa.compute.is_valid(self._table.column("vector")))
        return dict(zip(stored.column("sha256").to_pylist(), _matrix(stored, self.dim), strict=True))

    def _read_note(self) -> dict[str, Any]:
        note = read_json(self.folder / "catalog.json", "catalog (make one with `triptych index`)")
        if not isinstance(note, dict) or note.get("format") != FORMAT:
            raise DataError(f"{self.folder}: not a catalog of this version ({FORMAT}); index again into a new folder")
        return note

    def _read_parts(self) -> list[pa.Table]:
        while True:
            try:
                return [pq.read_table(self.folder / part) for part in self._note["parts"]]
            except FileNotFoundError:
                # A run of `index` may have merged the parts since this catalog was opened.
                fresh = self._read_note()
                if fresh["parts"] == self._note["parts"]:
                    raise
                self._note = fresh

    @cached_property
    def _table(self) -> pa.Table:
        try:
            parts = self._read_parts()
        except (OSError, pa.ArrowInvalid) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{self.folder}: a part of the catalog cannot be read ({reason}); index again") from None
        table = pa.concat_tables([_schema(self.dim).empty_table(), *parts])
        names = table.column("name").to_pylist()
        latest = {name: row for row, name in enumerate(names)}
        return table.take(pa.array([latest[name] for name in sorted(latest)], pa.int64()))

    @cached_property
    def _usable(self) -> pa.Table:
        return self._table.filter(pa.compute.equal(self._table.column("status"), "ok"))

    def _table_of(self, entries: Sequence[Entry], vectors: Vectors) -> pa.Table:
        rows = iter(vectors)
        # A vanished picture keeps no vector: should it return, it is encoded again.
        column = [next(rows) if entry.status == "ok" else None for entry in entries]
        return pa.Table.from_pylist(
            [asdict(entry) | {"vector": vector} for entry, vector in zip(entries, column, strict=True)],
            schema=_schema(self.dim),
        )

    def _commit(self, table: pa.Table, *, keep: Iterable[str]) -> None:
        kept = list(keep)
        numbers = [int(part[5:-8]) for part in self._note["parts"]]
        part = f"part-{max(numbers, default=-1) + 1:06d}.parquet"
        with atomic(self.folder / part) as temporary:
            pq.write_table(table, temporary)
        self._note = {**self._note, "parts": [*kept, part]}
        write_json(self.folder / "catalog.json", self._note)
        for stale in self.folder.glob("part-*.parquet"):
            if stale.name not in self._note["parts"]:
                stale.unlink()
        for cached in ("entries", "names", "vectors", "row_of", "metadata", "_table", "_usable"):
            self.__dict__.pop(cached, None)


def _schema(dim: int) -> pa.Schema:
    return pa.schema(
        [
            ("name", pa.string()),
            ("bytes", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("sha256", pa.string()),
            ("status", pa.string()),
            ("reason", pa.string()),
            ("vector", pa.list_(pa.float32(), dim)),
        ]
    )


def _matrix(table: pa.Table, dim: int) -> Vectors:
    column = table.column("vector").combine_chunks()
    # `flatten` skips nulls, of which usable rows have none, and honours slices.
    return np.ascontiguousarray(column.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim), np.float32)
