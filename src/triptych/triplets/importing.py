"""Import: other people's triplets, so that `train` takes them too.

    CIRR       {"reference": name, "target_hard": name, "target_soft": {name: score}, "caption": text,
               "img_set": {"members": [names]}}       (Liu et al. 2021, cap.rc2.*.json)
    FashionIQ  {"candidate": name, "target": name, "captions": [text, text]}  (Wu et al. 2021, cap.dress.train.json)
    LaSCo      {"query-image": [id, path], "query-text": text, "target-image": [id, path]}  (Levy et al. 2024)
    MegaPairs  {"q_img": path, "q_text": text or texts, "t_img": path, "hns": [paths]}      (Zhou et al. 2024)
    MTCIR      {"image": path, "target_image": path, "modifications": [texts]}  (Huynh et al. 2025, mtcir.jsonl)
    triptych   {"reference": name, "modification": text, "target" or "targets": name or names}, as in queries.jsonl, and
               as the service keeps feedback, with "verdict"

Each as JSON Lines, or as one JSON array. The format follows from the fields. For any other format, the user
names the fields of reference, text and target. CIRHS (Li et al. 2025, arXiv 2507.05970) was announced, but no file of
it was found.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triptych.catalog.catalog import Catalog
from triptych.catalog.matching import PictureNames
from triptych.core.errors import DataError, UsageError
from triptych.core.files import made_by, output_file
from triptych.core.progress import say
from triptych.core.results import known_fields
from triptych.core.text import truncate
from triptych.triplets.file import Modification, Triplet, write_triplets

_MOST_TEXT = 1000  # characters of a modification
_MOST_NEGATIVES = 16  # of a triplet
_CAPTION_ENDS = ".?, "  # cut off the ends of FashionIQ's captions before they are joined
_NO_PICTURE, _TWO_PICTURES = "a picture that the catalog lacks", "a name of several pictures"
_JUDGED_BAD = "feedback that results do not answer"
_NEEDED, _NEGATIVES = ("reference", "text", "target"), "negatives"
_SAME, _NO_TEXT, _NO_TARGET = "the reference as its own target", "no text", "no target, as in a split without answers"


@dataclass(frozen=True)
class _Foreign:
    """A triplet as another data set has it."""

    source: str
    reference: str
    targets: tuple[str, ...]
    texts: tuple[Modification, ...]
    negatives: tuple[str, ...] = ()
    cut: bool = False
    """Whether a text was longer than is kept."""


@dataclass(frozen=True)
class ImportResult:
    """The result of `triplets_import`."""

    triplets: int
    """How many triplets were written."""
    missing_pictures: int
    """How many were left out, since the catalog lacks one of their pictures."""
    format: str
    """The formats found: cirr, fashioniq, lasco, megapairs, mtcir, queries; or fields, where a user named them."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """How many were left out for each reason."""
    cut: int = 0
    """How many have a text of which only the first 1000 characters were kept."""


def triplets_import(
    source: Path | str, out: Path | str, *, catalog: Path | str, names: Mapping[str, str] | None = None
) -> ImportResult:
    """Read triplets of CIRR, FashionIQ, LaSCo, MegaPairs, MTCIR or a queries.jsonl, and write them as accepted.

    A picture is found in `catalog` by its path, or by its file name without suffix if only one picture has it. Records
    that cannot be used are left out, counted by reason, and reported with an example. The two captions of a FashionIQ
    pair become four wordings: both joined by "and" in either order, and each by itself, as Baldrati et al. train
    (*Conditioned and composed image retrieval combining and partially fine-tuning CLIP-based features*, CVPRW 2022).
    The group of a CIRR pair becomes hard negatives, without the pictures that its authors mark as fitting, too.

    Args:
        source: file of triplets, as JSON Lines or one JSON array.
        out: triplet file to write.
        catalog: folder of the catalog that has their pictures.
        names: for any other format, which field of a record holds the `reference`, the `text` (one or several), the
            `target` (one or several), and optionally the `negatives`.

    Returns:
        How many triplets were written and how many left out.

    Raises:
        UsageError: `names` lacks one of the three required fields, or has an unknown one.
        DataError: a record is no triplet, or none is left; the message names the record.
    """
    _check_names(names)
    source, out = Path(source), output_file(out, ".parquet")
    opened = Catalog(Path(catalog))
    pictures = _Pictures(opened)
    triplets: list[Triplet] = []
    cut = 0
    sources: dict[str, None] = {}
    reasons: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for where, record in _records(source):
        foreign = _foreign(record, where, names)
        if isinstance(foreign, _Foreign):
            sources[foreign.source] = None
            cut += foreign.cut
        made = _triplet(foreign, pictures) if isinstance(foreign, _Foreign) else foreign
        if isinstance(made, Triplet):
            triplets.append(made)
        else:
            reasons[made.reason] += 1
            examples.setdefault(made.reason, f"{where}{made.example}")
    if not triplets:
        raise DataError(
            f"{source}: no triplet can be used with {catalog}; {_listed(reasons, examples) or 'it is empty'}"
        )
    if reasons:
        say(
            f"{source}: left out {sum(reasons.values())} of {len(triplets) + reasons.total()} triplets; "
            f"{_listed(reasons, examples)}"
        )
    if cut:
        say(f"{source}: {cut} triplets have a text of more than {_MOST_TEXT} characters, which was cut there")
    result = ImportResult(len(triplets), reasons[_NO_PICTURE], ", ".join(sources), dict(reasons.most_common()), cut)
    settings = {"source": source, "catalog": catalog}
    write_triplets(out, triplets, made_by("triplets import", settings, **known_fields(result)))
    return result


@dataclass(frozen=True)
class _LeftOut:
    """Why a record is left out, and an example for the message."""

    reason: str
    example: str = ""


def _listed(reasons: Mapping[str, int], examples: Mapping[str, str]) -> str:
    """Reasons with their counts and an example each."""
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    return "; ".join(f"{count} with {reason}, such as {examples[reason]}" for reason, count in ordered)


def _triplet(foreign: _Foreign, pictures: "_Pictures") -> Triplet | _LeftOut:
    """The triplet with the catalog's names of its pictures, or why it is left out."""
    reference = pictures.find(foreign.reference)
    if isinstance(reference, _LeftOut):
        return reference
    found = [pictures.find(name) for name in foreign.targets]
    targets = [name for name in found if isinstance(name, str) and name != reference]
    if not targets:
        return next((lost for lost in found if isinstance(lost, _LeftOut)), _LeftOut(_SAME, f" ({reference})"))
    group = dict.fromkeys(name for each in foreign.negatives if isinstance(name := pictures.find(each), str))
    return Triplet(
        reference=reference,
        target=targets[0],
        modifications=foreign.texts,
        changes=(),
        negatives=tuple(other for other in group if other not in (reference, *targets))[:_MOST_NEGATIVES],
        accepted=True,
        reason="",
        confidence=1.0,
        similarity=0.0,
        reasoner=f"import:{foreign.source}",
        other_targets=tuple(dict.fromkeys(targets[1:])),
    )


