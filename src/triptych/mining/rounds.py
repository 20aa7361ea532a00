"""PreviousRounds rounds of mining: what they wrote already, and what the composer that learnt from it is weak at."""

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
    """What the next round reads from a refined file; by default that there was none."""

    rounds: int = 0
    vocabulary: Path | None = None
    """The words that its questions are in; None for the default vocabulary."""
    wanted: Mapping[ChangePlan, float] = field(default_factory=dict)
    """Of kinds of questions, how many times as often they are to be asked."""
    questions: frozenset[_Question] = frozenset()

    @classmethod
    def read(cls, path: Path) -> "PreviousRounds":
        """Read a file that `refine` wrote. Raises DataError where it is none."""
        triplets, note = read_triplets(path)
        if "kinds" not in note:
            raise DataError(f"{path}: nobody has looked where a composer is weak; run `triptych refine` on it first")
        return cls(
            max((triplet.round for triplet in triplets), default=0),
            vocabulary_of(note),
            {tuple(kind["groups"]): kind["wanted"] for kind in note["kinds"]},
            frozenset(map(_question, triplets)),
        )

    def joined_by(self, files: Iterable[Path]) -> "PreviousRounds":
        """The same, knowing what is asked in further files of triplets, too."""
        found = (_question(triplet) for file in files for triplet in read_triplets(file)[0])
        return replace(self, questions=self.questions.union(found))

    def added(self, triplets: Iterable[Triplet]) -> Iterator[Triplet]:
        """Those that no previous round has, as of this round."""
        for triplet in triplets:
            if _question(triplet) not in self.questions:
                yield replace(triplet, round=self.rounds + 1)


def vocabulary_of(note: Mapping[str, Any]) -> Path | None:
    """The vocabulary that a file of triplets was made with, by its note."""
    named = note.get("settings", {}).get("vocabulary")
    return Path(named) if named else None


def _question(triplet: Triplet) -> _Question:
    return triplet.reference, triplet.target, triplet.changes
