"""Choose triplets to show, open their pictures, and identify them in verdicts."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from triptych.catalog.catalog import Catalog
from triptych.core.errors import DataError
from triptych.triplets.file import Triplet, read_triplets


def triplet_id(triplet: Triplet) -> str:
    """An id that depends on pictures and words alone: the same in every file, accepted or not."""
    parts = [triplet.reference, triplet.target, *(f"{one.style}\0{one.text}" for one in triplet.modifications)]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def choose(file: Path, count: int, seed: int, *, refused: bool) -> list[Triplet]:
    """Choose `count` accepted or refused triplets by a seed, and return them in the order of the file.

    Raises:
        DataError: there are none.
    """
    pool = [triplet for triplet in read_triplets(file)[0] if triplet.accepted is not refused]
    if not pool:
        raise DataError(f"{file}: holds no {'refused' if refused else 'accepted'} triplet")
    rows = np.sort(np.random.default_rng(seed).permutation(len(pool))[:count])
    return [pool[row] for row in rows.tolist()]


def require_picture(catalog: Catalog, name: str) -> None:
    """Check that the catalog has a triplet's picture.

    A triplet file may be somebody else's. Its names are never used as paths unless the catalog has them.

    Raises:
        DataError: the catalog lacks the picture.
    """
    if name not in catalog.row_of:
        raise DataError(f"{catalog.folder}: has no picture {name!r}; give the catalog that these triplets are of")


def open_triplet_picture(catalog: Catalog, name: str) -> Image.Image:
    """Open a triplet's picture.

    Raises:
        DataError: the catalog lacks the picture.
        PictureError: its file is gone, or is not the one that was indexed.
    """
    require_picture(catalog, name)
    return catalog.open_picture(name)
