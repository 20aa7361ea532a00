"""Is what lies near a picture of its kind, in whatever style? An encoder of photos, and its pretrained trunk alone.

    python bench/same_kind.py TABLE IMAGES [--encoder photos] [--kind kind] [--style style]

TABLE is a CSV with the columns `image`, and what a picture shows and in which style, such as `domains/pictures.csv`.
Prints, in percent, for every picture as a query by picture alone: of its ten nearest pictures the share of its kind;
the same among pictures of other styles; and R@10 for each other style of its kind, among all pictures. The trunk's own
features are read from the same encoder: fine-tuning must not have cost what they know.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.core.images import open_picture
from triptych.core.vectors import Vectors, unit, without_last
from triptych.encoders.native import NativeEncoder, load_model
from triptych.encoders.networks.photo_encoder import PhotoEncoder
from triptych.encoders.protocol import constant_dim
from triptych.encoders.registry import load_encoder

FIRST = 10
BLOCK = 64


def encode(pictures: list[Path], encoder: NativeEncoder) -> dict[str, Vectors]:
    """Vectors `(n, d)` of the encoder without its constant, and of its trunk alone."""
    import torch

    model = load_model(encoder.folder)
    assert isinstance(model, PhotoEncoder), "only an encoder of photos has a pretrained trunk"
    own, trunk = [], []
    for start in range(0, len(pictures), BLOCK):
        pixels = np.stack([encoder.prepare(open_picture(path)) for path in pictures[start : start + BLOCK]])
        own.append(encoder.encode_pictures(pixels))
        with torch.inference_mode():
            trunk.append(model.picture.maps(torch.from_numpy(pixels))[2].numpy())
    vectors = without_last(np.concatenate(own), constant_dim(encoder))
    return {encoder.name: unit(vectors), "its trunk alone": unit(np.concatenate(trunk))}


def shares(vectors: Vectors, kinds: NDArray[np.str_], styles: NDArray[np.str_]) -> tuple[float, float, float]:
    """Of the nearest the share of the same kind, the same among other styles, and R@10 of each other style."""
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    nearest = np.argsort(-scores, axis=1)[:, :FIRST]
    alike = kinds[nearest] == kinds[:, None]
    scores[styles[:, None] == styles[None]] = -np.inf
    others = np.argsort(-scores, axis=1)[:, :FIRST]
    found = [
        (alike & (styles[nearest] == style)).any(axis=1)[(styles != style) & np.isin(kinds, kinds[styles == style])]
        for style in np.unique(styles)
    ]
    there = (kinds[others] == kinds[:, None]).mean()
    return 100 * float(alike.mean()), 100 * float(there), 100 * float(np.concatenate(found).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--encoder", default="photos")
    parser.add_argument("--kind", default="kind")
    parser.add_argument("--style", default="style")
    given = parser.parse_args()
    with given.table.open(encoding="utf-8-sig", newline="") as table:
        rows = list(csv.DictReader(table))
    encoder = load_encoder(given.encoder, threads=1)
    assert isinstance(encoder, NativeEncoder), "only an encoder of photos has a pretrained trunk"
    kinds, styles = (np.array([row[column] for row in rows]) for column in (given.kind, given.style))
    print(
        f"{len(rows)} pictures; of the first {FIRST}: the same kind, the same among other styles, R@10 of other styles"
    )
    for name, vectors in encode([given.images / row["image"] for row in rows], encoder).items():
        print(f"{name}: " + ", ".join(f"{share:.1f}" for share in shares(vectors, kinds, styles)))


if __name__ == "__main__":
    main()
