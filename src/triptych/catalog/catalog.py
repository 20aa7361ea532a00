"""A catalog on disk: pictures, their vectors and their metadata.

    DIR/catalog.json         what made it, its id, the encoder's fingerprint, and the names of the live parts
    DIR/part-*.parquet       one row a picture: name, bytes, mtime_ns, sha256, status, reason, vector
    DIR/metadata.parquet     the user's own columns, keyed by picture name
    DIR/rejected.csv         the files that are not pictures of the catalog, with reasons

A part is written before `catalog.json` names it. So after a crash, every named part is complete.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from triptych.catalog.columns import TYPED
from triptych.catalog.entry import Entry
from triptych.catalog.manifest import FORMAT, MANIFEST, METADATA, read_manifest, stamp_of
from triptych.catalog.parts import ROW, ROW_GROUP, next_part, part_schema
from triptych.catalog.reader import CatalogReader
from triptych.core.files import atomic, locked, write_json
from triptych.core.remote import Place, place_of
from triptych.core.vectors import Vectors, require_finite_rows
from triptych.encoders.protocol import Encoder, constant_dim


class Catalog(CatalogReader):
    """A catalog, open for reading and for adding parts.

    Args:
        folder: its folder.
        root: the present folder of its pictures; by default the one that they were indexed in. It is not stored; `move`
            does that.

    Raises:
        DataError: `folder` holds no catalog, or a damaged one.
        UsageError: `root` is no folder.
    """

    @classmethod
    def create(cls, folder: Path, root: Place, encoder: Encoder, made_by: Mapping[str, Any]) -> Self:
        """Make an empty catalog of pictures below `root`."""
        write_json(
            folder / MANIFEST,
            {
                "format": FORMAT,
                "id": str(uuid4()),
                "root": str(root.resolve()),
                "encoder": {
                    "name": encoder.name,
                    "fingerprint": encoder.fingerprint,
                    "dim": encoder.dim,
                    "constant_dim": constant_dim(encoder),
                },
                "parts": [],
                "made_by": dict(made_by),
            },
        )
        return cls(folder)

    def identity(self) -> str:
        """The unique id of this catalog, independent of its content and place; "" if it has none.

        A catalog of an earlier version gets an id now, if it can be written.

        Raises:
            BusyError: such a catalog is being written by another run.
        """
        known = self._manifest.get("id") or read_manifest(self.folder).get("id") or self._named_now()
        if known:
            self._manifest["id"] = known
        return str(known)

    def _named_now(self) -> str:
        try:
            with locked(self.folder):
                manifest = read_manifest(self.folder)
                if "id" in manifest:
                    return str(manifest["id"])
                known = stamp_of(self.folder) == self.stamp
                write_json(self.folder / MANIFEST, manifest | {"id": str(uuid4())})
                if known:  # nothing but this has changed
                    self.stamp = stamp_of(self.folder)
                return str(read_manifest(self.folder)["id"])
        except OSError:  # on a read-only disk the catalog works without an id
            return ""

    def keep_metadata(self, table: pa.Table) -> None:
        """Replace the metadata. `table` has a column `name` first, and columns have the types of their values."""
        with atomic(self.folder / METADATA) as temporary:
            pq.write_table(table.replace_schema_metadata({TYPED: b"1"}), temporary)

    @property
    def parts(self) -> int:
        """The number of part files; `compact` makes them one."""
        return len(self._manifest["parts"])

    def append(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Commit rows. Later rows replace earlier ones of the same name.

        Args:
            entries: the pictures.
            vectors: a row for each usable entry, in order.

        Raises:
            FailureError: a vector is not finite. Nothing is stored then.
        """
        self.require_finite([entry.name for entry in entries if entry.status == "ok"], vectors)
        rows: Iterator[Any] = iter(vectors)
        self._append(entries, [next(rows) if entry.status == "ok" else None for entry in entries])

    def require_finite(self, names: Sequence[str], vectors: Vectors) -> None:
        """Check the vectors that the catalog's encoder has made of pictures.

        Raises:
            FailureError: one is not finite.
        """
        remedy = "nothing of it was stored; check its weights"
        require_finite_rows(vectors, names.__getitem__, f"encoder {self.encoder_name}", remedy)

    def mark_vanished(self, names: Sequence[str], *, forget: bool = False) -> None:
        """Commit that pictures are gone. Their vectors stay for their return, unless `forget` is true."""
        rows = {name: row for row, name in enumerate(self._table.column("name").to_pylist())}
        places = [rows[name] for name in names]
        matrix, known = self._stored(self._table.column(ROW).to_numpy()[places])
        entries = [replace(self.entries[place], status="vanished") for place in places]
        kept = zip(matrix, known, strict=True)
        self._append(entries, [vector if there and not forget else None for vector, there in kept])

    def move(self, root: Place) -> None:
        """Store that the pictures now lie below `root`."""
        self._write_manifest({**self._manifest, "root": str(root.resolve())})
        self.root = place_of(self._manifest["root"])

    def set_reader(self, reader: Mapping[str, Any]) -> None:
        """Set the `reader` of an empty catalog. It is written with the first commit."""
        self._store_reader(reader)

    def _store_reader(self, reader: Mapping[str, Any]) -> None:
        self._manifest["reader"] = dict(reader)
        self.allow(int(reader.get("max_pixels", 0)))

    def allow(self, pixels: int) -> None:
        """Allow pictures of this many pixels to be read again, from the next commit on."""
        if pixels > self.limits.max_pixels:
            self._manifest["max_pixels"] = pixels

    def compact(self, made_by: Mapping[str, Any], reader: Mapping[str, Any] | None = None) -> None:
        """Merge all parts into one, ordered by name, and store what made it, and the `reader` if it is given."""
        before = dict(self._manifest)
        try:
            self._manifest["made_by"] = dict(made_by)
            if reader is not None:
                self._store_reader(reader)
            whole = pa.concat_tables([part_schema(self.dim).empty_table(), *self._read(None)])
            self._commit(whole.take(self._table.column(ROW)), keep=[])
        except BaseException:
            self._manifest = before
            raise

    def _append(self, entries: Sequence[Entry], vectors: Sequence[Any]) -> None:
        rows = [asdict(entry) | {"vector": vector} for entry, vector in zip(entries, vectors, strict=True)]
        self._commit(pa.Table.from_pylist(rows, schema=part_schema(self.dim)), keep=self._manifest["parts"])

    def _commit(self, table: pa.Table, *, keep: Iterable[str]) -> None:
        """Write a part, then the manifest that names it. Memory changes only when the manifest is on disk."""
        kept = list(keep)
        part = next_part(self._manifest["parts"])
        with atomic(self.folder / part) as temporary:
            # A dictionary saves nothing for vectors, whose numbers hardly repeat.
            pq.write_table(table, temporary, use_dictionary=["status", "reason"], row_group_size=ROW_GROUP)
        try:
            self._write_manifest({**self._manifest, "parts": [*kept, part]})
        except BaseException:
            with suppress(OSError):
                (self.folder / part).unlink()
            raise
        for stale in self.folder.glob("part-*.parquet"):
            if stale.name not in self._manifest["parts"]:
                with suppress(OSError):  # it is committed all the same; the next commit tries again
                    stale.unlink()
        self.release()

    def _write_manifest(self, manifest: dict[str, Any]) -> None:
        write_json(self.folder / MANIFEST, manifest)
        self._manifest = manifest
