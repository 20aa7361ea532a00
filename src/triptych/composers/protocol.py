"""The protocol of composers, trained or not, and their optional members."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import MismatchError, UsageError
from triptych.core.vectors import Vectors, unit
from triptych.encoders.protocol import Encoder, Pixels, ReportsReading, TextReading

ChangedWords = Mapping[str, str]
"""Maps an attribute group to its new word, such as {"colour": "navy blue"}."""


class Composer(Protocol):
    """Maps a reference and a modification to a vector near the target's.

    A composer may also have

    - `attach(encoder)`: sets the encoder of the reference vectors, to encode texts (`TakesEncoder`);
    - `encoder_name` and `encoder_fingerprint`: the encoder that the composer was made for;
    - `prompts`, `prompt` and `with_prompt(prompt)`: several prompts before the words (`HasPrompts`);
    - `reads_pixels` and `look(pixels)`: the composer reads the reference's pixels (`patches.ReadsPatches`);
    - `verdict`: whether it is better than the baselines (`truth.Verdict`), or None if that is unknown;
    - `gallery_fingerprint`: equal for equal functions `gallery`; needed by stores in databases.
    """

    @property
    def name(self) -> str:
        """The composer's name in results."""
        ...

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[ChangedWords | None] | None = None,
    ) -> Vectors:
        """Compute query vectors from references and texts.

        Args:
            references: unit vectors `(n, d)` of the reference pictures.
            modifications: `n` texts.
            changes: the new words of each query, if they are known. Only oracles use them, that is, composers that
                stand for a perfect language model.

        Returns:
            Unit vectors `(n, e)`.
        """
        ...

    def gallery(self, vectors: Vectors) -> Vectors:
        """Map picture vectors `(m, d)` to unit vectors `(m, e)` in the space of the queries."""
        ...


@runtime_checkable
class TakesEncoder(Protocol):
    """A composer that needs the encoder, for instance for the vectors of texts."""

    def attach(self, encoder: Encoder) -> None:
        """Set the encoder.

        Raises:
            MismatchError: the composer was made for another encoder.
        """
        ...


Fused = Callable[[Vectors, Vectors], NDArray[np.float64]]
"""`fused(references, texts)` computes the scores `(n, m)` of queries over a gallery, from two vectors `(n, d)` each."""


@runtime_checkable
class ScoresPictures(Protocol):
    """A method whose scores are not inner products of two vectors.

    It can be measured, but stores cannot search with it. Its `compose` returns the vectors of the texts.
    """

    def scorer(self, gallery: Vectors) -> Fused:
        """Make the function that scores queries over a whole gallery `(m, d)`."""
        ...


@runtime_checkable
class ReadsPictures(Protocol):
    """A method that makes a query from the reference's pixels and the words together."""

    def compose_pictures(self, pixels: Pixels, modifications: Sequence[str]) -> Vectors:
        """Compute unit query vectors `(n, e)` from prepared pixels `(n, 3, h, w)` and `n` texts."""
        ...


@runtime_checkable
class HasPrompts(Protocol):
    """A composer whose texts can begin with one of several prompts."""

    prompts: tuple[str, ...]
    """The available prompts; the first is the default."""
    prompt: str | None
    """The current prompt."""

    def with_prompt(self, prompt: str) -> Self:
        """The same composer with another of its prompts."""
        ...

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[ChangedWords | None] | None = None,
    ) -> Vectors:
        """`Composer.compose`."""
        ...

    def gallery(self, vectors: Vectors) -> Vectors:
        """`Composer.gallery`."""
        ...

    @property
    def name(self) -> str:
        """`Composer.name`."""
        ...


def has_prompts(composer: Any) -> TypeGuard[HasPrompts]:
    """Whether a composer has prompts."""
    return isinstance(composer, HasPrompts) and bool(composer.prompts)


def encoder_name_of(composer: Composer) -> str | None:
    """The name of the encoder that a composer was made for; None if it has none."""
    return getattr(composer, "encoder_name", None)


def encoder_fingerprint_of(composer: Composer) -> str | None:
    """The fingerprint of the encoder that a composer was made for; None if it works with any."""
    return getattr(composer, "encoder_fingerprint", None)


def attach_encoder(composer: Composer, encoder: Encoder) -> None:
    """Give a composer the encoder of its vectors, if it takes one.

    Raises:
        MismatchError: the composer was made for another encoder.
    """
    if isinstance(composer, TakesEncoder):
        composer.attach(encoder)
        return
    wanted = encoder_fingerprint_of(composer)
    if wanted is not None and wanted != encoder.fingerprint:
        raise MismatchError(
            f"{composer.name}: was made for encoder {encoder_name_of(composer) or 'unknown'} ({wanted[:12]}), not for "
            f"{encoder.name} ({encoder.fingerprint[:12]}); use that encoder"
        )


def readings_of(texts: Sequence[str], encoder: Encoder, composer: Composer | None = None) -> list[TextReading]:
    """How each text is read, by the composer if it has a text tower, else by the encoder; empty if not reported."""
    reader = composer if isinstance(composer, ReportsReading) else encoder
    return reader.readings(texts) if isinstance(reader, ReportsReading) else []


def gallery_fingerprint_of(composer: Composer) -> str:
    """The fingerprint of a composer's gallery side.

    Raises:
        UsageError: the composer has no such fingerprint.
    """
    found = getattr(composer, "gallery_fingerprint", None)
    if found is None:
        raise UsageError(
            f"{composer.name}: a store in a database needs a composer with gallery_fingerprint; use --store exact"
        )
    return str(found)


def gallery_dim_of(composer: Composer, dim: int) -> int:
    """The length `e` of a composer's gallery vectors, for encoder vectors of length `dim`."""
    known = getattr(composer, "dim", None)
    return composer.gallery(unit(np.ones((1, dim), np.float32))).shape[1] if known is None else int(known)


class SameSpace:
    """A composer whose queries and gallery are in the encoder's space."""

    gallery_fingerprint = ""

    def gallery(self, vectors: Vectors) -> Vectors:
        """Return the vectors unchanged."""
        return vectors
