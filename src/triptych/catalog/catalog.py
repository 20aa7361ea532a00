"""A catalog on disk: pictures, their vectors and their metadata.

    DIR/catalog.json         what made it, its id, the encoder's fingerprint, and the names of the live parts
    DIR/part-*.parquet       one row a picture: name, bytes, mtime_ns, sha256, status, reason, vector
    DIR/metadata.parquet     the user's own columns, keyed by picture name
    DIR/rejected.csv         what was met and is no picture of the catalog, and why

A part is written first and named in `catalog.json` after, so whatever a crash leaves behind is either whole or unseen.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from triptych.catalog.columns import TYPED, with_types
from triptych.core.errors import CatalogError, DataError, MismatchError, UsageError
from triptych.core.files import atomic, locked, read_json, write_json
from triptych.core.images import open_picture, read_known
from triptych.core.limits import DEFAULT_LIMITS, Limits
from triptych.core.vectors import Vectors, require_finite_rows, without_last
from triptych.encoders.protocol import Encoder, constant_dim
from triptych.encoders.registry import load_encoder

# Arrow's own pools keep what they are given back, which would be a good part of a search's memory.
pa.set_memory_pool(pa.system_memory_pool())

FORMAT = "triptych-catalog-1"
UPLOADS = "uploads"
"""The folder below the catalog's root where pictures lie that were added while the catalog was open."""

REMOVED = "removed on request"
"""Why a picture is rejected that was taken out of the catalog while it was open."""

_OUTSIDE = r"^/|(^|/)\.\.(/|$)|\x00"  # what no name of a picture is like
_PART = re.compile(r"part-\d{6,}\.parquet")
_ROW = "row"  # not on disk: where an entry stands among all parts'
_ROW_GROUP = 4096  # rows that are read at a time
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

    @property
    def added(self) -> bool:
        """Whether it was added while the catalog was open: its content names it. A folder of the owner's may be called
        as that of uploads is.
        """
        path = PurePosixPath(self.name)
        return path.parent.as_posix() == UPLOADS and path.stem == self.sha256


def stamp_of(folder: Path) -> list[tuple[int, int]]:
    """Changes whenever the note or the metadata of the catalog in `folder` are replaced."""
    stamps = []
    for name in ("catalog.json", "metadata.parquet"):
        with suppress(FileNotFoundError, NotADirectoryError):
            facts = (folder / name).stat()
            stamps.append((facts.st_mtime_ns, facts.st_ino))
    return stamps


