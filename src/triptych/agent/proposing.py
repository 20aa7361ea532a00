"""Propose: candidate targets for each reference, from several views of likeness.

A *plan* is the one or two attribute groups that are to change. Its candidates are the pictures nearest to the
reference apart from those groups, so that a red shirt's colourways come up though their colour keeps them far apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from triptych.catalog import nearest
from triptych.encoders import Vectors, unit
from triptych.tagging import Tags

Plan = tuple[str, ...]

_SINGLE = 0.4  # share of the plans that change one group alone


@dataclass(frozen=True)
class Proposal:
    """A reference, what is to change, and the pictures considered for it, best first."""

    reference: int
    plan: Plan
    candidates: NDArray[np.int64]
    likeness: NDArray[np.float32]
    """Of each candidate: cosine to the reference apart from the plan's groups."""


def plans_over(groups: Sequence[str]) -> list[Plan]:
    """Every single group, and every pair."""
    return [*((group,) for group in groups), *combinations(groups, 2)]


class Proposer:
    """Holds the views of one catalog."""

    def __init__(self, vectors: Vectors, tags: Tags, groups: Sequence[str], *, width: int, seed: int) -> None:
        self._vectors = vectors
        self._tags = tags
        self._plans = plans_over(groups)
        self._singles = len(groups)
        self._width = width
        self._seed = seed
        self._views: dict[Plan, Vectors] = {}

    def propose(self, references: Sequence[int], plans_each: int) -> Iterator[Proposal]:
        """Proposals for each reference, plan by plan; the same for the same seed, whatever was asked before."""
        chosen = [(reference, plan) for reference in references for plan in self._choose(reference, plans_each)]
        for plan in self._plans:
            rows = [reference for reference, wanted in chosen if wanted == plan]
            if not rows:
                continue
            view = self._view(plan)
            candidates, likeness = nearest(view[rows], view, self._width + 1)
            for reference, found, cosines in zip(rows, candidates, likeness, strict=True):
                others = found != reference
                yield Proposal(reference, plan, found[others], cosines[others])

    def _choose(self, reference: int, count: int) -> list[Plan]:
        random = np.random.default_rng([self._seed, reference])
        pairs = len(self._plans) - self._singles
        # Pairs are many: unweighted they would crowd out the single changes that people ask for most.
        weights = np.full(len(self._plans), (1 - _SINGLE) / max(pairs, 1))
        weights[: self._singles] = (_SINGLE if pairs else 1) / self._singles
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
