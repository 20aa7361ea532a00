"""Training in several processes that `torchrun` started. Each computes a part of a batch; the loss is over the batch.

Vectors are gathered from all processes before the loss, so the loss does not depend on their number. Each process
computes the same loss, and `DistributedDataParallel` averages the gradients. Only the first process writes files. In a
single process, nothing here has any effect.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from triptych.core.environment import launched_processes
from triptych.core.files import locked

T = TypeVar("T")
_PATIENCE = timedelta(hours=2)  # the first process exports and judges alone; a process that died ends the others


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Join the processes that `torchrun` started, by NCCL on GPUs and Gloo on CPUs. Without `torchrun`, do nothing."""
    if launched_processes() == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def process_count() -> int:
    """How many processes have joined."""
    return dist.get_world_size() if _is_joined() else 1


def process_rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if _is_joined() else 0


def _is_joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def is_first() -> bool:
    """Whether this process writes the results."""
    return process_rank() == 0


@contextmanager
def locked_once(folder: Path) -> Iterator[None]:
    """Lock `folder` against other runs. The first process locks it for all.

    Raises:
        BusyError: another run uses it.
    """
    if is_first():
        with locked(folder):
            yield
    else:
        yield


@contextmanager
def first_ahead() -> Iterator[None]:
    """Let the first process run the block before the others, so that they find its output."""
    if not is_first():
        wait_for_all()
    yield
    if is_first():
        wait_for_all()


def wait_for_all() -> None:
    """Wait until every process has called this."""
    if process_count() > 1:
        dist.barrier()


def of_first(value: T | None) -> T:
    """Return the first process's value in every process. The values of the others are ignored."""
    held: list[Any] = [value]
    if process_count() > 1:
        dist.broadcast_object_list(held)
    shared: T = held[0]
    return shared


def own_part(count: int) -> slice | NDArray[np.int64]:
    """The part of `count` rows that this process computes. All parts have equal length: the last row is repeated as
    needed."""
    processes = process_count()
    if processes == 1:
        return slice(0, count)
    length = -(-count // processes)
    start = process_rank() * length
    return np.minimum(np.arange(start, start + length), count - 1)


def gathered(part: Tensor, count: int) -> Tensor:
    """All `count` rows, of which each process has computed its `own_part`. Gradients go back to each row's process."""
    if process_count() == 1:
        return part
    whole: Tensor = _Gather.apply(part)  # type: ignore[no-untyped-call]
    return whole[:count]


class _Gather(torch.autograd.Function):
    """Concatenates the rows of all processes."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(process_count())]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        total = slopes[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(process_count())[process_rank()]


class Replicas:
    """A module with a copy in every process. Gradients are averaged over the copies.

    Args:
        module: the module, equal in every process after this.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._parallel: DistributedDataParallel | None = None
        if process_count() > 1:
            # Some weights are unused in some steps, such as those of an attribute group that no triplet changes.
            self._parallel = DistributedDataParallel(_Computing(module), find_unused_parameters=True)

    def __call__(self, compute: Callable[[], Tensor]) -> Tensor:
        """Compute the loss with the module. Its `backward` averages the gradients over the processes."""
        if self._parallel is None:
            return compute()
        loss: Tensor = self._parallel(compute)
        return loss

    def average(self) -> None:
        """Average gradients that were computed without calling this object, such as chunk by chunk."""
        if self._parallel is None:
            return
        weights = [weight for weight in self._module.parameters() if weight.requires_grad]
        slopes = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        flat = torch.cat([slope.flatten() for slope in slopes])
        dist.all_reduce(flat)
        flat /= process_count()
        for weight, slope in zip(weights, torch.split(flat, [weight.numel() for weight in weights]), strict=True):
            weight.grad = slope.view_as(weight).clone()


class _Computing(nn.Module):
    """Runs a function, and holds the module so that DDP finds its weights."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, compute: Callable[[], Tensor]) -> Tensor:
        return compute()


def step_seed(seed: int) -> int:
    """A seed for this process, so that each has its own dropout."""
    return (seed + int(os.environ.get("RANK", 0)) * 1_000_000_007) % 2**63 if process_count() > 1 else seed
