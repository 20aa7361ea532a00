"""`compare`: two methods on the same queries, and whether their difference is more than chance."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from triptych.core.errors import DataError, UsageError
from triptych.core.files import made_by, write_json
from triptych.evaluation.results.reading import Line, Row, heading, lines, read_rows, require_comparable
from triptych.metrics.measures import Values
from triptych.metrics.resampling import bootstrap_intervals, sign_flip_test

LEVEL = 0.95
_NONE = "–"


def compare(
    first: Path | str,
    second: Path | str | None = None,
    *,
    method: str | None = None,
    against: str | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    output: Path | str | None = None,
) -> dict[str, Any]:
    """Set the methods of two result files beside each other, on every benchmark, task and split that both have.

    Methods are paired by name, or `method` of the first file with `against` (by default the same) of the second, or of
    the first again if there is no second. Where a file holds one method each, these are paired whatever their names.
    Several runs of a method are averaged, query by query.

    Where both files have values for each query (`triptych eval --per-query`), every metric gets 95 % bootstrap
    intervals of both means and of their difference, and the p-value of a paired randomisation test; see
    `triptych.metrics`. Otherwise the means alone are compared. What differs from seed to seed in training, or from
    gallery to gallery, is in none of these figures.

    Returns, and writes to `output`, `{"comparisons": [...], "made_by": {...}}` as documented in docs/formats.md.

    Raises:
        DataError: a file is no result file.
        MismatchError: protocol, queries or gallery differ; the message names the setting.
        UsageError: the files have nothing in common, or it is not clear what to pair.
    """
    if second is None and (method is None or against is None):
        raise UsageError("one result file alone: say what to compare in it, with --method and --against")
    paths = Path(first), Path(second or first)
    names = str(paths[0]), str(paths[1])
    sides = [_by_task(read_rows(path)) for path in paths]
    tasks = [task for task in sides[0] if task in sides[1]]
    if not tasks:
        raise UsageError(f"{names[0]} and {names[1]} have no benchmark, task and split in common")
    wanted = method or against, against or method
    pairs = [pair for task in tasks for pair in _pair(sides[0][task], sides[1][task], wanted, names)]
    for one, other in pairs:
        for row in (*one.rows[1:], *other.rows):
            require_comparable(one.rows[0], row, names)
    settings = {"files": list(names), "method": method, "against": against, "resamples": resamples, "seed": seed}
    result = {
        "comparisons": [_comparison(one, other, resamples, seed) for one, other in pairs],
        "made_by": made_by("compare", settings | {"level": LEVEL}),
    }
    if output:
        write_json(Path(output), result)
    return result


def _by_task(rows: Sequence[Row]) -> dict[str, list[Line]]:
    ordered = sorted(rows, key=heading)
    return {task: lines(same) for task, same in groupby(ordered, heading)}


def _pair(
    ours: list[Line], theirs: list[Line], wanted: tuple[str | None, str | None], names: tuple[str, str]
) -> list[tuple[Line, Line]]:
    """What of one task is compared with what."""
    task = heading(ours[0].rows[0])
    if wanted[1] is not None:
        return [(_chosen(ours, wanted[0], names[0]), _chosen(theirs, wanted[1], names[1]))]
    if len(ours) == len(theirs) == 1:
        return [(ours[0], theirs[0])]
    shared = [(one, other) for one in ours for other in theirs if one.method == other.method]
    methods = [one.method for one, _ in shared]
    if not shared or len(set(methods)) < len(methods):
        listed = " and ".join(
            f"{', '.join(line.method for line in side)} in {file}"
            for side, file in zip((ours, theirs), names, strict=True)
        )
        raise UsageError(f"{task}: not clear what to compare ({listed}); choose with --method and --against")
    return shared


def _chosen(side: list[Line], method: str | None, file: str) -> Line:
    """The one line of a method. Raises UsageError where there is none, or more than one."""
    found = [line for line in side if line.method == method]
    if len(found) != 1:
        how = "has, with several encoders, a method" if found else "has no method"
        raise UsageError(
            f"{file}: {heading(side[0].rows[0])} {how} {method!r}; choose among the methods of one encoder"
        )
    return found[0]


def _comparison(one: Line, other: Line, resamples: int, seed: int) -> dict[str, Any]:
    row = one.rows[0]
    names = [name for name in row["metrics"] if one.figure(name) and other.figure(name)]
    if not names:
        raise DataError(f"{heading(row)}: {one.method} and {other.method} have no metric in common")
    metrics: dict[str, dict[str, Any]] = {}
    for name in names:
        ours, theirs = (line.figure(name) for line in (one, other))
        assert ours is not None
        assert theirs is not None
        metrics[name] = {
            "first": round(ours.mean, 4),
            "second": round(theirs.mean, 4),
            "difference": round(theirs.mean - ours.mean, 4),
        }
    told = {name: (_values(one, name), _values(other, name)) for name in names}
    told = {name: values for name, values in told.items() if len(values[0]) == len(values[1]) == row["queries"]}
    if told:
        mine, its = (np.stack(side, axis=1) for side in zip(*told.values(), strict=True))
        columns = np.concatenate([mine, its, its - mine], axis=1)
        intervals = 100 * bootstrap_intervals(columns, level=LEVEL, resamples=resamples, seed=seed)
        chances = sign_flip_test(its - mine, resamples=resamples, seed=seed)
        for number, name in enumerate(told):
            for part, side in enumerate(("first", "second", "difference")):
                metrics[name][f"{side}_interval"] = intervals[part * len(told) + number].round(4).tolist()
            metrics[name]["p"] = float(chances[number])
    facts = {field: row[field] for field in ("benchmark", "task", "split", "queries", "gallery")}
    sides = {
        side: {"method": line.method, "encoder": line.encoder, "runs": len(line.rows)}
        for side, line in (("first", one), ("second", other))
    }
    return {**facts, **sides, "metrics": metrics}


def _values(line: Line, metric: str) -> Values:
    """The metric on each query, averaged over runs; empty where a run does not tell."""
    each = [row.get("per_query", {}).get(metric) for row in line.rows]
    # Values can be paired only where the digest says that they are of the same queries in the same order.
    told = None not in each and all(row.get("queries_sha256") for row in line.rows)
    return np.mean([np.asarray(values, np.float64) for values in each], axis=0) if told else np.empty(0)


def format_comparison(result: dict[str, Any]) -> str:
    """A block of lines for each comparison: both means, their difference with its interval, and p."""
    return "\n\n".join(_format(comparison) for comparison in result["comparisons"])


def _format(comparison: dict[str, Any]) -> str:
    counts = f"({comparison['queries']} queries, {comparison['gallery']} pictures)"
    sides = [comparison[side] for side in ("first", "second")]
    shown = [side["method"] + (f", {side['runs']} runs" if side["runs"] > 1 else "") for side in sides]
    table = [["", "first", "second", "difference", f"{LEVEL:.0%} interval", "p"]]
    for name, found in comparison["metrics"].items():
        interval = found.get("difference_interval")
        told = (
            [_NONE, _NONE] if interval is None else [f"{interval[0]:+.2f} to {interval[1]:+.2f}", f"{found['p']:.4f}"]
        )
        table.append([name, f"{found['first']:.2f}", f"{found['second']:.2f}", f"{found['difference']:+.2f}", *told])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        f"{heading(comparison)} {counts}",
        f"  first: {shown[0]} ({sides[0]['encoder']});  second: {shown[1]} ({sides[1]['encoder']})",
    ]
    for cells in table:
        text = "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        lines.append(f"  {text}".rstrip())
    if any("p" not in found for found in comparison["metrics"].values()):
        lines.append("  no values of each query: significance cannot be told; run both with eval --per-query")
    return "\n".join(lines)
