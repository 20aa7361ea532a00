"""A store in PostgreSQL with pgvector (https://github.com/pgvector/pgvector).

A table holds one space of one catalog. When the catalog is opened, missing pictures are added to the table, and
pictures that are gone are removed.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa

from triptych.catalog.conditions import Comparison, Condition, Either, Value, read_conditions
from triptych.catalog.values import iso_of
from triptych.core.vectors import Vectors
from triptych.retrieval.stores.connections import Connections
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.protocol import Rows, SearchTerms, StoreHit

_BATCH = 1000  # rows written by one statement
_PAGE = 10_000  # rows read by one statement, so that none takes long
_INDEXED = (
    "SELECT 1 FROM pg_index JOIN pg_class ON oid = indexrelid JOIN pg_am ON pg_am.oid = relam "
    "WHERE indrelid = to_regclass(%s) AND amname IN ('hnsw', 'ivfflat')"
)


class PostgresStore:
    """Vectors `(n, d)` in the table `table` of the database at `address`.

    Conditions compare metadata as in the other stores: numbers as numbers, words in lower case and by code point, dates
    in the order of time. Searches are exact, unless somebody has created an index (hnsw or ivfflat) on the column
    `vector`. With an index a search is approximate, and pgvector scans on until enough rows fulfil the conditions. It
    stops after a number of rows, and older versions scan only once. If too few rows were found, the query is repeated
    without the index.

    Raises:
        UsageError: the extra `postgres` is not installed.
        StoreError: the database does not answer.
    """

    def __init__(self, address: str, table: str, dim: int, schema: pa.Schema) -> None:
        self._connections = Connections(address)
        self._do = self._connections.do
        self._name = table
        self._schema = schema
        self._do(lambda connection: self._prepare(connection, dim))

    def follow(self, gallery: Gallery, vectors: Callable[[], Vectors]) -> None:
        """Make the table hold the pictures of `gallery`. Vectors are computed only if some are missing."""
        row_of = gallery.row_of
        held: dict[str, str] = {}
        changed: list[tuple[str, str]] = []
        for page in self._pages():
            held |= {name: content for name, content, _ in page}
            known_facts = {name: facts for name, _, facts in page if name in row_of}
            known = gallery.metadata.take(pa.array([row_of[name] for name in known_facts], pa.int64())).to_pylist()
            for (name, facts), row in zip(known_facts.items(), known, strict=True):
                if facts != _facts(row):
                    changed.append((json.dumps(_facts(row)), name))
        alive = zip(gallery.names, gallery.alive, strict=True)
        missing = [
            row for row, (name, there) in enumerate(alive) if there and held.get(name) != gallery.hashes[row].decode()
        ]
        matrix = vectors() if missing else None
        for start in range(0, len(missing), _BATCH):
            assert matrix is not None
            rows = missing[start : start + _BATCH]
            hashes = [gallery.hashes[row].decode() for row in rows]
            metadata = gallery.metadata.take(pa.array(rows, pa.int64()))
            self.add(Rows([gallery.names[row] for row in rows], hashes, matrix[rows], metadata))
        self._change("UPDATE {} SET facts = %s::jsonb WHERE name = %s", changed)
        self.remove([name for name in held if name not in row_of])

    def search(self, queries: Vectors, terms: Sequence[SearchTerms]) -> list[list[StoreHit]]:
        """See `Store.search`. Equal scores are ordered by name."""
        return [self._one(query, term) for query, term in zip(queries, terms, strict=True)]

    def check(self) -> None:
        """As the protocol says."""
        self._do(lambda connection: connection.execute(self._sql("SELECT FROM {} LIMIT 1")))

    def vector(self, name: str) -> Vectors:
        """As the protocol says."""
        query = self._sql("SELECT vector::text FROM {} WHERE name = %s")
        row = self._do(lambda connection: connection.execute(query, [name]).fetchone())
        if row is None:
            raise KeyError(name)
        return np.array(json.loads(row[0]), np.float32)

    def add(self, rows: Rows) -> None:
        """See `Store.add`. Rows are written in batches of 1,000, each in one transaction."""
        facts = [_facts(row) for row in rows.metadata.to_pylist()]
        values = [
            (name, sha256, _as_text(vector), json.dumps(fact))
            for name, sha256, vector, fact in zip(rows.names, rows.hashes, rows.vectors, facts, strict=True)
        ]
        self._change(
            "INSERT INTO {} VALUES (%s, %s, %s::vector, %s::jsonb) ON CONFLICT (name) DO UPDATE "
            "SET sha256 = excluded.sha256, vector = excluded.vector, facts = excluded.facts",
            values,
        )

    def remove(self, names: Sequence[str]) -> None:
        """As the protocol says."""
        self._change("DELETE FROM {} WHERE name = %s", [(name,) for name in names])

    def _change(self, text: str, values: Sequence[tuple[str, ...]]) -> None:
        """Run a statement for each of `values`, a batch at a time."""
        query = self._sql(text)
        for start in range(0, len(values), _BATCH):
            self._do(partial(_changed, query, values[start : start + _BATCH]))

    def _prepare(self, connection: Any, dim: int) -> None:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute(
            self._sql(
                'CREATE TABLE IF NOT EXISTS {} (name text COLLATE "C" PRIMARY KEY, sha256 text NOT NULL, '
                f"vector vector({dim}) NOT NULL, facts jsonb NOT NULL)"
            )
        )

    def _one(self, query: Vectors, term: SearchTerms) -> list[StoreHit]:
        def ask(connection: Any) -> list[Any]:
            rows = _fetched(*self._query(query, term), connection)
            if len(rows) < term.k and _fetched(_INDEXED, [self._name], connection):
                rows = _fetched(*self._query(query, term, exactly=True), connection)
            return rows

        # An iterative scan of ivfflat may return nearer rows later.
        rows = sorted(self._do(ask), key=lambda row: (row[1], row[0]))
        return [StoreHit(name, -float(distance)) for name, distance in rows]

    def _query(self, query: Vectors, term: SearchTerms, *, exactly: bool = False) -> tuple[Any, list[Any]]:
        values: list[Any]
        parts, values = ["sha256 <> ALL(%s)"], [_as_text(query), list(term.without)]
        for condition in read_conditions(self._schema, term.where).parts:
            part, wanted = _condition(condition)
            parts.append(part)
            values += wanted
        # <#> is the negated inner product, so smaller is nearer. Adding 0 keeps PostgreSQL from using an index.
        distance = f"(vector <#> %s::vector){' + 0' * exactly}"
        text = f"SELECT name, {distance} AS d FROM {{}} WHERE {' AND '.join(parts)} ORDER BY d, name LIMIT %s"
        return self._sql(text), [*values, term.k]

    def _pages(self) -> Iterator[list[tuple[str, str, dict[str, Any]]]]:
        """Name, SHA-256 and metadata of the table's rows, in the order of names."""
        query = self._sql("SELECT name, sha256, facts FROM {} WHERE name > %s ORDER BY name LIMIT %s")
        last = ""
        while True:
            page = self._do(partial(_fetched, query, [last, _PAGE]))
            yield page
            if len(page) < _PAGE:
                return
            last = page[-1][0]

    def _sql(self, text: str) -> Any:
        sql = self._connections.psycopg.sql
        return sql.SQL(text).format(sql.Identifier(self._name))


