"""Result rows as a table: in plain text for the terminal, in Markdown for the docs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
"""A row of a result file, as `evaluate` makes it and docs/formats.md documents it; metrics are in percent."""

_NONE = "–"


@dataclass(frozen=True)
class Block:
    """The rows that may be compared: those of the same queries over the same gallery."""

    heading: str
    rows: tuple[Row, ...]
    metrics: tuple[str, ...]
    """Every metric that a row has, in the order of their first appearance."""

    @property
    def chosen(self) -> str:
        """What its rows have chosen: weight, prompt, or both; empty where they have neither."""
        return ", ".join(name for name in ("weight", "prompt") if any(row.get(name) is not None for row in self.rows))

    def cell(self, row: Row, metric: str) -> str:
        """A metric with two decimals; a dash where the row lacks it."""
        value = row["metrics"].get(metric)
        return _NONE if value is None else f"{value:.2f}"

    def is_best(self, row: Row, metric: str) -> bool:
        """Whether no other row shows more. Of rows that show the same each is best; a row alone is not."""
        shown = [float(cell) for other in self.rows if (cell := self.cell(other, metric)) != _NONE]
        cell = self.cell(row, metric)
        return len(self.rows) > 1 and cell != _NONE and float(cell) == max(shown)

    def choice(self, row: Row, quote: str = '"') -> str:
        """How much the words count against the picture, or what stands before them; a dash where a row has neither."""
        weight, prompt = row.get("weight"), row.get("prompt")
        if weight is not None:
            return f"{weight:.2f}"
        return _NONE if prompt is None else f"{quote}{prompt}{quote}"


def blocks(rows: Sequence[Row]) -> list[Block]:
    """Rows by benchmark, task and split, both blocks and rows in the order given.

    Rows that differ in the number of queries or of pictures share no block: they measure other things.
    """
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        heading = (
            f"{row['benchmark']} · {row['task']} · {row['split']} ({row['queries']} queries, {row['gallery']} pictures)"
        )
        grouped.setdefault(heading, []).append(row)
    return [
        Block(heading, tuple(same), tuple(dict.fromkeys(metric for row in same for metric in row["metrics"])))
        for heading, same in grouped.items()
    ]


def format_table(rows: Sequence[Row]) -> str:
    """Aligned columns under a heading for each benchmark, task and split; `*` marks the best of a column."""
    return "\n\n".join(_format_block(block) for block in blocks(rows))


def format_gaps(rows: Sequence[Row]) -> str:
    """The composition gap: a line for each row that has one and is more than one of the two inputs."""
    lines = ["composition gap: points above the better of picture only and words only, on the same queries"]
    for row in rows:
        gap = row.get("gap")
        if gap and row["method"] not in ("picture", "text"):
            shown = ", ".join(f"{metric} {value:+.2f}" for metric, value in gap.items())
            lines.append(f"  {row['benchmark']} · {row['task']} · {row['method']}: {shown}")
    return "\n".join(lines)


def _format_block(block: Block) -> str:
    texts, numbers = _columns(block)
    # The mark has a place of its own, so that the digits stand beneath each other.
    table = [[*texts, *(f"{name} " for name in numbers)]]
    for row in block.rows:
        cells = [f"{block.cell(row, name)}{'*' if block.is_best(row, name) else ' '}" for name in block.metrics]
        choice = [f"{block.choice(row)} "] if block.chosen else []
        table.append([row["method"], row["encoder"], *choice, *cells])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column < len(texts) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]
    return "\n".join([block.heading, *(f"  {line}" for line in lines)])


def markdown_table(rows: Sequence[Row]) -> str:
    """A Markdown table under a bold heading for each benchmark, task and split, the best of a column bold."""
    return "\n\n".join(_markdown_block(block) for block in blocks(rows))


def _markdown_block(block: Block) -> str:
    texts, numbers = _columns(block)
    lines = [[*texts, *numbers], ["---"] * len(texts) + ["---:"] * len(numbers)]
    for row in block.rows:
        cells = [block.cell(row, name) for name in block.metrics]
        marked = [
            f"**{cell}**" if block.is_best(row, name) else cell for name, cell in zip(block.metrics, cells, strict=True)
        ]
        names = [str(row[column]) for column in texts] + ([block.choice(row, "`")] if block.chosen else [])
        lines.append([*(name.replace("|", "\\|") for name in names), *marked])
    return "\n".join([f"**{block.heading}**", "", *(f"| {' | '.join(line)} |" for line in lines)])


def _columns(block: Block) -> tuple[list[str], list[str]]:
    """The names of the columns of text and of those of numbers."""
    return ["method", "encoder"], [*([block.chosen] if block.chosen else []), *block.metrics]
