"""`search`: the pictures of a catalog that a reference and a few words ask for."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from triptych.baselines import TextOnly, WithPicture
from triptych.catalog import Catalog, matching, nearest
from triptych.composers import Composer, TrainedComposer
from triptych.encoders import Encoder, Vectors, load_encoder
from triptych.errors import DataError, PictureError, UsageError
from triptych.files import atomic, hash_file, made_by, write_json
from triptych.images import open_picture
from triptych.progress import say

_SHEETS = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Hit:
    """One result. Scores compare within a search only: there is no value above which a hit is right."""

    rank: int
    name: str
    """Relative to the catalog's root."""
    path: str
    score: float


def search(
    catalog: Path | str,
    *,
    image: Path | str | None = None,
    text: str = "",
    composer: Path | str | None = None,
    k: int = 10,
    weight: float = 0.5,
    where: Sequence[str] = (),
    output: Path | str | None = None,
    threads: int | None = None,
) -> list[Hit]:
    """The `k` pictures of `catalog` that best answer a reference `image`, changed as `text` says.

    Without a `composer`, by the weighted sum (`weight` to the words), which needs no training; image or text alone also
    work. `where` conditions over the metadata are applied before the choice. The reference itself, if the catalog
    holds it, is never a result. `output` takes a contact sheet (.png, .jpg, .webp) or the results as .json.

    Raises UsageError where neither image nor text is given or `where` cannot be read, DataError where the image cannot
    be used, MismatchError where composer and catalog have different encoders.
    """
    catalog = Path(catalog)
    image = Path(image) if image else None
    composer = Path(composer) if composer else None
    output = Path(output) if output else None
    text = text.strip()
    if image is None and not text:
        raise UsageError("give an --image, a --text, or both")
    if composer and (image is None or not text):
        raise UsageError("a --composer needs both an --image and a --text")
    if k < 1 or not 0 <= weight <= 1:
        raise UsageError("-k must be at least 1, and --weight between 0 and 1")
    if output and output.suffix.lower() not in (*_SHEETS, ".json"):
        raise UsageError(f"--output {output}: must end in .json or one of {', '.join(_SHEETS)}")

    opened = Catalog(catalog)
    encoder = load_encoder(opened.encoder_name, threads=threads)
    opened.require(encoder)
    allowed = matching(opened.metadata, where) if where else np.ones(len(opened.names), bool)
    if image is not None:
        allowed &= _others(opened, image)
    queries, gallery = _vectors(opened, encoder, image, text, composer, weight)
    rows, scores = nearest(queries, gallery, k, allowed=allowed)
    hits = [
        Hit(rank, opened.names[row], str(opened.path(opened.names[row])), round(float(score), 6))
        for rank, (row, score) in enumerate(zip(rows[0], scores[0], strict=True), start=1)
    ]
    if output:
        _write(output, image, text, hits)
    return hits


def _others(catalog: Catalog, image: Path) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Every picture of the catalog that is not, byte for byte, the reference."""
    try:
        reference = hash_file(image)
    except OSError as error:
        raise DataError(f"{image}: cannot be read ({error.strerror})") from None
    hashes = {entry.name: entry.sha256 for entry in catalog.entries}
    return np.array([hashes[name] != reference for name in catalog.names], bool)


def _vectors(
    catalog: Catalog, encoder: Encoder, image: Path | None, text: str, composer: Path | None, weight: float
) -> tuple[Vectors, Vectors]:
    """The query's vector `(1, d)` and the gallery's `(m, d)`."""
    if image is None:
        return encoder.encode_texts([text]), catalog.vectors
    try:
        reference = encoder.encode_pictures(encoder.prepare(open_picture(image))[None])
    except PictureError as error:
        raise DataError(f"{image}: {error}") from None
    if not text:
        return reference, catalog.vectors
    method: Composer
    if composer:
        trained = TrainedComposer(composer)
        trained.attach(encoder)
        method = trained
    else:
        method = WithPicture("sum", TextOnly(encoder), weight)
    return method.compose(reference, [text]), method.gallery(catalog.vectors)


def _shown(hit: Hit) -> Image.Image:
    """The result's picture, or a grey square where it has gone since it was indexed."""
    try:
        return open_picture(Path(hit.path))
    except PictureError as error:
        say(f"{hit.path}: {error}; `triptych index` brings the catalog up to date")
        return Image.new("RGB", (64, 64), "#ccc")


def _write(output: Path, image: Path | None, text: str, hits: Sequence[Hit]) -> None:
    if output.suffix.lower() == ".json":
        query = {"image": str(image) if image else None, "text": text}
        results = [asdict(hit) for hit in hits]
        write_json(output, {"query": query, "results": results, "made_by": made_by("search", query)})
        return
    from triptych.report import contact_sheet

    reference = open_picture(image) if image else None
    pictures = [(_shown(hit), f"{hit.rank}. {hit.score:.3f}") for hit in hits]
    sheet = contact_sheet(reference, text, pictures)
    with atomic(output) as temporary:
        sheet.save(temporary, format="JPEG" if output.suffix.lower() in (".jpg", ".jpeg") else output.suffix[1:])
