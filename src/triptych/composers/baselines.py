"""The baselines of composed retrieval, which need no training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triptych.composers.captions import CaptionEdit, CaptionWords
from triptych.composers.protocol import ChangedWords, Composer, SameSpace, attach_encoder
from triptych.composers.signed_texts import signed_vectors
from triptych.core.errors import UsageError
from triptych.core.vectors import Vectors, unit
from triptych.encoders.protocol import Encoder
from triptych.tagging.vocabulary import Vocabulary

METHODS = (
    "picture",
    "text",
    "sum",
    "signed-sum",
    "slerp",
    "caption-words",
    "caption-words+picture",
    "caption-edit",
    "caption-edit+picture",
)
DEFAULT_WEIGHT = 0.5  # the text's weight in a sum: an even sum, as SEARLE and others report it
WEIGHTS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""The weights that are tried on the validation split."""


class PictureOnly(SameSpace):
    """Searches with the reference and ignores the words."""

    name = "picture"

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[ChangedWords | None] | None = None,
    ) -> Vectors:
        """Return the reference vectors unchanged."""
        return references


class TextOnly(SameSpace):
    """Searches with the words and ignores the reference.

    With `signed`, what the words exclude is subtracted. Such vectors do not have length one; they are meant for sums.
    """

    name = "text"

    def __init__(self, encoder: Encoder | None = None, *, signed: bool = False) -> None:
        self._encoder = encoder
        self._signed = signed

    def attach(self, encoder: Encoder) -> None:
        """Set the encoder for texts."""
        self._encoder = encoder

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[ChangedWords | None] | None = None,
    ) -> Vectors:
        """Compute the texts' vectors."""
        assert self._encoder is not None, "attach an encoder first"
        if self._signed:
            return signed_vectors(modifications, self._encoder.encode_texts)
        return self._encoder.encode_texts(modifications)


@dataclass(frozen=True)
class WeightedSum(SameSpace):
    """The weighted sum: `weight` times the text's vector plus (1 - `weight`) times the reference's."""

    name: str
    text: Composer
    weight: float = DEFAULT_WEIGHT

    def attach(self, encoder: Encoder) -> None:
        """Set the encoder for texts."""
        attach_encoder(self.text, encoder)

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[ChangedWords | None] | None = None,
    ) -> Vectors:
        """Compute the weighted sums, as unit vectors."""
        return self.blend(references, self.text.compose(references, modifications, changes), self.weight)

    @staticmethod
    def blend(references: Vectors, texts: Vectors, weight: float) -> Vectors:
        """Unit vectors along `weight * texts + (1 - weight) * references`."""
        return unit(weight * texts + (1 - weight) * references)


@dataclass(frozen=True)
class Slerp(WeightedSum):
    """Spherical interpolation: the point at `weight` of the arc from the reference to the text.

    Jang et al., *Spherical Linear Interpolation and Text-Anchoring for Zero-shot Composed Image Retrieval*, ECCV 2024,
    section 3.2, without their tuning of the picture tower.
    """

    @staticmethod
    def blend(references: Vectors, texts: Vectors, weight: float) -> Vectors:
        """Unit vectors at `weight` of the angle from reference to text."""
        angles = np.arccos(np.clip((references * texts).sum(axis=1, keepdims=True), -1, 1))
        # If both vectors are equal there is no arc, and the sum is that vector.
        arcs = np.maximum(np.sin(angles), 1e-6)
        near, far = np.sin((1 - weight) * angles) / arcs, np.sin(weight * angles) / arcs
        return unit(np.where(angles < 1e-3, references, near * references + far * texts))


def baseline(
    name: str,
    encoder: Encoder,
    vocabulary: Vocabulary,
    weight: float = DEFAULT_WEIGHT,
    *,
    captions: CaptionEdit | None = None,
) -> Composer:
    """Make a baseline by name.

    Args:
        name: one of METHODS.
        encoder: encodes texts.
        vocabulary: the words of captions, for the text intermediary.
        weight: the text's weight, from 0 to 1, for weighted methods.
        captions: shared by the baselines that caption references, so that each reference is tagged once.

    Raises:
        UsageError: the name is unknown.
    """
    match name:
        case "picture":
            return PictureOnly()
        case "text":
            return TextOnly(encoder)
        case "sum":
            return WeightedSum(name, TextOnly(encoder), weight)
        case "signed-sum":
            return WeightedSum(name, TextOnly(encoder, signed=True), weight)
        case "slerp":
            return Slerp(name, TextOnly(encoder), weight)
        case "caption-words" | "caption-words+picture" | "caption-edit" | "caption-edit+picture":
            edited = captions or CaptionEdit(encoder, vocabulary)
            caption = CaptionWords(edited) if name.startswith("caption-words") else edited
            return WeightedSum(name, caption, weight) if name.endswith("+picture") else caption
    raise UsageError(f"--method {name}: there is no such method; use one of {', '.join(METHODS)}")
