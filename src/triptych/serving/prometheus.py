"""Metrics of the service for Prometheus: counts and durations, and no content of requests."""

from collections.abc import Callable
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
# Upper bounds of the histogram in seconds, in factors of 2 and 2.5 like Prometheus' default buckets.
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ServiceMetrics:
    """Counters of requests and histograms of seconds. Thread-safe."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("triptych_requests", "Requests answered.", labels, registry=self._registry)
        self._seconds = Histogram(
            "triptych_seconds", "Duration of stages.", ("stage",), buckets=_BOUNDS, registry=self._registry
        )
        self.gauge("triptych_resident_bytes", "Memory of this process.", _resident)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a finished request. `route` is the route's pattern, to keep the number of labels small."""
        self._requests.labels(method, route, str(status)).inc()
        self.time("request", seconds)

    def time(self, stage: str, seconds: float) -> None:
        """Record the duration of a stage: `request`, `encoding` or `finding`."""
        self._seconds.labels(stage).observe(seconds)

    def gauge(self, name: str, what: str, read: Callable[[], float]) -> None:
        """Add a value that is read when metrics are requested."""
        Gauge(name, what, registry=self._registry).set_function(read)

    def text(self) -> str:
        """All metrics in Prometheus' text format."""
        text: str = generate_latest(self._registry).decode()
        return text


def _resident() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return float(pages * 4096)
