"""What every way of answering a composed query does, trained or not."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from triptych.core.vectors import Vectors

Change = Mapping[str, str]
"""Attribute group to its new word, such as {"colour": "navy blue"}."""

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
