"""`table`: format result files as tables like those of papers and leaderboards."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych.core.errors import MismatchError, UsageError
from triptych.core.text import cell
from triptych.evaluation.results.reading import MeanSpread, group_runs, read_rows, require_same_protocol
from triptych.evaluation.results.row import ResultRow


@dataclass(frozen=True)
class _Grid:
    """A line for each method, with columns of metrics grouped by benchmark, task and split."""

    groups: tuple[tuple[str, tuple[str, ...]], ...]
    """The headings of groups, and the metrics below each."""
    labels: tuple[tuple[str, str], ...]
    """The method and encoder of each line."""
    figures: tuple[tuple[MeanSpread | None, ...], ...]
    """The figures of each line, in the order of the columns; None if a metric was not measured."""

    @property
    def encoders(self) -> bool:
        """Whether the lines have different encoders."""
        return len({encoder for _, encoder in self.labels}) > 1

    def names(self, line: int) -> list[str]:
        """The names in a line: the method, and the encoder if lines have different ones."""
        return list(self.labels[line]) if self.encoders else [self.labels[line][0]]

    @property
    def name_columns(self) -> list[str]:
        return ["method", "encoder"] if self.encoders else ["method"]

    def cells(self, decimals: int, bold: Callable[[str], str], none: str) -> list[list[str]]:
        """Format every figure. The best of a column is bold, unless it is the only one."""
        columns = []
        for figures in zip(*self.figures, strict=True):
            shown = [None if figure is None else round(figure.mean, decimals) for figure in figures]
            known = [value for value in shown if value is not None]
            best = max(known) if len(known) > 1 else None
            texts = [none if figure is None else figure.text(decimals) for figure in figures]
            columns.append(
                [
                    bold(text) if best is not None and value == best else text
                    for text, value in zip(texts, shown, strict=True)
                ]
            )
        return [list(cells) for cells in zip(*columns, strict=True)]


def table(files: Sequence[Path | str], *, format: str = "markdown", decimals: int = 2) -> str:
    """Format result files as one table: a line for each method, and columns by benchmark and task.

    Several runs of a method, such as training seeds, become mean ± standard deviation. The best of a column is bold.
    LaTeX needs the package booktabs. CSV has full precision, and the standard deviation in a column of its own.

    Args:
        files: result files.
        format: markdown, latex or csv.
        decimals: decimals of every figure, except in CSV.

    Returns:
        The table as text.

    Raises:
        DataError: a file is no result file.
        MismatchError: methods of one column have different protocols or queries.
        UsageError: the format is unknown, or no file is given.
    """
    if format not in FORMATS:
        raise UsageError(f"there is no format {format!r}; use one of {', '.join(FORMATS)}")
    if not files:
        raise UsageError("give at least one result file")
    rows = [(row, str(path)) for path in files for row in read_rows(Path(path))]
    return FORMATS[format](_grid(rows), decimals)


def _grid(rows: Sequence[tuple[ResultRow, str]]) -> _Grid:
    tasks: dict[str, list[tuple[ResultRow, str]]] = {}
    for row, file in rows:
        tasks.setdefault(row.heading, []).append((row, file))
    for same in tasks.values():
        _require_one_column(same)
    found = {task: group_runs(row for row, _ in same) for task, same in tasks.items()}
    groups = tuple(
        (task, tuple(dict.fromkeys(name for line in same for row in line.rows for name in row.metrics)))
        for task, same in found.items()
    )
    labels = tuple(dict.fromkeys((line.method, line.encoder) for same in found.values() for line in same))
    at = {(task, line.method, line.encoder): line for task, same in found.items() for line in same}

    def figure(label: tuple[str, str], task: str, metric: str) -> MeanSpread | None:
        line = at.get((task, *label))
        return line.figure(metric) if line else None

    figures = tuple(
        tuple(figure(label, task, metric) for task, metrics in groups for metric in metrics) for label in labels
    )
    return _Grid(groups, labels, figures)


def _require_one_column(rows: Sequence[tuple[ResultRow, str]]) -> None:
    """Check that all methods and runs of a column have the same protocol and queries."""
    (first, name), *_ = rows
    for row, file in rows:
        require_same_protocol(first, row, (name, file))
    asked = [(line, {row.query_set for row in line.rows}) for line in group_runs(row for row, _ in rows)]
    for line, query_sets in asked:
        if query_sets != asked[0][1]:
            raise MismatchError(
                f"{first.heading}: {line.method} and {asked[0][0].method} were not measured on the same queries and "
                "pictures; such figures cannot be in one column"
            )


def _markdown(grid: _Grid, decimals: int) -> str:
    metrics = [f"{task}: {name}" for task, names in grid.groups for name in names]
    table = [[*grid.name_columns, *metrics], ["---"] * len(grid.name_columns) + ["--:"] * len(metrics)]
    for line, cells in enumerate(grid.cells(decimals, "**{}**".format, "–")):
        table.append([*(name.replace("|", "\\|") for name in grid.names(line)), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def _latex(grid: _Grid, decimals: int) -> str:
    names = grid.name_columns
    heads, rules, first = [""] * len(names), [], len(names) + 1
    for task, metrics in grid.groups:
        heads.append(f"\\multicolumn{{{len(metrics)}}}{{c}}{{{_escape(task)}}}")
        rules.append(f"\\cmidrule(lr){{{first}-{first + len(metrics) - 1}}}")
        first += len(metrics)
    titles = [*names, *(_escape(metric) for _, metrics in grid.groups for metric in metrics)]
    body = [
        [*(_escape(name) for name in grid.names(line)), *cells]
        for line, cells in enumerate(grid.cells(decimals, "\\textbf{{{}}}".format, "--"))
    ]
    rows = [" & ".join(cells).replace("±", "$\\pm$") + r" \\" for cells in (heads, titles, *body)]
    return "\n".join(
        [
            f"\\begin{{tabular}}{{{'l' * len(names)}{'r' * (first - len(names) - 1)}}}",
            r"\toprule",
            rows[0],
            " ".join(rules),
            rows[1],
            r"\midrule",
            *rows[2:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _escape(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "·": r"$\cdot$"}
    return "".join(special.get(letter, f"\\{letter}" if letter in "&%$#_{}" else letter) for letter in text)


def _csv(grid: _Grid, decimals: int) -> str:
    del decimals  # CSV is for programs and keeps full precision
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = [f"{task}: {name}" for task, names in grid.groups for name in names]
    spread = [any(figure and figure.runs > 1 for figure in figures) for figures in zip(*grid.figures, strict=True)]
    heads = [head for column, wide in zip(columns, spread, strict=True) for head in _wide(wide, column)]
    writer.writerow(["method", "encoder", *map(cell, heads)])
    for label, figures in zip(grid.labels, grid.figures, strict=True):
        cells: list[object] = []
        for figure, wide in zip(figures, spread, strict=True):
            cells.append("" if figure is None else f"{figure.mean:.4f}")
            if wide:
                several = figure is not None and figure.spread is not None
                cells += [f"{figure.spread:.4f}" if several and figure else "", figure.runs if figure else ""]
        writer.writerow([*map(cell, label), *cells])
    return out.getvalue().rstrip("\n")


def _wide(wide: bool, column: str) -> list[str]:
    return [column, f"{column}, deviation", f"{column}, runs"] if wide else [column]


FORMATS: dict[str, Callable[[_Grid, int], str]] = {"markdown": _markdown, "latex": _latex, "csv": _csv}


_NONE = "–"


@dataclass(frozen=True)
class Block:
    """Comparable rows: those with the same queries and gallery."""

    heading: str
    rows: tuple[ResultRow, ...]
    metrics: tuple[str, ...]
    """All metrics of the rows, in the order of their first appearance."""

    @property
    def tuned(self) -> str:
        """What was selected for the rows: weight, prompt, or both; empty if neither."""
        known = {name: [getattr(row, name) for row in self.rows] for name in ("weight", "prompt")}
        return ", ".join(name for name, values in known.items() if any(value is not None for value in values))

    def cell(self, row: ResultRow, metric: str) -> str:
        """Format a metric with two decimals, or as a dash if the row lacks it."""
        value = row.metrics.get(metric)
        return _NONE if value is None else f"{value:.2f}"

    def is_best(self, row: ResultRow, metric: str) -> bool:
        """Whether no other row has a higher value. Equal rows are all best; a single row is not."""
        shown = [float(cell) for other in self.rows if (cell := self.cell(other, metric)) != _NONE]
        cell = self.cell(row, metric)
        return len(self.rows) > 1 and cell != _NONE and float(cell) == max(shown)

    def choice(self, row: ResultRow, quote: str = '"') -> str:
        """Format the weight or the prompt of a row, or a dash if it has neither."""
        weight, prompt = row.weight, row.prompt
        if weight is not None:
            return f"{weight:.2f}"
        return _NONE if prompt is None else f"{quote}{prompt}{quote}"


def blocks(rows: Sequence[ResultRow]) -> list[Block]:
    """Group rows by benchmark, task and split, in the order given.

    Rows that differ in the number of queries or of pictures are in different blocks.
    """
    grouped: dict[str, list[ResultRow]] = {}
    for row in rows:
        heading = f"{row.heading} ({row.queries} queries, {row.gallery} pictures)"
        grouped.setdefault(heading, []).append(row)
    return [
        Block(heading, tuple(same), tuple(dict.fromkeys(metric for row in same for metric in row.metrics)))
        for heading, same in grouped.items()
    ]


def format_table(rows: Sequence[ResultRow]) -> str:
    """Format aligned columns under a heading for each benchmark, task and split. `*` marks the best of a column."""
    return "\n\n".join(_format_block(block) for block in blocks(rows))


def format_gaps(rows: Sequence[ResultRow]) -> str:
    """Format the composition gap: a line for each row that has one and uses both inputs."""
    lines = ["composition gap: lead in points over the better of picture only and words only, on the same queries"]
    for row in rows:
        gap = row.gap
        if gap and row.method not in ("picture", "text"):
            shown = ", ".join(f"{metric} {value:+.2f}" for metric, value in gap.items())
            lines.append(f"  {row.benchmark} · {row.task} · {row.method}: {shown}")
    return "\n".join(lines)


def _format_block(block: Block) -> str:
    texts, numbers = _columns(block)
    # The mark has a column of its own, so that digits are aligned.
    table = [[*texts, *(f"{name} " for name in numbers)]]
    for row in block.rows:
        cells = [f"{block.cell(row, name)}{'*' if block.is_best(row, name) else ' '}" for name in block.metrics]
        choice = [f"{block.choice(row)} "] if block.tuned else []
        table.append([row.method, row.encoder, *choice, *cells])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column < len(texts) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]
    return "\n".join([block.heading, *(f"  {line}" for line in lines)])


def markdown_table(rows: Sequence[ResultRow]) -> str:
    """Format a Markdown table under a bold heading for each benchmark, task and split. The best of a column is bold."""
    return "\n\n".join(_markdown_block(block) for block in blocks(rows))


def _markdown_block(block: Block) -> str:
    texts, numbers = _columns(block)
    lines = [[*texts, *numbers], ["---"] * len(texts) + ["---:"] * len(numbers)]
    for row in block.rows:
        cells = [block.cell(row, name) for name in block.metrics]
        marked = [
            f"**{cell}**" if block.is_best(row, name) else cell for name, cell in zip(block.metrics, cells, strict=True)
        ]
        names = [str(getattr(row, column)) for column in texts] + ([block.choice(row, "`")] if block.tuned else [])
        lines.append([*(name.replace("|", "\\|") for name in names), *marked])
    return "\n".join([f"**{block.heading}**", "", *(f"| {' | '.join(line)} |" for line in lines)])


def _columns(block: Block) -> tuple[list[str], list[str]]:
    """The names of text columns and of number columns."""
    return ["method", "encoder"], [*([block.tuned] if block.tuned else []), *block.metrics]
