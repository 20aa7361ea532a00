"""`index --engine ray`: workers of a cluster read and encode pictures, and this process commits them.

The catalog equals that of a single machine.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych.catalog.catalog import Catalog
from triptych.catalog.encoding import EncodedChunk, EncodingTask, encode_chunk
from triptych.catalog.reading import PictureReader
from triptych.core.cluster import ClusterOptions, workers_of
from triptych.core.decoders import Decoders
from triptych.core.environment import require_extra
from triptych.core.limits import Limits
from triptych.core.remote import Place
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import name_elsewhere


class RayEngine:
    """Encodes with the workers of a Ray cluster, each with its own encoder.

    Every machine must see the pictures and the catalog at the same paths, and have the program and the encoder.

    Args:
        cluster: how many workers, and where.
        catalog: the folder of the encoder's catalog.
        encoder: its name, by which workers load it.
        threads: of each worker; by default one.

    Raises:
        UsageError: the extra `ray` is not installed, or the encoder is an object without a name.
    """

    def __init__(self, cluster: ClusterOptions, catalog: Path, encoder: Encoder | str, threads: int | None) -> None:
        require_extra("ray", "--engine ray")
        self._cluster, self._catalog, self._encoder = cluster, catalog.resolve(), name_elsewhere(encoder)
        self._threads = threads or 1

    def __call__(
        self, task: EncodingTask, chunks: Sequence[list[str]], known: Container[str], tick: Callable[[], object]
    ) -> Iterator[EncodedChunk]:
        """See `ChunkEngine.__call__`. Copies of a picture in two chunks are encoded twice, with equal results.

        Raises:
            FailureError: no cluster answers, or a worker fails.
        """
        before = frozenset(known) if isinstance(known, Iterable) else frozenset()
        contents = dict(task.contents)
        work = _Work(self._encoder, self._catalog, task.root.resolve(), task.limits, contents, before, self._threads)
        with workers_of(self._cluster, self._threads) as workers:
            for chunk in workers.map(_Encoding, (work,), chunks, gpus=True):
                for _ in chunk.results:
                    tick()
                yield chunk


@dataclass(frozen=True)
class _Work:
    """What is sent to a worker."""

    encoder: str
    catalog: Path
    root: Place
    limits: Limits
    contents: dict[str, str]
    known: frozenset[str]
    threads: int


class _Encoding:
    """An encoder, and processes that decode for it."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        encoder = Catalog(work.catalog).encoder(work.encoder, threads=work.threads)
        self._task = EncodingTask(encoder, work.root, work.limits, work.contents)
        self._reader = PictureReader(encoder, work.limits, Decoders(work.threads))

    def __call__(self, names: list[str]) -> EncodedChunk:
        return encode_chunk(self._reader, self._task, names, self._work.known, threads=self._work.threads)
