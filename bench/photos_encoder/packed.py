"""Photos in one file: their JPEG bytes in a row, where each ends, and what is known of each.

What is known is a table of values ("kind=dress", "colour=red"): 1 where a picture shows it, 0 where it does not, -1
where nobody knows.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def pack(path: Path, jpegs: Sequence[bytes], **more: np.ndarray) -> None:
    """Write pictures and arrays that go with them."""
    ends = np.cumsum([len(jpeg) for jpeg in jpegs])
    np.savez_compressed(path, bytes=np.frombuffer(b"".join(jpegs), np.uint8), ends=ends, **more)


def unpack(file: Mapping[str, Any]) -> list[bytes]:
    """The JPEG bytes of a packed file."""
    data, ends = file["bytes"].tobytes(), [0, *file["ends"].tolist()]
    return [data[start:end] for start, end in pairwise(ends)]


def decode(jpeg: bytes, side: int) -> np.ndarray:
    """Bytes `(3, side, side)` of a JPEG, padded to a white square."""
    with Image.open(io.BytesIO(jpeg)) as opened:
        picture = opened.convert("RGB")
    ratio = side / max(picture.size)
    width, height = (max(1, round(length * ratio)) for length in picture.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(picture.resize((width, height), Image.Resampling.BICUBIC), ((side - width) // 2, (side - height) // 2))
    return np.asarray(square, np.uint8).transpose(2, 0, 1)


def smaller(path: Path, side: int, quality: int) -> bytes:
    """A picture's JPEG bytes with at most `side` pixels a side."""
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
        picture.thumbnail((side, side), Image.Resampling.BICUBIC)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=quality)
        return out.getvalue()


def thing_mask(picture: Image.Image) -> np.ndarray:
    """Where a product photo shows the thing and not its white background `(h, w)`, found from the border inwards."""
    from scipy import ndimage

    light = np.asarray(picture.convert("RGB")).min(axis=2) >= 238
    regions, _ = ndimage.label(light)
    border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    outside = np.isin(regions, np.unique(border[border > 0]))
    return ndimage.binary_erosion(~outside, iterations=1, border_value=1)


def truth_table(facts: Iterable[Mapping[str, Mapping[str, int]]], values: Sequence[str]) -> np.ndarray:
    """`(pictures, values)` of 1, 0 and -1, from {group: {word: 1 or -1}} of each picture.

    A group that is not there is unknown; a word that is not in its group is wrong.
    """
    column = {value: number for number, value in enumerate(values)}
    groups = np.array([value.split("=")[0] for value in values])
    rows = []
    for known in facts:
        row = np.full(len(values), -1, np.int8)
        for group, words in known.items():
            row[groups == group] = 0
            for word, shown in words.items():
                row[column[f"{group}={word}"]] = shown
        rows.append(row)
    return np.stack(rows)
