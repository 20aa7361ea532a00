"""`table`: result files as the tables that papers and leaderboards print."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych.errors import MismatchError, UsageError
from triptych.results.averaging import Figure, lines
from triptych.results.reading import Row, heading, read_rows, require_same_protocol, world


@dataclass(frozen=True)
class _Grid:
    """One line a method; columns of metrics, grouped by benchmark, task and split."""

    groups: tuple[tuple[str, tuple[str, ...]], ...]
    """Headings, and the metrics below each."""
    labels: tuple[tuple[str, str], ...]
    """Each line's method and encoder."""
    figures: tuple[tuple[Figure | None, ...], ...]
    """Each line's figures, group after group; None where nothing was measured."""

    @property
    def encoders(self) -> bool:
        """Whether lines differ in their encoder."""
        return len({encoder for _, encoder in self.labels}) > 1

    def names(self, line: int) -> list[str]:
        """What a line is called: the method, and the encoder where they differ."""
        return list(self.labels[line]) if self.encoders else [self.labels[line][0]]

    @property
    def name_columns(self) -> list[str]:
        return ["method", "encoder"] if self.encoders else ["method"]

    def cells(self, decimals: int, bold: Callable[[str], str], none: str) -> list[list[str]]:
        """Every figure's text; the best of a column in bold, unless it stands alone."""
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
    """Result files as one table in `format` (markdown, latex or csv): one line a method, columns by benchmark and task.

    Several runs of a method, such as training seeds, become mean ± standard deviation. The best of a column is bold.
    LaTeX needs the package booktabs; CSV has full precision, and the deviation in a column of its own.

    Raises:
        DataError: a file is no result file.
        MismatchError: methods of one column were measured by different protocols, or on different queries.
        UsageError: there is no such format, or no file.
    """
    if format not in FORMATS:
        raise UsageError(f"there is no format {format!r}; choose one of {', '.join(FORMATS)}")
    if not files:
        raise UsageError("give at least one result file")
    rows = [(row, str(path)) for path in files for row in read_rows(Path(path))]
    return FORMATS[format](_grid(rows), decimals)


def _grid(rows: Sequence[tuple[Row, str]]) -> _Grid:
    tasks: dict[str, list[tuple[Row, str]]] = {}
    for row, file in rows:
        tasks.setdefault(heading(row), []).append((row, file))
    for same in tasks.values():
        _require_one_column(same)
    found = {task: lines(row for row, _ in same) for task, same in tasks.items()}
    groups = tuple(
        (task, tuple(dict.fromkeys(name for line in same for row in line.rows for name in row["metrics"])))
        for task, same in found.items()
    )
    labels = tuple(dict.fromkeys((line.method, line.encoder) for same in found.values() for line in same))
    at = {(task, line.method, line.encoder): line for task, same in found.items() for line in same}

    def figure(label: tuple[str, str], task: str, metric: str) -> Figure | None:
        line = at.get((task, *label))
        return line.figure(metric) if line else None

    figures = tuple(
        tuple(figure(label, task, metric) for task, metrics in groups for metric in metrics) for label in labels
    )
    return _Grid(groups, labels, figures)


def _require_one_column(rows: Sequence[tuple[Row, str]]) -> None:
    """Every method of a column must follow one protocol and have been asked the same, in each of its runs."""
    (first, name), *_ = rows
    for row, file in rows:
        require_same_protocol(first, row, (name, file))
    asked = [(line, {world(row) for row in line.rows}) for line in lines(row for row, _ in rows)]
    for line, worlds in asked:
        if worlds != asked[0][1]:
            raise MismatchError(
                f"{heading(first)}: {line.method} and {asked[0][0].method} were not measured on the same queries and "
                "pictures; such figures do not share a column"
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
    del decimals  # a table for programs keeps what was measured
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = [f"{task}: {name}" for task, names in grid.groups for name in names]
    spread = [any(figure and figure.runs > 1 for figure in figures) for figures in zip(*grid.figures, strict=True)]
    heads = [head for column, wide in zip(columns, spread, strict=True) for head in _wide(wide, column)]
    writer.writerow(["method", "encoder", *heads])
    for label, figures in zip(grid.labels, grid.figures, strict=True):
        cells: list[object] = []
        for figure, wide in zip(figures, spread, strict=True):
            cells.append("" if figure is None else f"{figure.mean:.4f}")
            if wide:
                told = figure is not None and figure.spread is not None
                cells += [f"{figure.spread:.4f}" if told and figure else "", figure.runs if figure else ""]
        writer.writerow([*label, *cells])
    return out.getvalue().rstrip("\n")


def _wide(wide: bool, column: str) -> list[str]:
    return [column, f"{column}, deviation", f"{column}, runs"] if wide else [column]


FORMATS: dict[str, Callable[[_Grid, int], str]] = {"markdown": _markdown, "latex": _latex, "csv": _csv}
