"""How many true near-duplicates `--unique` folds, and how many different products of one kind and colour.

    python bench/near_duplicates.py DATA/fashion-products-224/images DATA/fashion-products/styles.csv
        [--pictures 200] [--others 4] [--encoder photos] [--seed 6]

Each of the pictures, drawn at random, is saved again as JPEG, halved, and trimmed by 5 % of its width and height.
It is compared with these, and with other products of its type and base colour, whose titles differ. Takes about a
minute of one core.
"""

import argparse
import csv
from collections import defaultdict
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from triptych.core.images import open_picture
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import load_encoder
from triptych.retrieval.ordering import NEAR_DUPLICATE

THRESHOLDS = (0.93, 0.94, 0.95, NEAR_DUPLICATE, 0.96, 0.97, 0.98)


def saved(picture: Image.Image) -> Image.Image:
    out = BytesIO()
    picture.save(out, "JPEG", quality=60)
    return open_picture(out.getvalue())


def halved(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)


def trimmed(picture: Image.Image) -> Image.Image:
    across, down = 0.025 * picture.width, 0.025 * picture.height
    return picture.crop((round(across), round(down), round(picture.width - across), round(picture.height - down)))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved again, quality 60": saved,
    "half the size": halved,
    "trimmed by 5 %": trimmed,
    "all three": lambda picture: saved(halved(trimmed(picture))),
}


def encoded(encoder: Encoder, pictures: list[Image.Image]) -> Vectors:
    starts = range(0, len(pictures), 32)
    blocks = ([encoder.prepare(one) for one in pictures[start : start + 32]] for start in starts)
    return np.concatenate([encoder.encode_pictures(np.stack(block)) for block in blocks])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("styles", type=Path)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--others", type=int, default=4, help="products of its type and colour for each picture")
    parser.add_argument("--encoder", default="photos")
    parser.add_argument("--seed", type=int, default=6)
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    with given.styles.open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if (given.images / f"{row['id']}.jpg").exists()]
    alike = defaultdict(list)
    for row in rows:
        alike[row["articleType"], row["baseColour"]].append(row)
    own, pairs = [], []
    for place in random.permutation(len(rows)):
        row = rows[place]
        others = [one for one in alike[row["articleType"], row["baseColour"]]
                  if one["productDisplayName"] != row["productDisplayName"]]  # fmt: skip
        if others and len(own) < given.pictures:
            drawn = random.permutation(len(others))[: given.others]
            pairs += [(len(own), others[one]["id"]) for one in drawn]
            own.append(row["id"])

    encoder = load_encoder(given.encoder)
    pictures = {
        name: open_picture((given.images / f"{name}.jpg").read_bytes()) for name in {*own, *(b for _, b in pairs)}
    }
    vectors = dict(zip(pictures, encoded(encoder, list(pictures.values())), strict=True))
    first = np.stack([vectors[name] for name in own])
    cosines = {
        name: (first * encoded(encoder, [change(pictures[one]) for one in own])).sum(axis=1)
        for name, change in CHANGES.items()
    }
    cosines["other products"] = np.array([first[place] @ vectors[name] for place, name in pairs])
    print(f"{len(own)} pictures, {len(pairs)} pairs of different products; folded, in percent, at a cosine of")
    print(" " * 26 + "".join(f"{threshold:>8}" for threshold in THRESHOLDS))
    for name, values in cosines.items():
        print(f"{name:26}" + "".join(f"{100 * float((values >= threshold).mean()):8.1f}" for threshold in THRESHOLDS))


if __name__ == "__main__":
    main()