def _fetched(query: Any, values: Sequence[Any], connection: Any) -> list[Any]:
    return list(connection.execute(query, values).fetchall())


def _changed(query: Any, values: Sequence[Any], connection: Any) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(query, values)


def _condition(condition: Condition) -> tuple[str, list[Any]]:
    """A condition in SQL, and its parameters. If a value is unknown it is NULL, which counts as false."""
    if isinstance(condition, Comparison):
        return _comparison(condition)
    parts, values = [], []
    for part, wanted in map(_condition, condition.parts):
        parts.append(part)
        values += wanted
    return f"({(' OR ' if isinstance(condition, Either) else ' AND ').join(parts)})", values


def _comparison(comparison: Comparison) -> tuple[str, list[Any]]:
    column, sign = comparison.column, comparison.sign
    known = [value for value in comparison.wanted if value is not None]
    if sign not in {"=", "!="}:
        return _compared(comparison, sign, known[0])
    parts, values = [], []
    for part, wanted in (_compared(comparison, "=" if sign == "=" else "<>", value) for value in known):
        parts.append(part)
        values += wanted
    if sign == "=":
        if None in comparison.wanted:
            parts, values = [*parts, "facts->>%s IS NULL"], [*values, column]
        return f"({' OR '.join(parts)})", values
    if None in comparison.wanted:
        return f"({' AND '.join(['facts->>%s IS NOT NULL', *parts])})", [column, *values]
    return f"(facts->>%s IS NULL OR ({' AND '.join(parts)}))", [column, *values]


def _compared(comparison: Comparison, sign: str, value: Value) -> tuple[str, list[Any]]:
    """Compare with one value: numbers exactly as stored, text by code point, and dates by their beginning."""
    if comparison.type == "number":
        kind = "numeric" if isinstance(value, int) else "float8"
        return f"(facts->>%s)::{kind} {sign} %s::{kind}", [comparison.column, value]
    if comparison.type == "date":
        return f'left(facts->>%s, %s::int) COLLATE "C" {sign} %s', [comparison.column, len(str(value)), value]
    wanted = str(value).lower() if comparison.type == "boolean" else value
    return f'(facts->>%s) COLLATE "C" {sign} %s', [comparison.column, wanted]


def _facts(row: dict[str, Any]) -> dict[str, Any]:
    # The name is included, since conditions can use it, too.
    return {column: _fact(value) for column, value in row.items() if value not in (None, "") and value == value}


def _fact(value: Any) -> Any:
    """A value as JSON for the database, which has neither infinity nor zero bytes."""
    if isinstance(value, date):
        return iso_of(value)
    if isinstance(value, float) and not isfinite(value):
        return str(value)  # "inf", which PostgreSQL casts back to infinity
    if isinstance(value, str):
        return value.casefold().replace("\0", "\1")  # no condition contains these bytes, and the order is unchanged
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value).casefold()


def _as_text(vector: Vectors) -> str:
    """A vector as pgvector's text: the shortest digits that parse to the same float32."""
    return "[" + ",".join(map(str, vector)) + "]"
