"""Queries with known answers, and the verdict on a composer: whether it is better than the baselines.

Training measures with them, `evaluation.truth` makes them, and retrieval reads the verdict that a composer stores.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from triptych.core.errors import UsageError

LEAST_QUERIES = 20
"""Of fewer queries no verdict is made."""
LEAST_REFERENCES = 10
"""Nor of queries with fewer different references: half of them choose the weight of the sum."""

_IN_WORDS = {"sum": "the weighted sum", "picture": "the picture alone", "text": "the words alone"}


@dataclass(frozen=True)
class TruthQuery:
    """A query over a catalog with known answers. Pictures are named as in the catalog."""

    reference: str
    text: str
    targets: frozenset[str]
    exclude: frozenset[str] = frozenset()
    """Pictures that are never an answer, beside the reference."""
    candidates: frozenset[str] | None = None
    """A closed list: only these are ranked. None for the whole catalog."""


@dataclass(frozen=True)
class TruthQueries:
    """Queries with known answers, to judge a composer.

    Raises:
        UsageError: there are too few queries for a verdict.
    """

    queries: tuple[TruthQuery, ...]
    source: str
    """Where they come from, such as "columns kind, colour" or "file queries.jsonl"."""

    def __post_init__(self) -> None:
        references = len({query.reference for query in self.queries})
        if len(self.queries) < LEAST_QUERIES or references < LEAST_REFERENCES:
            raise UsageError(
                f"{self.source}: {len(self.queries)} queries with {references} references; a verdict needs at least "
                f"{LEAST_QUERIES} queries with {LEAST_REFERENCES} references"
            )


@dataclass(frozen=True)
class Verdict:
    """Whether a composer is better than the baselines, by queries with known answers."""

    decided: str
    """`better` or `worse` where the interval leaves out 0, else `undecided`."""
    against: str
    """What it was compared with: the best of `picture`, `text` and `sum` on the half of the queries that chose it; of
    `finetune` also with the encoder of before."""
    recall: float
    """The composer's R@10 in percent; each reference counts once."""
    baseline_recall: float
    """That of what it was compared with."""
    difference: float
    """By how many points of R@10 the composer is ahead."""
    interval: tuple[float, float]
    """The 95 % interval of the difference: paired bootstrap over references."""
    queries: int
    """How many queries it was measured on; as many others chose the weight."""
    source: str
    """Where the queries come from."""
    sum_weight: float
    """The weight of the words with which the sum does best; for a search that takes the sum in the composer's place."""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Verdict":
        """Read the verdict of a composer's `config.json`."""
        known = {name: stored[name] for name in cls.__dataclass_fields__}
        return cls(**known | {"interval": tuple(stored["interval"])})

    def __str__(self) -> str:
        low, high = self.interval
        ahead = {"better": "is better than", "worse": "is worse than", "undecided": "may be no better than"}
        method, _, more = self.against.partition(" ")
        named = f"{_IN_WORDS.get(method, method)} {more}".strip()
        return (
            f"{ahead[self.decided]} {named} by {self.queries} queries ({self.source}): R@10 {self.recall:.1f} "
            f"against {self.baseline_recall:.1f}, difference {self.difference:+.1f} (95 % interval {low:+.1f} to "
            f"{high:+.1f})"
        )


def verdict_of(composer: object) -> Verdict | None:
    """The verdict that a composer stores; None if it has none."""
    found = getattr(composer, "verdict", None)
    return found if isinstance(found, Verdict) else None
