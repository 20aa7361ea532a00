"""What every encoder does, and the vectors it makes."""

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

    One that is read from files may also have `folder`, where they lie. One whose pictures' vectors end in components
    that are equal for all pictures has `constant_dim`, how many these are. One that first pads a picture to a square,
    as `core.images.pad_square` does, may have `square_side`, the square's side: it may be given the square then.
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
        """The words it can name in a picture; None where it only places whole texts, as CLIP does."""
        ...

    def prepare(self, picture: Image.Image) -> Pixels:
        """Pixels `(3, h, w)` of an upright RGB picture; safe to call from several threads."""
        ...

    def encode_pictures(self, pixels: Pixels) -> Vectors:
        """Vectors `(n, d)` of prepared pixels `(n, 3, h, w)`."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors `(n, d)` of texts. Our own read a longer text than fits in parts; see `TellsReading`."""
        ...


@runtime_checkable
class EncodesQueries(Protocol):
    """An encoder that reads a picture and words at once, and makes one vector of both."""

    name: str

    def encode_queries(self, pixels: Pixels, texts: Sequence[str]) -> Vectors:
        """Unit vectors `(n, d)` of prepared pixels `(n, 3, h, w)`, each with its text, in the space of pictures."""
        ...


def constant_dim(encoder: Encoder) -> int:
    """How many of a picture's last components are equal for all pictures.

    Such components leave every order by similarity as it is, but they make any two pictures alike.
    """
    return int(getattr(encoder, "constant_dim", 0))


def square_side(encoder: Encoder) -> int:
    """The side of the square that an encoder pads a picture to, whatever else it does; 0 where it does not."""
    return int(getattr(encoder, "square_side", 0))


def item_vectors(vectors: Vectors, encoder: Encoder) -> Vectors:
    """What tells one item from another in picture vectors `(n, d)`, as unit vectors; all of them where no part does."""
    compared = without_last(vectors, constant_dim(encoder))
    items = encoder.instance_dim - constant_dim(encoder)
    return unit(compared[:, -items:]) if items > 0 else compared


@dataclass(frozen=True)
class TextReading:
    """How a text is read."""

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
        """Whether its end is lost."""
        return self.tokens > self.limit and not self.parts


@runtime_checkable
class TellsReading(Protocol):
    """An encoder, or a composer with a text tower of its own, that can tell how it reads a text."""

    def readings(self, texts: Sequence[str], *, reserved: int = 0, learnt: Collection[str] = ()) -> list[TextReading]:
        """How each text is read.

        Args:
            texts: any texts.
            reserved: how many tokens of what is read at once are taken already, such as by a prompt.
            learnt: words in lower case that are understood although the encoder does not know them.
        """
        ...


def short_name(encoder: Encoder) -> str:
    """Its name without the folders before it, to be shown."""
    return encoder.name.rstrip("/").rsplit("/", 1)[-1]


Ids = np.ndarray[Any, np.dtype[np.int64]]
"""Token ids `(n, length)`, as one text tower reads them."""

SLOT = -1
"""The token id that stands for a pseudo-word."""


@runtime_checkable
class AcceptsPseudoWords(Protocol):
    """An encoder whose text tower takes pseudo-words: embeddings that stand in a text where tokens would."""

    word_width: int
    """The length of a token's embedding, and of a pseudo-word."""

    text_frame: tuple[int, int]
    """The ids that open and close every text; (0, 0) where a text has no frame and zero is padding."""

    def token_ids(self, texts: Sequence[str]) -> Ids:
        """Ids `(n, length)` of texts: framed, padded at the end, and cut to the length that the tower reads."""
        ...

    def text_tower(self) -> "nn.Module":
        """A copy of the text tower for torch: ids `(n, l)` with SLOT, and words `(n, word_width)`, to unit vectors."""
        ...
