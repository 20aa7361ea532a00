"""Run alternatives in turns, and print their times and the ratios of their times."""

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

Timed = Callable[[], object]
"""One side of a comparison."""


def turns(sides: Mapping[str, Timed], rounds: int) -> Iterator[str]:
    """Run each side once as a warm-up, then all sides in turns. Yields a table row for each side."""
    for run in sides.values():
        run()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            wall, processor = time.perf_counter(), processor_seconds()
            run()
            times[name].append((time.perf_counter() - wall, processor_seconds() - processor))
    ours, *peers = sides
    yield f"| {ours} | {_medians(times[ours])} | | |"
    for peer in peers:
        shares = [_ratio(times[ours], times[peer], clock) for clock in (0, 1)]
        yield f"| {peer} | {_medians(times[peer])} | {shares[0]} | {shares[1]} |"


def processor_seconds() -> float:
    """Processor seconds of this process and its finished child processes, which other programs hardly affect."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def _medians(times: Sequence[tuple[float, float]]) -> str:
    wall, processor = (1000 * median(clock) for clock in zip(*times, strict=True))
    return f"{wall:.2f} ms | {processor:.2f} ms"


def _ratio(ours: Sequence[tuple[float, float]], peer: Sequence[tuple[float, float]], clock: int) -> str:
    """The median of the rounds' ratios, with the lowest and the highest."""
    ratios = [own[clock] / max(1e-9, other[clock]) for own, other in zip(ours, peer, strict=True)]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