class _Pictures:
    """Finds the catalog's pictures by the names of other data sets."""

    def __init__(self, catalog: Catalog) -> None:
        self._names = catalog.names
        self._found = PictureNames(catalog.names)

    def find(self, name: str) -> str | _LeftOut:
        """Find the one picture with a path or file name, also in other folders and formats."""
        bare = name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
        for key in (name, bare, bare.rsplit(".", 1)[0]):
            match = self._found.find(key) if key else None
            if match and len(match.places) == 1:
                return self._names[match.places[0]]
            if match:
                return _LeftOut(_TWO_PICTURES, f" ({truncate(name, 80)})")
        return _LeftOut(_NO_PICTURE, f" ({truncate(name, 80)})")


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    """Each record and its position: an array's items, or lines."""
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


def _check_names(names: Mapping[str, str] | None) -> None:
    """Raise UsageError unless all that is needed is named, and nothing else."""
    if names is None:
        return
    if missing := [each for each in _NEEDED if each not in names]:
        raise UsageError(f"--field: say which field holds the {missing[0]}, such as --field {missing[0]}=NAME")
    if unknown := [each for each in names if each not in (*_NEEDED, _NEGATIVES)]:
        raise UsageError(f"--field {unknown[0]}: name the fields of {', '.join(_NEEDED)} or {_NEGATIVES}")


