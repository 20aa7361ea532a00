"""Add pictures to an open catalog, change their metadata, and remove them. The caller holds the catalog's lock."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from triptych.catalog.catalog import Catalog
from triptych.catalog.columns import type_of, value_as
from triptych.catalog.entry import REMOVED, UPLOADS, Entry
from triptych.core.errors import PictureError, UsageError
from triptych.core.files import made_by, write_bytes
from triptych.core.images import read_known
from triptych.core.progress import say
from triptych.core.remote import RemotePath
from triptych.core.text import truncate
from triptych.core.vectors import Vectors
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.protocol import Rows

_PARTS = 256  # part files of a catalog; more are merged, since each costs time when the catalog is opened
_HOLDS = {"number": "numbers", "date": "dates, such as 2024-03-01", "boolean": "true or false", "text": "words"}
_SIGNS = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp", b"GIF8": ".gif", b"BM": ".bmp"}

NewPicture = tuple[bytes, Vectors, Mapping[str, Any]]
"""A picture's file, its vector `(d,)` and its metadata."""


def upload_name(data: bytes) -> str:
    """The name of an uploaded file. It depends only on the content, never on a name that the client sent."""
    suffix = next((suffix for sign, suffix in _SIGNS.items() if data.startswith(sign)), ".tif")
    return f"{UPLOADS}/{sha256(data).hexdigest()}{suffix}"


def known_name(gallery: Gallery, data: bytes) -> str | None:
    """The name of the gallery's picture with exactly this content; None if there is none."""
    same = gallery.hashes == sha256(data).hexdigest().encode()
    rows = np.flatnonzero(same & gallery.alive)
    return gallery.names[int(rows[0])] if len(rows) else None


def add_pictures(catalog: Catalog, gallery: Gallery, pictures: Sequence[NewPicture]) -> Rows:
    """Write the files, then the metadata, and last the catalog. If the process ends early, nothing counts as added.

    Raises:
        UsageError: metadata has an unknown column, or a value of another type.
    """
    by_name = {upload_name(data): (data, vector, metadata) for data, vector, metadata in pictures}
    table = _table(gallery.metadata.schema, {name: metadata for name, (_, _, metadata) in by_name.items()})
    root = catalog.root
    if isinstance(root, RemotePath):
        raise UsageError(f"{root}: is an object store, which is only read; put the pictures there, and index")
    if (root / UPLOADS).is_symlink():
        raise UsageError(f"{UPLOADS}: is a link; replace it by a folder, in which added pictures are stored")
    entries = []
    vectors = np.stack([vector for _, vector, _ in by_name.values()])
    written: list[Path] = []
    try:
        for name, (data, _, _) in by_name.items():
            path = root / name
            if not path.exists():
                written.append(path)
            write_bytes(path, data)
            facts = path.stat()
            entries.append(Entry(name, facts.st_size, facts.st_mtime_ns, sha256(data).hexdigest(), "ok"))
        if len(table.column_names) > 1:
            catalog.keep_metadata(pa.concat_tables([gallery.metadata.filter(pa.array(gallery.alive)), table]))
        catalog.append(entries, vectors)
    except BaseException:
        # A later `index` would take a leftover file for a new picture.
        for path in written:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise
    _merge(catalog)
    return Rows(list(by_name), [entry.sha256 for entry in entries], vectors, table)


def change_metadata(catalog: Catalog, gallery: Gallery, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Write new metadata of pictures, by their names; None removes a value.

    Columns that are not named are unchanged. The caller reads the gallery again afterwards.

    Raises:
        UsageError: metadata has an unknown column, or a value of another type.
    """
    new = _table(gallery.metadata.schema, changes)
    row_of = {name: row for row, name in enumerate(new.column("name").to_pylist())}
    known = gallery.metadata.filter(pa.array(gallery.alive))
    places = [row_of.get(name) for name in known.column("name").to_pylist()]
    given = new.take(pa.array(places, pa.int64()))
    for position, column in enumerate(known.column_names):
        names = {name for name, values in changes.items() if column in values}
        if names:
            chosen = pa.array([place is not None and new_name in names for place, new_name in _named(places, new)])
            known = known.set_column(position, column, pc.if_else(chosen, given.column(column), known.column(column)))
    catalog.keep_metadata(known)


def _named(places: Sequence[int | None], table: pa.Table) -> list[tuple[int | None, str]]:
    names = table.column("name").to_pylist()
    return [(place, "" if place is None else names[place]) for place in places]


def remove_pictures(catalog: Catalog, gallery: Gallery, names: Sequence[str]) -> None:
    """Mark pictures as removed, which a later `index` respects, and delete the files of uploaded pictures."""
    entries = []
    uploaded = []
    for name in names:
        try:
            facts = catalog.path(name).stat()
            size, time = facts.st_size, facts.st_mtime_ns
        except OSError:
            size, time = 0, 0
        content = gallery.hashes[gallery.row_of[name]].decode()
        entries.append(Entry(name, size, time, content, "rejected", REMOVED))
        if entries[-1].added:
            uploaded.append(name)
    catalog.append(entries, np.zeros((0, catalog.dim), np.float32))
    # From here on the pictures are removed, even if deleting a file fails.
    for name in uploaded:
        _delete(catalog, name)
    _merge(catalog)


def _delete(catalog: Catalog, name: str) -> None:
    """Delete a file that `add_pictures` wrote, that is, one named after the hash of its content. Others stay."""
    path = catalog.path(name)
    if isinstance(path, RemotePath):  # nothing was ever written there
        return
    try:
        read_known(path, PurePosixPath(name).stem)
    except PictureError as error:
        if path.exists():
            say(f"{name}: not deleted, {error}")
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        say(f"{name}: removed from the catalog, but its file could not be deleted ({error.strerror})")


def _merge(catalog: Catalog) -> None:
    """Merge the part files if there are too many. If merging fails they stay, since their content is committed."""
    if catalog.parts <= _PARTS:
        return
    try:
        catalog.compact(made_by("serve", {}))
    except OSError as error:
        say(f"could not merge the {catalog.parts} parts of the catalog ({error.strerror}); a later change tries again")
    catalog.release()


def _valid_text(value: Any) -> str:
    """A value as text. Raises ValueError for lone surrogates and zero bytes, which databases refuse."""
    text = str(value)
    text.encode("utf-8")
    if "\0" in text:
        raise ValueError(text)
    return text


def _table(schema: pa.Schema, rows: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    for metadata in rows.values():
        for column in metadata:
            if column not in schema.names or column == "name":
                known = ", ".join(name for name in schema.names if name != "name") or "none"
                raise UsageError(f"metadata {column!r}: there is no such column; there are {known}")
    columns = []
    for field in schema:
        values = []
        for name, metadata in rows.items():
            given = name if field.name == "name" else metadata.get(field.name)
            try:
                # Text such as "12" or "2024-05-01" is parsed like a cell of a CSV.
                values.append(None if given is None else value_as(_valid_text(given), field.type))
            except ValueError:
                holds = "whole numbers" if pa.types.is_integer(field.type) else _HOLDS[type_of(field.type)]
                shown = truncate(str(given), 80)
                raise UsageError(
                    f"metadata {field.name!r}: the column contains {holds}; {shown!r} does not fit"
                ) from None
        columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)
