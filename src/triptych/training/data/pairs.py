"""Picture-caption pairs from a CSV."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import DataError
from triptych.core.files import hash_file
from triptych.core.limits import DEFAULT_LIMITS, Limits
from triptych.encoders.lexicon import spellings_of
from triptych.encoders.native import square_pixels
from triptych.training.data.pixels import Bytes, read_bytes

LEAST_PAIRS = 50  # with fewer pairs, held-out recall says nothing


@dataclass(frozen=True)
class CaptionedPictures:
    """Pairs of picture and caption, in memory."""

    names: list[str]
    """The pictures' names, as in the CSV."""
    pixels: Bytes
    """Bytes `(n, 3, size, size)`."""
    captions: list[str]
    caption_of: NDArray[np.int64]
    """The number of each pair's caption `(n,)`; equal captions have the same number."""
    skipped: int
    """How many pictures could not be used."""


def hash_file_or_fail(path: Path) -> str:
    """The SHA-256 of a file that the user named.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return hash_file(path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); give a CSV with the columns image,caption"
        ) from None


def load_pairs(
    path: Path, images: Path, size: int, threads: int | None, limits: Limits = DEFAULT_LIMITS
) -> CaptionedPictures:
    """Load every usable pair. Unusable pictures are counted and named.

    Raises:
        DataError: the CSV cannot be read, or fewer than 50 pairs are usable.
    """
    rows = list(read_pairs(path))
    names = [image for image, _ in rows]
    pixels, kept = read_bytes(
        images, names, lambda picture: square_pixels(picture, size), threads=threads, limits=limits
    )
    captions = [rows[row][1] for row in kept]
    if len(captions) < LEAST_PAIRS:
        raise DataError(f"{path}: only {len(captions)} usable pairs; at least {LEAST_PAIRS} are needed")
    numbers = {caption: index for index, caption in enumerate(dict.fromkeys(captions))}
    caption_of = np.array([numbers[caption] for caption in captions], np.int64)
    return CaptionedPictures([names[row] for row in kept], pixels, captions, caption_of, len(rows) - len(captions))


def hold_out_products(data: CaptionedPictures, wanted: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split the pairs into training rows and about `wanted` held-out rows, each in ascending order.

    A product is never in both: pairs whose titles differ only in case and punctuation stay together, and so do copies
    of one picture.
    """
    titles = [" ".join(spellings_of(caption)) or caption for caption in data.captions]
    product: dict[str, str] = {}
    of_picture: dict[bytes, str] = {}

    def first(title: str) -> str:
        while product.setdefault(title, title) != title:
            title = product[title]
        return title

    for title, pixels in zip(titles, data.pixels, strict=True):
        mine = first(title)
        product[mine] = first(of_picture.setdefault(sha256(pixels.tobytes()).digest(), mine))
    groups: dict[str, list[int]] = {}
    for row, title in enumerate(titles):
        groups.setdefault(first(title), []).append(row)
    members, held = list(groups.values()), list[int]()
    for number in np.random.default_rng([seed, 5]).permutation(len(groups)):
        group = members[number]
        if len(held) + len(group) <= wanted:
            held += group
    learnt = np.setdiff1d(np.arange(len(titles)), held)
    return learnt.astype(np.int64), np.array(sorted(held), np.int64)


def read_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Read the (image, caption) rows of a CSV.

    Raises:
        DataError: a line is not one; the message names it.
    """
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
