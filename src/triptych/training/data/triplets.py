"""What composers learn from: the triplets of a file as rows of pictures and wordings, some held out."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import DataError
from triptych.core.progress import say
from triptych.core.vectors import Vectors
from triptych.encoders.native import NativeEncoder
from triptych.encoders.protocol import Encoder, TellsReading, short_name
from triptych.encoders.reading import tell_long, tell_texts, words_of
from triptych.encoders.tokenizer import FIRST_PIECE
from triptych.triplets.file import Triplet, read_triplets

TARGETS_PER_STEP = 8
"""How many targets of a triplet count in a step, drawn anew for each."""
NO_CHANGE = -1
"""In place of the number of a new word, where a triplet names none."""
_TARGETS = 24  # of a triplet
_LEARNT = 3  # wordings that say a word, for it to be known
_HELD_OUT = 0.05  # of the references
_MOST_HELD_OUT = 2000  # triplets; more would only slow the validation
_KNOWN_NEGATIVES = 1 + 8  # the reference and pictures of the group that may count as hard negatives

Numbers = NDArray[np.int64]
Encode = Callable[[list[str]], NDArray[Any]]
"""Texts to what a composer reads of them, a row each."""


@dataclass(frozen=True)
class TripletDataset:
    """Triplets as row numbers: of pictures in the catalog, of wordings in `words`."""

    references: Numbers
    targets: Numbers
    """Each triplet's targets `(t, k)`: its own first, then the others that fit as well, round and round."""
    targets_per_step: int
    """How many of them count in a step: of one, a triplet's own; of more, some that are drawn."""
    known_negatives: Numbers
    """What each triplet is known not to mean `(t, l)`: its reference first, then its group, round and round."""
    wordings: list[list[int]]
    confidences: NDArray[np.float32]
    words: NDArray[Any]
    """What the composer reads of each wording: token ids `(t, l)`, the encoder's vectors `(t, d)`, or the text."""
    distractors: Numbers
    """Token ids that no wording has, to be put among those of a text; none where the composer reads no tokens."""
    training: Numbers
    held_out: Numbers
    unusable: int
    concept_words: tuple[tuple[str, ...], ...]
    """The words of each attribute group that any triplet speaks of, as the encoder is asked about them."""
    changes: Numbers
    """Of each triplet and group `(t, groups)` the new word's number from 1; 0 where it stays, NO_CHANGE where a word is
    only excluded, and in all groups where the triplet names no change."""
    held_out_texts: Vectors
    """The encoder's vectors of the held-out triplets' first wordings, for the weighted sum."""
    learnt: tuple[str, ...]
    """The words of the wordings, in lower case, that a text tower which learns along gets to know."""

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
        distractors: bool = True,
    ) -> "TripletDataset":
        """Read the accepted triplets of a file, of pictures that have a row.

        Args:
            path: the file.
            row_of: the row of each picture.
            encoder: what the weighted sum encodes texts with, and whose tokens distractors are.
            encode: makes of texts what the composer reads.
            encode_texts: the encoder's vectors of texts, for the weighted sum; by default its own method.
            targets_per_step: how many of a triplet's targets are to count in a step.
            distractors: whether there are any.

        Raises:
            DataError: the file cannot be read or holds too little.
        """
        usable, held, unusable, note = _usable(path, row_of)
        texts = sorted({wording.text for triplet in usable for wording in triplet.modifications})
        number = {text: index for index, text in enumerate(texts)}
        words = encode(texts)
        _tell_unread(path, texts, words, encoder)
        held_out = np.flatnonzero(held)[:_MOST_HELD_OUT]
        targets = [_rows((triplet.target, *triplet.other_targets), row_of) for triplet in usable]
        negatives = [_rows((triplet.reference, *triplet.group), row_of) for triplet in usable]
        known = concept_words(usable)
        return cls(
            references=np.array([row_of[triplet.reference] for triplet in usable], np.int64),
            targets=np.array([np.resize(rows, _TARGETS) for rows in targets], np.int64),
            targets_per_step=targets_per_step,
            known_negatives=np.array([np.resize(rows, _KNOWN_NEGATIVES) for rows in negatives], np.int64),
            wordings=[[number[wording.text] for wording in triplet.modifications] for triplet in usable],
            confidences=np.array([triplet.confidence for triplet in usable], np.float32),
            words=words,
            distractors=_distractors(encoder, words if distractors else None),
            training=np.flatnonzero(~held),
            held_out=held_out,
            unusable=unusable,
            concept_words=_phrases(known, note.get("phrases", {})),
            changes=_changes(usable, known),
            learnt=_frequent_words(texts) if words.dtype == np.int64 else (),
            held_out_texts=(encode_texts or encoder.encode_texts)(
                [usable[row].modifications[0].text for row in held_out]
            ),
        )

    def batch(self, step: int, size: int, seed: int) -> "Batch":
        """The triplets of one step, each in one of its wordings, with distractors among the tokens."""
        epoch, position = divmod(step, len(self.training) // size)
        order = np.random.default_rng([seed, epoch, 1]).permutation(self.training)
        rows = order[position * size : (position + 1) * size]
        random = np.random.default_rng([seed, step, 2])
        pick = random.integers(1 << 30, size=len(rows))
        chosen = [self.wordings[row][draw % len(self.wordings[row])] for row, draw in zip(rows, pick, strict=True)]
        words = self.words[chosen]
        if len(self.distractors):
            words = insert_distractors(words, self.distractors, random)
        targets = self.targets[rows]
        positives = random.permuted(targets, axis=1) if self.targets_per_step > 1 else targets
        return Batch(
            references=self.references[rows],
            targets=targets,
            positives=positives[:, : self.targets_per_step],
            known_negatives=self.known_negatives[rows],
            words=words,
            confidences=self.confidences[rows],
            changes=self.changes[rows],
        )


@dataclass(frozen=True)
class Batch:
    """The rows of a step, as the `TripletDataset` has them of all triplets."""

    references: Numbers
    targets: Numbers
    positives: Numbers
    """The targets that count in the step, `(n, targets_per_step)`."""
    known_negatives: Numbers
    words: NDArray[Any]
    confidences: NDArray[np.float32]
    changes: Numbers


def _usable(path: Path, row_of: Mapping[str, int]) -> tuple[list[Triplet], NDArray[np.bool_], int, dict[str, Any]]:
    """The accepted triplets of known pictures, which of them are held out, how many others, and the file's note."""
    stored, note = read_triplets(path)
    accepted = [triplet for triplet in stored if triplet.accepted]
    usable = [triplet for triplet in accepted if {triplet.reference, triplet.target} <= row_of.keys()]
    if len(usable) < len(accepted):
        say(f"{path}: {len(accepted) - len(usable)} triplets name pictures that the catalog lacks; left out")
    held = np.array([_is_held_out(triplet) for triplet in usable], bool)
    if (~held).sum() < 20 or held.sum() < 5:
        raise DataError(f"{path}: only {len(usable)} usable triplets; mine more pictures")
    return usable, held, len(accepted) - len(usable), note


def _tell_unread(path: Path, texts: list[str], words: NDArray[Any], encoder: Encoder) -> None:
    """Say how many wordings are longer than what is read, and which words of them nobody learns."""
    if words.dtype != np.int64:
        # Plain texts are cut when they are read, step by step.
        tell_texts(texts, encoder, f"{path}: wordings", short_name(encoder), cut=words.dtype.kind == "U")
    elif isinstance(encoder, TellsReading):
        full = [texts[row] for row in np.flatnonzero(words[:, -1])]
        tell_long(texts, encoder.readings(full), f"{path}: wordings", short_name(encoder), cut=True)


def _frequent_words(texts: Iterable[str]) -> tuple[str, ...]:
    counts = Counter(word for text in texts for word in {*words_of(text.lower())})
    return tuple(sorted(word for word, count in counts.items() if count >= _LEARNT))


def _distractors(encoder: Encoder, words: NDArray[Any] | None) -> Numbers:
    if words is None or not isinstance(encoder, NativeEncoder) or words.dtype != np.int64:
        return np.zeros(0, np.int64)
    return np.setdiff1d(np.arange(FIRST_PIECE, encoder.tokenizer.get_vocab_size()), words)


def _rows(names: Iterable[str], row_of: Mapping[str, int]) -> list[int]:
    return [row_of[name] for name in names if name in row_of]


def _phrases(
    words: Mapping[str, Sequence[str]], phrases: Mapping[str, Mapping[str, str]]
) -> tuple[tuple[str, ...], ...]:
    """The words of each group as the encoder is asked about them."""
    return tuple(tuple(phrases.get(group, {}).get(word, word) for word in known) for group, known in words.items())


def concept_words(triplets: Iterable[Triplet]) -> dict[str, tuple[str, ...]]:
    """The words of each attribute group that the triplets speak of, in the order in which a composer numbers them."""
    groups: dict[str, set[str]] = {}
    for triplet in triplets:
        for change in triplet.changes:
            said = (change.old,) if change.new is None else (change.old, change.new)
            groups.setdefault(change.group, set()).update(said)
    return {group: tuple(sorted(groups[group])) for group in sorted(groups)}


def _changes(triplets: Sequence[Triplet], words: Mapping[str, tuple[str, ...]]) -> Numbers:
    column = {group: place for place, group in enumerate(words)}
    number = {group: {word: place for place, word in enumerate(known, start=1)} for group, known in words.items()}
    changes = np.zeros((len(triplets), len(words)), np.int64)
    for row, triplet in enumerate(triplets):
        if not triplet.changes:
            changes[row] = NO_CHANGE
        for change in triplet.changes:
            # What an exclusion leads to is any other word: it says nothing of which.
            new = NO_CHANGE if change.new is None else number[change.group][change.new]
            changes[row, column[change.group]] = new
    return changes


def _is_held_out(triplet: Triplet) -> bool:
    """By a hash of the reference, so that no reference is on both sides."""
    return int(hashlib.sha256(triplet.reference.encode()).hexdigest()[:8], 16) < _HELD_OUT * 2**32


_MOST = 3  # distractors in a text


def insert_distractors(ids: Numbers, distractors: Numbers, random: np.random.Generator) -> Numbers:
    """Token ids `(n, l)`, zero where a text has ended, with up to three of the `distractors` at random places each.

    No token of a text is lost: a text that fills its row stays as it is.
    """
    longer = ids.copy()
    lengths = (ids != 0).sum(axis=1)
    counts = np.minimum(random.integers(_MOST + 1, size=len(ids)), ids.shape[1] - lengths)
    for row, (length, count) in enumerate(zip(lengths.tolist(), counts.tolist(), strict=True)):
        places = np.sort(random.integers(length + 1, size=count))
        longer[row, : length + count] = np.insert(ids[row, :length], places, random.choice(distractors, count))
    return longer
