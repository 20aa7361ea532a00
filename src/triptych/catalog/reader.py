"""Read a catalog on disk: its pictures, their vectors and their metadata."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from triptych.catalog.columns import with_types
from triptych.catalog.entry import Entry
from triptych.catalog.manifest import MANIFEST, METADATA, read_manifest, stamp_of
from triptych.catalog.parts import ROW, latest_rows, part_schema, read_vectors, stream_vectors
from triptych.core.errors import CatalogError, MismatchError, UsageError
from triptych.core.images import open_picture, read_known
from triptych.core.limits import DEFAULT_LIMITS, Limits
from triptych.core.remote import Place, place_of
from triptych.core.vectors import Vectors, require_finite_rows, without_last
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import load_encoder

# Arrow's own pools do not return freed memory to the system. This would be a large part of a search's memory.
pa.set_memory_pool(pa.system_memory_pool())


class CatalogReader:
    """A catalog, open for reading.

    Args:
        folder: its folder.
        root: the present folder of its pictures; by default the one that they were indexed in. It is not stored; `move`
            does that.

    Raises:
        DataError: `folder` holds no catalog, or a damaged one.
        UsageError: `root` is no folder.
    """

    def __init__(self, folder: Path, root: Path | None = None) -> None:
        self.folder = folder
        if root is not None and not root.is_dir():
            raise UsageError(f"--root {root}: is no folder; give the one that the catalog's pictures lie in now")
        self.given_root = None if root is None else root.resolve()
        self.stamp = stamp_of(folder)  # before the manifest, so that a change in between is noticed
        self._manifest = read_manifest(self.folder)
        self.root: Place = self.given_root or place_of(self._manifest["root"])
        self.encoder_name: str = self._manifest["encoder"]["name"]
        self.fingerprint: str = self._manifest["encoder"]["fingerprint"]
        self.dim: int = self._manifest["encoder"]["dim"]
        self.constant_dim: int = self._manifest["encoder"].get("constant_dim", 0)
        self._whole: set[tuple[str, int, int, int]] = set()

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether `folder` holds a catalog, complete or not."""
        return (folder / MANIFEST).is_file()

    def encoder(
        self, given: Encoder | str | None = None, *, threads: int | None = None, device: str | None = None
    ) -> Encoder:
        """Load the encoder that made the vectors: `given`, or the one that the catalog names.

        Raises:
            UsageError: the name is unknown, or names code (`module:attribute`), which is never run for a name from a
                file.
            MismatchError: the encoder is another one, or has changed.
        """
        name = self.encoder_name if given is None else given
        encoder = load_encoder(name, threads=threads, device=device, from_file=given is None)
        self.require(encoder)
        return encoder

    def require(self, encoder: Encoder) -> None:
        """Check that `encoder` made the vectors of this catalog.

        Raises:
            MismatchError: it did not.
        """
        if encoder.fingerprint != self.fingerprint:
            raise MismatchError(
                f"{self.folder}: indexed with encoder {self.encoder_name} ({self.fingerprint[:12]}), not with "
                f"{encoder.name} ({encoder.fingerprint[:12]}); use that encoder, or index into a new --catalog"
            )

    def require_same(self, other: "CatalogReader") -> None:
        """Check that one encoder made the vectors of both catalogs.

        Raises:
            MismatchError: it did not.
        """
        if other.fingerprint != self.fingerprint:
            raise MismatchError(
                f"{self.folder} and {other.folder}: indexed with different encoders ({self.encoder_name}, "
                f"{self.fingerprint[:12]}; {other.encoder_name}, {other.fingerprint[:12]}); index one of them again"
            )

    @property
    def digest(self) -> str:
        """A digest of the catalog's state: its pictures and their vectors."""
        return hashlib.sha256("\n".join(self.names).encode() + self.vectors.tobytes()).hexdigest()

    @cached_property
    def entries(self) -> list[Entry]:
        """Every picture that was ever indexed, with its status, ordered by name."""
        return [Entry(**row) for row in self._table.drop_columns([ROW]).to_pylist()]

    @cached_property
    def names(self) -> list[str]:
        """The usable pictures in order; row `i` of `vectors` is `names[i]`."""
        return self._usable.column("name").to_pylist()  # type: ignore[no-any-return]

    @cached_property
    def hashes(self) -> list[str]:
        """The SHA-256 of the usable pictures' files, in the order of `names`."""
        return self._usable.column("sha256").to_pylist()  # type: ignore[no-any-return]

    def column(self, name: str) -> pa.ChunkedArray:
        """A field of `Entry` for all usable pictures, in the order of `names`, without a Python object for each."""
        return self._usable.column(name)

    @cached_property
    def vectors(self) -> Vectors:
        """The vectors `(n, d)` of the usable pictures.

        Raises:
            FailureError: a vector is not finite, which earlier versions could store.
        """
        matrix, _ = self._stored(self._usable.column(ROW).to_numpy())
        made, remedy = f"encoder {self.encoder_name}", "check its weights, and index again into a new folder"
        require_finite_rows(matrix, lambda row: f"{self.folder}: {self.names[row]}", made, remedy)
        return matrix

    def vector_blocks(self) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        """`vectors` piece by piece, for a catalog larger than memory: rows, in any order, and their vectors.

        Raises:
            CatalogError: a part is damaged.
            FailureError: a vector is not finite.
        """
        rows = self._usable.column(ROW).to_numpy()
        made, remedy = f"encoder {self.encoder_name}", "check its weights, and index again into a new folder"
        try:
            for places, matrix in stream_vectors(self._parts, rows, self.dim):
                require_finite_rows(matrix, partial(self._called, places), made, remedy)
                yield places, matrix
        except (OSError, pa.ArrowInvalid) as error:
            raise self._damaged(error) from None

    def _called(self, places: NDArray[np.int64], row: int) -> str:
        return f"{self.folder}: {self.names[places[row]]}"

    @property
    def compared_vectors(self) -> Vectors:
        """Unit vectors `(n, d - constant_dim)`, for comparing pictures with each other."""
        return without_last(self.vectors, self.constant_dim)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Picture name to row."""
        return {name: row for row, name in enumerate(self.names)}

    def path(self, name: str) -> Place:
        """The path or address of a picture's file. `read` checks whether the file is still that picture."""
        return self.root / name

    def read(self, name: str) -> bytes:
        """Read the file of a usable picture.

        A catalog may be somebody else's, and its root, names and links may lead anywhere on this machine. Only a file
        with the indexed content is read, shown or copied, and nobody can name the content of a file that they do not
        have.

        Raises:
            PictureError: the file is gone, or is not the one that was indexed.
        """
        return read_known(self.path(name), self.hashes[self.row_of[name]], self.limits, root=self.root)

    @cached_property
    def metadata(self) -> pa.Table:
        """The user's columns, a row for each usable picture in the order of `names`, with nulls for unknown values.

        A column's type is that of its values. The columns of a catalog of an earlier version get their types now, and
        are stored with the next change of the metadata.
        """
        file = self.folder / METADATA
        if not file.exists():
            return self._usable.select(["name"])
        try:
            stored = with_types(pq.read_table(file))
        except (OSError, pa.ArrowInvalid) as error:
            raise self._damaged(error, "its metadata") from None
        row_of = {name: row for row, name in enumerate(stored.column("name").to_pylist())}
        rows = pa.array([row_of.get(name) for name in self.names], pa.int64())
        return stored.take(rows).set_column(0, "name", pa.array(self.names, pa.string()))

    @property
    def reader(self) -> dict[str, Any]:
        """The limits and library under which pictures were refused, as
        `core.images.reader_of` gives them; empty in old catalogs."""
        return dict(self._manifest.get("reader", {}))

    @property
    def limits(self) -> Limits:
        """The limits for reading pictures again: the highest that any `index`
        accepted, and at least the default ones."""
        most = int(self._manifest.get("max_pixels", 0))
        return replace(DEFAULT_LIMITS, max_pixels=max(DEFAULT_LIMITS.max_pixels, most))

    def open_picture(self, name: str) -> Image.Image:
        """Open a picture as upright RGB.

        Raises:
            PictureError: as `read`.
        """
        return open_picture(self.read(name), self.limits)

    def forget_vectors(self) -> None:
        """Free the memory of `vectors`. They are read again when needed."""
        self.__dict__.pop("vectors", None)

    def release(self) -> None:
        """Free the memory of everything that was read. It is read again when needed."""
        for cached in ("entries", "names", "hashes", "vectors", "row_of", "metadata", "_table", "_usable", "_parts"):
            self.__dict__.pop(cached, None)
        pa.default_memory_pool().release_unused()

    def known_vectors(self) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
        """Content hash to vector of every picture whose vector is stored, including vanished ones."""
        gone = self._table.filter(pc.equal(self._table.column("status"), "vanished"))
        matrix, known = self._stored(gone.column(ROW).to_numpy())
        before = zip(gone.column("sha256").to_pylist(), matrix, known, strict=True)
        return {content: vector for content, vector, there in before if there} | dict(
            zip(self.hashes, self.vectors, strict=True)
        )

    @cached_property
    def _parts(self) -> list[pq.ParquetFile]:
        """Opened once: whatever another run makes of them meanwhile, every column is read from the same files."""
        while True:
            try:
                # Nothing is read ahead, which would hold each part in memory a second time.
                return [pq.ParquetFile(self.folder / part, pre_buffer=False) for part in self._manifest["parts"]]
            except FileNotFoundError:
                # A run of `index` may have merged the parts since this catalog was opened.
                fresh = read_manifest(self.folder)
                if fresh["parts"] == self._manifest["parts"]:
                    raise
                self._manifest = fresh

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
        """Check that the catalog on disk can be read. A file that was found intact is read again only after it has
        changed.

        Raises:
            CatalogError: the catalog is gone, or its manifest, a part or its metadata cannot be read.
        """
        manifest = read_manifest(self.folder)
        for name in (*manifest["parts"], METADATA):
            file = self.folder / name
            try:
                facts = file.stat()
                seen = (name, facts.st_size, facts.st_mtime_ns, facts.st_ino)
                if seen not in self._whole:
                    pq.read_metadata(file)
            except (OSError, pa.ArrowInvalid) as error:
                if isinstance(error, FileNotFoundError):
                    if name == METADATA:
                        continue
                    if read_manifest(self.folder)["parts"] != manifest["parts"]:
                        return self.check()  # a run of `index` has merged them meanwhile
                raise self._damaged(error) from None
            self._whole.add(seen)
        return None

    @cached_property
    def _table(self) -> pa.Table:
        """The latest entry of each name, in order of name, without its vector but with its row among all parts'."""
        schema = part_schema(self.dim)
        schema = schema.remove(schema.get_field_index("vector"))
        table = pa.concat_tables([schema.empty_table(), *self._read(schema.names)])
        return latest_rows(table, self.folder)

    def _stored(self, rows: NDArray[np.int64]) -> tuple[Vectors, NDArray[np.bool_]]:
        """The vectors of rows, and which rows have one."""
        try:
            return read_vectors(self._parts, rows, self.dim)
        except (OSError, pa.ArrowInvalid) as error:
            raise self._damaged(error) from None

    @cached_property
    def _usable(self) -> pa.Table:
        usable = pc.equal(self._table.column("status"), "ok")
        return self._table if pc.all(usable).as_py() else self._table.filter(usable)
