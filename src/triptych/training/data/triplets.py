"""What composers learn from: the triplets of a file as rows of pictures and wordings, some held out."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import DataError
from triptych.core.progress import say
from triptych.core.vectors import Vectors
from triptych.encoders.native import OwnEncoder
from triptych.encoders.protocol import Encoder
from triptych.encoders.tokenizer import FIRST_PIECE
from triptych.triplets.file import Triplet, read_triplets

ANSWERS = 8
"""Targets of a triplet that count in a step, drawn anew for each."""
UNTOLD = -1
"""In place of a change, where a triplet names none."""
_TARGETS = 24  # of a triplet
_HELD_OUT = 0.05  # of the references
_MOST_HELD_OUT = 2000  # triplets; more would only slow the validation
_WRONG = 1 + 8  # the reference and pictures of the group that may count as hard negatives


@dataclass(frozen=True)
class Data:
    """Triplets as row numbers: of pictures in the catalog, of wordings in `words`."""

    references: np.ndarray[Any, np.dtype[np.int64]]
    targets: np.ndarray[Any, np.dtype[np.int64]]
    """Each triplet's targets `(t, k)`: its own first, then the others that answer alike, round and round."""
    answers: int
    """How many of them count in a step: of one, a triplet's own; of more, some that are drawn."""
    wrong: np.ndarray[Any, np.dtype[np.int64]]
    """What each triplet is known not to mean `(t, l)`: its reference first, then its group, round and round."""
    wordings: list[list[int]]
    confidences: np.ndarray[Any, np.dtype[np.float32]]
    words: np.ndarray[Any, Any]
    """What the composer reads of each wording: token ids `(t, l)`, the encoder's vectors `(t, d)`, or the text."""
    strangers: np.ndarray[Any, np.dtype[np.int64]]
    """Token ids that no wording has; none where the composer reads no tokens."""
    training: np.ndarray[Any, np.dtype[np.int64]]
    held_out: np.ndarray[Any, np.dtype[np.int64]]
    unusable: int
    spoken: tuple[tuple[str, ...], ...]
    """The words of each attribute group that any triplet speaks of, as the encoder is asked about them."""
    changes: np.ndarray[Any, np.dtype[np.int64]]
    """Of each triplet and group `(t, groups)` the new word's number from 1; 0 where it stays, UNTOLD in all groups
    where the triplet names no change."""
    held_out_texts: Vectors
    """The encoder's vectors of the held-out triplets' first wordings, for the weighted sum."""

    @classmethod
    def read(
        cls,
        path: Path,
        row_of: Mapping[str, int],
        encoder: Encoder,
        reads: Callable[[list[str]], NDArray[Any]],
        *,
        answers: int = ANSWERS,
        strangers: bool = True,
    ) -> "Data":
        """Read the accepted triplets of a file, of pictures that have a row; `reads` makes of texts what is composed.

        Of each triplet's targets so many `answers` are to count in a step. `strangers` says whether there are any.

        Raises DataError when the file cannot be read or holds too little.
        """
        stored, note = read_triplets(path)
        accepted = [triplet for triplet in stored if triplet.accepted]
        usable = [triplet for triplet in accepted if {triplet.reference, triplet.target} <= row_of.keys()]
        if len(usable) < len(accepted):
            say(f"{path}: {len(accepted) - len(usable)} triplets name pictures that the catalog lacks; left out")
        held = np.array([_is_held_out(triplet) for triplet in usable], bool)
        if (~held).sum() < 20 or held.sum() < 5:
            raise DataError(f"{path}: only {len(usable)} usable triplets; mine more pictures")
        texts = sorted({wording.text for triplet in usable for wording in triplet.modifications})
        number = {text: index for index, text in enumerate(texts)}
        held_out = np.flatnonzero(held)[:_MOST_HELD_OUT]
        words = reads(texts)
        right = [_rows((triplet.target, *triplet.other_targets), row_of) for triplet in usable]
        wrong = [_rows((triplet.reference, *triplet.group), row_of) for triplet in usable]
        spoken = spoken_words(usable)
        phrases: Mapping[str, Mapping[str, str]] = note.get("phrases", {})
        return cls(
            references=np.array([row_of[triplet.reference] for triplet in usable], np.int64),
            targets=np.array([np.resize(rows, _TARGETS) for rows in right], np.int64),
            wrong=np.array([np.resize(rows, _WRONG) for rows in wrong], np.int64),
            wordings=[[number[wording.text] for wording in triplet.modifications] for triplet in usable],
            answers=answers,
            confidences=np.array([triplet.confidence for triplet in usable], np.float32),
            words=words,
            strangers=_strangers(encoder, words if strangers else None),
            training=np.flatnonzero(~held),
            held_out=held_out,
            unusable=len(accepted) - len(usable),
            spoken=tuple(
                tuple(phrases.get(group, {}).get(word, word) for word in known) for group, known in spoken.items()
            ),
            changes=_changes(usable, spoken),
            held_out_texts=encoder.encode_texts([usable[row].modifications[0].text for row in held_out]),
        )

    def batch(self, step: int, size: int, seed: int) -> "Batch":
        """The triplets of one step, each in one of its wordings, with strangers among the tokens."""
        epoch, position = divmod(step, len(self.training) // size)
        order = np.random.default_rng([seed, epoch, 1]).permutation(self.training)
        rows = order[position * size : (position + 1) * size]
        random = np.random.default_rng([seed, step, 2])
        pick = random.integers(1 << 30, size=len(rows))
        chosen = [self.wordings[row][draw % len(self.wordings[row])] for row, draw in zip(rows, pick, strict=True)]
        words = self.words[chosen]
        if len(self.strangers):
            words = mingle(words, self.strangers, random)
        targets = self.targets[rows]
        right = (random.permuted(targets, axis=1) if self.answers > 1 else targets)[:, : self.answers]
        return Batch(
            self.references[rows],
            targets,
            right,
            self.wrong[rows],
            words,
            self.confidences[rows],
            self.changes[rows],
        )


@dataclass(frozen=True)
class Batch:
    """The rows of a step, as `Data` has them of all triplets."""

    references: np.ndarray[Any, np.dtype[np.int64]]
    targets: np.ndarray[Any, np.dtype[np.int64]]
    right: np.ndarray[Any, np.dtype[np.int64]]
    """The targets that count in the step, `(n, answers)`."""
    wrong: np.ndarray[Any, np.dtype[np.int64]]
    words: np.ndarray[Any, Any]
    confidences: np.ndarray[Any, np.dtype[np.float32]]
    changes: np.ndarray[Any, np.dtype[np.int64]]


def _strangers(encoder: Encoder, words: NDArray[Any] | None) -> NDArray[np.int64]:
    if words is None or not isinstance(encoder, OwnEncoder) or words.dtype != np.int64:
        return np.zeros(0, np.int64)
    return np.setdiff1d(np.arange(FIRST_PIECE, encoder.tokenizer.get_vocab_size()), words)


def _rows(names: Iterable[str], row_of: Mapping[str, int]) -> list[int]:
    return [row_of[name] for name in names if name in row_of]


def spoken_words(triplets: Iterable[Triplet]) -> dict[str, tuple[str, ...]]:
    """The words of each attribute group that the triplets speak of, in the order in which a composer numbers them."""
    groups: dict[str, set[str]] = {}
    for triplet in triplets:
        for change in triplet.changes:
            groups.setdefault(change.group, set()).update((change.old, change.new))
    return {group: tuple(sorted(groups[group])) for group in sorted(groups)}


def _changes(triplets: Sequence[Triplet], spoken: Mapping[str, tuple[str, ...]]) -> NDArray[np.int64]:
    column = {group: place for place, group in enumerate(spoken)}
    number = {group: {word: place for place, word in enumerate(words, start=1)} for group, words in spoken.items()}
    changes = np.zeros((len(triplets), len(spoken)), np.int64)
    for row, triplet in enumerate(triplets):
        if not triplet.changes:
            changes[row] = UNTOLD
        for change in triplet.changes:
            changes[row, column[change.group]] = number[change.group][change.new]
    return changes


def _is_held_out(triplet: Triplet) -> bool:
    """By a hash of the reference, so that no reference is on both sides."""
    return int(hashlib.sha256(triplet.reference.encode()).hexdigest()[:8], 16) < _HELD_OUT * 2**32


_MOST = 3  # strangers in a text


def mingle(ids: NDArray[np.int64], strangers: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Token ids `(n, l)`, zero where a text has ended, with up to three of the `strangers` at random places each.

    Nothing that was said is lost: a text that fills its row stays as it is.
    """
    mingled = ids.copy()
    lengths = (ids != 0).sum(axis=1)
    counts = np.minimum(random.integers(_MOST + 1, size=len(ids)), ids.shape[1] - lengths)
    for row, (length, count) in enumerate(zip(lengths.tolist(), counts.tolist(), strict=True)):
        places = np.sort(random.integers(length + 1, size=count))
        mingled[row, : length + count] = np.insert(ids[row, :length], places, random.choice(strangers, count))
    return mingled
