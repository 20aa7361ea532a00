"""Propose: candidate targets for each reference, from several views of similarity.

A *change plan* is the one or two attribute groups that are to change. Its candidates are the pictures that are similar
to the reference apart from those groups, so that a red shirt's colourways come up though their colour keeps them far
apart. Two views count: the tags of the groups that are to stay, and what tells one item from another.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from triptych.core.vectors import Vectors, nearest, unit
from triptych.mining.options import SimilarityRange
from triptych.tagging.tagger import Tags, is_shown

ChangePlan = tuple[str, ...]
"""The attribute groups that are to change."""

_SINGLE = 0.4  # share of the plans that change one group alone
_SAME_WORDS = 2.5  # what one group's agreement counts beside the logarithm that the new word is shown
_SAME_ITEM = 4.0  # what a cosine counts beside it, where a change leaves the item the same
_NEIGHBOURS = 10  # nearest pictures that tell whether a change leaves the item the same
LEAST = 3e-4  # no tag is less likely than this: a probability of zero would silence every other view
_SCORES = 16_000_000  # scores held at once: 64 MB


@dataclass(frozen=True)
class Proposal:
    """A reference, what is to change, and the pictures considered for it, the best first."""

    reference: int
    plan: ChangePlan
    candidates: NDArray[np.int64]
    similarity: NDArray[np.float32]
    """Of each candidate: cosine to the reference apart from the plan's groups."""
    affinity: NDArray[np.float32]
    """How far each candidate is like the reference in all that is to stay."""
    change_log_probability: NDArray[np.float32]
    """Of each candidate: the logarithm of the probability that every group of the plan differs."""


def plans_over(groups: Sequence[str]) -> list[ChangePlan]:
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
        plan_weights: Mapping[ChangePlan, float] | None = None,
        similarity: SimilarityRange | None = None,
    ) -> None:
        """Make the views.

        Args:
            items: vectors `(n, d)` that tell one item from another.
            tags: of each group, probabilities `(n, words)`.
            groups: the attribute groups that may change.
            width: the most candidates of a proposal.
            seed: of the draw of plans.
            plan_weights: how many times as often as others a plan is drawn; 1 for plans that are not named.
            similarity: range out of which pictures are no candidates.
        """
        self._items = items
        self._tags = tags
        self._shown = {group: is_shown(tags[group]) for group in groups}
        self._variability = attribute_variability(items, {group: tags[group] for group in groups})
        self._groups = tuple(groups)
        self._plans = plans_over(groups)
        self._plan_weights = plan_weights or {}
        self._width = width
        self._range = similarity
        self._seed = seed
        self._views: dict[ChangePlan, Vectors] = {}

    def propose(self, references: Sequence[int], plans_each: int) -> Iterator[Proposal]:
        """Proposals for each reference, plan by plan; the same for the same seed, whatever was asked before."""
        yield from self.propose_for(
            (reference, plan) for reference in references for plan in self._choose(reference, plans_each)
        )

    def propose_for(self, asked: Iterable[tuple[int, ChangePlan]]) -> Iterator[Proposal]:
        """Proposals for references with what is to change of each, plan by plan; none where it has no candidate."""
        chosen = [*asked]
        block = max(1, _SCORES // len(self._items))
        for plan in self._plans:
            rows = [reference for reference, wanted in chosen if wanted == plan]
            for start in range(0, len(rows), block):
                yield from self._propose(rows[start : start + block], plan)

    def _propose(self, references: list[int], plan: ChangePlan) -> Iterator[Proposal]:
        view = self._view(plan)
        similarity = view[references] @ view.T
        # Of a change that makes another item, the item's similarity says little.
        affinity = similarity * np.float32(_SAME_ITEM * np.prod([self._variability[group] for group in plan]))
        changing = np.zeros_like(similarity)
        for group in self._groups:
            tags = self._tags[group]
            if group in plan:
                changing += np.log(1 - tags[references] @ tags.T + LEAST)  # that they show different words
            else:
                # Whether both look the same, not whether the word for it is known: two pictures of what the vocabulary
                # has no word for are tagged with the same doubts (Bhattacharyya's coefficient).
                roots = np.sqrt(np.column_stack([tags, np.maximum(0, 1 - tags.sum(axis=1))]))
                affinity += np.float32(_SAME_WORDS) * np.log(roots[references] @ roots.T + LEAST)
        rank = affinity + changing
        rank[np.arange(len(references)), references] = -np.inf
        if self._range:
            rank[(similarity < self._range[0]) | (similarity > self._range[1])] = -np.inf
        width = min(self._width, len(view) - 1)
        candidates = np.argpartition(-rank, width - 1, axis=1)[:, :width]
        order = np.argsort(-np.take_along_axis(rank, candidates, axis=1), axis=1, kind="stable")
        candidates = np.take_along_axis(candidates, order, axis=1)
        for row, reference in enumerate(references):
            found = candidates[row][np.isfinite(rank[row, candidates[row]])]
            if not len(found):
                continue
            yield Proposal(reference, plan, found, similarity[row, found], affinity[row, found], changing[row, found])

    def _choose(self, reference: int, count: int) -> list[ChangePlan]:
        random = np.random.default_rng([self._seed, reference])
        plans = [plan for plan in self._plans if all(self._shown[group][reference] for group in plan)]
        singles = sum(len(plan) == 1 for plan in plans)
        pairs = len(plans) - singles
        if not plans:
            return []
        # Pairs are many: unweighted they would crowd out the single changes that people ask for most.
        weights = np.full(len(plans), (1 - _SINGLE) / max(pairs, 1))
        weights[:singles] = (_SINGLE if pairs else 1) / singles
        if self._plan_weights:
            weights *= [self._plan_weights.get(plan, 1) for plan in plans]
            weights /= weights.sum()
        drawn = random.choice(len(plans), size=min(count, len(plans)), replace=False, p=weights)
        return [plans[index] for index in drawn]

    def _view(self, plan: ChangePlan) -> Vectors:
        if plan not in self._views:
            self._views[plan] = remove_attributes(plan, self._items, self._tags)
        return self._views[plan]


def attribute_variability(items: Vectors, tags: Tags) -> dict[str, float]:
    """How much each group varies among pictures of the same item, from 0 to 1 for the one that varies most.

    A garment comes in several colours, and is of one kind. It is measured by how often a picture and those nearest to
    it show different words, beside how often any two pictures do.
    """
    near, _ = nearest(items, items, min(_NEIGHBOURS + 1, len(items)))
    found = {}
    for group, values in tags.items():
        alike = float(np.mean([(values * values[column]).sum(axis=1).mean() for column in near.T[1:]]))
        by_chance, surely = float((values.mean(axis=0) ** 2).sum()), float((values * values).sum(axis=1).mean())
        found[group] = min(1.0, max(0.0, (surely - alike) / max(surely - by_chance, 1e-6)))
    most = max(found.values())
    return {group: value / most if most else 1.0 for group, value in found.items()}


def remove_attributes(groups: tuple[str, ...], vectors: Vectors, tags: Tags) -> Vectors:
    """The vectors without what they say of `groups`: a view in which a red and a blue shirt of one cut are alike.

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
