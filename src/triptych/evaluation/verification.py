"""Reorder the first answers of a method by the scores of a verifier that looks at the pictures.

As in other rerankers of composed retrieval (PinPoint's rerank.py, WISER's verifier), the verifier sees the reference,
the request and one candidate. The verifiers are a chat model (`chat_verifier`) and a local model (`local_verifier`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from triptych.core.progress import say
from triptych.evaluation.answers import Answers, Reordered
from triptych.evaluation.chat_calls import Spent
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.results.row import Verification
from triptych.metrics.ranking import Rows

Grades = NDArray[np.float64]

STEP = "verification"
WEIGHTS = (0.25, 0.5, 0.75, 1.0)
"""The weights of the scores that are tried on val."""


@dataclass(frozen=True)
class Graded:
    """The scores of each query's first answers, from 0 to 1, and the cost."""

    first: list[Rows]
    """The first rows of each query before scoring, best first."""
    grades: list[Grades]
    """A score for each row; all 0 if a query was not scored."""
    spent: Spent
    ungraded: int
    """The number of queries that were not scored, and so are unchanged."""
    scores: str = "grades"
    """The kind of scores: `grades`, or `yes-no`, the probability of yes against no."""

    def order(self, weight: float) -> list[Rows]:
        """Reorder by `weight` times the score plus (1 - `weight`) times a value of the original place.

        That value falls from 1 towards 0. Ties keep the original order.
        """
        orders = []
        for rows, grades in zip(self.first, self.grades, strict=True):
            places = 1 - np.arange(len(rows)) / max(1, len(rows))
            merit = weight * grades + (1 - weight) * places
            orders.append(rows[np.argsort(-np.round(merit, 9), kind="stable")])
        return orders


class Verifier(Protocol):
    """Scores how well candidates answer queries."""

    model: str
    """Its name, for result rows."""

    def grade(self, task: EncodedTask, first: list[Rows]) -> Graded:
        """Score each query's first rows.

        Raises:
            FailureError: the model gives no scores.
        """
        ...


def reported(found: Mapping[str, Grades], task: EncodedTask, first: list[Rows], spent: Spent, scores: str) -> Graded:
    """Make `Graded` of the scores by query id, and report queries without scores."""
    grades = [found.get(query.id, np.zeros(len(rows))) for query, rows in zip(task.queries, first, strict=True)]
    ungraded = len(task.queries) - len(found)
    if ungraded:
        say(f"eval: {ungraded} of {len(task.queries)} queries of {task.task.name} are not yet verified")
    return Graded(first, grades, spent, ungraded, scores)


def verified(
    answers: Answers, graded: Graded, *, model: str, top: int, weight: float, weight_from: str
) -> tuple[Answers, Verification]:
    """Reorder the answers. Also returns the facts for a result row."""
    spent = graded.spent
    said = Verification(
        model=model,
        top=top,
        scores=graded.scores,
        weight=weight,
        weight_from=weight_from,
        calls=spent.calls,
        tokens_in=spent.tokens_in,
        tokens_out=spent.tokens_out,
        cost=round(spent.cost, 6),
        seconds=round(spent.seconds, 3),
        unusable=spent.unusable,
        ungraded_queries=graded.ungraded,
    )
    return Reordered(answers, graded.order(weight)), said


def best_fusion(task: EncodedTask, answers: Answers, graded: Graded) -> float:
    """Select the weight of the scores with the highest sum of R@1 and R@10, on a split with known answers."""

    def merit(weight: float) -> float:
        order = Reordered(answers, graded.order(weight))
        return float(task.solved(order, 1).mean() + task.solved(order, 10).mean())

    return max(WEIGHTS, key=merit)
