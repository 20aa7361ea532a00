"""`index`: a folder of pictures becomes a catalog, picture by picture, and stays one as the folder changes."""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from triptych.catalog.catalog import Catalog, Entry
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, PictureError, UsageError
from triptych.core.files import atomic, hash_file, locked, made_by
from triptych.core.images import Found, Rejected, find_pictures, load_pictures
from triptych.core.progress import progress, say
from triptych.encoders.protocol import Encoder, Pixels
from triptych.encoders.registry import load_encoder

_CHUNK = 256  # pictures a commit; a multiple of the encoder's batch, so that a resumed run makes the same batches


@dataclass(frozen=True)
class IndexResult:
    """What `index` did, in pictures."""

    encoded: int
    """Encoded now; copies of one picture count once."""
    unchanged: int
    """Not read again, since size and time are as they were."""
    rejected: int
    """In the catalog as unusable; `rejected.csv` says why."""
    vanished: int
    """In the catalog, and no longer on disk."""
    total: int
    """In the catalog and usable."""


def index(
    pictures: Path | str,
    catalog: Path | str,
    *,
    encoder: Encoder | str | None = None,
    metadata: Path | str | None = None,
    root: Path | str | None = None,
    runtime: Runtime = Runtime(),
) -> IndexResult:
    """Encode pictures into a catalog; run again, it encodes only what has changed.

    A picture whose size and time, or whose content, is unchanged is not encoded again; one that is gone is marked as
    vanished. Bad pictures are skipped and listed in `rejected.csv`. A run that was interrupted or killed loses at most
    the pictures that it was at. Pictures that were added while the catalog was open stay, in a list or not, and so does
    what is known of them, unless the CSV has a row for them.

    Args:
        pictures: a folder, read to its depths, or a .txt list of pictures.
        catalog: the folder to write to.
        encoder: an encoder, or the name of one; by default `wardrobe`, or the one that the catalog has.
        metadata: a CSV whose first column names the picture, with or without its suffix; its columns are what searches
            can be restricted by.
        root: the folder that the names in a list start from; by default the list's own.
        runtime: what the encoder computes with; `threads` also says how many pictures are read at once.

    Raises:
        UsageError: `pictures` is no folder or list, or the catalog is one of another folder.
        MismatchError: the catalog was made with another encoder.
        DataError: the list or the CSV cannot be read.
    """
    pictures, catalog = Path(pictures), Path(catalog)
    metadata = Path(metadata) if metadata else None
    root = Path(root) if root else None
    found = find_pictures(pictures, root=root)
    with locked(catalog):
        opened, engine = _open(catalog, found.root, encoder, runtime)
        settings = {"pictures": pictures, "encoder": opened.encoder_name, "metadata": metadata, "root": root}
        result, added = _update(opened, engine, found, runtime.threads)
        opened.compact(made_by("index", settings, **asdict(result)))
        _write_rejected(opened)
        if metadata:
            kept = sorted(added & {*opened.names})
            before = opened.metadata.take(pa.array([opened.row_of[name] for name in kept], pa.int64()))
            opened.keep_metadata(read_metadata(metadata, opened.names, before))
    return result


def _update(catalog: Catalog, encoder: Encoder, found: Found, threads: int | None) -> tuple[IndexResult, set[str]]:
    """Bring the entries up to date with what is on disk; also the names of what was added while it was open."""
    known = {entry.name: entry for entry in catalog.entries}
    none = np.zeros((0, catalog.dim), np.float32)
    # A path that could not even be read as a picture's name is kept as rejected, never silently lost.
    listed = [rejected for rejected in found.rejected if not _same(known.get(rejected.name), rejected)]
    if listed:
        catalog.append([_refused(rejected) for rejected in listed], none)
    added = {entry.name for entry in catalog.entries if entry.added and catalog.path(entry.name).is_file()}
    names = sorted({*found.names, *added})
    todo = [name for name in names if not _unchanged(found.root / name, known.get(name))]
    unchanged = len(names) - len(todo)
    encoded = _encode_all(catalog, encoder, todo, unchanged, threads)
    present = {*names, *(rejected.name for rejected in found.rejected)}
    gone = [
        replace(entry, status="vanished")
        for entry in catalog.entries
        if entry.name not in present and entry.status != "vanished"
    ]
    if gone:
        catalog.append(gone, none)
    counts = Counter(entry.status for entry in catalog.entries)
    return IndexResult(encoded, unchanged, counts["rejected"], counts["vanished"], counts["ok"]), added


