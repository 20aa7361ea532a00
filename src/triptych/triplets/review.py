"""Review: a page on which a person accepts or rejects triplets, and how the verdicts are applied."""

import secrets
from base64 import b64encode
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path

from triptych.catalog.catalog import Catalog
from triptych.core.errors import DataError, PictureError
from triptych.core.files import atomic, made_by, output_file, read_json
from triptych.core.results import known_fields
from triptych.triplets.file import read_triplets, write_triplets
from triptych.triplets.options import ReviewOptions
from triptych.triplets.selection import choose, open_triplet_picture, triplet_id

FORMAT = "triptych-verdicts-1"
_SIDE, _THUMBNAIL = 220, 64  # pixels
_NEGATIVES = 8  # shown on a card, small
_MOST_NOTE = 200  # characters of a reviewer's note


@dataclass(frozen=True)
class ReviewResult:
    """The result of `triplets_review`."""

    to_review: int
    """How many triplets are on the page."""
    page: str
    """The page's file."""


@dataclass(frozen=True)
class ApplyReviewResult:
    """The result of `triplets_apply_review`."""

    accepted_by_a_person: int
    """Triplets that a person accepted."""
    rejected_by_a_person: int
    """Triplets that a person rejected."""
    not_of_this_file: int
    """Verdicts on triplets that the file does not hold."""
    accepted: int
    """Accepted triplets of the file written."""
    refused: int
    """Refused triplets of the file written."""


def triplets_review(
    file: Path | str, catalog: Path | str, out: Path | str, options: ReviewOptions = ReviewOptions()
) -> ReviewResult:
    """Write a page on which a person accepts or rejects triplets.

    The page is one file and sends nothing. It saves verdicts as JSON, which `triplets_apply_review` reads.

    Args:
        file: triplet file.
        catalog: folder of the catalog that has the pictures.
        out: page to write (.html).
        options: which triplets are shown.

    Returns:
        How many triplets are on the page, and where it is.

    Raises:
        DataError: there is nothing to review, or the catalog lacks a picture.
    """
    from jinja2 import Environment, StrictUndefined

    file, out = Path(file), output_file(out, ".html", ".htm")
    opened = Catalog(Path(catalog), options.root)

    @cache
    def url(name: str, side: int) -> str | None:
        try:
            picture = open_triplet_picture(opened, name)
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
            "negatives": [url(name, _THUMBNAIL) for name in triplet.negatives[:_NEGATIVES]],
            "reason": triplet.reason,
        }
        for triplet in choose(file, options.count, options.seed, refused=options.refused)
    ]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("review.html").read_text(encoding="utf-8"))
    html = template.render(cards=cards, name=file.name, nonce=secrets.token_urlsafe(16))
    with atomic(out) as temporary:
        temporary.write_text(html, encoding="utf-8", errors="replace")
    return ReviewResult(len(cards), str(out))


def triplets_apply_review(file: Path | str, verdicts: Path | str, out: Path | str) -> ApplyReviewResult:
    """Write a triplet file with the verdicts that a person saved on a review page.

    A triplet that the person accepted gets a confidence of 1, one that they rejected is refused, and others stay
    unchanged.

    Args:
        file: the triplet file that the page was made of.
        verdicts: verdicts saved on the page (.json).
        out: triplet file to write.

    Returns:
        How many verdicts were applied, and how many triplets are accepted and refused.

    Raises:
        DataError: `verdicts` holds no verdicts, or `file` no triplets.
    """
    file, path, out = Path(file), Path(verdicts), output_file(out, ".parquet")
    given = _read(path)
    triplets, note = read_triplets(file)
    known = {triplet_id(triplet) for triplet in triplets}
    judged = []
    for triplet in triplets:
        verdict = given.get(triplet_id(triplet))
        if verdict is None:
            judged.append(triplet)
        elif verdict[0]:
            judged.append(replace(triplet, accepted=True, reason="", confidence=1.0))
        else:
            judged.append(replace(triplet, accepted=False, reason=f"a person refused it: {verdict[1]}".rstrip(": ")))
    result = ApplyReviewResult(
        accepted_by_a_person=sum(accept for key, (accept, _) in given.items() if key in known),
        rejected_by_a_person=sum(not accept for key, (accept, _) in given.items() if key in known),
        not_of_this_file=len(given.keys() - known),
        accepted=sum(triplet.accepted for triplet in judged),
        refused=sum(not triplet.accepted for triplet in judged),
    )
    settings = {"file": file, "verdicts": path}
    write_triplets(out, judged, made_by("triplets apply-review", settings, **known_fields(result), of=note))
    return result


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
