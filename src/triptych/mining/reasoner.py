"""The reasoner: it chooses targets among the candidates that a short modification can reach, and words it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from triptych.mining.likelihood import Likelihood
from triptych.mining.proposer import LEAST, Proposal
from triptych.mining.wording.wordings import Wordings
from triptych.tagging.tagger import Tags, is_shown
from triptych.tagging.vocabulary import Vocabulary
from triptych.triplets.file import Change, Modification

_EXAMPLES = 300  # candidates among which the words are looked for
_ANSWERS = 24  # pictures drawn for a question
_SHARPNESS = 3.0  # an exponent of the likelihood; without it, most targets would be among the many mediocre ones
_REDRAWS = 8  # draws of a question's words, if there are no texts for those drawn first
_CERTAIN = 0.5  # least probability that a picture shows the word that describes it, or the word to be excluded
_EXCLUSION = 8.0  # an exponent: a picture that shows the excluded word with probability 1/5 is no answer


@dataclass(frozen=True)
class Draft:
    """A triplet before it is judged. Pictures are catalog rows."""

    proposal: Proposal
    target: int
    changes: tuple[Change, ...]
    modifications: tuple[Modification, ...]
    other_targets: tuple[int, ...] = ()
    """Other pictures that answer as the target does."""


class Reasoner(Protocol):
    """Chooses targets among proposed candidates and words the changes. It never sees a label.

    It may have a method `reverse(proposal, target, changes)`, which returns a Draft or None: the reverse question of a
    triplet that led from `target` to the proposal's reference by `changes`. `mine --reverse` needs it.
    """

    name: str
    """Its name in triplet files."""

    def reason(self, proposal: Proposal) -> Sequence[Draft]:
        """Drafts with targets among the candidates, and the wordings of each."""
        ...


@runtime_checkable
class Reverses(Protocol):
    """A reasoner that can also make reverse triplets."""

    def reverse(self, proposal: Proposal, target: int, changes: Sequence[Change]) -> Draft | None:
        """The reverse question, to `target`, of a triplet that led from `target` to the proposal's reference."""
        ...


