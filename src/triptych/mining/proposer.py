"""The proposer: candidate targets for each reference, from several views of similarity.

A *change plan* is the one or two attribute groups that are to change. Its candidates are the pictures that are similar
to the reference apart from those groups. So a red shirt's other colours are found although their colour makes their
vectors differ. Two views count: the tags of the groups that are to stay, and the part of the vectors that identifies an
item.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from triptych.core.vectors import Vectors, nearest, unit
from triptych.mining.options import SimilarityRange
from triptych.tagging.tagger import Tags, is_shown

ChangePlan = tuple[str, ...]
"""The attribute groups that are to change."""

Scores = NDArray[np.float32]
"""One number for each picture of the catalog, `(n,)`, or for references and pictures, `(references, n)`."""

_SINGLE = 0.4  # share of the plans that change only one group
_SAME_WORDS = 2.5  # weight of the agreement of one group; the log-probability of the new word has weight 1
_SAME_ITEM = 4.0  # weight of the cosine, likewise, if a change leaves the item the same
_NEARLY_ALL = 0.9  # share of the pictures that show a group from which the group is compared in every plan
_SAMPLE = 4096  # pictures at most whose neighbours are compared to estimate this
_NEIGHBOURS = 10  # nearest pictures that tell whether a change leaves the item the same
LEAST = 3e-4  # lower limit of a tag's probability; zero would overrule every other view
_SCORES = 48_000_000  # numbers held at once: 192 MB
_STEP = 16  # one rank in so many is looked at to guess which are among the first
_SHARD = 32_768  # pictures compared at once; the best of each shard are merged exactly


@dataclass(frozen=True)
class Proposal:
    """A reference, its change plan, and the candidates, the best first."""

    reference: int
    plan: ChangePlan
    candidates: NDArray[np.int64]
    similarity: NDArray[np.float32]
    """Of each candidate: cosine to the reference apart from the plan's groups."""
    affinity: NDArray[np.float32]
    """How far each candidate is like the reference in all that is to stay."""
    change_log_probability: NDArray[np.float32]
    """Of each candidate: the logarithm of the probability that every group of the plan differs."""

    def place_of(self, picture: int) -> int:
        """The position of a picture among the candidates. Raises IndexError if it is not one of them."""
        return int(np.flatnonzero(self.candidates == picture)[0])


def _with_none(tags: Scores) -> Scores:
    """The square roots `(n, words + 1)` of tags `(n, words)` and of the probability that none of the words is shown."""
    return np.asarray(np.sqrt(np.column_stack([tags, np.maximum(0, 1 - tags.sum(axis=1))])), np.float32)


def plans_over(groups: Sequence[str]) -> list[ChangePlan]:
    """Every single group, and every pair of groups."""
    return [*((group,) for group in groups), *combinations(groups, 2)]


