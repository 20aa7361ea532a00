"""Review: a page on which a person accepts or rejects triplets, and the verdicts taken back into the file."""

import secrets
from base64 import b64encode
from dataclasses import replace
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

from triptych.catalog.catalog import Catalog
from triptych.core.errors import DataError, PictureError, UsageError
from triptych.core.files import atomic, made_by, read_json
from triptych.core.images import open_picture
from triptych.triplets.file import read_triplets, write_triplets
from triptych.triplets.selection import choose, picture_path, triplet_id

FORMAT = "triptych-verdicts-1"
_SIDE, _THUMBNAIL, _GROUP = 220, 64, 8
_MOST_NOTE = 200


def triplets_review(
    file: Path | str,
    out: Path | str,
    *,
    catalog: Path | str | None = None,
    apply: Path | str | None = None,
    count: int = 100,
    refused: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Write a review page of `count` triplets to `out` (.html), or the file with the verdicts of `apply` taken in.

    The page is one file, sends nothing, and saves verdicts as JSON. With `apply`, `out` is a triplet file: what a
    person accepted is accepted with full confidence, what they rejected is refused, the rest stays as it was.
    Raises DataError for a file that holds no verdicts, and UsageError where neither `catalog` nor `apply` is given.
    """
    file, out = Path(file), Path(out)
    if apply is not None:
        return _apply(file, Path(apply), out)
    if catalog is None:
        raise UsageError("triplets review needs --catalog to show pictures, or --apply with verdicts")
    return _page(file, Catalog(Path(catalog)), out, count, refused, seed)


def _page(file: Path, catalog: Catalog, out: Path, count: int, refused: bool, seed: int) -> dict[str, Any]:
    from jinja2 import Environment, StrictUndefined

    @cache
    def url(name: str, side: int) -> str | None:
        try:
            picture = open_picture(picture_path(catalog, name))
        except PictureError:
            return None
        picture.thumbnail((side, side))
        content = BytesIO()
        picture.save(content, "JPEG", quality=85)
        return f"data:image/jpeg;base64,{b64encode(content.getvalue()).decode()}"

    cards = [
        {
            "id": triplet_id(triplet),
            "reference": url(triplet.reference, _SIDE),
            "target": url(triplet.target, _SIDE),
            "texts": list(dict.fromkeys(wording.text for wording in triplet.modifications))[:4],
            "group": [url(name, _THUMBNAIL) for name in triplet.group[:_GROUP]],
            "reason": triplet.reason,
        }
        for triplet in choose(file, count, seed, refused=refused)
    ]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("review.html").read_text(encoding="utf-8"))
    html = template.render(cards=cards, name=file.name, nonce=secrets.token_urlsafe(16))
    with atomic(out) as temporary:
        temporary.write_text(html, encoding="utf-8", errors="replace")
    return {"to_review": len(cards), "page": str(out)}


def _apply(file: Path, path: Path, out: Path) -> dict[str, Any]:
    verdicts = _read(path)
    triplets, note = read_triplets(file)
    known = {triplet_id(triplet) for triplet in triplets}
    judged = []
    for triplet in triplets:
        verdict = verdicts.get(triplet_id(triplet))
        if verdict is None:
            judged.append(triplet)
        elif verdict[0]:
            judged.append(replace(triplet, accepted=True, reason="", confidence=1.0))
        else:
            judged.append(replace(triplet, accepted=False, reason=f"a person refused it: {verdict[1]}".rstrip(": ")))
    facts = {
        "accepted_by_a_person": sum(accept for key, (accept, _) in verdicts.items() if key in known),
        "rejected_by_a_person": sum(not accept for key, (accept, _) in verdicts.items() if key in known),
        "not_of_this_file": len(verdicts.keys() - known),
        "accepted": sum(triplet.accepted for triplet in judged),
        "refused": sum(not triplet.accepted for triplet in judged),
    }
    settings = {"file": file, "apply": path}
    write_triplets(out, judged, made_by("triplets review", settings, **facts, of=note))
    return facts


def _read(path: Path) -> dict[str, tuple[bool, str]]:
    content = read_json(path, "file of verdicts")
    found = content.get("verdicts") if isinstance(content, dict) and content.get("format") == FORMAT else None
    if not isinstance(found, dict):
        raise DataError(f"{path}: holds no verdicts ({FORMAT}); save them on a page of `triptych triplets review`")
    verdicts = {}
    for key, verdict in found.items():
        if not isinstance(verdict, dict) or not isinstance(verdict.get("accept"), bool):
            raise DataError(f'{path}: the verdict on {key[:20]!r} is not {{"accept": true or false}}')
        note = "".join(letter if letter.isprintable() else " " for letter in str(verdict.get("note") or ""))
        verdicts[key] = verdict["accept"], " ".join(note.split())[:_MOST_NOTE]
    return verdicts
