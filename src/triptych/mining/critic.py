"""The critic: it judges whether the words of a triplet lead from its reference to its target."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from triptych.core.vectors import Vectors, require_finite_rows
from triptych.mining.likelihood import Likelihood
from triptych.mining.options import CriticOptions
from triptych.mining.reasoner import Draft
from triptych.tagging.tagger import Tags
from triptych.tagging.vocabulary import Vocabulary
from triptych.triplets.file import Change


@dataclass(frozen=True)
class DraftVerdict:
    """A critic's verdict on a draft. Pictures are catalog rows."""

    accepted: bool
    """Whether the draft is accepted."""
    reason: str
    """Why it was refused; empty if it was accepted."""
    confidence: float
    """From 0 to 1; it weights the triplet in training. The built-in critic computes p / (p + q), where p and q are the
    probabilities that the words are true of the target and of the reference."""
    negatives: tuple[int, ...]
    """The other pictures judged that can be hard negatives."""
    other_targets: tuple[int, ...] = ()
    """Those of the draft's other targets that show the words, too."""


class Critic(Protocol):
    """Judges drafts."""

    def judge(self, drafts: Sequence[Draft]) -> list[DraftVerdict]:
        """A verdict on each draft, in order."""
        ...


class EncoderCritic:
    """The built-in critic. It refuses a draft if

    - the tags lack its words, so that it cannot be judged;
    - its words are not true of the target, or almost as true of the reference;
    - it excludes something that the target may show;
    - its words do not lead towards the target: the text vectors of the new and old words must differ in the same
      direction as the pictures;
    - another picture of the group fits far better.
    """

    def __init__(
        self,
        vectors: Vectors,
        tags: Tags,
        vocabulary: Vocabulary,
        encode_texts: Callable[[Sequence[str]], Vectors],
        *,
        options: CriticOptions,
        group_size: int,
    ) -> None:
        self._vectors = vectors
        self._tags = tags
        self._encode_texts = encode_texts
        self._vocabulary = vocabulary
        self._likelihood = Likelihood(tags, vocabulary)
        self._options = options
        self._group_size = group_size

    def judge(self, drafts: Sequence[Draft]) -> list[DraftVerdict]:
        """A verdict on each draft, in order."""
        phrases = sorted({phrase for draft in drafts for change in draft.changes for phrase in self._phrases(change)})
        texts = self._encode_texts(phrases)
        require_finite_rows(texts, lambda row: repr(phrases[row]), "the encoder")
        vectors = dict(zip(phrases, texts, strict=True))
        return [self._verdict(draft, vectors) for draft in drafts]

    def _phrases(self, change: Change) -> list[str]:
        """What the encoder is asked of the words of a change, the old word first; of unknown words, nothing."""
        known = self._vocabulary.phrases.get(change.attribute, {})
        return [known.get(word, word) for word in (change.old, change.new) if word is not None]

    def _leads_to_target(self, draft: Draft, texts: Mapping[str, NDArray[np.float32]]) -> bool:
        """Whether the words' vectors differ in the direction from the reference to the target.

        Whatever is there in place of a word that is only excluded, the text does not say it.
        """
        way = np.zeros(self._vectors.shape[1], np.float32)
        for change in draft.changes:
            old, *new = self._phrases(change)
            way -= texts[old]
            way += texts[new[0]] if new else 0
        return bool((self._vectors[draft.target] - self._vectors[draft.proposal.reference]) @ way > 0)

    def _verdict(self, draft: Draft, texts: Mapping[str, NDArray[np.float32]]) -> DraftVerdict:
        proposal, target = draft.proposal, draft.target
        best = self._places(draft)
        group: tuple[int, ...] = tuple(proposal.candidates[best].tolist())
        if unknown := self._unknown(draft):
            return DraftVerdict(False, unknown, 0.0, group)
        pictures = np.array([target, *group, proposal.reference])
        *truths, already = self._truth(draft, pictures).tolist()
        truth = np.array(truths, np.float32)
        confidence = float(truth[0] / (truth[0] + already + 1e-9))
        changed = ", ".join(change.wanted for change in draft.changes)
        if self._excluded(draft, pictures[:1])[0]:
            return DraftVerdict(False, f"the target may show what is excluded: {changed}", confidence, group)
        if truth[0] < self._options.min_probability:
            return DraftVerdict(False, f"not true of the target: {changed}", confidence, group)
        if truth[0] < self._options.min_ratio * already:
            return DraftVerdict(False, f"nearly as true of the reference: {changed}", confidence, group)
        if not self._leads_to_target(draft, texts):
            return DraftVerdict(False, "the words do not lead from the reference to the target", confidence, group)
        places = [proposal.place_of(target), *best]
        fit = proposal.affinity[places] + np.log(np.maximum(truth, 1e-6))
        if fit.max() > fit[0] + self._options.max_margin:
            return DraftVerdict(False, "another picture of the group fits far better", confidence, group)
        # A picture that fits the words and is as like the reference is no mistake, so it must not be a negative.
        least = self._options.min_probability
        wrong = tuple(picture for picture, true in zip(group, truth[1:], strict=True) if true < least / 2)
        if any(change.new is None for change in draft.changes):
            wrong = (*self._still_excluded(draft), *wrong)[: self._group_size]
        further = np.array(draft.other_targets, np.int64)
        shown = (self._truth(draft, further) >= least) & ~self._excluded(draft, further)
        others = tuple(picture for picture, true in zip(draft.other_targets, shown, strict=True) if true)
        return DraftVerdict(True, "", confidence, wrong, others)

    def _unknown(self, draft: Draft) -> str:
        """Why a draft cannot be judged by tags; empty if it can."""
        if not draft.changes:
            return "it names no change that tags could confirm"
        lacking = [change.wanted for change in draft.changes if not self._likelihood.is_tagged(change)]
        return f"the tags lack the words: {', '.join(lacking)}" if lacking else ""

    def _places(self, draft: Draft) -> list[int]:
        """Where among the candidates the best ones are that are no targets."""
        answers = {draft.target, *draft.other_targets}
        near = draft.proposal.candidates[: self._group_size + len(answers)].tolist()
        return [place for place, row in enumerate(near) if row not in answers][: self._group_size]

    def _still_excluded(self, draft: Draft) -> tuple[int, ...]:
        """The candidates most similar to the reference that surely show what the words exclude.

        Candidates are ordered by what is to change, so these are among the last.
        """
        order = draft.proposal.candidates[np.argsort(-draft.proposal.affinity, kind="stable")]
        surely = self._likelihood.may_show_excluded(draft.changes, order, 1 - self._options.min_exclusion)
        answers = {draft.target, *draft.other_targets, draft.proposal.reference}
        return tuple([picture for picture in order[surely].tolist() if picture not in answers][: self._group_size])

    def _excluded(self, draft: Draft, pictures: NDArray[np.int64]) -> NDArray[np.bool_]:
        return self._likelihood.may_show_excluded(draft.changes, pictures, self._options.min_exclusion)

    def _truth(self, draft: Draft, pictures: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._likelihood.probability(draft.changes, pictures)
