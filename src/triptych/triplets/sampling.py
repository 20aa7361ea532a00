"""Draw some triplets into one picture."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from triptych.catalog.catalog import Catalog
from triptych.core.contact_sheet import contact_sheet
from triptych.core.errors import PictureError
from triptych.core.files import atomic, output_file
from triptych.core.images import WHITE
from triptych.triplets.file import Triplet
from triptych.triplets.options import SampleOptions
from triptych.triplets.selection import choose, open_triplet_picture

_KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_SIDE = 120  # pixels of a picture
_NEGATIVES = 3  # shown for each triplet


@dataclass(frozen=True)
class SampleResult:
    """The result of `triplets_sample`."""

    shown: int
    """How many triplets."""
    picture: str
    """The picture file."""


def triplets_sample(
    file: Path | str,
    catalog: Path | str,
    out: Path | str,
    options: SampleOptions = SampleOptions(),
) -> SampleResult:
    """Draw some triplets into one picture: reference, words, target, and some of the negatives.

    Args:
        file: triplet file.
        catalog: folder of the catalog that has the pictures.
        out: picture to write (.png, .jpg).
        options: which triplets are drawn.

    Returns:
        How many triplets were drawn, and where.

    Raises:
        DataError: there is nothing to draw, or the catalog lacks a picture.
    """
    out = output_file(out, *_KINDS)
    opened = Catalog(Path(catalog), options.root)
    chosen = choose(Path(file), options.count, options.seed, refused=options.refused)
    rows = [_row(triplet, opened) for triplet in chosen]
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), WHITE)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    with atomic(out) as temporary:
        sheet.save(temporary, _KINDS.get(out.suffix.lower(), "PNG"))
    return SampleResult(len(rows), str(out))


def _row(triplet: Triplet, catalog: Catalog) -> Image.Image:
    def picture(name: str) -> Image.Image:
        try:
            return open_triplet_picture(catalog, name)
        except PictureError:
            return Image.new("RGB", (_SIDE, _SIDE), (200, 200, 200))

    words = triplet.modifications[0].text if triplet.modifications else ""
    text = f"{words} [{triplet.reason}]" if triplet.reason else words
    shown = [(picture(triplet.target), f"{triplet.confidence:.2f}")]
    shown += [(picture(name), "") for name in triplet.negatives[:_NEGATIVES]]
    return contact_sheet(picture(triplet.reference), text, shown, columns=1 + _NEGATIVES, side=_SIDE)