class Proposer:
    """Proposes candidates in one catalog."""

    def __init__(
        self,
        items: Vectors,
        tags: Tags,
        groups: Sequence[str],
        *,
        width: int,
        seed: int,
        applies: Mapping[str, Collection[str]] | None = None,
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
            applies: the groups that a group depends on, as sleeves depend on the kind. Where a plan changes one of
                these, the group is not compared, unless nearly all pictures show it: shoes have no sleeves to keep.
            plan_weights: how many times as often as others a plan is drawn; 1 for plans that are not named.
            similarity: range out of which pictures are no candidates.
        """
        self._centred = items - items.mean(axis=0)
        self._tags = tags
        self._shown = {group: is_shown(tags[group]) for group in groups}
        self._variability = attribute_variability(items, {group: tags[group] for group in groups})
        self._roots = {group: _with_none(tags[group]) for group in groups}
        self._groups = tuple(groups)
        self._depends_on = {
            group: frozenset((applies or {}).get(group, ()))
            for group in groups
            if tags[group].sum(axis=1).mean() < _NEARLY_ALL
        }
        self._plans = plans_over(groups)
        self._plan_weights = plan_weights or {}
        self._width = width
        self._range = similarity
        self._seed = seed
        self._views: dict[ChangePlan, _View] = {}

    def propose(self, references: Sequence[int], plans_each: int) -> Iterator[Proposal]:
        """Propose candidates for each reference. The result depends on the seed and not on earlier calls."""
        yield from self.propose_for(
            (reference, plan) for reference in references for plan in self._choose(reference, plans_each)
        )

    def propose_for(self, asked: Iterable[tuple[int, ChangePlan]]) -> Iterator[Proposal]:
        """Propose candidates for references with given plans. References without a candidate are left out."""
        plans_of: dict[int, list[ChangePlan]] = {}
        for reference, plan in asked:
            plans_of.setdefault(reference, []).append(plan)
        references = [*plans_of]
        block = max(1, _SCORES // (min(len(self._centred), _SHARD) * (2 * len(self._groups) + 5)))
        for start in range(0, len(references), block):
            yield from self._propose(references[start : start + block], plans_of)

    def _propose(self, references: list[int], plans_of: Mapping[int, list[ChangePlan]]) -> Iterator[Proposal]:
        """Proposals of a block of references, plan by plan."""
        asked: dict[ChangePlan, NDArray[np.int64]] = {}
        for plan in self._plans:
            places = [place for place, one in enumerate(references) if plan in plans_of[one]]
            if places:
                asked[plan] = np.array(places, np.int64)
        best: dict[tuple[ChangePlan, int], _Candidates] = {}
        for start in range(0, len(self._centred), _SHARD):
            self._add_shard(slice(start, min(start + _SHARD, len(self._centred))), np.array(references), asked, best)
        for (plan, place), found in best.items():
            if len(found.rows):
                yield Proposal(references[place], plan, found.rows, found.similarity, found.affinity, found.changing)

    def _add_shard(
        self,
        shard: slice,
        references: NDArray[np.int64],
        asked: Mapping[ChangePlan, NDArray[np.int64]],
        best: "dict[tuple[ChangePlan, int], _Candidates]",
    ) -> None:
        """Add the pictures of a shard to the `best` candidates of each plan and place among the references.

        What all plans need of a group is computed once.
        """
        same = {group: self._same_words(references, shard, group) for group in self._groups}
        all_same = np.sum([*same.values()], axis=0)
        differing = {group: self._different_words(references, shard, group) for group in self._groups}
        products = self._centred[references] @ self._centred[shard].T
        for plan, places in asked.items():
            changing = _total(differing[group][places] for group in plan)
            affinity = all_same[places]
            affinity -= _total(same[group][places] for group in self._not_compared(plan))
            similarity = self._view(plan).cosines(references[places], shard, products[places])
            # If a change makes another item, the item's similarity means little.
            weight = _SAME_ITEM * np.prod([self._variability[group] for group in plan])
            affinity += np.float32(weight) * similarity
            rank = affinity + changing
            if self._range:
                rank[(similarity < self._range[0]) | (similarity > self._range[1])] = -np.inf
            for row, place in enumerate(places.tolist()):
                if shard.start <= references[place] < shard.stop:
                    rank[row, references[place] - shard.start] = -np.inf
                known = best.get((plan, place))
                columns = _first(rank[row], self._width, known.least(self._width) if known else -np.inf)
                values = (rank[row], similarity[row], affinity[row], changing[row])
                more = _Candidates(columns + shard.start, *(each[columns] for each in values))
                best[plan, place] = known.merged(more, self._width) if known else more

    def _not_compared(self, plan: ChangePlan) -> list[str]:
        """The groups that change with a plan: its own, and those that depend on one of them."""
        return [group for group in self._groups if group in plan or self._depends_on.get(group, frozenset()) & {*plan}]

    def _same_words(self, references: NDArray[np.int64], shard: slice, group: str) -> Scores:
        """How far the pictures of a shard look the same as references in a group, `(references, pictures)`.

        Whether both look the same, not whether the word for it is known: two pictures of what the vocabulary has no
        word for are tagged with the same doubts (Bhattacharyya's coefficient).
        """
        roots = self._roots[group]
        alike = roots[references] @ roots[shard].T
        return np.asarray(np.float32(_SAME_WORDS) * np.log(alike + LEAST), np.float32)

    def _different_words(self, references: NDArray[np.int64], shard: slice, group: str) -> Scores:
        """The logarithm of the probability that pictures of a shard and references show different words."""
        tags = self._tags[group]
        return np.asarray(np.log(1 - tags[references] @ tags[shard].T + LEAST), np.float32)

    def _choose(self, reference: int, count: int) -> list[ChangePlan]:
        random = np.random.default_rng([self._seed, reference])
        plans = [plan for plan in self._plans if all(self._shown[group][reference] for group in plan)]
        singles = sum(len(plan) == 1 for plan in plans)
        pairs = len(plans) - singles
        if not plans:
            return []
        # There are many pairs. Unweighted, they would crowd out single changes, which people ask for most.
        weights = np.full(len(plans), (1 - _SINGLE) / max(pairs, 1))
        weights[:singles] = (_SINGLE if pairs else 1) / singles
        if self._plan_weights:
            weights *= [self._plan_weights.get(plan, 1) for plan in plans]
            weights /= weights.sum()
        drawn = random.choice(len(plans), size=min(count, len(plans)), replace=False, p=weights)
        return [plans[index] for index in drawn]

    def _view(self, plan: ChangePlan) -> "_View":
        if plan not in self._views:
            self._views[plan] = _View.of(plan, self._centred, self._tags)
        return self._views[plan]


def attribute_variability(items: Vectors, tags: Tags) -> dict[str, float]:
    """How much each group varies among pictures of the same item, from 0 to 1 for the one that varies most.

    A garment comes in several colours and is of one kind. The measure compares how often a picture and its nearest
    neighbours show different words with how often any two pictures do.
    """
    sample = np.sort(np.random.default_rng(0).permutation(len(items))[:_SAMPLE])
    near, _ = nearest(items[sample], items, min(_NEIGHBOURS + 1, len(items)))
    found = {}
    for group, values in tags.items():
        alike = float(np.mean([(values[sample] * values[column]).sum(axis=1).mean() for column in near.T[1:]]))
        by_chance, surely = float((values.mean(axis=0) ** 2).sum()), float((values * values).sum(axis=1).mean())
        found[group] = min(1.0, max(0.0, (surely - alike) / max(surely - by_chance, 1e-6)))
    most = max(found.values())
    return {group: value / most if most else 1.0 for group, value in found.items()}


def remove_attributes(groups: Sequence[str], vectors: Vectors, tags: Tags) -> Vectors:
    """Remove what vectors say of `groups`: a view in which a red and a blue shirt of one cut are alike.

    The directions in which the mean pictures of a group's words differ are removed, and vectors are scaled to length
    one.
    """
    centred = vectors - vectors.mean(axis=0)
    directions = _directions(groups, centred, tags)
    return unit(centred - (centred @ directions.T) @ directions)


def _directions(groups: Sequence[str], centred: Vectors, tags: Tags) -> Vectors:
    """The orthonormal directions `(r, d)` in which centred vectors say something of `groups`."""
    found = np.empty((0, centred.shape[1]), np.float32)
    for group in groups:
        weights = tags[group] / np.maximum(tags[group].sum(axis=0), 1e-6)
        # The mean of a word that hardly any picture shows is noise.
        means = (weights.T @ centred)[tags[group].sum(axis=0) >= 5]
        means = means - (means @ found.T) @ found
        if len(means):
            parts = np.linalg.svd(means, full_matrices=False)
            found = np.concatenate([found, parts.Vh[0.1 * parts.S[0] < parts.S]])
    return found


@dataclass(frozen=True)
class _View:
    """What is left of centred vectors `(n, d)` without the attributes of a plan, in terms of what is taken away."""

    removed: Vectors
    """What the vectors lose, in the directions of the attributes, `(n, r)`."""
    lengths: NDArray[np.float32]
    """What the vectors' lengths are then, `(n,)`."""

    @classmethod
    def of(cls, plan: ChangePlan, centred: Vectors, tags: Tags) -> "_View":
        """Without the groups of a plan."""
        removed = centred @ _directions(plan, centred, tags).T
        squares = np.square(centred).sum(axis=1) - np.square(removed).sum(axis=1)
        return cls(removed, np.sqrt(np.maximum(squares, 1e-12)))

    def cosines(self, rows: NDArray[np.int64], shard: slice, products: Scores) -> Scores:
        """Of the vectors in `rows` with those of a shard, `(rows, m)`, from the `products` of the whole vectors."""
        left = products - self.removed[rows] @ self.removed[shard].T
        return np.asarray(left / self.lengths[rows, None] / self.lengths[shard], np.float32)


@dataclass(frozen=True)
class _Candidates:
    """The best candidates of a reference so far, by rank, and pictures of equal rank by row."""

    rows: NDArray[np.int64]
    rank: Scores
    similarity: Scores
    affinity: Scores
    changing: Scores

    def least(self, width: int) -> float:
        """The rank above which a later picture is among the first `width`."""
        return float(self.rank[width - 1]) if len(self.rank) >= width else -np.inf

    def merged(self, later: "_Candidates", width: int) -> "_Candidates":
        """The first `width` of both; the rows of `later` are all greater."""
        both = [np.concatenate([getattr(one, item.name) for one in (self, later)]) for item in fields(self)]
        order = np.argsort(-both[1], kind="stable")[:width]
        return _Candidates(*(values[order] for values in both))


def _total(parts: Iterable[Scores]) -> Scores:
    """The sum of arrays, which is written into the first."""
    total, *others = parts
    for other in others:
        total += other
    return total


def _likely_first(rank: Scores, width: int, above: float) -> NDArray[np.int64] | None:
    """Columns that include the first `width`, found without sorting all ranks; None if they were not found so.

    A sample tells a rank that some more columns than `width` reach.
    """
    sample, place = rank[::_STEP], 2 * width // _STEP
    if len(sample) <= 2 * place:
        return None
    reached = -np.partition(-sample, place)[place]
    fit = np.flatnonzero(rank >= reached)
    return fit if reached > above and len(fit) >= width else None


def _first(rank: Scores, width: int, above: float) -> NDArray[np.int64]:
    """The columns of the first `width` finite ranks above a limit, best first; of equal ranks, in order."""
    fit = _likely_first(rank, width, above)
    if fit is None:
        fit = np.flatnonzero(rank > above)
    if len(fit) > width:
        least = -np.partition(-rank[fit], width - 1)[width - 1]
        fit = fit[rank[fit] >= least]
    return fit[np.argsort(-rank[fit], kind="stable")[:width]]