class Catalog:
    """A catalog, open for reading and for adding parts.

    Args:
        folder: where it is.
        root: where its pictures lie now, if a person says so; else where they were indexed. It is not noted: `move`
            does that.

    Raises:
        DataError: `folder` holds none or a damaged one.
        UsageError: `root` is no folder.
    """

    def __init__(self, folder: Path, root: Path | None = None) -> None:
        self.folder = folder
        if root is not None and not root.is_dir():
            raise UsageError(f"--root {root}: is no folder; give the one that the catalog's pictures lie in now")
        self.given_root = None if root is None else root.resolve()
        self.stamp = stamp_of(folder)  # before the note, lest a change in between go unnoticed
        self._note = self._read_note()
        self.root = self.given_root or Path(self._note["root"])
        self.encoder_name: str = self._note["encoder"]["name"]
        self.fingerprint: str = self._note["encoder"]["fingerprint"]
        self.dim: int = self._note["encoder"]["dim"]
        self.constant_dim: int = self._note["encoder"].get("constant_dim", 0)
        self._whole: set[tuple[str, int, int, int]] = set()

    @classmethod
    def create(cls, folder: Path, root: Path, encoder: Encoder, made_by: Mapping[str, Any]) -> Self:
        """An empty catalog of pictures below `root`."""
        write_json(
            folder / "catalog.json",
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

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether a catalog was begun in `folder`."""
        return (folder / "catalog.json").is_file()

    def encoder(
        self, given: Encoder | str | None = None, *, threads: int | None = None, device: str | None = None
    ) -> Encoder:
        """The encoder that made its vectors: `given`, or the one that the catalog names.

        Raises UsageError where that name means nothing, or code (`module:attribute`), which is not run for a file;
        MismatchError where the encoder is another one, or no longer what it was.
        """
        name = self.encoder_name if given is None else given
        encoder = load_encoder(name, threads=threads, device=device, from_file=given is None)
        self.require(encoder)
        return encoder

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

    def identity(self) -> str:
        """What tells it from every other catalog, whatever is in them and wherever they lie; "" where nobody can say.

        A catalog of an earlier version gets it now, once, or not at all where it cannot be written. Raises BusyError
        while another run is writing to such a one.
        """
        known = self._note.get("id") or self._read_note().get("id") or self._named_now()
        if known:
            self._note["id"] = known
        return str(known)

    def _named_now(self) -> str:
        try:
            with locked(self.folder):
                note = self._read_note()
                if "id" in note:
                    return str(note["id"])
                known = stamp_of(self.folder) == self.stamp
                write_json(self.folder / "catalog.json", note | {"id": str(uuid4())})
                if known:  # nothing but this has changed
                    self.stamp = stamp_of(self.folder)
                return str(self._read_note()["id"])
        except OSError:  # on a disk that is only read, it is as good without
            return ""

    @property
    def digest(self) -> str:
        """What tells one state of a catalog from another: its pictures and their vectors."""
        return hashlib.sha256("\n".join(self.names).encode() + self.vectors.tobytes()).hexdigest()

    @cached_property
    def entries(self) -> list[Entry]:
        """Every picture ever seen, with its status, in order of name."""
        return [Entry(**row) for row in self._table.drop_columns([_ROW]).to_pylist()]

    @cached_property
    def names(self) -> list[str]:
        """The usable pictures, in order; row `i` of `vectors` is `names[i]`."""
        return self._usable.column("name").to_pylist()  # type: ignore[no-any-return]

    @cached_property
    def hashes(self) -> list[str]:
        """SHA-256 of the usable pictures' files, in the order of `names`."""
        return self._usable.column("sha256").to_pylist()  # type: ignore[no-any-return]

    @cached_property
    def vectors(self) -> Vectors:
        """Vectors `(n, d)` of the usable pictures. Raises FailureError where one is not finite, as of old."""
        matrix = self._matrix(self._usable.column(_ROW).to_numpy())
        made, remedy = f"encoder {self.encoder_name}", "check its weights, and index again into a new folder"
        require_finite_rows(matrix, lambda row: f"{self.folder}: {self.names[row]}", made, remedy)
        return matrix

    @property
    def compared_vectors(self) -> Vectors:
        """Unit vectors `(n, d - constant_dim)` to compare pictures with each other."""
        return without_last(self.vectors, self.constant_dim)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Picture name to row."""
        return {name: row for row, name in enumerate(self.names)}

    def path(self, name: str) -> Path:
        """Where a picture of this catalog lies; whether it still is that picture, `read` tells."""
        return self.root / name

    def read(self, name: str) -> bytes:
        """The file of a usable picture. Raises PictureError where it is gone or is not the one that was indexed.

        A catalog may be somebody else's. Its root, its names and the links below may lead anywhere on this machine, but
        nobody can name the content of a file that they do not have: nothing else is read, shown or copied.
        """
        return read_known(self.path(name), self.hashes[self.row_of[name]], self.limits, root=self.root)

    @cached_property
    def metadata(self) -> pa.Table:
        """The user's columns, one row a usable picture in the order of `names`; nulls where nothing is known.

        A column's type is that of its values. A catalog of an earlier version, whose columns may be text though all
        values are numbers, dates or booleans, gets the types now; they are stored when its metadata are, next time.
        """
        file = self.folder / "metadata.parquet"
        if not file.exists():
            return pa.table({"name": pa.array(self.names, pa.string())})
        try:
            stored = with_types(pq.read_table(file))
        except (OSError, pa.ArrowInvalid) as error:
            raise self._damaged(error, "its metadata") from None
        row_of = {name: row for row, name in enumerate(stored.column("name").to_pylist())}
        rows = pa.array([row_of.get(name) for name in self.names], pa.int64())
        return stored.take(rows).set_column(0, "name", pa.array(self.names, pa.string()))

    def keep_metadata(self, table: pa.Table) -> None:
        """Replace the metadata; `table` has a column `name` first, and its columns have the types of their values."""
        with atomic(self.folder / "metadata.parquet") as temporary:
            pq.write_table(table.replace_schema_metadata({TYPED: b"1"}), temporary)

    @property
    def parts(self) -> int:
        """Of how many files the catalog consists; `compact` makes them one."""
        return len(self._note["parts"])

    def append(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Commit rows; `vectors` holds one row for each usable entry, in order. Later rows replace earlier ones.

        Raises DataError, and stores nothing, where a vector is not finite.
        """
        require_finite([entry.name for entry in entries if entry.status == "ok"], vectors, self.encoder_name)
        rows: Iterator[Any] = iter(vectors)
        self._append(entries, [next(rows) if entry.status == "ok" else None for entry in entries])

    def mark_vanished(self, names: Sequence[str], *, forget: bool = False) -> None:
        """Commit that pictures are not there. Their vectors stay for their return, unless `forget`."""
        rows = {name: row for row, name in enumerate(self._table.column("name").to_pylist())}
        places = [rows[name] for name in names]
        matrix, known = self._stored(self._table.column(_ROW).to_numpy()[places])
        entries = [replace(self.entries[place], status="vanished") for place in places]
        kept = zip(matrix, known, strict=True)
        self._append(entries, [vector if there and not forget else None for vector, there in kept])

    def move(self, root: Path) -> None:
        """Note that its pictures now lie below `root`."""
        self._write_note({**self._note, "root": str(root.resolve())})
        self.root = Path(self._note["root"])

    @property
    def reader(self) -> dict[str, Any]:
        """Under which limits and library its pictures were refused, as `core.images.reader_of` says; empty of old."""
        return dict(self._note.get("reader", {}))

    def set_reader(self, reader: Mapping[str, Any]) -> None:
        """Note the `reader` of an empty catalog; it is written with the first commit."""
        self._note_reader(reader)

    @property
    def limits(self) -> Limits:
        """Within which its pictures are read again: what the most generous `index` accepted, or is accepted anyway."""
        most = int(self._note.get("max_pixels", 0))
        return replace(DEFAULT_LIMITS, max_pixels=max(DEFAULT_LIMITS.max_pixels, most))

    def open_picture(self, name: str) -> Image.Image:
        """A picture of it, upright RGB. Raises PictureError as `read` does."""
        return open_picture(self.read(name), self.limits)

    def _note_reader(self, reader: Mapping[str, Any]) -> None:
        self._note["reader"] = dict(reader)
        self.allow(int(reader.get("max_pixels", 0)))

    def allow(self, pixels: int) -> None:
        """Let pictures of so many pixels be read again, from the next commit on for every run."""
        if pixels > self.limits.max_pixels:
            self._note["max_pixels"] = pixels

    def compact(self, made_by: Mapping[str, Any], reader: Mapping[str, Any] | None = None) -> None:
        """Merge all parts into one, in order of name, and note what made it, and the `reader` if that is given."""
        before = dict(self._note)
        try:
            self._note["made_by"] = dict(made_by)
            if reader is not None:
                self._note_reader(reader)
            whole = pa.concat_tables([_schema(self.dim).empty_table(), *self._read(None)])
            self._commit(whole.take(self._table.column(_ROW)), keep=[])
        except BaseException:
            self._note = before
            raise

    def forget_vectors(self) -> None:
        """Give the memory of `vectors` back; they are read again, from the same files, when asked for."""
        self.__dict__.pop("vectors", None)

    def release(self) -> None:
        """Forget what was read, to give its memory back; it is read again when asked for."""
        for cached in ("entries", "names", "hashes", "vectors", "row_of", "metadata", "_table", "_usable", "_parts"):
            self.__dict__.pop(cached, None)
        pa.default_memory_pool().release_unused()

    def known_vectors(self) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
        """Content hash to vector, over every picture whose vector is stored, also of those that have vanished."""
        gone = self._table.filter(pc.equal(self._table.column("status"), "vanished"))
        matrix, known = self._stored(gone.column(_ROW).to_numpy())
        before = zip(gone.column("sha256").to_pylist(), matrix, known, strict=True)
        return {content: vector for content, vector, there in before if there} | dict(
            zip(self.hashes, self.vectors, strict=True)
        )

    def _read_note(self) -> dict[str, Any]:
        try:
            note = read_json(self.folder / "catalog.json", "catalog", "make one with `triptych index`")
        except DataError as error:
            raise CatalogError(str(error)) from None
        if not isinstance(note, dict) or note.get("format") != FORMAT:
            raise CatalogError(
                f"{self.folder}: not a catalog of this version ({FORMAT}); index again into a new folder"
            )
        if problem := _problem_of(note):
            raise CatalogError(f"{self.folder}: catalog.json is damaged ({problem}); index again into a new folder")
        return note

    @cached_property
    def _parts(self) -> list[pq.ParquetFile]:
        """Opened once: whatever another run makes of them meanwhile, every column is read from the same files."""
        while True:
            try:
                # Nothing is read ahead, which would hold each part in memory a second time.
                return [pq.ParquetFile(self.folder / part, pre_buffer=False) for part in self._note["parts"]]
            except FileNotFoundError:
                # A run of `index` may have merged the parts since this catalog was opened.
                fresh = self._read_note()
                if fresh["parts"] == self._note["parts"]:
                    raise
                self._note = fresh

    def _read(self, columns: list[str] | None) -> list[pa.Table]:
        """Columns of every part, or all. Raises DataError where one is damaged."""
        try:
            return [part.read(columns=columns, use_threads=False) for part in self._parts]
        except (OSError, pa.ArrowInvalid) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception, what: str = "a part of the catalog") -> CatalogError:
        reason = str(error).splitlines()[0]
        return CatalogError(f"{self.folder}: {what} cannot be read ({reason}); index again")

    def check(self) -> None:
        """Raise CatalogError where the catalog on disk is gone, or its note, a part or its metadata cannot be read.

        A file that was found whole is looked into again only once it has changed.
        """
        note = self._read_note()
        for name in (*note["parts"], "metadata.parquet"):
            file = self.folder / name
            try:
                facts = file.stat()
                seen = (name, facts.st_size, facts.st_mtime_ns, facts.st_ino)
                if seen not in self._whole:
                    pq.read_metadata(file)
            except (OSError, pa.ArrowInvalid) as error:
                if isinstance(error, FileNotFoundError):
                    if name == "metadata.parquet":
                        continue
                    if self._read_note()["parts"] != note["parts"]:
                        return self.check()  # a run of `index` has merged them meanwhile
                raise self._damaged(error) from None
            self._whole.add(seen)
        return None

    @cached_property
    def _table(self) -> pa.Table:
        """The latest entry of each name, in order of name, without its vector but with its row among all parts'."""
        schema = _schema(self.dim)
        schema = schema.remove(schema.get_field_index("vector"))
        table = pa.concat_tables([schema.empty_table(), *self._read(schema.names)])
        # Not every name that is listed as refused is a path; those of pictures have been, once.
        used = table.column("name").filter(pc.not_equal(table.column("status"), "rejected"))
        outside = used.filter(pc.match_substring_regex(used, _OUTSIDE))
        if len(outside):
            raise DataError(f"{self.folder}: {outside[0].as_py()!r} leads outside the catalog's root; do not use it")
        latest = {name: row for row, name in enumerate(table.column("name").to_pylist())}
        rows = pa.array([latest[name] for name in sorted(latest)], pa.int64())
        return table.take(rows).append_column(_ROW, rows)

    def _matrix(self, rows: NDArray[np.int64]) -> Vectors:
        """The vectors of rows that have one, as they are numbered over all parts."""
        return self._stored(rows)[0]

    def _stored(self, rows: NDArray[np.int64]) -> tuple[Vectors, NDArray[np.bool_]]:
        """The vectors of rows, and which rows have one; read piece by piece, so that they lie here once."""
        matrix = np.empty((len(rows), self.dim), np.float32)
        found = np.zeros(len(rows), bool)
        place = np.full(sum(part.metadata.num_rows for part in self._parts), -1)
        place[rows] = np.arange(len(rows))
        start = 0
        try:
            for part in self._parts:
                for batch in part.iter_batches(_ROW_GROUP, columns=["vector"], use_threads=False):
                    column = batch.column(0)
                    known = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
                    vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, self.dim)  # without nulls
                    places = place[start + known]
                    matrix[places[places >= 0]] = vectors[places >= 0]
                    found[places[places >= 0]] = True
                    start += len(column)
        except (OSError, pa.ArrowInvalid) as error:
            raise self._damaged(error) from None
        return matrix, found

    @cached_property
    def _usable(self) -> pa.Table:
        usable = pc.equal(self._table.column("status"), "ok")
        return self._table if pc.all(usable).as_py() else self._table.filter(usable)

    def _append(self, entries: Sequence[Entry], vectors: Sequence[Any]) -> None:
        rows = [asdict(entry) | {"vector": vector} for entry, vector in zip(entries, vectors, strict=True)]
        self._commit(pa.Table.from_pylist(rows, schema=_schema(self.dim)), keep=self._note["parts"])

    def _commit(self, table: pa.Table, *, keep: Iterable[str]) -> None:
        """Write a part, then the note that names it. What is in memory changes only once the note is on disk."""
        kept = list(keep)
        numbers = [int(part[5:-8]) for part in self._note["parts"]]
        part = f"part-{max(numbers, default=-1) + 1:06d}.parquet"
        with atomic(self.folder / part) as temporary:
            # No two vectors have a number in common that a dictionary could save.
            pq.write_table(table, temporary, use_dictionary=["status", "reason"], row_group_size=_ROW_GROUP)
        try:
            self._write_note({**self._note, "parts": [*kept, part]})
        except BaseException:
            with suppress(OSError):
                (self.folder / part).unlink()
            raise
        for stale in self.folder.glob("part-*.parquet"):
            if stale.name not in self._note["parts"]:
                with suppress(OSError):  # it is committed all the same; the next commit tries again
                    stale.unlink()
        self.release()

    def _write_note(self, note: dict[str, Any]) -> None:
        write_json(self.folder / "catalog.json", note)
        self._note = note


def _problem_of(note: Mapping[str, Any]) -> str:
    """What a catalog's note lacks; empty where it has all that is read."""
    encoder, parts = note.get("encoder"), note.get("parts")
    if not isinstance(note.get("root"), str):
        return "root is no text"
    if not isinstance(encoder, dict) or not all(isinstance(encoder.get(key), str) for key in ("name", "fingerprint")):
        return "encoder has no name or fingerprint"
    if not all(isinstance(encoder.get(key, 0), int) for key in ("dim", "constant_dim")) or encoder.get("dim", 0) < 1:
        return "encoder has no dim"
    if not isinstance(parts, list) or not all(isinstance(part, str) and _PART.fullmatch(part) for part in parts):
        return "parts are not names of parts"
    return ""


def require_finite(names: Sequence[str], vectors: Vectors, encoder: str) -> None:
    """Raise DataError, which names the first picture, where a vector holds what is no number; one vector a name."""
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        name = names[int(np.flatnonzero(~finite)[0])]
        raise DataError(
            f"{name}: encoder {encoder} made a vector of it that is not finite, and it was not stored; "
            f"{int((~finite).sum())} of {len(names)} pictures here are like that; check the encoder's weights"
        )


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
