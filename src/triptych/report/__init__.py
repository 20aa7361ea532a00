"""Pictures for people: contact sheets, tables of results, and a report of a whole run as one HTML file."""

from triptych.report.html import QueryCard, Report, ResultCard, Step, TripletCard, write_report
from triptych.report.sheet import contact_sheet
from triptych.report.table import format_gaps, format_table, markdown_table

__all__ = [
    "QueryCard",
    "Report",
    "ResultCard",
    "Step",
    "TripletCard",
    "contact_sheet",
    "format_gaps",
    "format_table",
    "markdown_table",
    "write_report",
]
