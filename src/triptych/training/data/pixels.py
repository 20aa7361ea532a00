"""Pictures read once, as bytes, for training."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych.core.errors import PictureError
from triptych.core.images import load_pictures
from triptych.core.limits import DEFAULT_LIMITS, Limits
from triptych.core.progress import progress, say
from triptych.core.remote import Place

Bytes = NDArray[np.uint8]
"""Shape `(3, height, width)`, or `(n, 3, height, width)`: colours from 0 to 255."""


def read_bytes(
    root: Place,
    names: Sequence[str],
    prepare: Callable[[Image.Image], Bytes],
    *,
    threads: int | None,
    limits: Limits = DEFAULT_LIMITS,
    opened: Callable[[str], Image.Image] | None = None,
) -> tuple[Bytes, list[int]]:
    """Read pictures as bytes.

    Args:
        root: the folder that the names start from.
        names: the pictures.
        prepare: makes bytes `(3, h, w)` of a picture.
        threads: pictures decoded at once.
        limits: what a picture may cost.
        opened: opens a picture by its name; by default its file below `root`.

    Returns:
        Bytes `(n, 3, h, w)` of the usable pictures, and their names. The others are left out, with one line for each.
    """
    pixels: np.ndarray[Any, np.dtype[np.uint8]] | None = None
    kept: list[int] = []
    loaded = load_pictures(
        root, names, threads=threads or os.cpu_count() or 1, prepare=prepare, limits=limits, opened=opened
    )
    for row, (name, result) in enumerate(progress(loaded, "read", total=len(names), unit="picture")):
        if isinstance(result, PictureError):
            say(f"skipped {name!r}: {result}")
            continue
        if pixels is None:
            pixels = np.empty((len(names), *result.shape), np.uint8)
        pixels[len(kept)] = result
        kept.append(row)
    return np.empty((0, 3, 0, 0), np.uint8) if pixels is None else pixels[: len(kept)], kept
