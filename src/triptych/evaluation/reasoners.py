"""Compare reasoners: how many triplets each proposed, how many its critic accepted, how many are correct, and the
cost."""

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
_SHARES = ("checked", "target_correct", "change_correct", "unambiguous", "correct_and_unambiguous")
_NONE = "–"


@dataclass(frozen=True)
class TruthShares:
    """Shares of correct triplets, in percent of those that can be checked; None if none can be checked."""

    checked: int
    """The number of triplets that can be checked."""
    target_correct: float | None
    """The share whose target shows all new words."""
    change_correct: float | None
    """The share whose target shows the new words, and whose reference shows the old ones."""
    unambiguous: float | None
    """The share without a negative that shows the new words and equals the reference in all other attributes."""
    correct_and_unambiguous: float | None
    """The share for which both `change_correct` and `unambiguous` hold."""


@dataclass(frozen=True)
class ReasonerTruth:
    """The share of correct triplets of a reasoner, before and after its critic."""

    proposed: TruthShares
    """Shares of all triplets that the reasoner proposed."""
    accepted: TruthShares
    """Shares of the triplets that its critic accepted."""


@dataclass(frozen=True)
class ReasonerRow:
    """The figures of one reasoner, from its triplet file."""

    file: str
    """The triplet file."""
    reasoner: str
    """The names of the reasoner and of the judge, if that is another model."""
    references: int | float
    """References that were considered."""
    proposed: int
    """Triplets that the reasoner proposed."""
    accepted: int
    """Triplets that its critic accepted."""
    accepted_percent: float | None
    """Accepted triplets in percent of the proposed ones; None if nothing was proposed."""
    calls: int | float | None
    """Calls to a chat model. This and the next four fields are None if the file does not record them."""
    tokens_in: int | float | None
    """Tokens that the model read."""
    tokens_out: int | float | None
    """Tokens that the model wrote."""
    cost: int | float | None
    """Money spent, in the currency of the prices given."""
    seconds: int | float | None
    """Duration of mining."""
    truth: ReasonerTruth | None = None
    """The share of correct triplets; None without `truth`."""


@dataclass(frozen=True)
class ReasonerComparison:
    """The result of `compare_reasoners`."""

    reasoners: tuple[ReasonerRow, ...]
    """A row for each file, in the order given."""
    common_references: int
    """References with proposals in all files."""
    made_by: Mapping[str, Any]
    """Program, version, settings and time of the comparison."""


def compare_reasoners(
    files: Sequence[Path | str],
    *,
    truth: tuple[str, Path | str] | None = None,
    output: Path | str | None = None,
) -> ReasonerComparison:
    """Compare the reasoners that wrote triplet files.

    Args:
        files: triplet files, each by another reasoner.
        truth: a benchmark with known attributes and its folder, ("wardrobe", DIR) or ("fashion-products", DIR). With
            it, the result has the shares of correct triplets.
        output: file to write the comparison to (.json), as documented in docs/reference/formats.md.

    Returns:
        A row for each file. Calls, tokens, cost and seconds are those that `mine` recorded in the file.

    Raises:
        UsageError: no file is given, or the benchmark has no known attributes.
        DataError: a file cannot be read, or no file holds a triplet.
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
        raise DataError(f"{', '.join(map(str, files))}: the files hold no triplets")
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
    """A row as JSON, without `truth` if it is None."""
    return {name: value for name, value in asdict(row).items() if name != "truth" or value is not None}


def _reasoner(triplets: Sequence[Triplet], note: dict[str, Any]) -> str:
    """The names of the reasoner and of the judge, if that is another model."""
    names = ", ".join(dict.fromkeys(one.reasoner for one in triplets)) or _NONE
    settings = note.get("settings")
    judge = settings.get("judge") if isinstance(settings, dict) else None
    # The file may be foreign, and its content is printed on a terminal.
    return truncate(f"{names}, judged by {judge}" if judge else names, 160)


def _number(value: Any) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def format_reasoners(result: ReasonerComparison) -> str:
    """Format a comparison for the terminal: a line for each file and, with `truth`, a table of shares."""
    rows = result.reasoners
    names = ("references", "proposed", "accepted", "accepted_percent", *_SPENT)
    parts = [
        _table(
            ["file", "reasoner", *(name.replace("_percent", ", %").replace("_", " ") for name in names)],
            [[row.file, row.reasoner, *(_shown(getattr(row, name)) for name in names)] for row in rows],
        ),
        f"references with proposals in all files: {result.common_references}",
    ]
    if rows[0].truth:
        cells = [
            [row.file, label, *(_shown(getattr(getattr(row.truth, which), name)) for name in _SHARES)]
            for row in rows
            if row.truth is not None
            for which, label in (("proposed", "all proposals"), ("accepted", "accepted"))
        ]
        parts.append(_table(["file", "percent of", *(name.replace("_", " ") for name in _SHARES)], cells))
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
    """Whether a triplet's pictures and changed attributes are all in the truth."""
    pictures = {triplet.reference, triplet.target, *triplet.negatives}
    if not triplet.changes or not pictures <= truth.keys():
        return False
    return all(change.attribute in truth[triplet.target] for change in triplet.changes)


def has_correct_target(triplet: Triplet, truth: Truth) -> bool:
    """Whether the target shows all the new words."""
    return all(_answers(truth[triplet.target], one) for one in triplet.changes)


def _answers(shown: Mapping[str, str], change: Change) -> bool:
    """Whether a picture with these attributes has the new word, or any word but the excluded one."""
    word = shown.get(change.attribute)
    return word != change.old if change.new is None else word == change.new


def has_correct_change(triplet: Triplet, truth: Truth) -> bool:
    """Whether the target shows the new words, and the reference the old ones."""
    reference = truth[triplet.reference]
    return has_correct_target(triplet, truth) and all(reference[one.attribute] == one.old for one in triplet.changes)


def is_unambiguous(triplet: Triplet, truth: Truth) -> bool:
    """Whether no negative shows the new words and equals the reference in all other attributes."""
    changed = {one.attribute for one in triplet.changes}

    def answers(other: Mapping[str, str]) -> bool:
        as_before = all(
            word == other.get(group) for group, word in truth[triplet.reference].items() if group not in changed
        )
        return as_before and all(_answers(other, one) for one in triplet.changes)

    return not any(answers(truth[other]) for other in triplet.negatives)


def shares(triplets: Sequence[Triplet], truth: Truth) -> TruthShares:
    """Compute the shares of correct triplets. The words of a triplet must equal those of the truth to the letter."""
    known = [one for one in triplets if can_be_checked(one, truth)]

    def share(found: Sequence[bool]) -> float | None:
        return round(100 * sum(found) / len(found), 1) if found else None

    correct, unambiguous = ([test(one, truth) for one in known] for test in (has_correct_change, is_unambiguous))
    return TruthShares(
        checked=len(known),
        target_correct=share([has_correct_target(one, truth) for one in known]),
        change_correct=share(correct),
        unambiguous=share(unambiguous),
        correct_and_unambiguous=share([one and other for one, other in zip(correct, unambiguous, strict=True)]),
    )
