"""Prepare pictures by a table of the 256 values of each colour, faster than arithmetic with every pixel."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych.encoders.protocol import Pixels

PixelTable = NDArray[np.float32]
"""Shape `(3, 256)`: the prepared value of each value of red, green and blue."""


def prepared(picture: Image.Image, settings: Mapping[str, Any], table: PixelTable) -> Pixels:
    """Pixels `(3, h, w)` of a picture: resized, center-cropped if the model requires it, and looked up.

    Args:
        picture: an RGB picture.
        settings: `size` (width and height, or the length of the shorter side), `resample` (a number of Pillow's
            `Resampling`) and `crop` (width and height, or None).
        table: the prepared values.
    """
    size = _resized(picture.size, settings["size"])
    picture = picture.resize(size, Image.Resampling(settings["resample"]))
    if settings["crop"]:
        width, height = settings["crop"]
        left, top = (size[0] - width) // 2, (size[1] - height) // 2
        picture = picture.crop((left, top, left + width, top + height))
    colours = np.asarray(picture)
    pixels = np.empty((3, *colours.shape[:2]), np.float32)
    for channel in range(3):
        np.take(table[channel], colours[:, :, channel], out=pixels[channel])
    return pixels


def table_of(settings: Mapping[str, Any]) -> PixelTable:
    """The table for values that are multiplied by `scale`, and normalised by `mean` and `std`."""
    mean, std = (np.array(settings[name], np.float32)[:, None] for name in ("mean", "std"))
    values = np.arange(256, dtype=np.float32)[None] * np.float32(settings["scale"])
    table: PixelTable = (values - mean) / std
    return table


def table_from(make: Callable[[Image.Image], Pixels], settings: Mapping[str, Any]) -> PixelTable | None:
    """The table of values that `make` computes with these settings; None if it would need other than these.

    `make` prepares one picture that has all values, and which is neither enlarged nor reduced.
    """
    wanted = settings["size"]
    width, height = (wanted, wanted) if isinstance(wanted, int) else wanted
    picture = Image.fromarray(np.resize(np.arange(256, dtype=np.uint8), (height, width))).convert("RGB")
    values = prepared(picture, settings, np.tile(np.arange(256, dtype=np.float32), (3, 1)))
    made = make(picture)
    if made.shape != values.shape:
        return None
    table: PixelTable = np.full((3, 256), np.nan, np.float32)
    for channel in range(3):
        table[channel, values[channel].astype(np.intp)] = made[channel]
    same = np.array_equal(prepared(picture, settings, table), made)
    return table if same and np.isfinite(table).all() else None


def _resized(size: tuple[int, int], wanted: int | Any) -> tuple[int, int]:
    """Width and height after resizing to `wanted`, which is a size or the length of the shorter side."""
    if not isinstance(wanted, int):
        width, height = wanted
        return width, height
    width, height = size
    longer = int(wanted * max(size) / min(size))
    return (wanted, longer) if width <= height else (longer, wanted)
