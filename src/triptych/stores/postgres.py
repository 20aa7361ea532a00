"""PostgreSQL with pgvector, for a shop that runs Postgres already (https://github.com/pgvector/pgvector).

A table holds one space of one catalog, and follows it: what is missing or gone is added or removed when it is opened.
"""

import json
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from triptych.catalog import Condition, is_numeric, read_conditions
from triptych.encoders import Vectors
from triptych.errors import FailureError
from triptych.extras import need
from triptych.stores.gallery import Gallery
from triptych.stores.protocol import Found, Rows, Terms

T = TypeVar("T")
_BATCH = 1000
_SIGNS = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class PostgresStore:
    """Vectors `(n, d)` in the table `table` of the database at `address`.

    Conditions compare metadata as the embedded store does: words in small letters and by code point. Searches are
    exact. Where somebody made an index over the column `vector`, pgvector uses it: approximately, and iteratively, so
    that conditions still come before the choice.

    Raises UsageError where the extra `postgres` is not installed, FailureError where the database does not answer.
    """

    def __init__(self, address: str, table: str, dim: int, schema: pa.Schema) -> None:
        need("postgres", "--store postgresql://…")
        import psycopg

        self._psycopg = psycopg
        self._address = address
        self._table = psycopg.sql.Identifier(table)
        self._schema = schema
        self._lock = RLock()
        self._connection: psycopg.Connection[Any] | None = None
        self._do(lambda connection: self._prepare(connection, dim))

    def follow(self, gallery: Gallery, vectors: Callable[[], Vectors]) -> None:
        """Make the table hold the pictures of `gallery`, whose vectors are asked for only if some are missing."""
        held = dict(
            self._do(lambda connection: connection.execute(self._sql("SELECT name, sha256 FROM {}")).fetchall())
        )
        row_of = gallery.row_of
        missing = [name for name, row in row_of.items() if held.get(name) != gallery.hashes[row].decode()]
        if missing:
            rows = [row_of[name] for name in missing]
            hashes = [gallery.hashes[row].decode() for row in rows]
            self.add(Rows(missing, hashes, vectors()[rows], gallery.metadata.take(pa.array(rows, pa.int64()))))
        self.remove([name for name in held if name not in row_of])

    def search(self, queries: Vectors, terms: Sequence[Terms]) -> list[list[Found]]:
        """As the protocol says; equal scores are ordered by name."""
        asked = [self._query(query, term) for query, term in zip(queries, terms, strict=True)]

        def ask(connection: Any) -> list[list[Found]]:
            answers = [connection.execute(text, values).fetchall() for text, values in asked]
            return [[Found(name, -float(distance)) for name, distance in rows] for rows in answers]

        return self._do(ask)

    def vector(self, name: str) -> Vectors:
        """As the protocol says."""
        query = self._sql("SELECT vector::text FROM {} WHERE name = %s")
        row = self._do(lambda connection: connection.execute(query, [name]).fetchone())
        if row is None:
            raise KeyError(name)
        return np.array(json.loads(row[0]), np.float32)

    def add(self, rows: Rows) -> None:
        """As the protocol says; all or none."""
        facts = [_facts(row) for row in rows.metadata.to_pylist()]
        values = [
            (name, sha256, _told(vector), json.dumps(fact))
            for name, sha256, vector, fact in zip(rows.names, rows.hashes, rows.vectors, facts, strict=True)
        ]
        query = self._sql(
            "INSERT INTO {} VALUES (%s, %s, %s::vector, %s::jsonb) ON CONFLICT (name) DO UPDATE "
            "SET sha256 = excluded.sha256, vector = excluded.vector, facts = excluded.facts"
        )

        def insert(connection: Any) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                for start in range(0, len(values), _BATCH):
                    cursor.executemany(query, values[start : start + _BATCH])

        self._do(insert)

    def remove(self, names: Sequence[str]) -> None:
        """As the protocol says."""
        if names:
            query = self._sql("DELETE FROM {} WHERE name = ANY(%s)")
            self._do(lambda connection: connection.execute(query, [list(names)]))

    def _prepare(self, connection: Any, dim: int) -> None:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute(
            self._sql(
                'CREATE TABLE IF NOT EXISTS {} (name text COLLATE "C" PRIMARY KEY, sha256 text NOT NULL, '
                f"vector vector({dim}) NOT NULL, facts jsonb NOT NULL)"
            )
        )

    def _query(self, query: Vectors, term: Terms) -> tuple[Any, list[Any]]:
        parts, values = ["sha256 <> %s"], [_told(query), term.without]
        for condition in read_conditions(self._schema, term.where):
            part, told = _condition(condition, is_numeric(self._schema.field(condition.column).type))
            parts.append(part)
            values += told
        # <#> is the inner product, negated, so that less is nearer.
        text = (
            f"SELECT name, vector <#> %s::vector AS d FROM {{}} WHERE {' AND '.join(parts)} ORDER BY d, name LIMIT %s"
        )
        return self._sql(text), [*values, term.k]

    def _sql(self, text: str) -> Any:
        return self._psycopg.sql.SQL(text).format(self._table)

    def _do(self, work: Callable[[Any], T]) -> T:
        """Run `work` on the connection; once more on a new one where the old has been cut."""
        with self._lock:
            for last in (False, True):
                try:
                    if self._connection is None or self._connection.closed:
                        self._connection = self._connect()
                    return work(self._connection)
                except self._psycopg.OperationalError as error:
                    self._connection = None
                    if last:
                        raise self._failure(error) from None
                except self._psycopg.Error as error:
                    raise self._failure(error) from None
        raise AssertionError("unreachable")

    def _connect(self) -> Any:
        connection = self._psycopg.connect(self._address, autocommit=True, connect_timeout=10)
        # A setting that an older pgvector does not know is kept, and means nothing.
        connection.execute("SET hnsw.iterative_scan = strict_order")
        return connection

    def _failure(self, error: Exception) -> FailureError:
        # Without the address, which may hold a password.
        return FailureError(f"PostgreSQL: {' '.join(str(error).split())[:200]}")


def _condition(condition: Condition, numeric: bool) -> tuple[str, list[Any]]:
    field = "(facts->>%s)::float8" if numeric else '(facts->>%s) COLLATE "C"'
    part = f"{field} {_SIGNS[condition.sign]} %s"
    if condition.sign != "!=":
        return part, [condition.column, condition.wanted]
    return f"(facts->>%s IS NULL OR {part})", [condition.column, condition.column, condition.wanted]


def _facts(row: dict[str, Any]) -> dict[str, Any]:
    known = {column: value for column, value in row.items() if value is not None and value == value}
    # The name is among them: it, too, can be asked about.
    return {
        column: value if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value).casefold()
        for column, value in known.items()
    }


def _told(vector: Vectors) -> str:
    """As pgvector reads it; the shortest digits that give the same float32 back."""
    return "[" + ",".join(map(str, vector)) + "]"
