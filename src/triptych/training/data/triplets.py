"""The training data of composers: a file's triplets as rows of pictures and wordings, some of them held out.

Two things are held out: triplets, by their references, and phrasings, that is, wordings without the vocabulary's words.
Recall on both shows whether a composer generalises or only remembers.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import DataError
from triptych.core.progress import say
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder, ReportsReading, short_name
from triptych.encoders.reading import report_long_texts, report_texts, words_of
from triptych.training.data.soft_labels import SoftLabels
from triptych.triplets.file import Change, Triplet, stream_triplets

TARGETS_PER_STEP = 8
"""How many targets of a triplet count in a step; each step draws them again. Not tuned."""
NO_CHANGE = -1
"""Stands in place of the new word's number if a triplet names no change."""
# None of the following was tuned.
_MAX_TARGETS = 24  # targets of a triplet that are used
_MIN_WORDINGS = 3  # a word counts as learnt if this many wordings contain it
_HELD_OUT = 0.05  # share of the references that is held out
_HELD_OUT_PHRASINGS = 0.15  # share of the phrasings that is held out
_MAX_HELD_OUT = 2000  # held-out triplets; more would slow down the validation for little precision
_PROBED = 500  # training triplets that are searched again after training, to compare with held-out ones
_KNOWN_NEGATIVES = 1 + 8  # known negatives of a triplet: its reference, and hard negatives of the critic

Numbers = NDArray[np.int64]
Encode = Callable[[list[str]], NDArray[Any]]
"""Maps texts to a composer's input, one row each."""


