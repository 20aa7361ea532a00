"""Reasoners side by side: what each proposed, how much its critic let through, how true that is, and what it took."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from triptych.benchmarks.registry import load_truth
from triptych.benchmarks.task import Truth
from triptych.core.errors import DataError, UsageError
from triptych.core.files import made_by, output_file, write_json
from triptych.core.text import truncate
from triptych.triplets.file import Change, Triplet, read_triplets

_SPENT = ("calls", "tokens_in", "tokens_out", "cost", "seconds")
_TRUE = ("checked", "new", "true", "telling", "true_and_telling")
_NONE = "–"


@dataclass(frozen=True)
class TruthShares:
    """How many triplets are true, in percent of those that can be checked; None where none can."""

    checked: int
    """Triplets that can be checked."""
    new: float | None
    """The target has all the new words."""
    true: float | None
    """The target has the new words, and the reference the old ones."""
    telling: float | None
    """No negative has the new words and is as the reference in all else."""
    true_and_telling: float | None
    """Both."""


@dataclass(frozen=True)
class ReasonerTruth:
    """How true a reasoner's triplets are, before and after its critic."""

    proposed: TruthShares
    """Of all that it proposed."""
    accepted: TruthShares
    """Of those that its critic accepted."""


@dataclass(frozen=True)
class ReasonerRow:
    """One reasoner, by its triplet file."""

    file: str
    """The triplet file."""
    reasoner: str
    """Who reasoned, and who judged, if it was another."""
    references: int | float
    """References asked about."""
    proposed: int
    """Triplets that it proposed."""
    accepted: int
    """Triplets that its critic accepted."""
    accepted_percent: float | None
    """Percent of them; None where there are none."""
    calls: int | float | None
    """Calls to a chat model; this and what follows is None where the file does not say."""
    tokens_in: int | float | None
    """Tokens read."""
    tokens_out: int | float | None
    """Tokens written."""
    cost: int | float | None
    """Money spent."""
    seconds: int | float | None
    """How long it took."""
    truth: ReasonerTruth | None = None
    """How true its triplets are; None where the truth is not known."""


@dataclass(frozen=True)
class ReasonerComparison:
    """Reasoners side by side."""

    reasoners: tuple[ReasonerRow, ...]
    """A row for each file."""
    common_references: int
    """References with proposals in all files."""
    made_by: Mapping[str, Any]
    """What made the comparison."""


def compare_reasoners(
    files: Sequence[Path | str],
    *,
    truth: tuple[str, Path | str] | None = None,
    output: Path | str | None = None,
) -> ReasonerComparison:
    """Compare the reasoners that wrote triplet files.

    Args:
        files: triplet files, each of another reasoner.
        truth: a benchmark whose truth is known and its folder, ("wardrobe", DIR) or ("fashion-products", DIR): with
            it, the share of triplets is counted that are true of the pair and that tell the target from its group.
        output: file to write the comparison to (.json), as documented in docs/reference/formats.md.

    Returns:
        A row for each file. What was spent is what `mine` noted.

    Raises:
        UsageError: there is no file, or the benchmark's truth is not known.
        DataError: a file cannot be read.
    """
    output = output_file(output, ".json", flag="--output") if output else None
    if not files:
        raise UsageError("give one triplet file or more")
    known = load_truth(truth[0], Path(truth[1])) if truth else None
    rows: list[ReasonerRow] = []
    references: list[set[str]] = []
    for file in files:
        triplets, note = read_triplets(Path(file))
        references.append({one.reference for one in triplets})
        rows.append(_row(str(file), triplets, note, known))
    if not any(references):
        raise DataError(f"{', '.join(map(str, files))}: no triplet in any of them")
    asked = {"files": [str(file) for file in files], "truth": f"{truth[0]}={truth[1]}" if truth else None}
    result = ReasonerComparison(tuple(rows), len(set.intersection(*references)), made_by("triplets compare", asked))
    if output:
        write_json(output, {**asdict(result), "reasoners": [_as_written(row) for row in rows]})
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
        truth=ReasonerTruth(shares(triplets, truth), shares(accepted, truth)) if truth is not None else None,
    )


def _as_written(row: ReasonerRow) -> dict[str, Any]:
    """A row as JSON has it: without the truth where that is not known."""
    return {name: value for name, value in asdict(row).items() if name != "truth" or value is not None}


def _reasoner(triplets: Sequence[Triplet], note: dict[str, Any]) -> str:
    """Who reasoned, and who judged, if it was another."""
    names = ", ".join(dict.fromkeys(one.reasoner for one in triplets)) or _NONE
    settings = note.get("settings")
    judge = settings.get("judge") if isinstance(settings, dict) else None
    # The file may be somebody else's, and what it says goes to a terminal.
    return truncate(f"{names}, judged by {judge}" if judge else names, 160)


def _number(value: Any) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def format_reasoners(result: ReasonerComparison) -> str:
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
    if rows[0].truth:
        cells = [
            [row.file, label, *(_shown(getattr(getattr(row.truth, which), name)) for name in _TRUE)]
            for row in rows
            if row.truth is not None
            for which, label in (("proposed", "all proposals"), ("accepted", "accepted"))
        ]
        parts.append(_table(["file", "percent of", *(name.replace("_", " ") for name in _TRUE)], cells))
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
    return all(_answers(truth[triplet.target], one) for one in triplet.changes)


def _answers(shown: Mapping[str, str], change: Change) -> bool:
    """Whether a picture that shows these words answers a change: with its new word, or any but the excluded one."""
    word = shown.get(change.group)
    return word != change.old if change.new is None else word == change.new


def is_true(triplet: Triplet, truth: Truth) -> bool:
    """Whether the target bears the new words, and the reference the old ones."""
    reference = truth[triplet.reference]
    return is_new(triplet, truth) and all(reference[one.group] == one.old for one in triplet.changes)


def is_unambiguous(triplet: Triplet, truth: Truth) -> bool:
    """Whether nothing else in its group answers as well: bears the new words, and is as the reference in all else."""
    changed = {one.group for one in triplet.changes}

    def answers(other: Mapping[str, str]) -> bool:
        as_before = all(
            word == other.get(group) for group, word in truth[triplet.reference].items() if group not in changed
        )
        return as_before and all(_answers(other, one) for one in triplet.changes)

    return not any(answers(truth[other]) for other in triplet.group)


def shares(triplets: Sequence[Triplet], truth: Truth) -> TruthShares:
    """Of the triplets that can be `checked`, how many percent are new, true, telling, and true and telling.

    The agent's words must be those of the truth, to the letter. Shares are None where nothing can be checked.
    """
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
