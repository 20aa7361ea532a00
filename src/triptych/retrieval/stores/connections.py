"""A pool of connections to PostgreSQL, with timeouts."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Timer
from typing import Any, TypeVar

from triptych.core.environment import require_extra
from triptych.core.errors import StoreError

T = TypeVar("T")
_CONNECT = 10  # seconds to open a connection
_STATEMENT = 15  # seconds after which the server cancels a statement; below the 20 s of the next line
_SILENCE = 20  # seconds after which a connection is closed if the server has not answered at all
_KEEPALIVE = 30  # idle seconds after which TCP probes a connection
_IDLE = 4  # idle connections that are kept open


class Connections:
    """A pool of connections to the database at `address`. Each thread gets its own, so threads do not wait for others.

    Raises:
        UsageError: the extra `postgres` is not installed.
    """

    def __init__(self, address: str) -> None:
        require_extra("postgres", "--store postgresql://…")
        import psycopg

        self.psycopg = psycopg
        self._address = address
        self._lock = Lock()  # guards the list only; not held during queries
        self._idle: list[Any] = []

    def do(self, work: Callable[[Any], T]) -> T:
        """Run `work` on a connection. If the connection was lost, run it once more on a new one.

        Raises:
            StoreError: the database does not answer in time, or returns an error.
        """
        connection = self._take()
        if connection is not None:
            try:
                return self._run(connection, work)
            except _Lost:
                self._forget()  # the same cause has probably closed the idle ones, too
        try:
            return self._run(self._connect(), work)
        except _Lost as lost:
            raise lost.failure from None

    def _run(self, connection: Any, work: Callable[[Any], T]) -> T:
        errors = self.psycopg.errors
        try:
            with _watched(connection) as silent:
                return work(connection)
        except errors.Error as error:
            if silent.is_set():
                raise StoreError(f"PostgreSQL: no answer within {_SILENCE:g} s") from None
            if isinstance(error, errors.OperationalError) and not isinstance(error, errors.QueryCanceled):
                connection.close()
                raise _Lost(_failure(error)) from None
            raise _failure(error) from None
        finally:
            self._give(connection)

    def _take(self) -> Any | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give(self, connection: Any) -> None:
        usable = connection.pgconn.transaction_status == self.psycopg.pq.TransactionStatus.IDLE
        with self._lock:
            if usable and len(self._idle) < _IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _forget(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _connect(self) -> Any:
        try:
            connection = self.psycopg.connect(
                self._address, autocommit=True, connect_timeout=_CONNECT, keepalives_idle=_KEEPALIVE
            )
        except self.psycopg.Error as error:
            raise _failure(error) from None
        try:
            with _watched(connection):
                connection.execute(f"SET statement_timeout = '{1000 * _STATEMENT:.0f}ms'")
                # pgvector's iterative scans: an index is scanned further until enough rows fulfil the conditions. Older
                # versions of pgvector ignore these settings.
                connection.execute("SET hnsw.iterative_scan = strict_order")
                connection.execute("SET ivfflat.iterative_scan = relaxed_order")
        except self.psycopg.Error as error:
            connection.close()
            raise _failure(error) from None
        return connection


class _Lost(Exception):
    """The connection was lost; a new one may work."""

    def __init__(self, failure: StoreError) -> None:
        self.failure = failure


@contextmanager
def _watched(connection: Any) -> Iterator[Event]:
    """Close the connection if the block takes too long: a server that hangs does not apply its own timeout."""
    silent = Event()

    def cut() -> None:
        silent.set()
        with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)

    timer = Timer(_SILENCE, cut)
    timer.daemon = True
    timer.start()
    try:
        yield silent
    finally:
        timer.cancel()


def _failure(error: Exception) -> StoreError:
    # The message leaves out the address, which may contain a password.
    return StoreError(f"PostgreSQL: {' '.join(str(error).split())[:200]}")
