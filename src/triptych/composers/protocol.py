"""What every way of answering a composed query does, trained or not."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from triptych.encoders import Pixels, Vectors

Change = Mapping[str, str]
"""Attribute group to its new word, such as {"colour": "navy blue"}."""

Patches = NDArray[np.float16]
"""What is seen at each position of pictures: `(n, positions, channels)`, in half precision."""


class Composer(Protocol):
    """Maps (reference, modification) to where the target should lie."""

    @property
    def name(self) -> str:
        """What a result calls it."""
        ...

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[Change | None] | None = None,
    ) -> Vectors:
        """Query vectors `(n, e)` of reference vectors `(n, d)` and as many texts.

        `changes` tell an oracle what changes to what; a composer that finds out for itself ignores them.
        """
        ...

    def gallery(self, vectors: Vectors) -> Vectors:
        """Gallery vectors `(m, d)` in the space of the queries: `(m, e)`."""
        ...


@runtime_checkable
class Looks(Protocol):
    """A composer that may read a reference's pixels, where a catalog knows no more than its vector."""

    reads_pixels: bool
    """Whether it does; if not, it is asked like any other."""

    def look(self, pixels: Pixels) -> Patches:
        """What it reads of references, from their prepared pixels `(n, 3, h, w)`."""
        ...

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[Change | None] | None = None,
        patches: Patches | None = None,
    ) -> Vectors:
        """`Composer.compose` with what `look` found in the references' pictures."""
        ...


def reads_pixels(composer: object) -> TypeGuard[Looks]:
    """Whether the composer is to be shown the references' pictures."""
    return isinstance(composer, Looks) and composer.reads_pixels