def _open(folder: Path, root: Path, given: Encoder | str | None, runtime: Runtime) -> tuple[Catalog, Encoder]:
    if not Catalog.exists(folder):
        name = "wardrobe" if given is None else given
        engine = load_encoder(name, threads=runtime.threads, device=runtime.device)
        return Catalog.create(folder, root, engine, made_by("index", {})), engine
    opened = Catalog(folder)
    engine = opened.encoder(given, threads=runtime.threads, device=runtime.device)
    if opened.root != root.resolve():
        raise UsageError(f"{folder}: is a catalog of {opened.root}, not of {root.resolve()}; choose another --catalog")
    return opened, engine


def _same(entry: Entry | None, rejected: Rejected) -> bool:
    return entry is not None and entry.status == "rejected" and entry.reason == rejected.reason


def _refused(rejected: Rejected) -> Entry:
    return Entry(rejected.name, 0, 0, "", "rejected", rejected.reason)


def _unchanged(path: Path, entry: Entry | None) -> bool:
    if entry is None or entry.status == "vanished":
        return False
    try:
        facts = path.stat()
    except OSError:
        return False
    return (facts.st_size, facts.st_mtime_ns) == (entry.bytes, entry.mtime_ns)


def _encode_all(catalog: Catalog, encoder: Encoder, names: list[str], done: int, threads: int | None) -> int:
    """Encode and commit `names`, chunk by chunk; returns how many needed encoding."""
    vector_of = catalog.known_vectors()
    encoded = 0
    ticks = progress(range(len(names)), "index", total=done + len(names), unit="picture", done=done)
    for start in range(0, len(names), _CHUNK):
        chunk = names[start : start + _CHUNK]
        entries: list[Entry] = []
        fresh: dict[str, Pixels] = {}  # by content, so that copies of a picture are encoded once
        for entry, pixels in _read(catalog, encoder, chunk, threads):
            entries.append(entry)
            if pixels is not None and entry.sha256 not in vector_of:
                fresh.setdefault(entry.sha256, pixels)
            next(ticks)
        if fresh:
            vectors = encoder.encode_pictures(np.stack(list(fresh.values())))
            vector_of.update(zip(fresh, vectors, strict=True))
            encoded += len(fresh)
        usable = [vector_of[entry.sha256] for entry in entries if entry.status == "ok"]
        catalog.append(entries, np.array(usable, np.float32).reshape(-1, catalog.dim))
    next(ticks, None)
    return encoded


def _read(
    catalog: Catalog, encoder: Encoder, names: Iterable[str], threads: int | None
) -> Iterator[tuple[Entry, Pixels | None]]:
    """Each picture's entry, and its pixels where it is usable."""
    names = list(names)
    results = load_pictures(catalog.root, names, prepare=encoder.prepare, threads=threads or os.cpu_count() or 1)
    for name, result in results:
        path = catalog.path(name)
        try:
            facts = path.stat()
            fingerprint = hash_file(path) if path.is_file() else ""
        except OSError as error:
            yield Entry(name, 0, 0, "", "rejected", error.strerror or "cannot be read"), None
            continue
        known = (name, facts.st_size, facts.st_mtime_ns, fingerprint)
        if isinstance(result, PictureError):
            say(f"skipped {name!r}: {result}")
            yield Entry(*known, "rejected", str(result)), None
        else:
            yield Entry(*known, "ok"), result


