"""Product and BASIC: baselines that score a picture by its similarities to the reference and to the words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.composers.basic_words import STYLES, SUBJECTS
from triptych.composers.protocol import ChangedWords, Fused, SameSpace
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder

SCORED = ("product", "basic")
"""The names of these methods."""

_SAMPLE = 2000  # sampled pictures of a gallery that determine the scale of similarities
_Reals = NDArray[np.float64]


class _Scored(SameSpace):
    """The base of both methods. A query has two vectors: the reference's and the words'."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[ChangedWords | None] | None = None,
    ) -> Vectors:
        """Encode the words. The scorer combines their scores with those of the reference."""
        return self._encoder.encode_texts(modifications)


class Product(_Scored):
    """The product of a picture's similarities to the reference and to the words; a negative one counts as 0.

    The row "Text x Image" of Psomas et al., *Instance-Level Composed Image Retrieval*, NeurIPS 2025 (run_retrieval.py
    of github.com/billpsomas/icir, method `product`).
    """

    name = "product"

    def scorer(self, gallery: Vectors) -> Fused:
        """See `ScoresPictures.scorer`."""

        def fused(references: Vectors, texts: Vectors) -> _Reals:
            return _positive(references @ gallery.T) * _positive(texts @ gallery.T)

        return fused


class Basic(_Scored):
    """BASIC: the product of both similarities of centred vectors, with the reference projected on differences of
    things.

    Psomas et al., *Instance-Level Composed Image Retrieval*, NeurIPS 2025, in the variant without query expansion,
    which they mark with a dagger. Pictures are centred by their mean, texts by the mean over names of things. The
    reference is projected on the directions in which names of things differ (weight 1 - `contrast`) and names of styles
    do not (`contrast`). Both similarities are scaled to the same range, negative ones count as 0, and a Harris term
    (`harris`) favours pictures that are similar to both.

    It differs from the authors' code in four ways. The words are lists of this project (`basic_words`). The pictures'
    mean is that of the gallery, not of LAION. The scale is from the gallery, not from generated pictures. Words are not
    put into contexts.
    """

    name = "basic"

    def __init__(self, encoder: Encoder, *, contrast: float = 0.2, components: int = 250, harris: float = 0.1) -> None:
        super().__init__(encoder)
        self._harris = harris
        things = encoder.encode_texts(SUBJECTS).astype(np.float64)
        self._words_mean = things.mean(axis=0)
        styles = encoder.encode_texts(STYLES).astype(np.float64) - self._words_mean
        things -= self._words_mean
        spread = (1 - contrast) * _scatter(things) - contrast * _scatter(styles)
        values, directions = np.linalg.eigh(spread)
        kept = directions[:, values > 1e-12][:, -components:]
        self._projection: _Reals = kept @ kept.T
        self._things = things

    def scorer(self, gallery: Vectors) -> Fused:
        """See `ScoresPictures.scorer`."""
        mean = gallery.mean(axis=0, dtype=np.float64)
        pictures = gallery.astype(np.float64) - mean
        sample = pictures[:: max(1, len(pictures) // _SAMPLE)]
        # Both are divided by the least similarity of two pictures, as in the authors' code.
        least = float((sample @ sample.T).min()), float((self._things @ sample.T).min())
        scale = max(abs(least[0]), 1e-6)

        def fused(references: Vectors, texts: Vectors) -> _Reals:
            near = ((references - mean) @ self._projection) @ pictures.T
            said = (texts - self._words_mean) @ pictures.T
            near, said = _positive((near - least[0]) / scale), _positive((said - least[1]) / scale)
            return near * said - self._harris * (near + said) ** 2

        return fused


def scored_method(name: str, encoder: Encoder) -> Product | Basic:
    """Make the method with a name of `SCORED`."""
    return Product(encoder) if name == "product" else Basic(encoder)


def _scatter(centred: _Reals) -> _Reals:
    return centred.T @ centred / max(1, len(centred) - 1)


def _positive(values: NDArray[Any]) -> _Reals:
    return np.maximum(np.asarray(values, np.float64), 0)
