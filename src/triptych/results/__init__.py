"""Result files read again: compared, averaged over seeds, and set as tables."""

from triptych.results.averaging import Figure, Line, lines
from triptych.results.comparing import compare, format_comparison
from triptych.results.reading import Row, heading, read_rows, require_comparable
from triptych.results.tabulating import FORMATS, table

__all__ = [
    "FORMATS",
    "Figure",
    "Line",
    "Row",
    "compare",
    "format_comparison",
    "heading",
    "lines",
    "read_rows",
    "require_comparable",
    "table",
]
