"""Read and encode pictures chunk by chunk: in this process, or by an engine of many machines."""

import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from triptych.catalog.entry import Entry
from triptych.catalog.reading import PictureReader
from triptych.core.decoders import Decoders
from triptych.core.images import work_ahead
from triptych.core.limits import Limits
from triptych.core.remote import Place
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder, Pixels

_DECODERS = 16  # processes at most that decode pictures, about 30 MB each; encoders are slower than so many decoders


@dataclass(frozen=True)
class EncodingTask:
    """Which pictures are read, and with which encoder."""

    encoder: Encoder
    root: Place
    limits: Limits
    contents: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 that a name's file must have, if only that file is meant."""


@dataclass(frozen=True)
class EncodedChunk:
    """The results for a chunk of pictures."""

    results: Sequence[tuple[str, Entry | str]]
    """For each name its entry, or the reason why it cannot be read now."""
    vectors: Mapping[str, Vectors]
    """By content, the vectors `(d,)` of pictures that had none."""


class ChunkEngine(Protocol):
    """Reads and encodes the pictures of an `index`."""

    def __call__(
        self, task: EncodingTask, chunks: Sequence[list[str]], known: Container[str], tick: Callable[[], object]
    ) -> Iterator[EncodedChunk]:
        """Yield the results of each chunk, in order.

        Args:
            task: what is done with the pictures.
            chunks: the names of pictures.
            known: contents with known vectors. It may grow between two chunks.
            tick: called once for each picture.
        """
        ...


class LocalEngine:
    """Encodes in this process, with `threads` that read ahead; by default one for each core."""

    def __init__(self, threads: int | None) -> None:
        self._threads = threads or os.cpu_count() or 1

    def __call__(
        self, task: EncodingTask, chunks: Sequence[list[str]], known: Container[str], tick: Callable[[], object]
    ) -> Iterator[EncodedChunk]:
        """See `ChunkEngine.__call__`."""
        with Decoders(min(self._threads, _DECODERS)) as decoders:
            reader = PictureReader(task.encoder, task.limits, decoders)
            for names in chunks:
                yield encode_chunk(reader, task, names, known, threads=self._threads, tick=tick)


def encode_chunk(
    reader: PictureReader,
    task: EncodingTask,
    names: Sequence[str],
    known: Container[str],
    *,
    threads: int,
    tick: Callable[[], object] = lambda: None,
) -> EncodedChunk:
    """Read and encode pictures. Copies of a picture, and pictures with known vectors, are not encoded again."""

    def read(name: str) -> tuple[Entry, Pixels | None] | str:
        return reader.read(task.root / name, name, task.contents.get(name))

    results: list[tuple[str, Entry | str]] = []
    fresh: dict[str, Pixels] = {}
    for name, result in work_ahead(names, read, threads=threads):
        tick()
        entry, pixels = (result, None) if isinstance(result, str) else result
        results.append((name, entry))
        if pixels is not None and isinstance(entry, Entry) and entry.sha256 not in known:
            fresh.setdefault(entry.sha256, pixels)
    vectors = reader.encoder.encode_pictures(np.stack([*fresh.values()])) if fresh else ()
    return EncodedChunk(results, dict(zip(fresh, vectors, strict=True)))