class TagsReasoner:
    """The built-in reasoner, which compares zero-shot tags.

    It draws the new words from what a candidate shows. Then it draws targets by the likelihood of every candidate: that
    it shows the words, and that all else stayed. Targets are drawn, since the nearest candidate is too often a
    near-duplicate, and since a composer learns from many targets of one question what they have in common. The most
    probable of them is the target.

    A share of the questions only excludes what the reference shows ("not blue", "without stripes"). Every picture that
    does not show it is a target, if all else stayed.
    """

    name = "tags"

    def __init__(
        self, tags: Tags, vocabulary: Vocabulary, *, targets_each: int, seed: int, exclusions: float = 0.0
    ) -> None:
        """Make a reasoner.

        Args:
            tags: probabilities `(n, words)` of each group.
            vocabulary: the words.
            targets_each: drafts of a proposal.
            seed: of all random draws.
            exclusions: share of the questions that exclude a word, from 0 to 1.
        """
        self._tags = tags
        self._vocabulary = vocabulary
        self._likelihood = Likelihood(tags, vocabulary)
        self._wordings = Wordings(vocabulary, tags)
        self._targets_each = targets_each
        self._seed = seed
        self._exclusions = exclusions

    def reason(self, proposal: Proposal) -> list[Draft]:
        """At most `targets_each` drafts, each with other changes."""
        drafts: dict[tuple[Change, ...], Draft] = {}
        plan = [*map(_number, proposal.plan)]
        affinity, changing = proposal.affinity[:_EXAMPLES], proposal.change_log_probability[:_EXAMPLES]
        examples = _cumulative(_weights((affinity + changing) / 2))
        for turn in range(self._targets_each):
            random = np.random.default_rng([self._seed, proposal.reference, turn, *plan])
            changes = self._changes(proposal, examples, random)
            if changes and changes not in drafts:
                target, *others = self._answers(proposal, changes, random)
                wordings = self._worded(proposal.reference, changes, random)
                drafts[changes] = Draft(proposal, target, changes, wordings, tuple(others))
        return list(drafts.values())

    def reverse(self, proposal: Proposal, target: int, changes: Sequence[Change]) -> Draft | None:
        """The reverse question, to `target`, of a triplet that led from `target` to the proposal's reference by
        `changes`.

        The changes are swapped and get new wordings. Further targets are drawn as for any question, since those of the
        original question do not answer this one. A question starts from what its reference shows. So the result is None
        if `target` is no candidate, if a change excludes a word, or if the new words of `changes` are not those that
        the picture would be described by.
        """
        if target not in proposal.candidates or not all(self._names(proposal.reference, one) for one in changes):
            return None
        swapped = tuple(Change(one.attribute, one.new, one.old) for one in changes if one.new is not None)
        if len(swapped) < len(changes) or not self._wordings.can_word(swapped):
            return None
        way = [_number("back"), target, *map(_number, proposal.plan)]
        random = np.random.default_rng([self._seed, proposal.reference, *way])
        others = [picture for picture in self._answers(proposal, swapped, random) if picture != target]
        wordings = self._worded(proposal.reference, swapped, random)
        return Draft(proposal, target, swapped, wordings, tuple(others[: _ANSWERS - 1]))

    def _changes(
        self, proposal: Proposal, examples: NDArray[np.float64], random: np.random.Generator
    ) -> tuple[Change, ...]:
        """The changes for the groups of a plan; empty if only words without texts are drawn.

        `examples` are the cumulative probabilities of the candidates from which the words are taken.
        """
        excludes = random.random() < self._exclusions
        place = int(random.integers(len(proposal.plan)))
        for _ in range(_REDRAWS):
            example = int(_draw(examples, 1, random)[0])
            changes = [self._change(proposal, example, group, random) for group in proposal.plan]
            if excludes:
                without = Change(changes[place].attribute, changes[place].old, None)
                if self._likelihood.answers(without, np.array([proposal.reference]))[0] < 1 - _CERTAIN:
                    changes[place] = without
            if self._wordings.can_word(changes):
                return tuple(changes)
        return ()

    def _worded(
        self, reference: int, changes: Sequence[Change], random: np.random.Generator
    ) -> tuple[Modification, ...]:
        """Texts for changes of a reference. They name its kind, if the kind is certain and unchanged."""
        group = self._wordings.item_group
        if group is None or group not in self._tags or any(change.attribute == group for change in changes):
            return self._wordings.of(changes, random)
        values = self._tags[group][reference]
        certain = values.max() >= _CERTAIN
        return self._wordings.of(
            changes, random, self._vocabulary.groups[group][int(values.argmax())] if certain else ""
        )

    def _names(self, picture: int, change: Change) -> bool:
        """Whether the new word of a change is the word that describes a picture."""
        tags = self._tags[change.attribute][picture]
        likeliest = self._vocabulary.groups[change.attribute][int(tags.argmax())]
        return bool(is_shown(tags[None])[0]) and likeliest == change.new

    def _answers(self, proposal: Proposal, changes: Sequence[Change], random: np.random.Generator) -> list[int]:
        """Pictures drawn by the likelihood of every candidate, without repetition, the most probable first."""
        likelihood = self.log_likelihood(proposal, changes)
        drawn = _draw(_cumulative(_weights(_SHARPNESS * likelihood)), _ANSWERS, random)
        places = sorted(set(drawn.tolist()), key=lambda place: -likelihood[place])
        answers: list[int] = proposal.candidates[places].tolist()
        return answers

    def log_likelihood(self, proposal: Proposal, changes: Sequence[Change]) -> NDArray[np.float32]:
        """The log-likelihood `(candidates,)` that all else stayed and that each candidate answers the changes."""
        shown = np.zeros(len(proposal.candidates), np.float32)
        for change in changes:
            found = np.log(self._likelihood.answers(change, proposal.candidates) + LEAST)
            shown += found * (_EXCLUSION if change.new is None else 1)
        return proposal.affinity + shown

    def _change(self, proposal: Proposal, example: int, group: str, random: np.random.Generator) -> Change:
        """A change from the reference's likeliest word to one that the example may show."""
        words, tags = self._vocabulary.groups[group], self._tags[group]
        old = int(tags[proposal.reference].argmax())
        likely = tags[proposal.candidates[example]] + 1e-9
        likely[old] = 0
        return Change(group, words[old], words[int(_draw(_cumulative(likely), 1, random)[0])])


def _weights(logarithms: NDArray[np.floating]) -> NDArray[np.float64]:
    """The weights whose logarithms are given up to a constant; the largest is 1."""
    return np.asarray(np.exp(logarithms.astype(np.float64) - logarithms.max()), np.float64)


def _cumulative(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """The cumulative probabilities of places with such weights."""
    found = (weights / weights.sum()).astype(np.float64).cumsum()
    return np.asarray(found / found[-1], np.float64)


def _draw(cumulative: NDArray[np.float64], count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw places, with replacement. It draws what `Generator.choice` draws, without its checks of each call."""
    return cumulative.searchsorted(random.random(count), side="right")


def _number(text: str) -> int:
    return int.from_bytes(text.encode()[:8], "big")
