"""Import: other people's triplets, so that `train` takes them too.

    CIRR       {"reference": name, "target_hard": name, "caption": text, "img_set": {"members": [names]}}
               (Liu et al. 2021, cap.rc2.*.json)
    LaSCo      {"query-image": [id, path], "query-text": text, "target-image": [id, path]}  (Levy et al. 2024)
    MegaPairs  {"q_img": path, "q_text": text or texts, "t_img": path, "hns": [paths]}      (Zhou et al. 2024)
    triptych   {"reference": name, "modification": text, "target" or "targets": name or names}, as in queries.jsonl

Each as JSON Lines, or as one JSON array. The format follows from the fields.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from triptych.catalog.catalog import Catalog
from triptych.core.errors import DataError
from triptych.core.files import made_by, require_suffix
from triptych.core.results import known_fields
from triptych.triplets.file import Modification, Triplet, write_triplets

_MOST_TEXT = 1000  # characters of a modification
_MOST_NEGATIVES = 16


@dataclass(frozen=True)
class _Foreign:
    """A triplet as somebody else wrote it down."""

    source: str
    reference: str
    targets: tuple[str, ...]
    texts: tuple[str, ...]
    negatives: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportResult:
    """What `triplets_import` did."""

    triplets: int
    """How many triplets were written."""
    missing_pictures: int
    """How many were left out, since the catalog lacks one of their pictures."""
    format: str
    """The formats found: cirr, lasco, megapairs, queries."""


def triplets_import(source: Path | str, out: Path | str, *, catalog: Path | str) -> ImportResult:
    """Read triplets of CIRR, LaSCo, MegaPairs or a queries.jsonl, and write them to `out` as accepted ones.

    A picture is found in `catalog` by its path, or by its file name without suffix where only one picture bears it.
    Triplets whose pictures the catalog lacks are left out and counted.

    Args:
        source: file of triplets, as JSON Lines or one JSON array.
        out: triplet file to write.
        catalog: folder of the catalog that has their pictures.

    Returns:
        How many were written and left out.

    Raises:
        DataError: a record, which is named, is no triplet, or nothing is left.
    """
    require_suffix(out, "--out", ".parquet")
    source, out = Path(source), Path(out)
    find = _finder(Catalog(Path(catalog)))
    triplets: list[Triplet] = []
    missing = 0
    sources: dict[str, int] = {}
    for where, record in _records(source):
        foreign = _foreign(record, where)
        sources[foreign.source] = sources.get(foreign.source, 0) + 1
        triplet = _triplet(foreign, find)
        if triplet is None:
            missing += 1
        else:
            triplets.append(triplet)
    if not triplets:
        raise DataError(f"{source}: of {missing} triplets, none has both its pictures in {catalog}")
    result = ImportResult(len(triplets), missing, ", ".join(sources))
    settings = {"source": source, "catalog": catalog}
    write_triplets(out, triplets, made_by("triplets import", settings, **known_fields(result)))
    return result


def _triplet(foreign: _Foreign, find: Callable[[str], str | None]) -> Triplet | None:
    """None where the catalog lacks the reference or every target."""
    reference = find(foreign.reference)
    targets = [found for name in foreign.targets if (found := find(name)) and found != reference]
    if reference is None or not targets:
        return None
    group = dict.fromkeys(found for name in foreign.negatives if (found := find(name)))
    return Triplet(
        reference=reference,
        target=targets[0],
        modifications=tuple(Modification("relative", text) for text in foreign.texts),
        changes=(),
        group=tuple(other for other in group if other not in (reference, *targets))[:_MOST_NEGATIVES],
        accepted=True,
        reason="",
        confidence=1.0,
        similarity=0.0,
        reasoner=f"import:{foreign.source}",
        other_targets=tuple(dict.fromkeys(targets[1:])),
    )


def _finder(catalog: Catalog) -> Callable[[str], str | None]:
    by_stem: dict[str, str | None] = {}
    for name in catalog.names:
        stem = PurePosixPath(name).stem
        by_stem[stem] = None if stem in by_stem else name

    def find(name: str) -> str | None:
        plain = name.removeprefix("./")
        return plain if plain in catalog.row_of else by_stem.get(PurePosixPath(plain.replace("\\", "/")).stem)

    return find


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    """Each record and where it stands: an array's items, or lines."""
    try:
        with path.open(encoding="utf-8-sig") as opened:
            if opened.read(4096).lstrip().startswith("["):
                opened.seek(0)
                yield from ((f"{path}[{number}]", item) for number, item in enumerate(json.load(opened)))
                return
            opened.seek(0)
            for number, line in enumerate(opened, 1):
                if line.strip():
                    yield f"{path}:{number}", _parsed(line, f"{path}:{number}")
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON or JSON Lines ({str(error).splitlines()[0]})") from None


def _parsed(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not a JSON object ({error})") from None


def _foreign(record: Any, where: str) -> _Foreign:
    try:
        foreign = _recognised(record)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError):
        raise DataError(f"{where}: not a triplet of CIRR, LaSCo, MegaPairs or queries.jsonl") from None
    return foreign


def _recognised(record: Any) -> _Foreign:
    if "target_hard" in record or "img_set" in record:
        members = _names(record.get("img_set", {}).get("members", ()))
        target = _path(record["target_hard"])
        return _Foreign("cirr", _path(record["reference"]), (target,), _texts([record["caption"]]), members)
    if "query-image" in record:
        reference, target = record["query-image"], record["target-image"]
        return _Foreign("lasco", _path(reference), (_path(target),), _texts([record["query-text"]]))
    if "q_img" in record:
        texts = record["q_text"]
        negatives = _names(record.get("hns") or ())
        texts = [texts] if isinstance(texts, str) else texts
        return _Foreign("megapairs", _path(record["q_img"]), (_path(record["t_img"]),), _texts(texts), negatives)
    targets = record["targets"] if "targets" in record else [record["target"]]
    return _Foreign("queries", _path(record["reference"]), _names(targets), _texts([record["modification"]]))


def _path(value: Any) -> str:
    """LaSCo names a picture by its number and path."""
    return _names([value[1] if isinstance(value, list) else value])[0]


def _names(values: Iterable[Any]) -> tuple[str, ...]:
    names = tuple(values)
    if not all(isinstance(name, str) and name for name in names):
        raise ValueError
    return names


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    """Wordings, on one line each and without control characters."""
    texts = []
    for value in _names(values):
        kept = "".join(letter if letter.isprintable() else " " for letter in value[: 2 * _MOST_TEXT])
        texts.append(" ".join(kept.split())[:_MOST_TEXT])
    if not texts or not all(texts):
        raise ValueError
    return tuple(texts)