def _foreign(record: Any, where: str, names: Mapping[str, str] | None) -> _Foreign | _LeftOut:
    try:
        foreign = _recognised(record) if names is None else _named(record, names)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError):
        if names is not None:
            said = ", ".join(f"{what} in {field!r}" for what, field in names.items())
            raise DataError(f"{where}: not a triplet with {said}") from None
        raise DataError(
            f"{where}: not a triplet of CIRR, FashionIQ, LaSCo, MegaPairs, MTCIR or queries.jsonl; of another format "
            "say which fields hold what, with --field reference=NAME --field text=NAME --field target=NAME"
        ) from None
    return foreign


def _named(record: Any, names: Mapping[str, str]) -> _Foreign | _LeftOut:
    """A record by the fields that a user named."""
    text, target = record[names["text"]], record[names["target"]]
    negatives = record.get(names[_NEGATIVES]) if _NEGATIVES in names else None
    return _made(
        "fields",
        record[names["reference"]],
        target if isinstance(target, list) else [target],
        {"relative": [text] if isinstance(text, str) else text},
        _names(negatives or ()),
    )


def _recognised(record: Any) -> _Foreign | _LeftOut:
    """Read a record by its fields. Raises a built-in error if it is no triplet of a known format."""
    if "target_hard" in record or "img_set" in record:
        if "target_hard" not in record:
            return _LeftOut(_NO_TARGET)
        fits = {name for name, score in record.get("target_soft", {}).items() if score > 0}
        members = _names(record.get("img_set", {}).get("members", ()))
        return _made(
            "cirr",
            record["reference"],
            [record["target_hard"]],
            {"relative": [record["caption"]]},
            tuple(name for name in members if name not in fits),
        )
    if "candidate" in record and "captions" in record:
        if "target" not in record:
            return _LeftOut(_NO_TARGET)
        return _made("fashioniq", record["candidate"], [record["target"]], _joined(record["captions"]))
    if "query-image" in record:
        texts = {"relative": [record["query-text"]]}
        return _made("lasco", record["query-image"], [record["target-image"]], texts)
    if "q_img" in record:
        several = record["q_text"]
        texts = {"relative": [several] if isinstance(several, str) else several}
        return _made("megapairs", record["q_img"], [record["t_img"]], texts, _names(record.get("hns") or ()))
    if "modifications" in record and "target_image" in record:
        texts = {"relative": record["modifications"]}
        return _made("mtcir", record["image"], [record["target_image"]], texts)
    if "verdict" in record and record.get("targets") == []:
        return _LeftOut(_JUDGED_BAD)
    targets = record["targets"] if "targets" in record else [record["target"]]
    return _made("queries", record["reference"], targets, {"relative": [record["modification"]]})


def _made(
    source: str, reference: Any, targets: Sequence[Any], texts: Mapping[str, Sequence[Any]], negatives: Any = ()
) -> _Foreign | _LeftOut:
    """Make a triplet with wordings by style. A record without a text is left out."""
    kept: dict[str, Modification] = {}
    cut = False
    for style, wordings in texts.items():
        for text in _names(wordings, empty=True):
            line = _line(text)
            cut |= len(line) > _MOST_TEXT
            if line:
                kept.setdefault(line[:_MOST_TEXT], Modification(style, line[:_MOST_TEXT]))
    if not kept:
        return _LeftOut(_NO_TEXT)
    names = tuple(map(_path, targets))
    if not names:
        raise ValueError
    return _Foreign(source, _path(reference), names, tuple(kept.values()), tuple(negatives), cut)


def _joined(captions: Any) -> dict[str, list[str]]:
    """FashionIQ's captions, joined as its benchmark asks them, and one by one."""
    said = [bare for caption in _names(captions, empty=True) if (bare := caption.strip(_CAPTION_ENDS))]
    if len(said) < 2 or said[0] == said[1]:
        return {"relative": said}
    return {"captions": [" and ".join(said), " and ".join(reversed(said))], "relative": said}


def _path(value: Any) -> str:
    """A picture's path. LaSCo gives a number and a path."""
    return _names([value[1] if isinstance(value, list) else value])[0]


def _names(values: Iterable[Any], *, empty: bool = False) -> tuple[str, ...]:
    """Check that values are texts. Empty ones are allowed only if `empty` is true."""
    names = tuple(values)
    if isinstance(values, str) or not all(isinstance(name, str) and (name or empty) for name in names):
        raise ValueError
    return names


def _line(text: str) -> str:
    """A wording on one line and without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 8 * _MOST_TEXT]).split())
