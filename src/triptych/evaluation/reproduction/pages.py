"""Format recipes and their results as text."""

from collections.abc import Sequence
from pathlib import Path

from triptych.evaluation.reproduction.recipes import PublishedRecipe
from triptych.evaluation.reproduction.running import Folders, ReproduceResult, steps

_NONE = "–"


def format_reproduction(result: ReproduceResult) -> str:
    """Format published and measured figures, one line for each metric, and the status of each step without figures."""
    table = [["row", "method", "benchmark", "split", "task", "metric", "published", "measured", "difference"]]
    for figure in result.figures:
        published, measured = figure.published, figure.measured
        names = [getattr(figure, name) or _NONE for name in ("row", "method", "benchmark", "split", "task", "metric")]
        difference = _NONE if published is None or measured is None else f"{measured - published:+.2f}"
        table.append(
            [*names, *(_NONE if value is None else f"{value:.2f}" for value in (published, measured)), difference]
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if place < 6 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in table
    ]
    lines += [f"{step.status}: {step.command}" for step in result.steps if not step.status.startswith("measured")]
    return "\n".join(lines)


def format_recipes(recipes: Sequence[PublishedRecipe], out: Path = Path("reproduced")) -> str:
    """Format every recipe as Markdown: its commands, the published figures, and their sources."""
    return "\n\n".join(_page(recipe, out) for recipe in recipes)


def _page(recipe: PublishedRecipe, out: Path) -> str:
    lines = [f"### `{recipe.row}`: {recipe.name}", ""]
    if recipe.runnable:
        made = [steps(recipe, run, Folders(Path(run.benchmark.upper()), out)) for run in recipe.runs]
        commands = [step.command for each in made for step in each]
    else:
        lines += [f"With its authors' code, {recipe.code}; `triptych score` reads the submission files.", ""]
        commands = recipe.command.split("; ")
    lines += ["```", *commands, "```", ""]
    published = [(run, entry) for run in recipe.runs for entry in run.published]
    if not published:
        return "\n".join([*lines, "No published figures that could be checked."])
    for run, entry in published:
        figures = ", ".join(f"{name} {value:.2f}" for name, value in entry.metrics.items())
        method = f" · {entry.method}" if entry.method else ""
        lines.append(f"- {run.benchmark} · {run.split} · {entry.task}{method}: {figures}")
    sources = dict.fromkeys(entry.source for _, entry in published)
    return "\n".join([*lines, "", *(f"Source: {source}." for source in sources)])
