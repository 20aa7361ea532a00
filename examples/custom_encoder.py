"""An encoder of your own: how much of a picture is of which colour, and which colours a text names.

triptych index PICTURES --catalog catalog --encoder custom_encoder:Colours      (with PYTHONPATH=examples)
"""

import sys
from pathlib import Path

import numpy as np

import triptych
from triptych import EvaluateOptions

COLOURS = {"black": (0, 0, 0), "white": (255, 255, 255), "grey": (128, 128, 128), "red": (200, 30, 40)}
COLOURS |= {"green": (40, 140, 60), "blue": (40, 70, 190), "yellow": (240, 210, 60), "brown": (120, 75, 40)}
VALUES = np.array(list(COLOURS.values()), np.float32)


class Colours:
    """Unit vectors of eight numbers, one a colour."""

    name = "custom_encoder:Colours"  # what one writes to get it; catalogs keep it
    fingerprint = "colours-1"  # changes whenever the vectors do
    dim = len(COLOURS)
    instance_dim = 0  # no part of a vector tells an item from others of its kind
    logit_scale = 10.0  # times a cosine: a logit
    lexicon = None  # it names no single words

    def prepare(self, picture):
        """Pixels (3, h, w) of an upright RGB picture."""
        return np.asarray(picture.resize((32, 32)), np.float32).transpose(2, 0, 1)

    def encode_pictures(self, pixels):
        """Unit vectors (n, d) of pixels (n, 3, h, w)."""
        distances = np.linalg.norm(pixels[:, None] - VALUES[:, :, None, None], axis=2)  # (n, colours, h, w)
        nearest = distances.argmin(axis=1).reshape(len(pixels), -1)
        counts = np.stack([np.bincount(row, minlength=self.dim) for row in nearest]).astype(np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    def encode_texts(self, texts):
        """Unit vectors (n, d) of texts; one that names no colour is as far from each."""
        named = np.array([[colour in text.lower() for colour in COLOURS] for text in texts], np.float32)
        named = named.reshape(-1, self.dim) + 1e-3
        return named / np.linalg.norm(named, axis=1, keepdims=True)


def main(queries: str, pictures: Path) -> None:
    options = EvaluateOptions(methods=("picture", "text", "sum"), gallery=pictures)
    print(triptych.evaluate(queries, options, encoder=Colours()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