@dataclass(frozen=True)
class TripletDataset:
    """Triplets as row numbers: of pictures in the catalog, and of wordings in `words`."""

    references: Numbers
    targets: Numbers
    """The targets of each triplet `(t, k)`: its own first, then its other targets, repeated to fill the row."""
    targets_per_step: int
    """How many targets count in a step. A single one is the triplet's own; more are drawn at random."""
    known_negatives: Numbers
    """The known negatives of each triplet `(t, l)`: its reference and its hard negatives, repeated to fill the row."""
    wordings: list[list[int]]
    """The wordings of each triplet. A held-out triplet has its wordings in held-out phrasings first. A training
    triplet has such wordings only if it has no others."""
    confidences: NDArray[np.float32]
    words: NDArray[Any]
    """The composer's input for each wording: token ids `(t, l)`, the encoder's vectors `(t, d)`, or the text."""
    training: Numbers
    held_out: Numbers
    unusable: int
    concept_words: tuple[tuple[str, ...], ...]
    """The words of each attribute group in the triplets, in the phrases for which the encoder computes vectors."""
    changes: Numbers
    """For each triplet and group `(t, groups)`, the number of the new word, from 1; 0 if the attribute is unchanged;
    NO_CHANGE if a word is only excluded. NO_CHANGE in all groups if the triplet names no change."""
    held_out_texts: Vectors
    """The encoder's vectors `(held out, d)` of the held-out triplets' first wordings, for the weighted sum."""
    probed: Numbers
    """Rows of some training triplets, for comparison with the held-out ones."""
    probed_texts: Vectors
    """The encoder's vectors of these triplets' first wordings."""
    learnt: tuple[str, ...]
    """The words, in lower case, that enough wordings contain for a trained text tower to learn them."""
    soft: SoftLabels | None = None
    """A verifier's scores for the loss on soft labels, if given."""

    @classmethod
    def read(
        cls,
        path: Path,
        row_of: Mapping[str, int],
        encoder: Encoder,
        encode: Encode,
        encode_texts: Encode | None = None,
        *,
        targets_per_step: int = TARGETS_PER_STEP,
        most_texts: int | None = None,
    ) -> "TripletDataset":
        """Read the accepted triplets of a file, except those with a picture that has no row.

        Args:
            path: the file.
            row_of: the row of each picture.
            encoder: encodes texts for the weighted sum.
            encode: makes the composer's input of texts.
            encode_texts: vectors of texts for the weighted sum; by default the encoder's own method.
            targets_per_step: how many of a triplet's targets count in a step.
            most_texts: the most distinct texts to learn from; None for all.

        Raises:
            DataError: the file cannot be read or holds too little.
        """
        found, note = _collect(path, row_of, most_texts)
        held = np.array(found.held, bool)
        held_out, training = np.flatnonzero(held)[:_MAX_HELD_OUT], np.flatnonzero(~held)
        probed = np.random.default_rng(0).permutation(training)[:_PROBED]
        known = words_by_group(change for changes in found.changes for change in changes)
        texts = list(found.texts)
        words = encode(texts)
        _report_unread(path, texts, words, encoder)

        def first_texts(rows: Numbers) -> Vectors:
            return (encode_texts or encoder.encode_texts)([texts[found.wordings[row][0]] for row in rows])

        return cls(
            references=np.array(found.references, np.int64),
            targets=np.array(found.targets, np.int64),
            targets_per_step=targets_per_step,
            known_negatives=np.array(found.negatives, np.int64),
            wordings=found.wordings,
            confidences=np.array(found.confidences, np.float32),
            words=words,
            training=training,
            held_out=held_out,
            unusable=found.unusable,
            concept_words=_phrases(known, note.get("phrases", {})),
            changes=_changes(found, known),
            held_out_texts=first_texts(held_out),
            probed=probed,
            probed_texts=first_texts(probed),
            learnt=_frequent_words(texts) if words.dtype == np.int64 else (),
        )

    def batch(self, step: int, size: int, seed: int) -> "Batch":
        """Draw the triplets of one step, each in one of its wordings."""
        epoch, position = divmod(step, len(self.training) // size)
        order = np.random.default_rng([seed, epoch, 1]).permutation(self.training)
        rows = order[position * size : (position + 1) * size]
        random = np.random.default_rng([seed, step, 2])
        pick = random.integers(1 << 30, size=len(rows))
        chosen = [self.wordings[row][draw % len(self.wordings[row])] for row, draw in zip(rows, pick, strict=True)]
        targets = self.targets[rows]
        positives = random.permuted(targets, axis=1) if self.targets_per_step > 1 else targets
        return Batch(
            references=self.references[rows],
            targets=targets,
            positives=positives[:, : self.targets_per_step],
            known_negatives=self.known_negatives[rows],
            words=self.words[chosen],
            confidences=self.confidences[rows],
            changes=self.changes[rows],
        )


@dataclass(frozen=True)
class Batch:
    """The rows of one step, as in `TripletDataset`."""

    references: Numbers
    targets: Numbers
    positives: Numbers
    """The targets that count in the step, `(n, targets_per_step)`."""
    known_negatives: Numbers
    words: NDArray[Any]
    confidences: NDArray[np.float32]
    changes: Numbers


@dataclass
class _Collected:
    """The usable triplets of a file, as numbers."""

    texts: dict[str, int] = field(default_factory=dict)
    references: list[int] = field(default_factory=list)
    targets: list[NDArray[np.int32]] = field(default_factory=list)
    negatives: list[NDArray[np.int32]] = field(default_factory=list)
    wordings: list[list[int]] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)
    change_of: list[int] = field(default_factory=list)
    """The number of each triplet's set of changes."""
    changes: dict[tuple[Change, ...], int] = field(default_factory=dict)
    """Distinct sets of changes, with their numbers."""
    unusable: int = 0

    def add(self, triplet: Triplet, texts: Sequence[str], row_of: Mapping[str, int]) -> None:
        self.references.append(row_of[triplet.reference])
        targets = _rows((triplet.target, *triplet.other_targets), row_of)
        self.targets.append(np.resize(np.array(targets, np.int32), _MAX_TARGETS))
        negatives = _rows((triplet.reference, *triplet.negatives), row_of)
        self.negatives.append(np.resize(np.array(negatives, np.int32), _KNOWN_NEGATIVES))
        self.wordings.append([self.texts.setdefault(text, len(self.texts)) for text in texts])
        self.confidences.append(triplet.confidence)
        self.held.append(_is_held_out(triplet))
        self.change_of.append(self.changes.setdefault(triplet.changes, len(self.changes)))


def _collect(path: Path, row_of: Mapping[str, int], most_texts: int | None) -> tuple[_Collected, dict[str, Any]]:
    """Collect the accepted triplets with known pictures; also returns the file's note."""
    stream, note = stream_triplets(path)
    found, dropped = _Collected(), 0
    most = _least_hash(path, most_texts) if most_texts else None
    for triplet in stream:
        if not triplet.accepted:
            continue
        if not {triplet.reference, triplet.target} <= row_of.keys():
            found.unusable += 1
            continue
        texts = [wording.text for wording in triplet.modifications]
        if most is not None and not (texts := [text for text in texts if _hash(text) <= most]):
            dropped += 1
            continue
        found.add(triplet, _sorted_wordings(triplet, texts), row_of)
    if found.unusable:
        say(f"{path}: left out {found.unusable} triplets, whose pictures are not in the catalog")
    if most is not None:
        say(f"{path}: {len(found.texts)} wordings are used, sampled by a hash; left out {dropped} triplets without one")
    held = sum(found.held)
    if len(found.held) - held < 20 or held < 5:
        raise DataError(f"{path}: only {len(found.held)} usable triplets; mine more pictures")
    return found, note


