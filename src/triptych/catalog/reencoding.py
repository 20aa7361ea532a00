"""`reencode`: give a catalog's pictures the vectors of another encoder, and keep its metadata.

DIR/reencoding   the new catalog until it is complete; an interrupted run goes on with it
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.catalog.domain import check_domain
from triptych.catalog.encoding import LocalEngine
from triptych.catalog.entry import Entry
from triptych.catalog.indexing import IndexRun
from triptych.catalog.options import IndexOptions, ReencodeOptions
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError, UsageError
from triptych.core.files import atomic, copy_own, locked, made_by, read_json, write_json
from triptych.core.finding import Found
from triptych.core.progress import say
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import load_encoder

_INSIDE = "reencoding"


@dataclass(frozen=True)
class ReencodeResult:
    """The result of `reencode`, in numbers of pictures."""

    encoded: int
    """Encoded now; copies of one picture count once."""
    resumed: int
    """Encoded by an earlier run that was interrupted."""
    total: int
    """In the catalog and usable."""
    lost: int
    """Pictures that were usable before: the file is gone, cannot be read, or is no longer a picture. Each is reported,
    and a later `index` adds it again once it is back."""
    columns: int
    """Columns of metadata that were kept."""
    encoder_before: str
    encoder: str


def reencode(
    catalog: Path | str,
    encoder: Encoder | str,
    options: ReencodeOptions = ReencodeOptions(),
    *,
    out: Path | str | None = None,
    runtime: Runtime = Runtime(),
) -> ReencodeResult:
    """Encode a catalog's pictures with another encoder, and keep everything else: names, metadata, and what was
    removed.

    The catalog stays as it is, and can be searched, until all pictures are encoded. Then the new one replaces it at
    once. A run that was interrupted or killed goes on where it stopped. Composers and triplets of the old encoder do
    not fit the new one.

    Args:
        catalog: its folder.
        encoder: the new encoder or its name.
        options: what may be given up.
        out: a folder for the new catalog; by default it replaces the old one.
        runtime: what the encoder computes with.

    Returns:
        Counts of encoded, resumed and lost pictures.

    Raises:
        UsageError: the catalog has this encoder, `out` holds another catalog, or the encoder is unknown.
        DataError: the catalog cannot be read, or a vector is not finite.
        FailureError: more than a fifth of the pictures are lost. The catalog is unchanged.
    """
    folder = Path(catalog)
    source = Catalog(folder)
    engine = load_encoder(encoder, threads=runtime.threads, device=runtime.device)
    if engine.fingerprint == source.fingerprint:
        raise UsageError(f"{folder}: has the vectors of encoder {engine.name} already; name another --encoder")
    place = folder / _INSIDE if out is None else Path(out)
    with locked(folder), locked(place):
        target = _target(place, source, engine, inside=out is None)
        resumed = len(target.names)
        encoded, lost = _encode(source, target, engine, runtime)
        if lost > len(source.names) / 5 and not options.prune:
            raise FailureError(
                f"{folder}: {lost} of {len(source.names)} pictures cannot be encoded, and the catalog stays as it is; "
                "put them back, or run again with --prune to go without them"
            )
        note = made_by("reencode", {"catalog": folder, "encoder": engine.name, "before": source.encoder_name})
        target.compact(note, source.reader)
        result = ReencodeResult(
            encoded,
            resumed,
            len(target.names),
            lost,
            len(source.metadata.column_names) - 1,
            source.encoder_name,
            engine.name,
        )
        if out is None:
            _replace(source, target)
        else:
            _copy(source.folder, place, "metadata.parquet", "rejected.csv")
        warning = check_domain(Catalog(folder if out is None else place), engine)
    if warning:
        say(warning)
    return result


def _target(place: Path, source: Catalog, encoder: Encoder, *, inside: bool) -> Catalog:
    """The new catalog, begun or resumed.

    Raises:
        UsageError: another catalog lies there.
    """
    if Catalog.exists(place):
        begun = Catalog(place)
        if begun.fingerprint == encoder.fingerprint and begun.root == source.root:
            return begun
        if not inside:
            raise UsageError(f"{place}: holds another catalog; choose another --out")
        (place / "catalog.json").unlink()  # of a run with another encoder
    return Catalog.create(place, source.root, encoder, made_by("reencode", {}))


def _encode(source: Catalog, target: Catalog, encoder: Encoder, runtime: Runtime) -> tuple[int, int]:
    """Encode the usable pictures, and carry over what was removed on request or has
    vanished. Returns how many were encoded and lost."""
    contents = {entry.name: entry.sha256 for entry in source.entries if entry.status == "ok"}
    usable = list(contents)
    options = IndexOptions(max_pixels=source.limits.max_pixels / 1e6)
    run = IndexRun(
        target, encoder, Found(source.root, usable, []), options, LocalEngine(runtime.threads), None, contents
    )
    done = {entry.name for entry in target.entries if entry.status == "ok"}
    encoded = run.encode([name for name in usable if name not in done])
    known = {entry.name: entry for entry in target.entries}
    others: list[Entry] = [entry for entry in source.entries if entry.status != "ok"]
    absent = [entry for entry in source.entries if entry.status == "ok" and entry.name not in known]
    others += [replace(entry, status="vanished") for entry in absent]
    target.append(others, np.zeros((0, target.dim), np.float32))
    return encoded, len(usable) - len(target.names)


def _replace(source: Catalog, target: Catalog) -> None:
    """Let the new part and encoder replace the old ones, by replacing one file."""
    old, new = (read_json(one.folder / "catalog.json", "catalog") for one in (source, target))
    numbers = [int(part[5:-8]) for part in old["parts"]]
    moved = []
    for number, part in enumerate(new["parts"], max(numbers, default=-1) + 1):
        moved.append(f"part-{number:06d}.parquet")
        with atomic(source.folder / moved[-1]) as temporary:
            shutil.copyfile(target.folder / part, temporary)
    kept = {"id": old.get("id", new["id"]), "root": old["root"]}
    write_json(source.folder / "catalog.json", new | kept | {"parts": moved})
    for stale in old["parts"]:
        (source.folder / stale).unlink(missing_ok=True)
    shutil.rmtree(target.folder)


def _copy(source: Path, target: Path, *names: str) -> None:
    for name in names:
        if (source / name).is_file():
            with atomic(target / name) as temporary:
                copy_own(source, name, temporary)
