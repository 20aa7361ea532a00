"""An encoder of a few lines, for tests of what surrounds encoders: a picture's vector is its colours in a grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


class ToyEncoder:
    """Vectors of `side * side * 3` numbers; `folder` may hold training statistics."""

    lexicon = None
    instance_dim = 0
    logit_scale = 10.0

    def __init__(self, side: int, folder: Path | None = None) -> None:
        self.side = side
        self.name = f"toy-{side}"
        self.fingerprint = f"{side:064x}"
        self.dim = 3 * side * side
        self.encoded = 0
        if folder is not None:
            self.folder = folder

    def prepare(self, picture: Image.Image) -> Any:
        small = picture.resize((self.side, self.side), Image.Resampling.BOX)
        return np.asarray(small, np.float32).transpose(2, 0, 1) / 127.5 - 1

    def encode_pictures(self, pixels: Any) -> Any:
        self.encoded += len(pixels)
        flat = pixels.reshape(len(pixels), -1) + 0.01
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    def encode_texts(self, texts: Sequence[str]) -> Any:
        return np.full((len(texts), self.dim), self.dim**-0.5, np.float32)