def _least_hash(path: Path, most: int) -> float | None:
    """The hash up to which texts are used; None if there are at most `most` texts."""
    stream, _ = stream_triplets(path)
    hashes = {_hash(wording.text) for triplet in stream if triplet.accepted for wording in triplet.modifications}
    return None if len(hashes) <= most else float(np.partition(np.fromiter(hashes, float), most - 1)[most - 1])


def _report_unread(path: Path, texts: list[str], words: NDArray[Any], encoder: Encoder) -> None:
    """Print how many wordings are longer than the encoder reads, and which of their words are not learnt."""
    if words.dtype != np.int64:
        # Plain texts are truncated later, when a step tokenizes them.
        report_texts(texts, encoder, f"{path}: wordings", short_name(encoder), cut=words.dtype.kind == "U")
    elif isinstance(encoder, ReportsReading):
        full = [texts[row] for row in np.flatnonzero(words[:, -1])]
        report_long_texts(texts, encoder.readings(full), f"{path}: wordings", short_name(encoder), cut=True)


def _frequent_words(texts: Iterable[str]) -> tuple[str, ...]:
    counts = Counter(word for text in texts for word in {*words_of(text.lower())})
    return tuple(sorted(word for word, count in counts.items() if count >= _MIN_WORDINGS))


def _sorted_wordings(triplet: Triplet, texts: Sequence[str]) -> list[str]:
    """A held-out triplet's wordings, those in held-out phrasings first; of a training triplet only the others, or all
    if there are no others."""
    held_out = [text for text in texts if _hash(_phrasing(text, triplet.changes)) < _HELD_OUT_PHRASINGS]
    others = [text for text in texts if text not in held_out]
    return [*held_out, *others] if _is_held_out(triplet) else others or list(texts)


def _phrasing(text: str, changes: Iterable[Change]) -> str:
    """The text with a blank in place of each changed word."""
    words = {word for change in changes for word in (change.old, change.new, change.attribute) if word}
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "_")
    return text


def _hash(text: str) -> float:
    """A number from 0 to 1 that depends only on the text."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


def _rows(names: Iterable[str], row_of: Mapping[str, int]) -> list[int]:
    return [row_of[name] for name in names if name in row_of]


def _phrases(
    words: Mapping[str, Sequence[str]], phrases: Mapping[str, Mapping[str, str]]
) -> tuple[tuple[str, ...], ...]:
    """The phrases of the words of each group for which the encoder computes vectors."""
    return tuple(tuple(phrases.get(group, {}).get(word, word) for word in known) for group, known in words.items())


def words_by_group(changes: Iterable[Change]) -> dict[str, tuple[str, ...]]:
    """The words of each attribute group in the changes, in the order in which a composer numbers them."""
    groups: dict[str, set[str]] = {}
    for change in changes:
        groups.setdefault(change.attribute, set()).update(
            (change.old,) if change.new is None else (change.old, change.new)
        )
    return {group: tuple(sorted(groups[group])) for group in sorted(groups)}


def _changes(found: _Collected, words: Mapping[str, tuple[str, ...]]) -> Numbers:
    column = {group: place for place, group in enumerate(words)}
    number = {group: {word: place for place, word in enumerate(known, start=1)} for group, known in words.items()}
    distinct = np.zeros((len(found.changes), len(words)), np.int64)
    for changes, row in found.changes.items():
        if not changes:
            distinct[row] = NO_CHANGE
        for change in changes:
            # An exclusion allows any other word, so there is no class to predict.
            new = NO_CHANGE if change.new is None else number[change.attribute][change.new]
            distinct[row, column[change.attribute]] = new
    return distinct[np.array(found.change_of, np.int64)]


def _is_held_out(triplet: Triplet) -> bool:
    """Decide by a hash of the reference, so that no reference is on both sides."""
    return _hash(triplet.reference) < _HELD_OUT
