"""Composers that read the reference picture itself, beyond its vector."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from triptych.composers.protocol import ChangedWords
from triptych.core.errors import DataError, PictureError
from triptych.core.remote import Place
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Pixels

BATCH = 256  # references at once, a multiple of the batch size of graphs


def in_batches(
    loaded: Generator[tuple[str, Pixels | PictureError], None, None], path_of: Callable[[str], Place]
) -> Iterator[Pixels]:
    """Yield the pixels `(n, 3, h, w)` of references, at most BATCH at a time.

    Raises:
        DataError: a picture cannot be read.
    """
    waiting: list[Pixels] = []
    with closing(loaded):
        for name, pixels in loaded:
            if isinstance(pixels, PictureError):
                raise DataError(
                    f"{path_of(name)}: {pixels}; the composer reads reference pictures, so put the file back"
                )
            waiting.append(pixels)
            if len(waiting) == BATCH:
                yield np.stack(waiting)
                waiting.clear()
    if waiting:
        yield np.stack(waiting)


Patches = NDArray[np.float16]
"""Features at each position of pictures: `(n, positions, channels)`, in half precision."""


@runtime_checkable
class ReadsPatches(Protocol):
    """A composer that can read the pixels of references, in addition to their vectors."""

    reads_pixels: bool
    """Whether it reads pixels; if not, it is used like any other composer."""

    def look(self, pixels: Pixels) -> Patches:
        """Compute what the composer reads of references, from their prepared pixels `(n, 3, h, w)`."""
        ...

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[ChangedWords | None] | None = None,
        patches: Patches | None = None,
    ) -> Vectors:
        """`Composer.compose` with the output of `look` for the references."""
        ...


def reads_pixels(composer: object) -> TypeGuard[ReadsPatches]:
    """Whether a composer needs the references' pixels."""
    return isinstance(composer, ReadsPatches) and composer.reads_pixels
