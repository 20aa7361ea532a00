"""Work that can be divided: it is done in this process, or by workers of a Ray cluster (https://docs.ray.io)."""

import logging
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, TypeVar

from triptych.core.environment import require_extra
from triptych.core.errors import FailureError, TriptychError, UsageError
from triptych.core.options import check_ranges, option

T = TypeVar("T")
R = TypeVar("R")

ENGINES = ("local", "ray")
_WAVE = 4000  # items, such as chunks of 256 pictures, given to Ray at once, which keeps records of each


@dataclass(frozen=True)
class ClusterOptions:
    """Where divisible work is done."""

    engine: str = option(
        "local", "Where divisible work is done: local, or by workers of ray (extra `ray`).", choices=ENGINES
    )
    """`local`: in this process. `ray`: by workers of a Ray cluster; https://docs.ray.io."""
    address: str | None = option(
        None,
        "Address of the Ray cluster; by default that of RAY_ADDRESS, else a cluster started on this machine.",
        metavar="HOST:PORT",
    )
    workers: int = option(1, "The most workers of the cluster, each with its own encoder.", min=1)
    gpus_per_worker: float = option(0.0, "GPUs per worker, such as 1 or 0.25.", min=0)

    def __post_init__(self) -> None:
        check_ranges(self)
        given = self.address is not None or self.workers != 1 or self.gpus_per_worker
        if self.engine != "ray" and given:
            raise UsageError("--address, --workers and --gpus-per-worker go with --engine ray")


class Workers(Protocol):
    """The processes that do work which can be divided."""

    def map(
        self, make: Callable[..., Callable[[T], R]], shared: tuple[Any, ...], items: Sequence[T], *, gpus: bool = False
    ) -> Iterator[R]:
        """Yield the result of each item, in the order of the items.

        Args:
            make: a class or function of a module, which is called with `shared` once in each process. What it returns
                is called with an item.
            shared: what all items need; it is sent to a machine once.
            items: the parts of the work.
            gpus: whether the work can use a GPU.

        Raises:
            FailureError: a worker fails for good.
        """
        ...


class ThisProcess:
    """Does the work here, item by item, when a result is requested."""

    def map(
        self, make: Callable[..., Callable[[T], R]], shared: tuple[Any, ...], items: Sequence[T], *, gpus: bool = False
    ) -> Iterator[R]:
        """See `Workers.map`."""
        if items:
            work = make(*shared)
            for item in items:
                yield work(item)


HERE: Workers = ThisProcess()
"""This process."""


class RayWorkers:
    """Does the work by actors of the cluster that this process is connected to.

    Ray Data gives items to a pool of actors, no faster than this process takes the results. If an actor or a machine
    dies, another one gets its item.

    Args:
        options: the largest number of workers, and the share of a GPU for each.
        threads: processor threads of each worker.
    """

    def __init__(self, options: ClusterOptions, threads: int) -> None:
        self._options = options
        self._threads = threads

    def map(
        self, make: Callable[..., Callable[[T], R]], shared: tuple[Any, ...], items: Sequence[T], *, gpus: bool = False
    ) -> Iterator[R]:
        """See `Workers.map`. An item of a worker that dies is done again, so its result must not depend on who does it.

        Raises:
            FailureError: a worker fails for good; or what it raised, if that is a TriptychError.
        """
        import ray

        waves = (items[start : start + _WAVE] for start in range(0, len(items), _WAVE))
        try:
            held = ray.put(shared)  # once on each machine, where all workers read the same arrays
            for made in chain.from_iterable(self._results(make, held, wave, gpus=gpus) for wave in waves):
                result = pickle.loads(made)
                if isinstance(result, TriptychError):
                    raise result
                yield result
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            raise FailureError(f"--engine ray: {str(cause or error).strip().splitlines()[-1]}") from None

    def _results(self, make: Callable[..., Any], held: Any, items: Iterable[Any], *, gpus: bool) -> Iterator[bytes]:
        """The pickled results, in the order of the items."""
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.WARNING)
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        # One block for each item: if a worker dies, only this block is done again.
        given = [{"item": pickle.dumps(item)} for item in items]
        wanted = ray.data.from_items(given, override_num_blocks=len(given))
        done = wanted.map_batches(
            _Actor,
            fn_constructor_args=(make, held),
            compute=ray.data.ActorPoolStrategy(size=min(self._options.workers, len(given))),
            num_cpus=self._threads,
            num_gpus=(self._options.gpus_per_worker or None) if gpus else None,
            batch_size=1,
        )
        for batch in done.iter_batches(batch_size=1, prefetch_batches=1):
            yield from batch["result"]


class _Actor:
    """A worker's process."""

    def __init__(self, make: Callable[..., Callable[[Any], Any]], held: Any) -> None:
        import ray

        try:
            self._work: Callable[[Any], Any] | TriptychError = make(*ray.get(held))
        except TriptychError as error:  # raised with the first item; otherwise Ray would restart the actor repeatedly
            self._work = error

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import numpy as np  # here, since the options are read for every `--help`

        return {"result": np.array([pickle.dumps(self._result(pickle.loads(item))) for item in batch["item"]], object)}

    def _result(self, item: Any) -> Any:
        if isinstance(self._work, TriptychError):
            return self._work
        try:
            return self._work(item)
        except TriptychError as error:
            return error


@contextmanager
def workers_of(options: ClusterOptions, threads: int | None = None) -> Iterator[Workers]:
    """Yield the workers that the options name, each with `threads` threads (default: one).

    Raises:
        UsageError: the extra `ray` is not installed.
        FailureError: no cluster answers.
    """
    if options.engine != "ray":
        yield HERE
        return
    with _connected(options, threads or 1):
        yield RayWorkers(options, threads or 1)


@contextmanager
def _connected(options: ClusterOptions, threads: int) -> Iterator[None]:
    """Connect to the cluster, or start one here. An existing connection is kept."""
    require_extra("ray", "--engine ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
    import ray

    if ray.is_initialized():
        yield
        return
    own = options.address is None and "RAY_ADDRESS" not in os.environ
    room = {"num_cpus": max(os.cpu_count() or 1, options.workers * threads)} if own else {}
    try:
        ray.init(address=options.address, include_dashboard=False if own else None, logging_level="warning", **room)
    except Exception as error:  # Ray raises plain ones
        where = options.address or os.environ.get("RAY_ADDRESS", "here")
        raise FailureError(f"--engine ray: no cluster at {where} ({str(error).splitlines()[0]})") from None
    try:
        yield
    finally:
        ray.shutdown()
