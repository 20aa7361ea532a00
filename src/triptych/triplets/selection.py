"""Which triplets are looked at, and by which id a verdict names one."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from triptych.catalog.catalog import Catalog
from triptych.core.errors import DataError
from triptych.triplets.file import Triplet, read_triplets


def triplet_id(triplet: Triplet) -> str:
    """The same for the same pictures and words, wherever the triplet stands and whoever accepted it."""
    parts = [triplet.reference, triplet.target, *(f"{one.style}\0{one.text}" for one in triplet.modifications)]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def choose(file: Path, count: int, seed: int, *, refused: bool) -> list[Triplet]:
    """`count` triplets of a seeded order, accepted or refused, in the order of the file.

    Raises DataError where there are none.
    """
    pool = [triplet for triplet in read_triplets(file)[0] if triplet.accepted is not refused]
    if not pool:
        raise DataError(f"{file}: holds no {'refused' if refused else 'accepted'} triplet")
    rows = np.sort(np.random.default_rng(seed).permutation(len(pool))[:count])
    return [pool[row] for row in rows.tolist()]


def require_picture(catalog: Catalog, name: str) -> None:
    """Raise DataError for a triplet's picture that the catalog does not have.

    A triplet file may be somebody else's: its names are never used as paths unless the catalog knows them.
    """
    if name not in catalog.row_of:
        raise DataError(f"{catalog.folder}: has no picture {name!r}; give the catalog that these triplets are of")


def open_triplet_picture(catalog: Catalog, name: str) -> Image.Image:
    """A triplet's picture. Raises DataError for one that the catalog does not have, PictureError as `read` does."""
    require_picture(catalog, name)
    return catalog.open_picture(name)
