"""How many triplets are true, where the truth about their pictures is known."""

from collections.abc import Mapping, Sequence

from triptych.benchmarks.truth import Truth
from triptych.triplets import Triplet


def can_be_checked(triplet: Triplet, truth: Truth) -> bool:
    """Whether all of its pictures are known, and what it says to change is among the known attributes."""
    pictures = {triplet.reference, triplet.target, *triplet.group}
    if not triplet.changes or not pictures <= truth.keys():
        return False
    return all(change.group in truth[triplet.target] for change in triplet.changes)


def is_new(triplet: Triplet, truth: Truth) -> bool:
    """Whether the target bears all the new words."""
    return all(truth[triplet.target][one.group] == one.new for one in triplet.changes)


def is_true(triplet: Triplet, truth: Truth) -> bool:
    """Whether the target bears the new words, and the reference the old ones."""
    reference = truth[triplet.reference]
    return is_new(triplet, truth) and all(reference[one.group] == one.old for one in triplet.changes)


def is_telling(triplet: Triplet, truth: Truth) -> bool:
    """Whether nothing else in its group answers as well: bears the new words, and is as the reference in all else."""
    wanted = {**truth[triplet.reference], **{one.group: one.new for one in triplet.changes}}
    return not any(truth[other] == wanted for other in triplet.group)


def shares(triplets: Sequence[Triplet], truth: Truth) -> Mapping[str, float | int | None]:
    """Of the triplets that can be `checked`, how many percent are new, true, telling, and true and telling.

    The agent's words must be those of the truth, to the letter. Shares are None where nothing can be checked.
    """
    known = [one for one in triplets if can_be_checked(one, truth)]

    def share(found: Sequence[bool]) -> float | None:
        return round(100 * sum(found) / len(found), 1) if found else None

    true, telling = ([test(one, truth) for one in known] for test in (is_true, is_telling))
    return {
        "checked": len(known),
        "new": share([is_new(one, truth) for one in known]),
        "true": share(true),
        "telling": share(telling),
        "true_and_telling": share([one and other for one, other in zip(true, telling, strict=True)]),
    }
