"""The protocol of encoders, and helpers about the vectors that they make."""

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
"""Shape `(3, height, width)`, or `(n, 3, height, width)`, normalised as one encoder wants it."""


class Encoder(Protocol):
    """Turns pictures and texts into unit vectors of one shared space.

    An encoder may also have

    - `folder`: where its files lie;
    - `constant_dim`: how many of its picture vectors' last components are equal for all pictures;
    - `square_side`: the side of the square that it pads pictures to first, as `core.images.pad_square` does. Then it
      may be given that square in place of the picture.
    """

    name: str
    """What a user wrote to get it."""

    fingerprint: str
    """SHA-256 over architecture, weights and preprocessing: equal fingerprints make equal vectors."""

    dim: int
    """The length `d` of its vectors."""

    instance_dim: int
    """How many of a picture's last components are of its item alone, no part of a text's; 0 where there are none. The
    constant components are among them."""

    logit_scale: float
    """The factor (1 / temperature) it was trained with; turns cosines into logits."""

    @property
    def lexicon(self) -> Lexicon | None:
        """The words that the encoder can name in a picture; None if it only encodes whole texts, as CLIP does."""
        ...

    def prepare(self, picture: Image.Image) -> Pixels:
        """Pixels `(3, h, w)` of an upright RGB picture. Safe to call from several threads."""
        ...

    def encode_pictures(self, pixels: Pixels) -> Vectors:
        """Vectors `(n, d)` of prepared pixels `(n, 3, h, w)`."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors `(n, d)` of texts. Our own encoders read a text that is too long in parts; see `ReportsReading`."""
        ...


@runtime_checkable
class EncodesQueries(Protocol):
    """An encoder that makes one vector from a picture and words, read together."""

    name: str

    def encode_queries(self, pixels: Pixels, texts: Sequence[str]) -> Vectors:
        """Unit vectors `(n, d)` of prepared pixels `(n, 3, h, w)`, each with its text, in the space of pictures."""
        ...


def constant_dim(encoder: Encoder) -> int:
    """How many of a picture vector's last components are equal for all pictures.

    They change no order by similarity, but they raise the similarity of any two pictures.
    """
    return int(getattr(encoder, "constant_dim", 0))


def square_side(encoder: Encoder) -> int:
    """The side of the square that an encoder pads a picture to first, in pixels; 0 if it does not."""
    return int(getattr(encoder, "square_side", 0))


def item_vectors(vectors: Vectors, encoder: Encoder) -> Vectors:
    """The part of picture vectors `(n, d)` that identifies an item, as unit vectors;
    whole vectors if there is no such part."""
    compared = without_last(vectors, constant_dim(encoder))
    items = encoder.instance_dim - constant_dim(encoder)
    return unit(compared[:, -items:]) if items > 0 else compared


@dataclass(frozen=True)
class TextReading:
    """How an encoder reads a text."""

    tokens: int
    """Into how many tokens it falls."""
    limit: int
    """How many tokens are read at once."""
    unknown: tuple[str, ...] = ()
    """Its words of which the encoder knows no piece, or next to none, each once: they are not understood."""
    parts: tuple[str, ...] = ()
    """The texts that are read in its place where it does not fit: their vectors are averaged. Empty where it fits."""

    @property
    def is_cut(self) -> bool:
        """Whether the end of the text is not read."""
        return self.tokens > self.limit and not self.parts


@runtime_checkable
class ReportsReading(Protocol):
    """An encoder, or a composer with a text tower of its own, that reports how it reads a text."""

    def readings(self, texts: Sequence[str], *, reserved: int = 0, learnt: Collection[str] = ()) -> list[TextReading]:
        """How each text is read.

        Args:
            texts: any texts.
            reserved: how many tokens of one reading are taken already, such as by a prompt.
            learnt: words in lower case that are understood although the encoder does not know them.
        """
        ...


def short_name(encoder: Encoder) -> str:
    """An encoder's name without the folders before it, for messages."""
    return encoder.name.rstrip("/").rsplit("/", 1)[-1]


Ids = np.ndarray[Any, np.dtype[np.int64]]
"""Token ids `(n, length)`, as one text tower reads them."""

SLOT = -1
"""The token id that stands for a pseudo-word."""


@runtime_checkable
class AcceptsPseudoWords(Protocol):
    """An encoder whose text tower takes pseudo-words: embeddings in the place of tokens."""

    word_width: int
    """The length of a token's embedding, and of a pseudo-word."""

    text_frame: tuple[int, int]
    """The ids that open and close every text; (0, 0) where a text has no frame and zero is padding."""

    def token_ids(self, texts: Sequence[str]) -> Ids:
        """Token ids `(n, length)` of texts: framed, padded at the end, and cut to
        the length that the text tower reads."""
        ...

    def text_tower(self) -> "nn.Module":
        """A copy of the text tower as a torch module: ids `(n, l)` with SLOT, and
        words `(n, word_width)`, to unit vectors."""
        ...
