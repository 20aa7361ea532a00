"""A method of your own on CIRR: every official metric, a LaTeX table, and the files for the server.

python examples/custom_composer.py CIRR OUT
"""

import sys
from pathlib import Path

import numpy as np

import triptych
from triptych import EvaluateOptions


class Midpoint:
    """Reference and words, added. `attach` is optional: it hands over the encoder that made the vectors."""

    name = "midpoint"

    def attach(self, encoder):
        self.encoder = encoder

    def compose(self, references, modifications, changes=None):
        mixed = references + self.encoder.encode_texts(modifications)
        return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)

    def gallery(self, vectors):
        return vectors


def main(root: Path, out: Path, encoder: str = "wardrobe") -> None:
    mine = {"root": root, "composers": [Midpoint()], "encoder": encoder}
    print(triptych.evaluate("cirr", EvaluateOptions(split="val"), **mine, output=out / "cirr.val.json"))
    print(triptych.table([out / "cirr.val.json"], format="latex"))
    triptych.evaluate("cirr", EvaluateOptions(split="test1", submission=out / "submission"), **mine)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
