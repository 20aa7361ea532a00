"""Reasoners side by side: what each proposed, how much its critic let through, how true that is, and what it took."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from triptych.benchmarks.registry import load_truth
from triptych.benchmarks.task import Truth
from triptych.core.errors import UsageError
from triptych.core.files import made_by, write_json
from triptych.core.text import cut
from triptych.triplets.file import Triplet, read_triplets

_SPENT = ("calls", "tokens_in", "tokens_out", "cost", "seconds")
_TRUE = ("checked", "new", "true", "telling", "true_and_telling")
_NONE = "–"


def triplets_compare(
    files: Sequence[Path | str],
    *,
    truth: tuple[str, Path | str] | None = None,
    output: Path | str | None = None,
) -> dict[str, Any]:
    """Compare the reasoners that wrote triplet `files`.

    `truth` is a world whose truth is known and its folder: ("wardrobe", DIR) or ("fashion-products", DIR). With it, the
    share of triplets is told that are true of the pair and that tell the target from its group, of all proposals and
    of what the critic accepted.

    Returns, and writes to `output`, `{"reasoners": [...], "common_references": n, "made_by": {...}}` as documented in
    docs/formats.md. What was spent is what `mine` noted, None where it noted nothing. Raises UsageError for no file or
    an unknown world, DataError where a file cannot be read.
    """
    if not files:
        raise UsageError("give one triplet file or more")
    known = load_truth(truth[0], Path(truth[1])) if truth else None
    rows: list[dict[str, Any]] = []
    references: list[set[str]] = []
    for file in files:
        triplets, note = read_triplets(Path(file))
        accepted = [one for one in triplets if one.accepted]
        references.append({one.reference for one in triplets})
        row: dict[str, Any] = {
            "file": str(file),
            "reasoner": _reasoner(triplets, note),
            "references": _number(note.get("references")) or len(references[-1]),
            "proposed": len(triplets),
            "accepted": len(accepted),
            "accepted_percent": round(100 * len(accepted) / len(triplets), 1) if triplets else None,
            **{name: _number(note.get(name)) for name in _SPENT},
        }
        if known is not None:
            row["truth"] = {"proposed": shares(triplets, known), "accepted": shares(accepted, known)}
        rows.append(row)
    asked = {"files": [str(file) for file in files], "truth": f"{truth[0]}={truth[1]}" if truth else None}
    result = {
        "reasoners": rows,
        "common_references": len(set.intersection(*references)),
        "made_by": made_by("triplets compare", asked),
    }
    if output:
        write_json(Path(output), result)
    return result


def _reasoner(triplets: Sequence[Triplet], note: dict[str, Any]) -> str:
    """Who reasoned, and who judged, if it was another."""
    names = ", ".join(dict.fromkeys(one.reasoner for one in triplets)) or _NONE
    settings = note.get("settings")
    judge = settings.get("judge") if isinstance(settings, dict) else None
    # The file may be somebody else's, and what it says goes to a terminal.
    return cut(f"{names}, judged by {judge}" if judge else names, 160)


def _number(value: Any) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def format_reasoners(result: dict[str, Any]) -> str:
    """A line for each file; where the truth is known a second table, before and after its critic."""
    rows = result["reasoners"]
    names = ("references", "proposed", "accepted", "accepted_percent", *_SPENT)
    parts = [
        _table(
            ["file", "reasoner", *(name.replace("_percent", ", %").replace("_", " ") for name in names)],
            [[row["file"], row["reasoner"], *(_shown(row[name]) for name in names)] for row in rows],
        ),
        f"references with proposals in all of them: {result['common_references']}",
    ]
    if "truth" in rows[0]:
        cells = [
            [row["file"], label, *(_shown(row["truth"][which][name]) for name in _TRUE)]
            for row in rows
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