def _write_rejected(catalog: Catalog) -> None:
    rows = [(entry.name, entry.reason) for entry in catalog.entries if entry.status == "rejected"]
    with (
        atomic(catalog.folder / "rejected.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as out,
    ):
        csv.writer(out).writerows(chain([("name", "reason")], rows))


def read_metadata(path: Path, names: list[str], before: pa.Table | None = None) -> pa.Table:
    """The rows of a CSV that belong to pictures.

    Args:
        path: the CSV. Its first column gives a picture's path, its file name, or its file name without the suffix.
        names: the pictures.
        before: what was known before, a table with a column `name`. It stays for pictures without a row, and may have
            columns that the CSV has not.

    Returns:
        One row a picture, in the order of `names`, which are its first column, `name`.

    Raises:
        DataError: the file is no CSV, two of its columns have one name, or it matches no picture.
    """
    table = _read_csv(path)
    rows = _rows_of(table, names)
    if names and all(row is None for row in rows):
        raise DataError(f"{path}: no row names a picture of the catalog; its first column must be the picture's name")
    matched = table.take(pa.array(rows, pa.int64()))
    others = [column for column in matched.column_names[1:] if column != "name"]
    new = matched.select(others).add_column(0, "name", pa.array(names))
    row_before = {name: row for row, name in enumerate(before.column("name").to_pylist())} if before else {}
    places = [row_before.get(name) if row is None else None for name, row in zip(names, rows, strict=True)]
    unknown = sum(row is None and place is None for row, place in zip(rows, places, strict=True))
    if unknown:
        say(f"{path}: {unknown} of {len(names)} pictures have no row")
    return _completed(new, before.take(pa.array(places, pa.int64()))) if before else new


def _read_csv(path: Path) -> pa.Table:
    """A CSV as a table whose first column is text. Raises DataError."""
    options = arrow_csv.ParseOptions(invalid_row_handler=lambda row: "skip")
    try:
        with arrow_csv.open_csv(path, parse_options=options) as opened:
            key = opened.schema.names[0]
        # As text, lest the name 00123 become the number 123.
        as_text = arrow_csv.ConvertOptions(column_types={key: pa.string()})
        table = arrow_csv.read_csv(path, parse_options=options, convert_options=as_text)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: not a readable CSV ({str(error).splitlines()[0]})") from None
    if twice := [name for name in table.column_names if table.column_names.count(name) > 1]:
        raise DataError(f"{path}: two columns are called {twice[0]!r}; rename one")
    # Finer moments than Python's own could be stored, but not given back.
    moments = [
        field.with_type(pa.timestamp("us", field.type.tz)) if pa.types.is_timestamp(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(moments), safe=False)


def _rows_of(table: pa.Table, names: list[str]) -> list[int | None]:
    """The row of each picture, by the table's first column; None where there is none."""
    row_of = {str(key): row for row, key in enumerate(table.column(0).to_pylist())}
    rows = []
    for name in names:
        keys = (name, Path(name).name, Path(name).stem)
        rows.append(next((row_of[key] for key in keys if key in row_of), None))
    return rows


def _completed(new: pa.Table, before: pa.Table) -> pa.Table:
    """`new` with what was known `before`, row by row, where it says nothing."""
    columns = {}
    for name in dict.fromkeys([*new.column_names, *before.column_names]):
        both = [table.column(name) for table in (new, before) if name in table.column_names]
        if both[-1].null_count < len(both[-1]) or name in new.column_names:
            columns[name] = both[0] if len(both) == 1 else pc.coalesce(*_of_one_kind(*both))
    return pa.table(columns)


def _of_one_kind(new: pa.ChunkedArray, before: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Two columns as they would be if all values stood in one CSV: the wider numbers, or words."""
    for kind in (new.type, before.type, pa.float64()):
        try:
            return new.cast(kind), before.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    return new.cast(pa.string()), before.cast(pa.string())
