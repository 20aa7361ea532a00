"""Reason: which of the proposed candidates a person could reach by a short instruction, and what the instruction is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from triptych.mining.proposer import LEAST, Proposal
from triptych.mining.wording import word_changes
from triptych.tagging.tagger import Tags, is_shown
from triptych.tagging.vocabulary import Vocabulary
from triptych.triplets.file import Change, Modification

_EXAMPLES = 300  # candidates among which the words are looked for
_ANSWERS = 24  # pictures drawn for a question
_SHARPNESS = 3.0  # a power: drawn by plain likelihood, answers would mostly be among the many middling ones


@dataclass(frozen=True)
class Draft:
    """A triplet before its judgement; pictures are catalog rows."""

    proposal: Proposal
    target: int
    changes: tuple[Change, ...]
    modifications: tuple[Modification, ...]
    other_targets: tuple[int, ...] = ()
    """Other pictures that answer as the target does."""


class Reasoner(Protocol):
    """Chooses targets among proposed candidates and words the change; it never sees a label.

    It may have a method `reverse(proposal, target, changes)`, which returns a Draft, or None: the reverse question of
    a triplet that led from `target` to the proposal's reference by `changes`. `mine --reverse` needs it.
    """

    name: str
    """What the triplet file calls it."""

    def reason(self, proposal: Proposal) -> Sequence[Draft]:
        """The targets it chooses among the candidates, with the instruction for each."""
        ...


@runtime_checkable
class Reverses(Protocol):
    """A reasoner that can also ask the reverse question."""

    def reverse(self, proposal: Proposal, target: int, changes: Sequence[Change]) -> Draft | None:
        """The reverse question, to `target`, of a triplet that led from there to the proposal's reference."""
        ...


class TagsReasoner:
    """The embedded reasoner: compares zero-shot tags.

    It draws the words from what a candidate shows, and then targets by the likelihood of every candidate: that it
    shows the words, and that all else stayed. They are drawn since the nearest is a near-duplicate too often, and from
    many targets of one question a composer learns what they have in common. The most probable of them is the target.
    """

    name = "tags"

    def __init__(self, tags: Tags, vocabulary: Vocabulary, *, targets_each: int, seed: int) -> None:
        self._tags = tags
        self._vocabulary = vocabulary
        self._targets_each = targets_each
        self._seed = seed

    def reason(self, proposal: Proposal) -> list[Draft]:
        """At most `targets_each` drafts, each of other changes."""
        drafts: dict[tuple[Change, ...], Draft] = {}
        for turn in range(self._targets_each):
            random = np.random.default_rng([self._seed, proposal.reference, turn, *map(_number, proposal.plan)])
            (example,) = _draw((proposal.affinity + proposal.change_log_probability)[:_EXAMPLES] / 2, 1, random)
            changes = tuple(self._change(proposal, example, group, random) for group in proposal.plan)
            target, *others = self._answers(proposal, changes, random)
            wordings = word_changes(changes, self._vocabulary, random)
            drafts[changes] = Draft(proposal, target, changes, wordings, tuple(others))
        return list(drafts.values())

    def reverse(self, proposal: Proposal, target: int, changes: Sequence[Change]) -> Draft | None:
        """The reverse question, to `target`, of a triplet that led from there to the proposal's reference by `changes`.

        They are swapped and worded anew, and further answers are drawn as for any question: what answers the way there
        does not answer this. None where `target` is no candidate, or the new words of `changes` are not those that the
        picture would be said to show: a question starts from what its reference shows.
        """
        if target not in proposal.candidates or not all(self._names(proposal.reference, one) for one in changes):
            return None
        swapped = tuple(Change(one.group, old=one.new, new=one.old) for one in changes)
        way = [_number("back"), target, *map(_number, proposal.plan)]
        random = np.random.default_rng([self._seed, proposal.reference, *way])
        others = [picture for picture in self._answers(proposal, swapped, random) if picture != target]
        wordings = word_changes(swapped, self._vocabulary, random)
        return Draft(proposal, target, swapped, wordings, tuple(others[: _ANSWERS - 1]))

    def _names(self, picture: int, change: Change) -> bool:
        """Whether the new word of a change is what a picture would be said to show."""
        tags = self._tags[change.group][picture]
        likeliest = self._vocabulary.groups[change.group][int(tags.argmax())]
        return bool(is_shown(tags[None])[0]) and likeliest == change.new

    def _answers(self, proposal: Proposal, changes: Sequence[Change], random: np.random.Generator) -> list[int]:
        """Pictures drawn by the likelihood of every candidate, without repetition, the most probable first."""
        likelihood = self.log_likelihood(proposal, changes)
        drawn = _draw(_SHARPNESS * likelihood, _ANSWERS, random)
        places = sorted(set(drawn.tolist()), key=lambda place: -likelihood[place])
        answers: list[int] = proposal.candidates[places].tolist()
        return answers

    def log_likelihood(self, proposal: Proposal, changes: Sequence[Change]) -> NDArray[np.float32]:
        """How far all else stayed in each candidate and how probably it shows the new words, logarithms added up."""
        shown = np.zeros(len(proposal.candidates), np.float32)
        for change in changes:
            column = self._vocabulary.groups[change.group].index(change.new)
            shown += np.log(self._tags[change.group][proposal.candidates, column] + LEAST)
        return proposal.affinity + shown

    def _change(self, proposal: Proposal, example: int, group: str, random: np.random.Generator) -> Change:
        """From the reference's likeliest word to one that the example may show."""
        words, tags = self._vocabulary.groups[group], self._tags[group]
        old = int(tags[proposal.reference].argmax())
        likely = tags[proposal.candidates[example]] + 1e-9
        likely[old] = 0
        return Change(group, words[old], words[int(random.choice(len(words), p=likely / likely.sum()))])


def _draw(logarithms: NDArray[np.floating], count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Places, with the probabilities whose logarithms are given up to a constant; one may be drawn twice."""
    weights = np.exp(logarithms.astype(np.float64) - logarithms.max())
    return random.choice(len(weights), size=count, p=weights / weights.sum())


def _number(text: str) -> int:
    return int.from_bytes(text.encode()[:8], "big")
