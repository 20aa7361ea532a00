"""The previous rounds of mining: which triplets they wrote, and which questions a composer answers worst."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from triptych.core.errors import DataError
from triptych.mining.proposer import ChangePlan
from triptych.triplets.file import Triplet, read_triplets

_Question = tuple[object, ...]


@dataclass(frozen=True)
class PreviousRounds:
    """What the next round reads from a refined file; the defaults mean that there was no earlier round."""

    rounds: int = 0
    """How many rounds there were."""
    vocabulary: Path | None = None
    """The vocabulary that was used; None for the default one."""
    weights: Mapping[ChangePlan, float] = field(default_factory=dict)
    """For each type of question, how much more often than others it is drawn."""
    questions: frozenset[_Question] = frozenset()
    """The questions that were asked already."""

    @classmethod
    def read(cls, path: Path) -> "PreviousRounds":
        """Read a file that `refine` wrote. Raises DataError if it did not."""
        triplets, note = read_triplets(path)
        weights = _weights(note)
        if weights is None:
            raise DataError(f"{path}: was not refined; run `triptych refine` on it first")
        return cls(
            max((triplet.round for triplet in triplets), default=0),
            vocabulary_of(note),
            weights,
            frozenset(map(_question, triplets)),
        )

    def joined_by(self, files: Iterable[Path]) -> "PreviousRounds":
        """Add the questions of further triplet files."""
        found = (_question(triplet) for file in files for triplet in read_triplets(file)[0])
        return replace(self, questions=self.questions.union(found))

    def added(self, triplets: Iterable[Triplet]) -> Iterator[Triplet]:
        """Keep the triplets that no previous round has, and give them this round's number."""
        for triplet in triplets:
            if _question(triplet) not in self.questions:
                yield replace(triplet, round=self.rounds + 1)


def _weights(note: Mapping[str, Any]) -> dict[ChangePlan, float] | None:
    """The weight of each type of question, by a refined file's note; None if the file was not refined."""
    if "question_types" in note:
        return {tuple(one["attributes"]): one["weight"] for one in note["question_types"]}
    if "kinds" in note:  # up to triptych-triplets-4
        return {tuple(one["groups"]): one["wanted"] for one in note["kinds"]}
    return None


def vocabulary_of(note: Mapping[str, Any]) -> Path | None:
    """The vocabulary that a triplet file was made with, by its note; None for the default one."""
    named = note.get("settings", {}).get("vocabulary")
    return Path(named) if named else None


def _question(triplet: Triplet) -> _Question:
    return triplet.reference, triplet.target, triplet.changes
