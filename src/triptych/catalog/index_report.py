"""Report the pictures that `index` did not take: in one line, and in `rejected.csv`."""

import csv
from collections.abc import Mapping
from typing import Any

from triptych.catalog.catalog import Catalog
from triptych.core.files import atomic
from triptych.core.finding import HEIF_SUFFIXES, Found
from triptych.core.images import NEEDS_HEIF
from triptych.core.remote import Place
from triptych.core.text import cell


def kind_of(reason: str) -> str:
    """The general part of a reason, without the details of one picture."""
    return reason.partition(":")[0].partition(" (")[0].partition(";")[0]


def listed(counts: Mapping[str, Any]) -> str:
    """Counts in one line."""
    return ", ".join(f"{kind} {count}" for kind, count in counts.items())


def nothing_found(pictures: Place, found: Found) -> str:
    """Where no picture was found, and what was there instead."""
    if not pictures.is_dir() and not found.counts():
        return f"{pictures}: the list names no picture"
    below = "" if pictures.is_dir() else f" (looked for below {found.root})"
    seen = listed(found.counts()) or "nothing at all (is the disk or share mounted?)"
    hint = f"; {NEEDS_HEIF}" if any(item.kind in HEIF_SUFFIXES for item in found.left_out) else ""
    return f"{pictures}: no picture found{below}; seen there: {seen}{hint}"


def what_stays(catalog: Catalog) -> str:
    """That a catalog keeps its pictures, as the end of `nothing_found`; empty if it has none."""
    return (
        f". {catalog.folder} keeps its {len(catalog.names)} pictures; to give them up, run again with --prune"
        if catalog.names
        else ""
    )


def write_rejected(catalog: Catalog, found: Found) -> None:
    """Write `rejected.csv`: everything that was met and is no picture of the catalog, with the reason."""
    rows = {entry.name: entry.reason for entry in catalog.entries if entry.status == "rejected"}
    rows |= {item.name: item.reason for item in found.rejected} | {item.name: item.reason for item in found.left_out}
    with (
        atomic(catalog.folder / "rejected.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as out,
    ):
        lines = [(cell(name), cell(reason)) for name, reason in sorted(rows.items())]
        csv.writer(out).writerows([("name", "reason"), *lines])
