"""`index --engine ray`: workers of a Ray cluster read and encode pictures, and this process commits them.

Ray Data gives chunks to a pool of actors, no faster than this process takes the results. If an actor or a machine dies,
another one gets its chunk. The catalog equals that of a single machine.
"""

import logging
import pickle
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.catalog.encoding import EncodedChunk, EncodingTask, encode_chunk
from triptych.catalog.reading import PictureReader
from triptych.core.cluster import ClusterOptions, connected
from triptych.core.decoders import Decoders
from triptych.core.environment import require_extra
from triptych.core.errors import FailureError, TriptychError, UsageError
from triptych.core.limits import Limits
from triptych.encoders.protocol import Encoder

_WAVE = 4000  # chunks, of a million pictures, that Ray is given at once: it keeps books of each


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
        if not isinstance(encoder, str):
            raise UsageError("--engine ray: workers load the encoder by its name; give a name, not an object")
        self._cluster, self._catalog, self._encoder = cluster, catalog.resolve(), _anywhere(encoder)
        self._threads = threads or 1

    def __call__(
        self, task: EncodingTask, chunks: Sequence[list[str]], known: Container[str], tick: Callable[[], object]
    ) -> Iterator[EncodedChunk]:
        """See `ChunkEngine.__call__`. Copies of a picture in two chunks are encoded twice, with equal results.

        Raises:
            FailureError: no cluster answers, or a worker fails.
        """
        before = frozenset(known) if isinstance(known, Iterable) else frozenset()
        root, contents = task.root.resolve(), dict(task.contents)
        work = _Work(self._encoder, self._catalog, root, task.limits, contents, before, self._threads)
        with connected(self._cluster, self._threads):
            import ray

            try:
                waves = (chunks[start : start + _WAVE] for start in range(0, len(chunks), _WAVE))
                for made in chain.from_iterable(self._encoded(work, wave) for wave in waves):
                    chunk: EncodedChunk = pickle.loads(made)
                    for _ in chunk.results:
                        tick()
                    yield chunk
            except ray.exceptions.RayError as error:
                cause = getattr(error, "cause", None)
                if isinstance(cause, TriptychError):
                    raise cause from None
                raise FailureError(f"--engine ray: {str(cause or error).strip().splitlines()[-1]}") from None

    def _encoded(self, work: "_Work", chunks: Sequence[list[str]]) -> Iterator[bytes]:
        """The results of the workers, in the order of the chunks."""
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.WARNING)
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True  # so that the parts are those of one machine
        context.enable_progress_bars = False
        # A block for each chunk: what a worker that dies takes with it.
        given = [{"chunk": pickle.dumps(chunk)} for chunk in chunks]
        wanted = ray.data.from_items(given, override_num_blocks=len(given))
        workers = min(self._cluster.workers, len(chunks))
        encoded = wanted.map_batches(
            _Worker,
            fn_constructor_args=(work,),
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=self._threads,
            num_gpus=self._cluster.gpus_per_worker or None,
            batch_size=1,
        )
        for batch in encoded.iter_batches(batch_size=1, prefetch_batches=1):
            yield from batch["chunk"]


def _anywhere(encoder: str) -> str:
    """The name of an encoder, made independent of the working directory."""
    scheme, place = ("hf:", encoder[3:]) if encoder.startswith("hf:") else ("", encoder)
    return f"{scheme}{Path(place).resolve()}" if Path(place).is_dir() else encoder


@dataclass(frozen=True)
class _Work:
    """What is sent to a worker."""

    encoder: str
    catalog: Path
    root: Path
    limits: Limits
    contents: dict[str, str]
    known: frozenset[str]
    threads: int


class _Worker:
    """An actor with an encoder, and processes that decode for it."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        encoder = Catalog(work.catalog).encoder(work.encoder, threads=work.threads)
        self._task = EncodingTask(encoder, work.root, work.limits, work.contents)
        self._reader = PictureReader(encoder, work.limits, Decoders(work.threads))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        chunks = [
            encode_chunk(self._reader, self._task, pickle.loads(names), self._work.known, threads=self._work.threads)
            for names in batch["chunk"]
        ]
        return {"chunk": np.array([pickle.dumps(chunk) for chunk in chunks], object)}
