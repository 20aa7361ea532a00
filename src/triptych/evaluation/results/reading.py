"""Read rows of result files, and check whether two of them can be compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from triptych.core.errors import DataError, MismatchError
from triptych.core.files import read_json
from triptych.core.progress import say
from triptych.evaluation.results.row import ResultRow

_TEXTS = ("benchmark", "task", "split", "method", "encoder")
_COUNTS = ("queries", "gallery")
_ABSENT = "not stated"


def read_rows(path: Path) -> list[ResultRow]:
    """Read the rows of a result file.

    Raises:
        DataError: the file is no result file; the message names the invalid row.
    """
    content = read_json(path, "result file")
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise DataError(f'{path}: not a result file (it has no "rows"); write one with triptych eval --output')
    for number, row in enumerate(rows, start=1):
        fault = _fault(row)
        if fault:
            raise DataError(f"{path}: row {number}: {fault}; write the file with triptych eval --output")
    return [ResultRow.from_json(row) for row in rows]


def _fault(row: Any) -> str | None:
    if not isinstance(row, dict):
        return "not an object"
    for field in _TEXTS:
        if not isinstance(row.get(field), str):
            return f'"{field}" must be a string'
    for field in _COUNTS:
        if not isinstance(row.get(field), int):
            return f'"{field}" must be a number'
    metrics = row.get("metrics")
    if not isinstance(metrics, dict) or not all(_is_number(value) for value in metrics.values()):
        return '"metrics" must be an object of numbers'
    if not isinstance(row.get("protocol", {}), dict):
        return '"protocol" must be an object'
    values = row.get("per_query", {})
    if not isinstance(values, dict) or not all(_are_values(each, row["queries"]) for each in values.values()):
        return f'"per_query" must be an object of lists of {row["queries"]} numbers'
    answers = row.get("answers", {})
    if not isinstance(answers, dict) or not all(map(_are_texts, answers.values())):
        return '"answers" must be an object of lists of strings'
    return None


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_values(values: Any, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(_is_number(value) for value in values)


def require_same_protocol(first: ResultRow, second: ResultRow, names: tuple[str, str]) -> None:
    """Check that two rows follow the same protocol.

    A row without a protocol, such as the row of a submission file, only causes a warning.

    Raises:
        MismatchError: they do not; the message names the first setting that differs.
    """
    unknown = [name for row, name in zip((first, second), names, strict=True) if row.protocol is None]
    if len(unknown) == 1:
        say(f"{first.heading}: {unknown[0]} does not state its protocol; check that it is the same")
        return
    settings = [dict(row.protocol or {}) for row in (first, second)]
    for setting in sorted({*settings[0], *settings[1]}):
        values = [known.get(setting, _ABSENT) for known in settings]
        if values[0] != values[1]:
            raise _not_comparable(first, f"the protocol's {setting!r}", values, names)


def require_comparable(first: ResultRow, second: ResultRow, names: tuple[str, str]) -> None:
    """Check that both rows have the same queries, gallery and protocol.

    `names` are the sources of the rows, for messages. Digests are compared if both rows have them.

    Raises:
        MismatchError: they are not; the message names what differs.
    """
    require_same_protocol(first, second, names)
    for field, what in (("queries", "the number of queries"), ("gallery", "the number of pictures")):
        counts = [getattr(row, field) for row in (first, second)]
        if counts[0] != counts[1]:
            raise _not_comparable(first, what, counts, names)
    for field, what in (("queries_sha256", "the queries"), ("gallery_sha256", "the gallery")):
        digests = [getattr(row, field) for row in (first, second)]
        if None not in digests and digests[0] != digests[1]:
            raise _not_comparable(first, what, [f"digest {str(digest)[:12]}" for digest in digests], names)


def _not_comparable(row: ResultRow, what: str, values: list[Any], names: tuple[str, str]) -> MismatchError:
    shown = " and ".join(f"{value} in {name}" for value, name in zip(values, names, strict=True))
    return MismatchError(f"{row.heading}: {what} differs ({shown}); such figures cannot be compared")


@dataclass(frozen=True)
class MeanSpread:
    """The mean over runs, and the standard deviation if there are several."""

    mean: float
    spread: float | None = None
    runs: int = 1

    @classmethod
    def of(cls, values: Sequence[float]) -> "MeanSpread":
        """Compute the mean and the sample standard deviation (n - 1) of one or more runs."""
        return cls(mean(values), stdev(values) if len(values) > 1 else None, len(values))

    def text(self, decimals: int = 1) -> str:
        """Format as in "40.9 ± 0.2"."""
        return f"{self.mean:.{decimals}f}" + ("" if self.spread is None else f" ± {self.spread:.{decimals}f}")


@dataclass(frozen=True)
class MethodRuns:
    """The rows of one method with one encoder, one for each run."""

    method: str
    encoder: str
    rows: tuple[ResultRow, ...]

    def figure(self, metric: str) -> MeanSpread | None:
        """The metric over the runs; None if a run lacks it."""
        values = [row.metrics[metric] for row in self.rows if metric in row.metrics]
        return MeanSpread.of(values) if values and len(values) == len(self.rows) else None


def group_runs(rows: Iterable[ResultRow]) -> list[MethodRuns]:
    """Group rows by method and encoder, in order of first appearance."""
    grouped: dict[tuple[str, str], list[ResultRow]] = {}
    for row in rows:
        grouped.setdefault((row.method, row.encoder), []).append(row)
    return [MethodRuns(method, encoder, tuple(same)) for (method, encoder), same in grouped.items()]
