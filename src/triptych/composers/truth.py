"""Queries with known answers, and the verdict on a composer: whether it is better than the baselines.

`evaluation.truth` makes the queries, training measures with them, and retrieval reads a composer's stored verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from triptych.core.errors import UsageError

LEAST_QUERIES = 20
"""The fewest queries for a verdict; with fewer, an interval decides nothing."""
LEAST_REFERENCES = 10
"""The fewest different references for a verdict, since half of them select the weight of the sum."""

_IN_WORDS = {"sum": "the weighted sum", "picture": "the picture alone", "text": "the words alone"}


@dataclass(frozen=True)
class TruthQuery:
    """A query over a catalog with known answers. Pictures are given by their names in the catalog."""

    reference: str
    text: str
    targets: frozenset[str]
    exclude: frozenset[str] = frozenset()
    """Pictures that are never an answer, besides the reference."""
    candidates: frozenset[str] | None = None
    """The candidates to rank; None for the whole catalog."""


@dataclass(frozen=True)
class TruthQueries:
    """Queries with known answers, to judge a composer.

    Raises:
        UsageError: there are too few queries for a verdict.
    """

    queries: tuple[TruthQuery, ...]
    source: str
    """The source of the queries, such as "columns kind, colour" or "file queries.jsonl"."""

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
    """`better` or `worse` if the interval of R@10 or of the rank excludes "no difference", and the other is not on the
    opposite side; else `undecided`."""
    against: str
    """The best of the baselines `picture`, `text` and `sum`, for `finetune` also with the original encoder. Each half
    of the queries is compared with the baseline that is best on the other half."""
    recall: float
    """The composer's R@10 in percent, in which each reference counts once."""
    baseline_recall: float
    """The baseline's R@10 in percent."""
    difference: float
    """The composer's R@10 minus the baseline's, in points."""
    interval: tuple[float, float]
    """The 95 % interval of the difference, by a paired bootstrap over references."""
    queries: int
    """The number of queries."""
    source: str
    """The source of the queries."""
    sum_weight: float
    """The best weight of the words in the sum, for searches that use the sum instead of the composer."""
    rank_ratio: float | None = None
    """The baseline's rank of the first right answer divided by the composer's, as a geometric mean over references: 2
    means that it comes twice as early. None if it was not measured."""
    rank_ratio_interval: tuple[float, float] | None = None
    """The 95 % interval of `rank_ratio`, by the same bootstrap."""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Verdict":
        """Parse the verdict in a composer's `config.json`."""
        known = {name: stored[name] for name in cls.__dataclass_fields__ if name in stored}
        ends = {name: tuple(known[name]) for name in ("interval", "rank_ratio_interval") if known.get(name)}
        return cls(**known | ends)

    def __str__(self) -> str:
        low, high = self.interval
        ahead = {"better": "is better than", "worse": "is worse than", "undecided": "may be no better than"}
        method, _, more = self.against.partition(" ")
        named = f"{_IN_WORDS.get(method, method)} {more}".strip()
        return (
            f"{ahead[self.decided]} {named} by {self.queries} queries ({self.source}): R@10 {self.recall:.1f} "
            f"against {self.baseline_recall:.1f}, difference {self.difference:+.1f} (95 % interval {low:+.1f} to "
            f"{high:+.1f}){self._places()}"
        )

    def _places(self) -> str:
        if self.rank_ratio is None or self.rank_ratio_interval is None:
            return ""
        low, high = self.rank_ratio_interval
        return f"; the first right answer comes {self.rank_ratio:.2f} times as early ({low:.2f} to {high:.2f})"


def verdict_of(composer: object) -> Verdict | None:
    """The verdict that a composer stores; None if it has none."""
    found = getattr(composer, "verdict", None)
    return found if isinstance(found, Verdict) else None
