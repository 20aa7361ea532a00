"""Several runs of one method, such as training seeds, as one line with a spread."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from triptych.results.reading import Row


@dataclass(frozen=True)
class Figure:
    """A mean, and the standard deviation over runs where there are several."""

    mean: float
    spread: float | None = None
    runs: int = 1

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        """The figure of one or more runs; the deviation is that of a sample (n - 1)."""
        return cls(mean(values), stdev(values) if len(values) > 1 else None, len(values))

    def text(self, decimals: int = 1) -> str:
        """Such as "40.9 ± 0.2"."""
        return f"{self.mean:.{decimals}f}" + ("" if self.spread is None else f" ± {self.spread:.{decimals}f}")


@dataclass(frozen=True)
class Line:
    """What one method did with one encoder: its rows, one a run."""

    method: str
    encoder: str
    rows: tuple[Row, ...]

    def figure(self, metric: str) -> Figure | None:
        """The metric over the runs; None where a run lacks it."""
        values = [row["metrics"].get(metric) for row in self.rows]
        return None if not values or None in values else Figure.of(values)


def lines(rows: Iterable[Row]) -> list[Line]:
    """Rows by method and encoder, in order of first appearance."""
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row["method"], row["encoder"]), []).append(row)
    return [Line(method, encoder, tuple(same)) for (method, encoder), same in grouped.items()]
