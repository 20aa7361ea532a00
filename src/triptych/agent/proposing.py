"""Propose: candidate targets for each reference, from several views of likeness.

A *plan* is the one or two attribute groups that are to change. Its candidates are the pictures that are like the
reference apart from those groups, so that a red shirt's colourways come up though their colour keeps them far apart.
Two views have a say: the vectors without what they tell of the plan, and the tags of the groups that are to stay.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from triptych.encoders import Vectors, unit
from triptych.tagging import Tags

Plan = tuple[str, ...]

_SINGLE = 0.4  # share of the plans that change one group alone
SAME_LOOK = 3.0  # what a cosine counts beside the logarithm of a probability, where another item will do
SAME_ITEM = 12.0  # and where it is to be the same item
LEAST = 1e-3  # no tag is less likely than this: a probability of zero would silence every other view
_SCORES = 16_000_000  # scores held at once: 64 MB


@dataclass(frozen=True)
class Proposal:
    """A reference, what is to change, and the pictures considered for it, the most apt first."""

    reference: int
    plan: Plan
    candidates: NDArray[np.int64]
    likeness: NDArray[np.float32]
    """Of each candidate: cosine to the reference apart from the plan's groups."""
    kept: NDArray[np.float32]
    """Of each candidate: the logarithm of the probability that every other group stayed the same."""
    differing: NDArray[np.float32]
    """Of each candidate: the logarithm of the probability that every group of the plan differs."""

    def apt(self, likeness: float) -> NDArray[np.float32]:
        """How far each candidate is like the reference apart from the plan; `likeness` is what a cosine counts."""
        return self.kept + np.float32(likeness) * self.likeness


def plans_over(groups: Sequence[str]) -> list[Plan]:
    """Every single group, and every pair."""
    return [*((group,) for group in groups), *combinations(groups, 2)]


class Proposer:
    """Holds the views of one catalog."""

    def __init__(self, vectors: Vectors, tags: Tags, groups: Sequence[str], *, width: int, seed: int) -> None:
        self._vectors = vectors
        self._tags = tags
        self._groups = tuple(groups)
        self._plans = plans_over(groups)
        self._width = width
        self._seed = seed
        self._views: dict[Plan, Vectors] = {}

    def propose(self, references: Sequence[int], plans_each: int) -> Iterator[Proposal]:
        """Proposals for each reference, plan by plan; the same for the same seed, whatever was asked before."""
        chosen = [(reference, plan) for reference in references for plan in self._choose(reference, plans_each)]
        block = max(1, _SCORES // len(self._vectors))
        for plan in self._plans:
            rows = [reference for reference, wanted in chosen if wanted == plan]
            for start in range(0, len(rows), block):
                yield from self._propose(rows[start : start + block], plan)

    def _propose(self, references: list[int], plan: Plan) -> Iterator[Proposal]:
        view = self._view(plan)
        likeness = view[references] @ view.T
        kept, differing = np.zeros_like(likeness), np.zeros_like(likeness)
        for group in self._groups:
            alike = self._tags[group][references] @ self._tags[group].T  # the probability that both show the same word
            if group in plan:
                differing += np.log(1 - alike + LEAST)
            else:
                kept += np.log(alike + LEAST)
        apt = kept + differing + SAME_LOOK * likeness
        apt[np.arange(len(references)), references] = -np.inf
        width = min(self._width, len(view) - 1)
        candidates = np.argpartition(-apt, width - 1, axis=1)[:, :width]
        order = np.argsort(-np.take_along_axis(apt, candidates, axis=1), axis=1, kind="stable")
        candidates = np.take_along_axis(candidates, order, axis=1)
        for row, reference in enumerate(references):
            found = candidates[row]
            yield Proposal(reference, plan, found, likeness[row, found], kept[row, found], differing[row, found])

    def _choose(self, reference: int, count: int) -> list[Plan]:
        random = np.random.default_rng([self._seed, reference])
        singles = len(self._groups)
        pairs = len(self._plans) - singles
        # Pairs are many: unweighted they would crowd out the single changes that people ask for most.
        weights = np.full(len(self._plans), (1 - _SINGLE) / max(pairs, 1))
        weights[:singles] = (_SINGLE if pairs else 1) / singles
        drawn = random.choice(len(self._plans), size=min(count, len(self._plans)), replace=False, p=weights)
        return [self._plans[index] for index in drawn]

    def _view(self, plan: Plan) -> Vectors:
        if plan not in self._views:
            self._views[plan] = apart_from(plan, self._vectors, self._tags)
        return self._views[plan]


def apart_from(groups: tuple[str, ...], vectors: Vectors, tags: Tags) -> Vectors:
    """The vectors without what they say of `groups`: a view in which a red and a blue shirt of one cut look alike.

    Removes the directions in which the mean pictures of a group's words differ, and scales back to length one.
    """
    centred = vectors - vectors.mean(axis=0)
    for group in groups:
        weights = tags[group] / np.maximum(tags[group].sum(axis=0), 1e-6)
        means = weights.T @ centred
        # Words that no picture bears have a mean made of noise.
        means = means[tags[group].sum(axis=0) >= 5]
        if len(means):
            directions = np.linalg.svd(means, full_matrices=False)
            kept = directions.Vh[0.1 * directions.S[0] < directions.S]
            centred = centred - (centred @ kept.T) @ kept
    return unit(centred)
