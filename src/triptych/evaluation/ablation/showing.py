"""Show an ablation as a table and as a plot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from triptych.core.files import atomic


@dataclass(frozen=True)
class MetricOverSeeds:
    """One metric of a recipe over several seeds."""

    values: list[float]
    """The value for each seed, in percent."""
    mean: float
    deviation: float | None
    """The standard deviation; None for one seed."""


@dataclass(frozen=True)
class AblationRow:
    """The metrics of a recipe on a task."""

    benchmark: str
    task: str
    recipe: str
    seeds: list[int]
    metrics: dict[str, MetricOverSeeds]


@dataclass(frozen=True)
class AblationResult:
    """The rows of finished cells, and how many cells there are."""

    rows: list[AblationRow]
    """The rows of finished cells, by task and recipe."""
    cells: int
    """The number of cells: one for each recipe, benchmark and seed."""
    finished: int
    """The number of finished cells."""
    failed: tuple[str, ...]
    """The failed cells, each with its error."""
    made_by: dict[str, Any]
    """Program, version, settings and time."""


_SHOWN = ("R@1", "R@10", "mAP@10")
_DRAWN = "R@10"


def summarise_cells(cells: Sequence[Mapping[str, Any]]) -> list[AblationRow]:
    """Make a row for each task and recipe, in order: each metric's values over seeds, mean and standard deviation."""
    found: dict[tuple[str, str, str], dict[int, Mapping[str, float]]] = {}
    for cell in cells:
        for row in cell["rows"]:
            found.setdefault((row["benchmark"], row["task"], cell["recipe"]), {})[cell["seed"]] = row["metrics"]
    rows = []
    for (benchmark, task, recipe), by_seed in found.items():
        metrics = {}
        for name in next(iter(by_seed.values())):
            values = [measured[name] for measured in by_seed.values()]
            deviation = round(stdev(values), 4) if len(values) > 1 else None
            metrics[name] = MetricOverSeeds(values, round(mean(values), 4), deviation)
        rows.append(AblationRow(benchmark, task, recipe, [*by_seed], metrics))
    return rows


def format_ablation(report: AblationResult) -> str:
    """Format a Markdown table for each task. The last column is the difference in R@10 from the first recipe."""
    parts = []
    for (benchmark, task), rows in _by_task(report).items():
        shown = [name for name in _SHOWN if name in rows[0].metrics]
        lines = [
            f"**{benchmark}, {task}**, val split",
            "",
            f"| recipe | seeds | {' | '.join(shown)} | {_DRAWN} against {rows[0].recipe} |",
            f"|---|--:|{'--:|' * len(shown)}--:|",
        ]
        for row in rows:
            values = " | ".join(_spread(row.metrics[name]) for name in shown)
            apart = row.metrics[_DRAWN].mean - rows[0].metrics[_DRAWN].mean
            lines.append(f"| {row.recipe} | {len(row.seeds)} | {values} | {apart:+.1f} |")
        parts.append("\n".join(lines))
    if report.finished < report.cells:
        parts.append(f"{report.finished} of {report.cells} cells are finished.")
    return "\n\n".join(parts)


def draw_ablation(report: AblationResult, path: Path) -> None:
    """Draw R@10 of each recipe as bars with standard deviations and a dot for each seed, one panel for each task."""
    from matplotlib.figure import Figure

    tasks = _by_task(report)
    longest = max(map(len, tasks.values()))
    figure = Figure(figsize=(4.2 * len(tasks) + 1.5, 1.2 + 0.34 * longest), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for axes, ((benchmark, task), rows) in zip(panels, tasks.items(), strict=True):
        measured = [row.metrics[_DRAWN] for row in rows]
        places = range(len(rows))
        axes.barh(
            places,
            [each.mean for each in measured],
            xerr=[each.deviation or 0 for each in measured],
            color=["#b5432e", *["#c9c4bb"] * (len(rows) - 1)],
            error_kw={"ecolor": "#444", "capsize": 3},
        )
        for place, each in zip(places, measured, strict=True):
            axes.plot(each.values, [place] * len(each.values), ".", color="#222", markersize=4)
        axes.axvline(measured[0].mean, color="#888", linestyle="--", linewidth=0.8)
        axes.set_yticks(places, [row.recipe for row in rows])
        axes.invert_yaxis()
        axes.set(title=f"{benchmark}, {task}", xlabel=f"{_DRAWN} on val queries, %")
        axes.spines[["top", "right"]].set_visible(False)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png")


def _by_task(report: AblationResult) -> dict[tuple[str, str], list[AblationRow]]:
    tasks: dict[tuple[str, str], list[AblationRow]] = {}
    for row in report.rows:
        tasks.setdefault((row.benchmark, row.task), []).append(row)
    return tasks


def _spread(metric: MetricOverSeeds) -> str:
    return f"{metric.mean:.1f}" + ("" if metric.deviation is None else f" ± {metric.deviation:.1f}")
