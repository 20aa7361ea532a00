"""Picture-caption pairs, out of a CSV."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import DataError
from triptych.core.files import hash_file
from triptych.training.data.pixels import Bytes


@dataclass(frozen=True)
class CaptionedPictures:
    """Pairs of picture and caption, in memory."""

    pixels: Bytes
    """Bytes `(n, 3, size, size)`."""
    captions: list[str]
    caption_of: NDArray[np.int64]
    """A number for each pair's caption `(n,)`: equal captions have one."""
    skipped: int
    """How many pictures could not be used."""


def hash_file_or_fail(path: Path) -> str:
    """SHA-256 of a file that the user named; DataError where it cannot be read."""
    try:
        return hash_file(path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); give a CSV with the columns image,caption"
        ) from None


def read_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """The (image, caption) rows of a CSV. Raises DataError, naming the line, where it is not one."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as content:
            reader = csv.DictReader(content)
            if not {"image", "caption"} <= set(reader.fieldnames or ()):
                raise DataError(f"{path}: the first line must name the columns image and caption")
            for row in reader:
                if not row["image"] or not (row["caption"] or "").strip():
                    raise DataError(f"{path}:{reader.line_num}: image or caption is empty; fill it in or drop the line")
                yield row["image"], row["caption"].strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable CSV ({error})") from None
