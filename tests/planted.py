"""A method that answers in an order that a test lays down, and an encoder that costs nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from triptych.benchmarks.task import Task
from triptych.core.vectors import Vectors, unit
from triptych.encoders.protocol import Pixels
from triptych.evaluation.encoded_task import EncodedTask


class Squares:
    """A picture's vector is its pixels in small, a text's the counts of its letters."""

    name, fingerprint = "squares", "squares"
    dim, instance_dim, logit_scale, lexicon = 26, 0, 10.0, None

    def prepare(self, picture: Image.Image) -> Pixels:
        return np.asarray(picture.convert("RGB").resize((4, 4)), np.float32).transpose(2, 0, 1) / 255

    def encode_pictures(self, pixels: Pixels) -> Vectors:
        return unit(pixels.reshape(len(pixels), -1)[:, : self.dim])

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        letters = [[1e-3 + text.lower().count(chr(97 + place)) for place in range(self.dim)] for text in texts]
        return unit(np.array(letters, np.float64).reshape(-1, self.dim))


class Planted:
    """Ranks, for each query in turn, the pictures in the order given, and all others after them."""

    name = "planted"

    def __init__(self, task: EncodedTask, orders: Mapping[str, Sequence[str]]) -> None:
        self._task = task
        self._orders = orders

    def compose(self, references: Vectors, modifications: Sequence[str], changes: Any = None) -> Vectors:
        names = self._task.gallery_names
        vectors = np.zeros((len(references), len(names)))
        for row, query in enumerate(self._task.queries):
            order = [*self._orders[query.id], *(name for name in names if name not in self._orders[query.id])]
            vectors[row, [names.index(name) for name in order]] = np.arange(len(names), 0, -1)
        return unit(vectors)

    def gallery(self, vectors: Vectors) -> Vectors:
        return np.eye(len(vectors), dtype=np.float32)


def measured(task: Task, orders: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """The metrics of a task for planted orders, by query id."""
    encoder: Any = Squares()
    encoded = EncodedTask(task, encoder, {})
    return dict(encoded.row(Planted(encoded, orders), encoder).metrics)


def write_squares(folder: Path, names: Sequence[str]) -> None:
    """A picture of its own for each name, below `folder`."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((24, 24), Image.Resampling.NEAREST).save(path)
