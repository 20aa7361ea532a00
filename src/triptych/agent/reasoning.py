"""Reason: which of the proposed candidates a person could reach by a short instruction, and what the instruction is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from triptych.agent.proposing import Proposal
from triptych.agent.wording import word
from triptych.tagging import Tags, Vocabulary
from triptych.triplets import Change, Modification


@dataclass(frozen=True)
class Draft:
    """A triplet before its judgement; pictures are catalog rows."""

    proposal: Proposal
    target: int
    changes: tuple[Change, ...]
    modifications: tuple[Modification, ...]


class Reasoner(Protocol):
    """Sees a reference and its candidates, never a label."""

    name: str

    def reason(self, proposal: Proposal) -> Sequence[Draft]:
        """The targets it chooses among the candidates, with the instruction for each."""
        ...


class TagsReasoner:
    """The embedded reasoner: compares zero-shot tags.

    A candidate is a target if its tags are the reference's outside the plan, surely differ in every group of the plan,
    and no candidate for the same change is more like the reference.
    """

    name = "tags"

    def __init__(
        self,
        tags: Tags,
        vocabulary: Vocabulary,
        *,
        shared: float,
        differing: float,
        targets_each: int,
        seed: int,
    ) -> None:
        self._tags = tags
        self._vocabulary = vocabulary
        self._shared = shared
        self._differing = differing
        self._targets_each = targets_each
        self._seed = seed

    def reason(self, proposal: Proposal) -> list[Draft]:
        """At most `targets_each` drafts, each leading to another set of words."""
        fits = np.ones(len(proposal.candidates), bool)
        for group in self._tags:
            alike = overlap(self._tags[group][proposal.reference], self._tags[group][proposal.candidates])
            fits &= alike <= 1 - self._differing if group in proposal.plan else alike >= self._shared
        drafts: dict[tuple[str, ...], Draft] = {}
        for position in np.flatnonzero(fits):
            target = int(proposal.candidates[position])
            changes = tuple(self._change(group, proposal.reference, target) for group in proposal.plan)
            new = tuple(change.new for change in changes)
            if new in drafts or any(change.old == change.new for change in changes):
                continue
            random = np.random.default_rng([self._seed, proposal.reference, target])
            drafts[new] = Draft(proposal, target, changes, word(changes, self._vocabulary, random))
            if len(drafts) == self._targets_each:
                break
        return list(drafts.values())

    def _change(self, group: str, reference: int, target: int) -> Change:
        words = self._vocabulary.groups[group]
        old, new = (words[int(self._tags[group][row].argmax())] for row in (reference, target))
        return Change(group, old, new)


def overlap(one: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much of its probability a picture's tags `(w,)` share with each of `others` `(n, w)`: `(n,)`, 0 to 1."""
    return np.asarray(np.minimum(one, others).sum(axis=1), np.float32)
