"""The protocol of encoders, and helpers for their vectors."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych.core.vectors import Vectors, unit, without_last
from triptych.encoders.lexicon import Lexicon

if TYPE_CHECKING:
    from torch import nn

Pixels = NDArray[np.float32]
"""Shape `(3, height, width)` or `(n, 3, height, width)`, normalised for one encoder."""


class Encoder(Protocol):
    """Turns pictures and texts into unit vectors of one shared space.

    An encoder may also have

    - `folder`: the folder of its files;
    - `constant_dim`: the number of last components of picture vectors that are equal for all pictures;
    - `square_side`: the side of the square to which it first pads pictures, as `core.images.pad_square` does. Then
      `prepare` may get that square instead of the picture.
    """

    name: str
    """The name by which it was loaded."""

    fingerprint: str
    """SHA-256 over architecture, weights and preprocessing: equal fingerprints mean equal vectors."""

    dim: int
    """The length `d` of its vectors."""

    instance_dim: int
    """The number of last components that only pictures have: the item part and constants. They are 0 for texts."""

    logit_scale: float
    """The factor (1 / temperature) that turns cosines into logits, as trained."""

    @property
    def lexicon(self) -> Lexicon | None:
        """The words that the encoder can name in a picture; None if it only encodes whole texts, like CLIP."""
        ...

    def prepare(self, picture: Image.Image) -> Pixels:
        """Pixels `(3, h, w)` of an upright RGB picture. Thread-safe."""
        ...

    def encode_pictures(self, pixels: Pixels) -> Vectors:
        """Vectors `(n, d)` of prepared pixels `(n, 3, h, w)`."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors `(n, d)` of texts. Encoders of this package read a too long text in parts; see `ReportsReading`."""
        ...


@runtime_checkable
class EncodesQueries(Protocol):
    """An encoder that reads a picture and words together and makes one vector."""

    name: str

    def encode_queries(self, pixels: Pixels, texts: Sequence[str]) -> Vectors:
        """Unit vectors `(n, d)`, in the space of pictures, of prepared pixels `(n, 3, h, w)`, each with its text."""
        ...


def constant_dim(encoder: Encoder) -> int:
    """The number of last components of picture vectors that are equal for all pictures.

    They do not change a ranking, but raise the similarity of any two pictures.
    """
    return int(getattr(encoder, "constant_dim", 0))


def square_side(encoder: Encoder) -> int:
    """The side in pixels of the square to which an encoder first pads pictures; 0 if it does not pad them."""
    return int(getattr(encoder, "square_side", 0))


def item_vectors(vectors: Vectors, encoder: Encoder) -> Vectors:
    """The item part of picture vectors `(n, d)`, as unit vectors; whole vectors if there is no such part."""
    compared = without_last(vectors, constant_dim(encoder))
    items = encoder.instance_dim - constant_dim(encoder)
    return unit(compared[:, -items:]) if items > 0 else compared


@dataclass(frozen=True)
class TextReading:
    """How an encoder reads a text."""

    tokens: int
    """The number of tokens of the text."""
    limit: int
    """The most tokens that are read at once."""
    unknown: tuple[str, ...] = ()
    """The distinct words that the encoder does not know: too few of their letters are in known pieces."""
    parts: tuple[str, ...] = ()
    """The parts in which a too long text is read; their vectors are averaged. Empty if the text fits."""

    @property
    def is_cut(self) -> bool:
        """Whether the text is truncated."""
        return self.tokens > self.limit and not self.parts


@runtime_checkable
class ReportsReading(Protocol):
    """An encoder, or a composer with a text tower of its own, that reports how it reads a text."""

    def readings(self, texts: Sequence[str], *, reserved: int = 0, learnt: Collection[str] = ()) -> list[TextReading]:
        """Report how each text is read.

        Args:
            texts: any texts.
            reserved: the number of tokens that are already used, such as by a prompt.
            learnt: words in lower case that count as known, although the encoder does not know them.
        """
        ...


def short_name(encoder: Encoder) -> str:
    """An encoder's name for messages, without the path."""
    return encoder.name.rstrip("/").rsplit("/", 1)[-1]


Ids = np.ndarray[Any, np.dtype[np.int64]]
"""Token ids `(n, length)` for one text tower."""

SLOT = -1
"""The token id that stands for a pseudo-word."""


@runtime_checkable
class HasTokenIds(Protocol):
    """An encoder that returns token ids of texts, for composers with a text tower of their own."""

    text_frame: tuple[int, int]
    """The start and end token ids; (0, 0) if there are none, and 0 is padding."""

    def token_ids(self, texts: Sequence[str]) -> Ids:
        """Token ids `(n, length)` of texts, with start and end tokens, padded at the end, and truncated."""
        ...


@runtime_checkable
class AcceptsPseudoWords(HasTokenIds, Protocol):
    """An encoder whose text tower accepts pseudo-words: embeddings in place of those of tokens."""

    word_width: int
    """The length of a token's embedding, and of a pseudo-word."""

    def text_tower(self) -> "nn.Module":
        """A copy of the text tower as a torch module, from ids `(n, l)` with SLOT and words `(n, word_width)` to unit
        vectors."""
        ...
