"""Propose: candidate targets for each reference, from several views of likeness.

A *plan* is the one or two attribute groups that are to change. Its candidates are the pictures that are like the
reference apart from those groups, so that a red shirt's colourways come up though their colour keeps them far apart.
Two views have a say: the tags of the groups that are to stay, and what tells one item from another.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from triptych.core.vectors import Vectors, nearest, unit
from triptych.tagging.tagger import Tags, shows

Plan = tuple[str, ...]

Band = tuple[float, float]
"""The least and the greatest likeness, both allowed."""

_SINGLE = 0.4  # share of the plans that change one group alone
_SAME_WORDS = 2.5  # what one group's agreement counts beside the logarithm that the new word is shown
_SAME_ITEM = 2.75  # what a cosine counts beside it, where a change leaves the item the same
_NEIGHBOURS = 10  # by whom it is told whether a change leaves the item the same
LEAST = 3e-4  # no tag is less likely than this: a probability of zero would silence every other view
_SCORES = 16_000_000  # scores held at once: 64 MB


@dataclass(frozen=True)
class Proposal:
    """A reference, what is to change, and the pictures considered for it, the most apt first."""

    reference: int
    plan: Plan
    candidates: NDArray[np.int64]
    likeness: NDArray[np.float32]
    """Of each candidate: cosine to the reference apart from the plan's groups."""
    apt: NDArray[np.float32]
    """How far each candidate is like the reference in all that is to stay."""
    differing: NDArray[np.float32]
    """Of each candidate: the logarithm of the probability that every group of the plan differs."""


def plans_over(groups: Sequence[str]) -> list[Plan]:
    """Every single group, and every pair."""
    return [*((group,) for group in groups), *combinations(groups, 2)]


class Proposer:
    """Holds the views of one catalog."""

    def __init__(
        self,
        items: Vectors,
        tags: Tags,
        groups: Sequence[str],
        *,
        width: int,
        seed: int,
        wanted: Mapping[Plan, float] | None = None,
        band: Band | None = None,
    ) -> None:
        """`items` are vectors `(n, d)` that tell one item from another.

        `wanted` says of plans how many times as often as others they are to be drawn; of what it does not name, once.
        Pictures whose likeness to the reference is out of the `band` are no candidates.
        """
        self._items = items
        self._tags = tags
        self._shown = {group: shows(tags[group]) for group in groups}
        self._freedom = freedom(items, {group: tags[group] for group in groups})
        self._groups = tuple(groups)
        self._plans = plans_over(groups)
        self._wanted = wanted or {}
        self._width = width
        self._band = band
        self._seed = seed
        self._views: dict[Plan, Vectors] = {}

    def propose(self, references: Sequence[int], plans_each: int) -> Iterator[Proposal]:
        """Proposals for each reference, plan by plan; the same for the same seed, whatever was asked before."""
        yield from self.about(
            (reference, plan) for reference in references for plan in self._choose(reference, plans_each)
        )

    def about(self, asked: Iterable[tuple[int, Plan]]) -> Iterator[Proposal]:
        """Proposals for references with what is to change of each, plan by plan; none where it has no candidate."""
        chosen = [*asked]
        block = max(1, _SCORES // len(self._items))
        for plan in self._plans:
            rows = [reference for reference, wanted in chosen if wanted == plan]
            for start in range(0, len(rows), block):
                yield from self._propose(rows[start : start + block], plan)

    def _propose(self, references: list[int], plan: Plan) -> Iterator[Proposal]:
        view = self._view(plan)
        likeness = view[references] @ view.T
        # Of a change that makes another item, the item's likeness says little.
        apt = likeness * np.float32(_SAME_ITEM * np.prod([self._freedom[group] for group in plan]))
        differing = np.zeros_like(likeness)
        for group in self._groups:
            tags = self._tags[group]
            if group in plan:
                differing += np.log(1 - tags[references] @ tags.T + LEAST)  # that they show different words
            else:
                # Whether both look the same, not whether the word for it is known: two pictures of what the vocabulary
                # has no word for are tagged with the same doubts (Bhattacharyya's coefficient).
                roots = np.sqrt(np.column_stack([tags, np.maximum(0, 1 - tags.sum(axis=1))]))
                apt += np.float32(_SAME_WORDS) * np.log(roots[references] @ roots.T + LEAST)
        rank = apt + differing
        rank[np.arange(len(references)), references] = -np.inf
        if self._band:
            rank[(likeness < self._band[0]) | (likeness > self._band[1])] = -np.inf
        width = min(self._width, len(view) - 1)
        candidates = np.argpartition(-rank, width - 1, axis=1)[:, :width]
        order = np.argsort(-np.take_along_axis(rank, candidates, axis=1), axis=1, kind="stable")
        candidates = np.take_along_axis(candidates, order, axis=1)
        for row, reference in enumerate(references):
            found = candidates[row][np.isfinite(rank[row, candidates[row]])]
            if not len(found):
                continue
            yield Proposal(reference, plan, found, likeness[row, found], apt[row, found], differing[row, found])

    def _choose(self, reference: int, count: int) -> list[Plan]:
        random = np.random.default_rng([self._seed, reference])
        plans = [plan for plan in self._plans if all(self._shown[group][reference] for group in plan)]
        singles = sum(len(plan) == 1 for plan in plans)
        pairs = len(plans) - singles
        if not plans:
            return []
        # Pairs are many: unweighted they would crowd out the single changes that people ask for most.
        weights = np.full(len(plans), (1 - _SINGLE) / max(pairs, 1))
        weights[:singles] = (_SINGLE if pairs else 1) / singles
        if self._wanted:
            weights *= [self._wanted.get(plan, 1) for plan in plans]
            weights /= weights.sum()
        drawn = random.choice(len(plans), size=min(count, len(plans)), replace=False, p=weights)
        return [plans[index] for index in drawn]

    def _view(self, plan: Plan) -> Vectors:
        if plan not in self._views:
            self._views[plan] = apart_from(plan, self._items, self._tags)
        return self._views[plan]


def freedom(items: Vectors, tags: Tags) -> dict[str, float]:
    """How freely each group varies among pictures of the same item, from 0 to 1 for the freest of them.

    A garment comes in several colours, and is of one kind. It is told by how often a picture and those nearest to it
    show different words, beside how often any two pictures do.
    """
    near, _ = nearest(items, items, min(_NEIGHBOURS + 1, len(items)))
    found = {}
    for group, values in tags.items():
        alike = float(np.mean([(values * values[column]).sum(axis=1).mean() for column in near.T[1:]]))
        by_chance, surely = float((values.mean(axis=0) ** 2).sum()), float((values * values).sum(axis=1).mean())
        found[group] = min(1.0, max(0.0, (surely - alike) / max(surely - by_chance, 1e-6)))
    most = max(found.values())
    return {group: value / most if most else 1.0 for group, value in found.items()}


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
