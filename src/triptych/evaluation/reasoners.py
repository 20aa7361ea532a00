"""Reasoners side by side: what each proposed, how much its critic let through, how true that is, and what it took."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from triptych.benchmarks.registry import load_truth
from triptych.benchmarks.task import Truth
from triptych.core.errors import UsageError
from triptych.core.files import made_by, write_json
from triptych.core.text import cut
from triptych.triplets.file import Triplet, read_triplets

_SPENT = ("calls", "tokens_in", "tokens_out", "cost", "seconds")
_NONE = "–"


@dataclass(frozen=True)
class TruthShares:
    """How true triplets are, in percent of those that can be checked; None where none can."""

    checked: int
    new: float | None
    """The target bears the new words."""
    true: float | None
    """The target bears the new words, and the reference the old ones."""
    telling: float | None
    """Nothing else in the group answers as well."""
    true_and_telling: float | None


@dataclass(frozen=True)
class ReasonerRow:
    """What one triplet file says of the reasoner that wrote it; what `mine` did not note is None."""

    file: str
    reasoner: str
    """Who reasoned, and who judged, if it was another."""
    references: float
    proposed: int
    accepted: int
    accepted_percent: float | None
    calls: float | None
    tokens_in: float | None
    tokens_out: float | None
    cost: float | None
    seconds: float | None
    truth: Mapping[str, TruthShares] | None = None
    """Of all that was `proposed`, and of what was `accepted`; None where the truth was not given."""


@dataclass(frozen=True)
class CompareReasonersResult:
    """Reasoners side by side."""

    reasoners: list[ReasonerRow]
    common_references: int
    """References with proposals in all of the files."""
    made_by: Mapping[str, Any] = field(repr=False)
    """Program, version, settings and time."""

    def as_json(self) -> dict[str, Any]:
        """The result as its file holds it."""
        content = asdict(self)
        for row in content["reasoners"]:
            if row["truth"] is None:
                del row["truth"]
        return content

    def __str__(self) -> str:
        return format_reasoners(self)


def compare_reasoners(
    files: Sequence[Path | str],
    *,
    truth: tuple[str, Path | str] | None = None,
    output: Path | str | None = None,
) -> CompareReasonersResult:
    """Compare the reasoners that wrote triplet `files`.

    Args:
        files: triplet files, each of another reasoner.
        truth: a benchmark whose truth is known and its folder: ("wardrobe", DIR) or ("fashion-products", DIR). With
            it, the shares are given of triplets that are true of the pair and that no other picture of the group
            answers, among all proposals and among what the critic accepted.
        output: a file to write the result to (.json), as documented in docs/formats.md.

    Raises:
        UsageError: there is no file, or the truth of the benchmark is not known.
        DataError: a file cannot be read.
    """
    if not files:
        raise UsageError("give one triplet file or more")
    known = load_truth(truth[0], Path(truth[1])) if truth else None
    read = [(str(file), *read_triplets(Path(file))) for file in files]
    references = [{one.reference for one in triplets} for _, triplets, _ in read]
    asked = {"files": [str(file) for file in files], "truth": f"{truth[0]}={truth[1]}" if truth else None}
    result = CompareReasonersResult(
        [_row(file, triplets, note, known) for file, triplets, note in read],
        len(set.intersection(*references)),
        made_by("triplets compare", asked),
    )
    if output:
        write_json(Path(output), result.as_json())
    return result


def _row(file: str, triplets: Sequence[Triplet], note: dict[str, Any], truth: Truth | None) -> ReasonerRow:
    accepted = [one for one in triplets if one.accepted]
    return ReasonerRow(
        file=file,
        reasoner=_reasoner(triplets, note),
        references=_number(note.get("references")) or len({one.reference for one in triplets}),
        proposed=len(triplets),
        accepted=len(accepted),
        accepted_percent=round(100 * len(accepted) / len(triplets), 1) if triplets else None,
        **{name: _number(note.get(name)) for name in _SPENT},
        truth=None if truth is None else {"proposed": shares(triplets, truth), "accepted": shares(accepted, truth)},
    )


def _reasoner(triplets: Sequence[Triplet], note: dict[str, Any]) -> str:
    """Who reasoned, and who judged, if it was another."""
    names = ", ".join(dict.fromkeys(one.reasoner for one in triplets)) or _NONE
    settings = note.get("settings")
    judge = settings.get("judge") if isinstance(settings, dict) else None
    # The file may be somebody else's, and what it says goes to a terminal.
    return cut(f"{names}, judged by {judge}" if judge else names, 160)


def _number(value: Any) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def format_reasoners(result: CompareReasonersResult) -> str:
    """A line for each file; where the truth is known a second table, before and after its critic."""
    rows = result.reasoners
    names = ("references", "proposed", "accepted", "accepted_percent", *_SPENT)
    parts = [
        _table(
            ["file", "reasoner", *(name.replace("_percent", ", %").replace("_", " ") for name in names)],
            [[row.file, row.reasoner, *(_shown(getattr(row, name)) for name in names)] for row in rows],
        ),
        f"references with proposals in all of them: {result.common_references}",
    ]
    if rows[0].truth is not None:
        checked = [item.name for item in fields(TruthShares)]
        cells = [
            [row.file, label, *(_shown(getattr(row.truth[which], name)) for name in checked)]
            for row in rows
            if row.truth is not None
            for which, label in (("proposed", "all proposals"), ("accepted", "accepted"))
        ]
        parts.append(_table(["file", "percent of", *(name.replace("_", " ") for name in checked)], cells))
    return "\n\n".join(parts)


def _shown(value: Any) -> str:
    return _NONE if value is None else f"{value:,}"


def _table(head: list[str], cells: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [head, *cells]
    )


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


def is_unambiguous(triplet: Triplet, truth: Truth) -> bool:
    """Whether nothing else in its group answers as well: bears the new words, and is as the reference in all else."""
    wanted = {**truth[triplet.reference], **{one.group: one.new for one in triplet.changes}}
    return not any(truth[other] == wanted for other in triplet.group)


def shares(triplets: Sequence[Triplet], truth: Truth) -> TruthShares:
    """How true the triplets are that can be checked: the agent's words must be those of the truth, to the letter."""
    known = [one for one in triplets if can_be_checked(one, truth)]

    def share(found: Sequence[bool]) -> float | None:
        return round(100 * sum(found) / len(found), 1) if found else None

    true, telling = ([test(one, truth) for one in known] for test in (is_true, is_unambiguous))
    return TruthShares(
        checked=len(known),
        new=share([is_new(one, truth) for one in known]),
        true=share(true),
        telling=share(telling),
        true_and_telling=share([one and other for one, other in zip(true, telling, strict=True)]),
    )
