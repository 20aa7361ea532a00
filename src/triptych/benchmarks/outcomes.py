"""What a row of a result file says beside its means: which queries, their values, and the composition gap."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from triptych.benchmarks.protocol import Query
from triptych.metrics import Values

Metrics = Mapping[str, float]
"""Metric to mean, in percent."""


def digests(queries: Sequence[Query], gallery: Sequence[str]) -> dict[str, str]:
    """SHA-256 over the queries in their order, and over the names of the gallery: equal where the same was asked."""
    return {"queries_sha256": _digest(map(vars, queries)), "gallery_sha256": _digest(gallery)}


def _digest(items: Iterable[Any]) -> str:
    hashed = hashlib.sha256()
    for item in items:
        # A set has no order of its own.
        hashed.update(json.dumps(item, default=sorted, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return hashed.hexdigest()


def listed(values: Mapping[str, Values]) -> dict[str, list[float]]:
    """Each query's metrics, between 0 and 1, as JSON holds them."""
    return {name: [_short(float(value)) for value in each] for name, each in values.items()}


def _short(value: float) -> float:
    return int(value) if value.is_integer() else round(value, 6)


def composition_gap(metrics: Metrics, picture: Metrics, text: Metrics) -> dict[str, dict[str, float]]:
    """How far a method is ahead of the better of its two inputs alone, in points, with what those have.

    Many published queries can be answered from the picture or from the words alone: only what is above both was won
    by composing them.
    """
    gap = {name: value - max(picture[name], text[name]) for name, value in metrics.items()}
    return {"picture_only": rounded(picture), "text_only": rounded(text), "gap": rounded(gap)}


def rounded(metrics: Metrics) -> dict[str, float]:
    """Metrics with four decimals, as result files hold them."""
    return {name: round(value, 4) for name, value in metrics.items()}
