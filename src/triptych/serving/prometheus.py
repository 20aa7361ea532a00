"""What a service tells of itself: counts and durations in Prometheus' text format, and nothing of what was asked.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds, in steps of about 2 and 2.5, as Prometheus' own default buckets.
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ServiceMetrics:
    """Counters of requests and histograms of seconds. Safe in any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._seconds: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * (len(_BOUNDS) + 2))
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {"triptych_resident_bytes": _RESIDENT}

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request that has ended. `route` is its pattern, so that there are few."""
        with self._lock:
            self._requests[method, route, status] += 1
        self.time("request", seconds)

    def time(self, stage: str, seconds: float) -> None:
        """How long one stage took: `request`, `encoding`, `finding`."""
        with self._lock:
            histogram = self._seconds[stage]
            histogram[bisect_left(_BOUNDS, seconds)] += 1
            histogram[-1] += seconds

    def gauge(self, name: str, what: str, read: Callable[[], float]) -> None:
        """A value that is read when somebody asks."""
        self._gauges[name] = (what, read)

    def text(self) -> str:
        """All of it."""
        with self._lock:
            requests = sorted(self._requests.items())
            seconds = sorted((stage, list(values)) for stage, values in self._seconds.items())
        lines = ["# HELP triptych_requests_total Requests answered.", "# TYPE triptych_requests_total counter"]
        for (method, route, status), count in requests:
            lines.append(f'triptych_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}')
        lines += ["# HELP triptych_seconds How long stages took.", "# TYPE triptych_seconds histogram"]
        for stage, values in seconds:
            lines += _histogram(stage, values)
        for name, (what, read) in self._gauges.items():
            lines += [f"# HELP {name} {what}", f"# TYPE {name} gauge", f"{name} {read()!r}"]
        return "\n".join(lines) + "\n"


def _histogram(stage: str, values: list[float]) -> Iterable[str]:
    total = 0.0
    for bound, count in zip((*map(str, _BOUNDS), "+Inf"), values, strict=False):
        total += count
        yield f'triptych_seconds_bucket{{stage="{stage}",le="{bound}"}} {total!r}'
    yield f'triptych_seconds_sum{{stage="{stage}"}} {values[-1]!r}'
    yield f'triptych_seconds_count{{stage="{stage}"}} {total!r}'


def _resident() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return float(pages * 4096)


_RESIDENT = ("Memory of this process.", _resident)
