"""The protocol of composers, trained or not, and their optional members."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import MismatchError, UsageError
from triptych.core.vectors import Vectors, unit
from triptych.encoders.protocol import Encoder, Pixels, ReportsReading, TextReading

ChangedWords = Mapping[str, str]
"""Attribute group to its new word, such as {"colour": "navy blue"}."""


class Composer(Protocol):
    """Maps (reference, modification) to a vector near the target's.

    A composer may also have

    - `attach(encoder)`: takes the encoder of the reference vectors, for texts (`TakesEncoder`);
    - `encoder_name` and `encoder_fingerprint`: the encoder that it was made for, which it is then given;
    - `prompts`, `prompt` and `with_prompt(prompt)`: several ways to word a query (`HasPrompts`);
    - `reads_pixels` and `look(pixels)`: it reads the reference picture itself (`patches.ReadsPatches`);
    - `verdict`: whether it is better than the baselines (`truth.Verdict`), or None if that is unknown;
    - `gallery_fingerprint`: equal for equal functions `gallery`; needed by a store that keeps vectors in a database.
    """

    @property
    def name(self) -> str:
        """Its name in results."""
        ...

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[ChangedWords | None] | None = None,
    ) -> Vectors:
        """Query vectors of references and texts.

        Args:
            references: unit vectors `(n, d)` of the reference pictures.
            modifications: `n` texts.
            changes: for each query what changes to what, if that is known. Only a composer that stands for a perfect
                language model uses it.

        Returns:
            Unit vectors `(n, e)`.
        """
        ...

    def gallery(self, vectors: Vectors) -> Vectors:
        """Gallery vectors `(m, d)` in the space of the queries: unit vectors `(m, e)`."""
        ...


@runtime_checkable
class TakesEncoder(Protocol):
    """A composer that needs the encoder, for instance for the vectors of texts."""

    def attach(self, encoder: Encoder) -> None:
        """Take the encoder.

        Raises:
            MismatchError: the composer was made for another encoder.
        """
        ...


Fused = Callable[[Vectors, Vectors], NDArray[np.float64]]
"""`fused(references, texts)`: the scores `(n, m)` of queries over a gallery, from both vectors `(n, d)` of each query.
"""


@runtime_checkable
class ScoresPictures(Protocol):
    """A method with scores that are no inner product of two vectors.

    It can be measured, but no store can search with it. Its `compose` gives the vectors of the texts.
    """

    def scorer(self, gallery: Vectors) -> Fused:
        """The function that scores queries over a whole gallery `(m, d)`."""
        ...


@runtime_checkable
class ReadsPictures(Protocol):
    """A method that makes a query from the reference's pixels and the words at once."""

    def compose_pictures(self, pixels: Pixels, modifications: Sequence[str]) -> Vectors:
        """Unit query vectors `(n, e)` of prepared pixels `(n, 3, h, w)` and `n` texts."""
        ...


@runtime_checkable
class HasPrompts(Protocol):
    """A composer whose texts can begin with one of several prompts."""

    prompts: tuple[str, ...]
    """What it knows; the first is what it starts with."""
    prompt: str | None
    """The one that it uses."""

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
            f"{composer.name}: made for encoder {encoder_name_of(composer) or 'another one'} ({wanted[:12]}), not for "
            f"{encoder.name} ({encoder.fingerprint[:12]}); use that encoder"
        )


def readings_of(texts: Sequence[str], encoder: Encoder, composer: Composer | None = None) -> list[TextReading]:
    """How each text is read, by the composer if it reads texts itself, else by
    the encoder; empty if neither can tell."""
    reader = composer if isinstance(composer, ReportsReading) else encoder
    return reader.readings(texts) if isinstance(reader, ReportsReading) else []


def gallery_fingerprint_of(composer: Composer) -> str:
    """The fingerprint of a composer's gallery side.

    Raises:
        UsageError: the composer has none.
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
        """The vectors unchanged."""
        return vectors
