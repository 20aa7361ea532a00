"""`index`: make a catalog of a folder of pictures, and update it as the folder changes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from triptych.catalog.catalog import Catalog
from triptych.catalog.domain import check_domain
from triptych.catalog.encoding import ChunkEngine, EncodingTask, LocalEngine
from triptych.catalog.entry import REMOVED, Entry
from triptych.catalog.index_report import kind_of, listed, nothing_found, what_stays, write_rejected
from triptych.catalog.metadata import metadata_of
from triptych.catalog.moving import follow
from triptych.catalog.options import IndexOptions
from triptych.catalog.tables import CsvTable, read_table
from triptych.core.cluster import ClusterOptions
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, FailureError, UsageError
from triptych.core.files import locked, made_by
from triptych.core.finding import HEIF_SUFFIXES, Found, Rejected, find_pictures
from triptych.core.images import NEEDS_HEIF, reader_of
from triptych.core.progress import progress, say
from triptych.core.remote import Place, place_of
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import DEFAULT, load_encoder

_CHUNK = (
    256  # pictures for each commit; a multiple of the encoder's batch, so that a resumed run makes the same batches
)
_MANY = 50  # pictures; losses are not checked in a catalog of so many or fewer
_LARGE_LOSS = 0.2  # share of a catalog's pictures; if more are missing, the command stops


@dataclass(frozen=True)
class IndexResult:
    """The result of `index`, in numbers of pictures."""

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
    kept: int = 0
    """Of `total`, those that lie where nothing can be read now; they stay until that can be."""
    rejected_for: Mapping[str, int] = field(default_factory=dict)
    """How many were rejected for each reason."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """What else was met and is no picture, by kind: suffixes that are not read, hidden files, excluded ones, folders of
    thumbnails, refused paths, unreadable folders. `rejected.csv` lists them."""
    metadata: Mapping[str, int] | None = None
    """Rows of the CSV, those that were left out by kind, and pictures with and without a row."""


def index(
    pictures: Path | str,
    catalog: Path | str,
    options: IndexOptions = IndexOptions(),
    *,
    encoder: Encoder | str | None = None,
    metadata: Path | str | None = None,
    root: Path | str | None = None,
    runtime: Runtime = Runtime(),
    cluster: ClusterOptions = ClusterOptions(),
) -> IndexResult:
    """Encode pictures into a catalog. Run again, it encodes only what has changed.

    A picture with unchanged size and time, or unchanged content, is not encoded again. A missing picture is marked as
    vanished, and its vector is kept for its return. Bad pictures are skipped and listed in `rejected.csv`, like
    everything else that was met. A run that was interrupted or killed loses at most the pictures that it was working
    on. Pictures that were added while the catalog was open stay, whether or not they are in a list, and so do their
    metadata, unless the CSV has a row for them.

    Absence does not mean deletion. Pictures in a folder that cannot be read stay as they are. The whole catalog stays
    as it is if no picture is found at all, or if more than a fifth of a catalog of more than 50 is missing, unless
    `options.prune` is set. A library that was moved as a whole keeps its catalog.

    Args:
        pictures: a folder, with all folders below it, or a .txt list of pictures; or a folder of an object store, such
            as `s3://bucket/pictures` or `gs://bucket/pictures`, whose keys come from the environment.
        catalog: the folder to write to.
        options: which pictures are taken, and what may be given up.
        encoder: an encoder or its name; by default that of the catalog, or `photos`.
        metadata: a CSV with a column that names the picture, by path, by file name, or by file name without suffix.
            Searches can be restricted by its other columns. Each gets a type, number, date, boolean or text, from its
            values; `options.column_types` overrules that.
        root: the folder that the names in a list start from; by default the list's own. For a folder, the same folder
            again: it says that the catalog's pictures have moved there.
        runtime: what the encoder computes with; `threads` also says how many pictures are read at once, by each worker.
        cluster: whether workers of a Ray cluster encode. The catalog is the same and is written here, so a run that
            was killed goes on with or without them.

    Returns:
        Counts of encoded, unchanged, rejected, vanished and kept pictures.

    Raises:
        UsageError: `pictures` is no folder or list, or the catalog is one of another folder; or Ray is missing.
        MismatchError: the catalog was made with another encoder.
        DataError: the list or the CSV cannot be read, or there is no usable picture.
        FailureError: a large part of the catalog is missing, after everything else was done; or a vector is not finite.
    """
    source, catalog = place_of(pictures), Path(catalog)
    metadata = Path(metadata) if metadata else None
    root = Path(root) if root else None
    if options.name_column is not None and not metadata:
        raise UsageError("--name-column goes with --metadata")
    if options.column_types and not metadata:
        raise UsageError("--column-type goes with --metadata")
    table = read_table(metadata, options.name_column, options.types) if metadata else None
    own_root = root is not None and source.is_dir() and root.resolve() == source.resolve()
    found = find_pictures(source, root=None if own_root else root, exclude=options.exclude)
    if not found.names and not Catalog.exists(catalog):
        load_encoder(DEFAULT if encoder is None else encoder, threads=runtime.threads, device=runtime.device)
        raise DataError(nothing_found(source, found))
    with locked(catalog):
        opened, engine = _open(catalog, found, encoder, runtime, explicit=root is not None)
        settings = {"pictures": str(source), "encoder": opened.encoder_name, "metadata": metadata, "root": root}
        listing = None if source.is_dir() else Path(pictures)
        run = IndexRun(opened, engine, found, options, _engine(opened, encoder, runtime, cluster), listing)
        if not run.names and not options.prune:
            raise DataError(nothing_found(source, found) + what_stays(opened))
        result, problem = run.update()
        opened.compact(made_by("index", settings | asdict(options), **asdict(result)), run.reader)
        write_rejected(opened, found)
        if table:
            result = replace(result, metadata=_keep_metadata(opened, table, run.added))
        warning = check_domain(opened, engine)
    _report(result, found, opened)
    if warning:
        say(warning)
    if problem:
        raise FailureError(problem)
    if not result.total and not options.prune:
        raise DataError(f"{pictures}: none of {result.rejected} pictures can be used: {listed(result.rejected_for)}")
    return result


def _engine(catalog: Catalog, encoder: Encoder | str | None, runtime: Runtime, cluster: ClusterOptions) -> ChunkEngine:
    if cluster.engine != "ray":
        return LocalEngine(runtime.threads)
    from triptych.catalog.ray_engine import RayEngine

    return RayEngine(cluster, catalog.folder, catalog.encoder_name if encoder is None else encoder, runtime.threads)


def _keep_metadata(catalog: Catalog, table: CsvTable, added: set[str]) -> dict[str, int]:
    kept = sorted(added & {*catalog.names})
    before = catalog.metadata.take(pa.array([catalog.row_of[name] for name in kept], pa.int64()))
    columns, counts = metadata_of(table, catalog.names, root=catalog.root, before=before)
    catalog.keep_metadata(columns)
    return counts


def _open(
    folder: Path, found: Found, given: Encoder | str | None, runtime: Runtime, *, explicit: bool
) -> tuple[Catalog, Encoder]:
    if not Catalog.exists(folder):
        name = DEFAULT if given is None else given
        engine = load_encoder(name, threads=runtime.threads, device=runtime.device)
        return Catalog.create(folder, found.root, engine, made_by("index", {})), engine
    opened = Catalog(folder)
    engine = opened.encoder(given, threads=runtime.threads, device=runtime.device)
    follow(opened, found, explicit=explicit)
    return opened, engine


class IndexRun:
    """One run of `index` over the pictures that were found."""

    def __init__(
        self,
        catalog: Catalog,
        encoder: Encoder,
        found: Found,
        options: IndexOptions,
        engine: ChunkEngine,
        listing: Path | None,
        contents: Mapping[str, str] | None = None,
    ) -> None:
        self.listing = listing  # the list that says which pictures there are; None where the folder does
        self.catalog, self.found, self.options = catalog, found, options
        self.engine = engine
        self.reader = reader_of(options.limits)
        self.known = {entry.name: entry for entry in catalog.entries}
        self.added = {entry.name for entry in catalog.entries if entry.added and catalog.path(entry.name).is_file()}
        self.task = EncodingTask(encoder, found.root, options.limits, contents or {})
        self.names = sorted({*found.names, *self.added})
        self.kept = 0  # usable pictures that may or may not still exist

    def update(self) -> tuple[IndexResult, str]:
        """Bring the catalog up to date. Returns counts, and what a person must decide, if anything."""
        none = np.zeros((0, self.catalog.dim), np.float32)
        if not self.catalog.entries:  # so that a run that is killed need not try its refusals again
            self.catalog.set_reader(self.reader)
        # A path that could not even be read as a picture's name is kept as rejected, never silently lost.
        listed = [item for item in self.found.rejected if self._is_news(item)]
        if listed:
            self.catalog.append([_refused(item) for item in listed], none)
        again = self.catalog.reader != self.reader
        todo = [name for name in self.names if not _unchanged(self.found.root / name, self.known.get(name), again)]
        encoded = self.encode(todo)
        problem = self._mark_gone(again)
        entries = self.catalog.entries
        counts = Counter(entry.status for entry in entries)
        reasons = Counter(kind_of(entry.reason) for entry in entries if entry.status == "rejected")
        result = IndexResult(
            encoded,
            len(self.names) - len(todo),
            counts["rejected"],
            counts["vanished"],
            counts["ok"],
            self.kept,
            dict(reasons.most_common()),
            self.found.counts(),
        )
        return result, problem

    def _is_news(self, item: Rejected) -> bool:
        """Whether to record a rejected path. For a picture that was usable, only certain reasons are recorded."""
        entry = self.known.get(item.name)
        if entry is None:
            return True
        if item.kind in {"missing", "unreadable"} and entry.status in {"ok", "vanished"}:
            return False
        return (entry.status, entry.reason) != ("rejected", item.reason)

    def _mark_gone(self, again: bool) -> str:
        """Record what has vanished. Returns a description of a loss that is too large to record without asking."""
        entries = self.catalog.entries
        present, listed = {*self.names}, {item.name for item in self.found.rejected}
        absent = [entry for entry in entries if entry.name not in present]
        hidden = [entry for entry in absent if self.found.hides(entry.name)]
        sheltered = {entry.name for entry in hidden}
        self.kept += sum(entry.status == "ok" for entry in hidden)
        if again:
            self._forget_refusals(hidden)
        absent = [entry for entry in absent if entry.name not in sheltered]
        gone = [entry for entry in absent if entry.status == "ok"]
        content = {entry.sha256 for entry in entries if entry.name in present and entry.status == "ok"}
        lost = [entry for entry in gone if entry.sha256 not in content]
        problem = "" if self.options.prune else self._large_loss(lost)
        if problem:
            spared = {entry.name for entry in lost}
            gone = [entry for entry in gone if entry.name not in spared]
        gone += [entry for entry in absent if entry.status == "rejected" and entry.name not in listed]
        if self.options.prune:  # those of earlier runs too
            gone += [entry for entry in absent if entry.status == "vanished"]
        if gone:
            self.catalog.mark_vanished([entry.name for entry in gone], forget=self.options.prune)
        return problem

    def _forget_refusals(self, hidden: list[Entry]) -> None:
        """Forget refusals under other limits of files that cannot be read now, so
        that they are read once they can be."""
        stale = [
            replace(entry, mtime_ns=-1)
            for entry in hidden
            if entry.status == "rejected" and entry.sha256 and entry.reason != REMOVED
        ]
        if stale:
            self.catalog.append(stale, np.zeros((0, self.catalog.dim), np.float32))

    def _large_loss(self, lost: list[Entry]) -> str:
        """The message about a large loss; empty if it is not large."""
        before = sum(entry.status == "ok" for entry in self.known.values())
        if before <= _MANY or len(lost) <= _LARGE_LOSS * before:
            return ""
        missing = {item.name for item in self.found.rejected}
        unlisted = [entry for entry in lost if entry.name not in missing] if self.listing else []
        where, remedy, example = f"in {self.found.root}", "Put them back", lost[0]
        if 2 * len(unlisted) > len(lost):  # nothing is wrong with the disk
            where, remedy, example = f"in the list {self.listing}", "Add them to the list", unlisted[0]
        return (
            f"{self.catalog.folder}: {len(lost)} of {before} pictures are not {where} any more, such as "
            f"{example.name}; they stay in the catalog. {remedy}, or run again with --prune to give them up"
        )

    def encode(self, names: list[str]) -> int:
        """Encode and commit `names`, chunk by chunk. Returns how many needed encoding."""
        if not names:
            return 0
        vector_of = self.catalog.known_vectors()
        encoded, done = 0, len(self.names) - len(names)
        ticks = progress(range(len(names)), "index", total=len(self.names), unit="picture", done=done)
        chunks = [names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK)]
        for chunk in self.engine(self.task, chunks, vector_of, lambda: next(ticks)):
            entries = [entry for entry in map(self._entry, chunk.results) if entry]
            fresh = {content: vector for content, vector in chunk.vectors.items() if content not in vector_of}
            if fresh:
                names_of = {entry.sha256: entry.name for entry in reversed(entries)}
                self.catalog.require_finite([names_of[content] for content in fresh], np.stack([*fresh.values()]))
                vector_of.update(fresh)
                encoded += len(fresh)
            usable = [vector_of[entry.sha256] for entry in entries if entry.status == "ok"]
            if entries:
                self.catalog.append(entries, np.array(usable, np.float32).reshape(-1, self.catalog.dim))
        next(ticks, None)
        return encoded

    def _entry(self, result: tuple[str, Entry | str]) -> Entry | None:
        """The entry of a picture that was read; None if it is unchanged."""
        name, found = result
        entry = Entry(name, 0, 0, "", "rejected", found) if isinstance(found, str) else found
        if entry.reason:
            say(f"skipped {name!r}: {entry.reason}")
        before = self.known.get(name)
        if isinstance(found, str) and before is not None and before.status != "rejected":
            # It may be as good as ever: nothing can be said of it now.
            self.kept += before.status == "ok"
            return None
        return entry


def _refused(rejected: Rejected) -> Entry:
    return Entry(rejected.name, 0, 0, "", "rejected", rejected.reason)


def _unchanged(path: Place, entry: Entry | None, again: bool) -> bool:
    """Whether a file need not be read. `again`: refused files are read once more, unless a person refused them."""
    if entry is None or entry.status == "vanished":
        return False
    if again and entry.status == "rejected" and entry.reason != REMOVED:
        return False
    try:
        facts = path.stat()
    except OSError:
        return False
    return (facts.st_size, facts.st_mtime_ns) == (entry.bytes, entry.mtime_ns)


def _report(result: IndexResult, found: Found, catalog: Catalog) -> None:
    """Print what a person should know besides the counts."""
    if result.kept:
        reasons = [f": {item.name!r}: {item.reason}" for item in found.rejected if item.kind == "unreadable"]
        say(f"kept {result.kept} pictures that cannot be read now{''.join(reasons[:1])}")
    heif = sum(item.kind in HEIF_SUFFIXES for item in found.left_out)
    if heif:
        say(f"left out {heif} pictures: {NEEDS_HEIF}")
    if result.left_out or result.rejected:
        say(f"everything that was left out, with reasons: {catalog.folder / 'rejected.csv'}")
