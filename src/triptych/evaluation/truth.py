"""Make queries with known answers for `--validate-by`, from metadata columns or from the user's own queries."""

import csv
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from triptych.benchmarks.datasets.queries import read_queries
from triptych.catalog.catalog import Catalog
from triptych.composers.truth import TruthQueries, TruthQuery
from triptych.core.errors import DataError, UsageError
from triptych.core.progress import say

PHRASINGS = ("{}", "in {}", "but {}", "make it {}", "the same but {}", "{} instead")
"""Phrasings by which a query asks for a value. A hash decides which one a query gets."""
_MAX_QUERIES = 2000  # queries; with more, an interval is hardly narrower

Values = tuple[str, ...]
"""A picture's value in each of the columns."""


def truth_queries(catalog: Path | str, by: str) -> TruthQueries:
    """Make queries with known answers, to judge a composer.

    From columns: each picture with a value in all columns is a reference. For each column, another value is drawn from
    the pictures that agree in the other columns, and the query asks for it. Its targets are all pictures with exactly
    these values. With `kind,colour`, a red skirt gives "in blue" with all blue skirts as targets, and "but shirt" with
    all red shirts. At most 2,000 queries are kept, selected by a hash.

    Args:
        catalog: the folder of a catalog.
        by: metadata columns, as in `kind,colour`; or a file of queries that ends in `.jsonl`, in the format of
            `triptych eval`, with pictures by their names in the catalog.

    Returns:
        The queries.

    Raises:
        UsageError: there is no such column, a column has only one value, or there are fewer than 20 queries.
        DataError: the catalog or the file cannot be used; the message names the line.
    """
    opened = Catalog(Path(catalog))
    if by.endswith(".jsonl"):
        return _from_file(opened, Path(by))
    return _from_columns(opened, _names(by))


def truth_of_pairs(pairs: Path | str, by: str) -> Callable[[Sequence[str]], TruthQueries]:
    """Prepare queries with known answers from the columns of a CSV of pairs, to judge an encoder.

    The queries are made as by `truth_queries` from columns.

    Args:
        pairs: a CSV with the column `image` and others.
        by: some of the other columns, as in `kind,colour`.

    Returns:
        A function that makes the queries among given picture names. It raises UsageError if there are fewer than 20.

    Raises:
        UsageError: there is no such column.
        DataError: the CSV cannot be read.
    """
    path, columns = Path(pairs), _names(by)
    try:
        with path.open(encoding="utf-8-sig", newline="") as content:
            reader = csv.DictReader(content)
            known = [name for name in reader.fieldnames or () if name not in ("image", "caption")]
            _check_columns(columns, known, f"{path} has no columns but image and caption")
            table = {row["image"]: tuple((row[column] or "").strip() for column in columns) for row in reader}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable CSV ({error})") from None

    def among(names: Sequence[str]) -> TruthQueries:
        return _asked({name: table[name] for name in names if name in table and all(table[name])}, columns)

    return among


def _names(by: str) -> list[str]:
    return [name.strip() for name in by.split(",") if name.strip()]


def _from_file(catalog: Catalog, path: Path) -> TruthQueries:
    asked = []
    for query in read_queries(path, catalog.root, frozenset(catalog.names)):
        if query.reference not in catalog.row_of:
            raise DataError(f"{path}:{query.id}: the reference {query.reference!r} is not in the catalog; index it")
        closed = None if query.candidates is None else frozenset(query.candidates)
        asked.append(TruthQuery(query.reference, query.modification, query.targets, query.exclude, closed))
    return TruthQueries(tuple(asked), f"file {path.name}")


def _from_columns(catalog: Catalog, columns: Sequence[str]) -> TruthQueries:
    return _asked(_pictures(catalog, columns), columns)


def _asked(pictures: Mapping[str, Values], columns: Sequence[str]) -> TruthQueries:
    """Make the queries among pictures with these values in the columns."""
    source = f"column{'s' if len(columns) > 1 else ''} {', '.join(columns)}"
    if len(columns) == 1:
        say(f"--validate-by {columns[0]}: with one column nothing must stay the same; add another, such as the kind")
    having: defaultdict[Values, set[str]] = defaultdict(set)
    for name, values in pictures.items():
        having[values].add(name)
    # The values of each column, for each combination of the other columns' values.
    open_to: list[defaultdict[Values, list[str]]] = [defaultdict(list) for _ in columns]
    for values in sorted(having):
        for place, value in enumerate(values):
            open_to[place][_without(values, place)].append(value)
    asked = []
    for name, values in pictures.items():
        for place, column in enumerate(columns):
            others = [value for value in open_to[place][_without(values, place)] if value != values[place]]
            if not others:
                continue
            draw = _draw(name, column)
            wanted = others[draw % len(others)]
            phrasing = PHRASINGS[(draw >> 32) % len(PHRASINGS)]
            targets = frozenset(having[(*values[:place], wanted, *values[place + 1 :])])
            text = phrasing.format(wanted.replace("_", " ").lower())
            asked.append((draw, TruthQuery(name, text, targets)))
    kept = sorted(asked, key=lambda item: (item[0], item[1].reference))[:_MAX_QUERIES]
    return TruthQueries(tuple(query for _, query in kept), source)


def _pictures(catalog: Catalog, columns: Sequence[str]) -> dict[str, Values]:
    """The values of each picture that has a value in every column.

    Raises:
        UsageError: a column cannot be used.
    """
    table = catalog.metadata
    known = [name for name in table.column_names if name != "name"]
    _check_columns(columns, known, "the catalog has no metadata; give index --metadata")
    rows = zip(*(table.column(column).to_pylist() for column in columns), strict=True)
    found = {}
    for name, row in zip(catalog.names, rows, strict=True):
        values = tuple("" if value is None else str(value).strip() for value in row)
        if all(values):
            found[name] = values
    for place, column in enumerate(columns):
        if len({values[place] for values in found.values()}) < 2:
            raise UsageError(
                f"--validate-by: column {column!r} has fewer than two values among pictures with a value in all "
                "columns; name another column"
            )
    return found


def _check_columns(columns: Sequence[str], known: Sequence[str], none: str) -> None:
    """Check that each column exists and is named once. `none` is the message if there are no columns.

    Raises:
        UsageError: a column is missing or named twice.
    """
    if not columns or len(set(columns)) < len(columns):
        raise UsageError("--validate-by: name columns of the metadata, each once, or a .jsonl file of queries")
    for column in columns:
        if column not in known:
            there = f"there are {', '.join(known)}" if known else none
            raise UsageError(f"--validate-by: there is no column {column!r}; {there}")


def _without(values: Values, place: int) -> Values:
    return (*values[:place], *values[place + 1 :])


def _draw(name: str, column: str) -> int:
    """A number that depends only on a picture and a column."""
    return int.from_bytes(sha256(f"{column}\n{name}".encode()).digest()[:8], "big")
