"""`index --metadata`: the rows of a table that belong to pictures, merged with existing metadata."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from triptych.catalog.columns import type_of, typed_text
from triptych.catalog.matching import BY_FILE, BY_STEM, Match, PictureNames
from triptych.catalog.tables import CsvTable
from triptych.core.errors import DataError
from triptych.core.progress import say
from triptych.core.remote import Place
from triptych.core.text import truncate

_SAMPLE = 200  # rows that are read to decide whether a column names pictures


def metadata_of(
    table: CsvTable, names: list[str], *, root: Place | None = None, before: pa.Table | None = None
) -> tuple[pa.Table, dict[str, int]]:
    """Match the rows of a table with pictures.

    Keys are never guessed. A key that names two pictures matches neither. A picture that is named equally well by
    different rows gets none of them. Both are counted and reported with an example.

    Args:
        table: the table.
        names: the pictures.
        root: their folder, for absolute paths in the table.
        before: the existing metadata, with a column `name`. They stay for pictures without a row, and may have columns
            that the CSV lacks.

    Returns:
        A row for each picture, in the order of `names`, with the first column `name`; and the counts of rows that match
        and that do not.

    Raises:
        DataError: the table matches no picture, or only by plain numbers while another column names them.
    """
    pictures = PictureNames(names, root)
    found = [pictures.find(key) for key in table.keys]
    if names and not any(found):
        raise DataError(_no_match(table, pictures))
    _check_numbers(table, pictures, found)
    counts = Counter(table.counts)
    rows = _row_of_each(table, names, found, counts)
    matched = table.columns.take(pa.array(rows, pa.int64()))
    new = _beside_names(table, matched, names)
    row_before = {name: row for row, name in enumerate(before.column("name").to_pylist())} if before else {}
    places = [row_before.get(name) if row is None else None for name, row in zip(names, rows, strict=True)]
    unknown = sum(row is None and place is None for row, place in zip(rows, places, strict=True))
    if unknown:
        say(f"{table.path}: {unknown} of {len(names)} pictures have no row")
    counts["pictures with a row"] = sum(row is not None for row in rows)
    counts["pictures without a row"] = unknown
    kept = _completed(new, before.take(pa.array(places, pa.int64()))) if before else new
    return kept, {kind: count for kind, count in counts.items() if count}


def _row_of_each(
    table: CsvTable, names: Sequence[str], found: Sequence[Match | None], counts: Counter[str]
) -> list[int | None]:
    """The row of each picture; None if there is none. Rows that are left out are counted and reported."""
    rows_of: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    examples: dict[str, str] = {}
    for row, match in enumerate(found):
        if match is None:
            kind, example = "rows of no picture", truncate(table.keys[row], 80)
        elif len(match.places) > 1:
            kind = "rows that name several pictures"
            both = " and ".join(names[place] for place in match.places[:2])
            example = f"{truncate(table.keys[row], 80)} is {both}"
        else:
            rows_of[match.places[0]][match.level].append(row)
            continue
        counts[kind] += 1
        examples.setdefault(kind, f"line {table.lines[row]}: {example}")
    chosen: list[int | None] = [None] * len(names)
    for place, levels in rows_of.items():
        rows = levels[min(levels)]
        values = [_values(table, row) for row in rows] if len(rows) > 1 else []
        if all(value == values[0] for value in values):
            chosen[place] = rows[0]
            continue
        kind = "pictures with rows that differ"
        counts[kind] += 1
        lines = " and ".join(str(table.lines[row]) for row in rows[:2])
        examples.setdefault(kind, f"{names[place]} has those of lines {lines}")
    for kind, example in examples.items():
        say(f"{table.path}: left out {counts[kind]} {kind} ({example})")
    return chosen


def _values(table: CsvTable, row: int) -> list[Any]:
    return [column[row].as_py() for place, column in enumerate(table.columns.columns) if place != table.key]


def _no_match(table: CsvTable, pictures: PictureNames) -> str:
    header = table.columns.column_names[table.key]
    if len(table.columns) == 0:
        return f"{table.path}: holds no sound row, so no row names a picture of the catalog"
    message = f"{table.path}: no row names a picture of the catalog; column {header!r} must be the picture's name"
    if not table.chosen:
        message = f"{table.path}: no row names a picture of the catalog; its first column must be the picture's name"
    if others := _naming(table, pictures):
        message += f", or give --name-column {others[0]}"
    elif (first := pictures.find(header)) and first.level <= BY_FILE:
        message += ", and its first line must name the columns"
    return message


def _check_numbers(table: CsvTable, pictures: PictureNames, found: Sequence[Match | None]) -> None:
    """Report matches by plain numbers alone.

    Raises:
        DataError: the numbers may be row numbers.
    """
    header = table.columns.column_names[table.key]
    if (first := pictures.find(header)) and first.level <= BY_FILE:
        raise DataError(
            f"{table.path}: its first line names a picture, {header!r}; write a line with column names first"
        )
    hits = [row for row, match in enumerate(found) if match]
    bare = [row for row in hits if (match := found[row]) and match.level == BY_STEM and table.keys[row].isdigit()]
    if table.chosen or not hits or len(bare) < len(hits):
        return
    others = _naming(table, pictures)
    if others or not header or header.startswith("Unnamed:"):
        hint = (
            f"column {others[0]!r} holds names of pictures: give --name-column {others[0]}"
            if others
            else ("such a column holds row numbers: give --name-column")
        )
        raise DataError(f"{table.path}: column {header!r} names pictures by bare numbers only, maybe by chance; {hint}")
    say(f"{table.path}: {len(hits)} rows are matched by bare numbers alone, such as {table.keys[bare[0]]}")


def _naming(table: CsvTable, pictures: PictureNames) -> list[str]:
    """The other columns that also seem to name pictures: at least half of their values do, with the suffix."""
    names = []
    for place, column in enumerate(table.columns.columns):
        if place == table.key or not pa.types.is_string(column.type):
            continue
        values = [value for value in column.slice(0, _SAMPLE).to_pylist() if value]
        fits = [match for value in values if (match := pictures.find(value)) and match.level <= BY_FILE]
        if values and 2 * len(fits) >= len(values):
            names.append(table.columns.column_names[place])
    return names


def _beside_names(table: CsvTable, matched: pa.Table, names: list[str]) -> pa.Table:
    """The columns after `name`. One that is called `name`, too, is renamed, which is reported."""
    others = [place for place in range(matched.num_columns) if place != table.key]
    headers = [matched.column_names[place] for place in others]
    if "name" in headers:
        number = next(number for number in range(2, len(headers) + 3) if f"name_{number}" not in matched.column_names)
        say(f"{table.path}: column 'name' is kept as 'name_{number}', since 'name' is the picture's own")
        headers[headers.index("name")] = f"name_{number}"
    columns = [pa.array(names, pa.string()), *(matched.column(place) for place in others)]
    return pa.table(columns, names=["name", *headers])


def _completed(new: pa.Table, before: pa.Table) -> pa.Table:
    """`new`, completed row by row with the values of `before`."""
    columns = {}
    for name in dict.fromkeys([*new.column_names, *before.column_names]):
        both = [table.column(name) for table in (new, before) if name in table.column_names]
        if both[-1].null_count < len(both[-1]) or name in new.column_names:
            columns[name] = both[0] if len(both) == 1 else pc.coalesce(*_of_one_kind(name, *both))
    return pa.table(columns)


def _of_one_kind(name: str, new: pa.ChunkedArray, before: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Two columns in the type that all their values would have in one CSV: the wider number or date type, or text."""
    if type_of(new.type) != "text" and type_of(before.type) == "text":
        before = pa.chunked_array([typed_text(before)])  # of the few values that are kept all may be numbers
    known = [column.type for column in (new, before) if column.null_count < len(column)]
    types = [type_of(kind) for kind in known]
    kinds = [*known, pa.float64()]
    if any(pa.types.is_timestamp(kind) for kind in known):  # whose time of day must not be lost
        aware = any(pa.types.is_timestamp(kind) and kind.tz for kind in known)
        kinds = [pa.timestamp("us", "UTC" if aware else None)]
    for kind in kinds if len(set(types)) == 1 else ():
        try:
            return new.cast(kind), before.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    if len(types) == 2:
        say(f"column {name!r} is text now: pictures that have no row keep a {types[1]}, and others have a {types[0]}")
    return new.cast(pa.string()), before.cast(pa.string())
