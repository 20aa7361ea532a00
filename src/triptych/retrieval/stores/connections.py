"""Connections to PostgreSQL. No wait for one is endless, and none waits for another."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Timer
from typing import Any, TypeVar

from triptych.core.environment import require_extra
from triptych.core.errors import StoreError

T = TypeVar("T")
_CONNECT = 10  # seconds to a connection
_STATEMENT = 15  # seconds after which the server gives a statement up
_SILENCE = 20  # seconds after which a server that does not even do that is left alone
_KEEPALIVE = 30  # seconds without a word after which a connection that nobody uses is probed
_IDLE = 4  # connections kept for the next to come


class Connections:
    """A pool with as many connections to the database at `address` as threads need at once.

    Raises:
        UsageError: the extra `postgres` is not installed.
    """

    def __init__(self, address: str) -> None:
        require_extra("postgres", "--store postgresql://…")
        import psycopg

        self.psycopg = psycopg
        self._address = address
        self._lock = Lock()  # held for the list alone, never while the database is asked
        self._idle: list[Any] = []

    def do(self, work: Callable[[Any], T]) -> T:
        """Run `work` on a connection, and once more on a new one if the old one was cut.

        Raises:
            StoreError: the database does not answer in time, or gives an error.
        """
        connection = self._take()
        if connection is not None:
            try:
                return self._run(connection, work)
            except _Lost:
                self._forget()  # whatever cut this one has cut those, too
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
                # With an index, conditions are applied while it is walked, until there are enough. A setting that an
                # older pgvector does not know is kept, and means nothing.
                connection.execute("SET hnsw.iterative_scan = strict_order")
                connection.execute("SET ivfflat.iterative_scan = relaxed_order")
        except self.psycopg.Error as error:
            connection.close()
            raise _failure(error) from None
        return connection


class _Lost(Exception):
    """The connection is gone, and perhaps another one is not."""

    def __init__(self, failure: StoreError) -> None:
        self.failure = failure


@contextmanager
def _watched(connection: Any) -> Iterator[Event]:
    """Cut the connection where the block takes too long: a server that hangs keeps no promise of its own."""
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
    # Without the address, which may hold a password.
    return StoreError(f"PostgreSQL: {' '.join(str(error).split())[:200]}")
