"""What every encoder does, and the vectors it makes."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych.encoders.lexicon import Lexicon

Vectors = NDArray[np.float32]
"""Shape `(n, d)`, float32, each row of unit length."""

Pixels = NDArray[np.float32]
"""Shape `(3, height, width)`, or `(n, 3, height, width)`, normalised as one encoder wants it."""


class Encoder(Protocol):
    """Turns pictures and texts into unit vectors of one shared space."""

    name: str
    """What a user wrote to get it."""

    fingerprint: str
    """SHA-256 over architecture, weights and preprocessing: equal fingerprints make equal vectors."""

    dim: int
    """The length `d` of its vectors."""

    identity: int
    """How many of a picture's last components tell its item and are no part of a text's; 0 where there are none."""

    logit_scale: float
    """The factor (1 / temperature) it was trained with; turns cosines into logits."""

    @property
    def lexicon(self) -> Lexicon | None:
        """The words it can name in a picture; None where it only places whole texts, as CLIP does."""
        ...

    def prepare(self, picture: Image.Image) -> Pixels:
        """Pixels `(3, h, w)` of an upright RGB picture; safe to call from several threads."""
        ...

    def encode_pictures(self, pixels: Pixels) -> Vectors:
        """Vectors `(n, d)` of prepared pixels `(n, 3, h, w)`."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors `(n, d)` of texts; a text longer than the encoder reads is cut."""
        ...


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """Rows scaled to length one, as float32; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
