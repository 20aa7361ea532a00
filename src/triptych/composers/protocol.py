"""What every way of answering a composed query does, trained or not, and what it may do besides."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import MismatchError, UsageError
from triptych.core.vectors import Vectors, unit
from triptych.encoders.protocol import Encoder, Pixels, TellsReading, TextReading

ChangedWords = Mapping[str, str]
"""Attribute group to its new word, such as {"colour": "navy blue"}."""


class Composer(Protocol):
    """Maps (reference, modification) to where the target should lie.

    A composer may also have

    - `attach(encoder)`: takes the encoder of the reference vectors, for texts (`TakesEncoder`);
    - `encoder_name` and `encoder_fingerprint`: the encoder that it was made for, which it is then given;
    - `prompts`, `prompt` and `with_prompt(prompt)`: several ways to word a query (`HasPrompts`);
    - `reads_pixels` and `look(pixels)`: it reads the reference picture itself (`patches.ReadsPatches`);
    - `verdict`: whether it is better than what needs no training (`truth.Verdict`), or None where nobody knows;
    - `gallery_fingerprint`: equal for equal functions `gallery`; a store that keeps vectors in a database needs it.
    """

    @property
    def name(self) -> str:
        """What a result calls it."""
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
            changes: for each query what changes to what, where that is known; for a composer that stands for a perfect
                language model. One that finds out for itself ignores them.

        Returns:
            Unit vectors `(n, e)`.
        """
        ...

    def gallery(self, vectors: Vectors) -> Vectors:
        """Gallery vectors `(m, d)` in the space of the queries: unit vectors `(m, e)`."""
        ...


@runtime_checkable
class TakesEncoder(Protocol):
    """A composer that needs the encoder, such as for the vectors of texts."""

    def attach(self, encoder: Encoder) -> None:
        """Take the encoder. Raises MismatchError for another one than it was made for."""
        ...


Fused = Callable[[Vectors, Vectors], NDArray[np.float64]]
"""`fused(references, texts)`: the scores `(n, m)` of queries, given by both vectors `(n, d)`, with a gallery."""


@runtime_checkable
class ScoresPictures(Protocol):
    """A method whose score of a picture is no inner product of two vectors.

    It can be measured, but no store can search by it. Its `compose` gives the vectors of the texts.
    """

    def scorer(self, gallery: Vectors) -> Fused:
        """What scores queries over a gallery `(m, d)`, which is given whole."""
        ...


@runtime_checkable
class ReadsPictures(Protocol):
    """A method that makes a query of the reference's pixels and the words at once."""

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
    """Whether it knows prompts."""
    return isinstance(composer, HasPrompts) and bool(composer.prompts)


def encoder_name_of(composer: Composer) -> str | None:
    """The name of the encoder that it was made for; None where it says nothing of it."""
    return getattr(composer, "encoder_name", None)


def encoder_fingerprint_of(composer: Composer) -> str | None:
    """The fingerprint of the encoder that it was made for; None for a composer that works with any."""
    return getattr(composer, "encoder_fingerprint", None)


def attach_encoder(composer: Composer, encoder: Encoder) -> None:
    """Hand a composer the encoder of the vectors that it will get, if it takes one.

    Raises MismatchError where it was made for another encoder.
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
    """How each text is read, by the composer if it has a say in that; empty where nobody can tell."""
    reader = composer if isinstance(composer, TellsReading) else encoder
    return reader.readings(texts) if isinstance(reader, TellsReading) else []


def gallery_fingerprint_of(composer: Composer) -> str:
    """What tells its gallery vectors from another composer's. Raises UsageError for a composer that does not say it."""
    found = getattr(composer, "gallery_fingerprint", None)
    if found is None:
        raise UsageError(
            f"{composer.name}: a store in a database needs a composer with gallery_fingerprint; use --store exact"
        )
    return str(found)


def gallery_dim_of(composer: Composer, dim: int) -> int:
    """The length `e` of its gallery vectors, from encoder vectors of length `dim`."""
    known = getattr(composer, "dim", None)
    return composer.gallery(unit(np.ones((1, dim), np.float32))).shape[1] if known is None else int(known)
