"""Work on many machines: the choice of an engine, and the connection to a Ray cluster."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from triptych.core.environment import require_extra
from triptych.core.errors import FailureError, UsageError
from triptych.core.options import check_ranges, option

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class ClusterOptions:
    """Where divisible work is done."""

    engine: str = option("local", "Where pictures are encoded: local, or ray (extra `ray`).", choices=ENGINES)
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


@contextmanager
def connected(options: ClusterOptions, threads: int) -> Iterator[None]:
    """Connect to the cluster, or start one here. An existing connection is kept.

    Raises:
        UsageError: the extra `ray` is not installed.
        FailureError: no cluster answers.
    """
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
