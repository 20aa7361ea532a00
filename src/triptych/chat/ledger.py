"""The ledger: every call and every reference of a run in one SQLite file, so that nothing is lost or paid for twice.

    calls         one row a call: its state, attempts, the raw reply, tokens, cost, seconds, what went wrong
    refs          one row a reference: pending, accepted, or rejected with the reason; its triplets as JSON
    facts         what the run was asked to do

Each change is committed at once. In WAL mode with synchronous = NORMAL a commit outlives the process, however that
ends; a power cut can take the last ones (sqlite.org/pragma.html#pragma_synchronous).
"""

import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from triptych.chat.request import Call
from triptych.core.errors import DataError

FORMAT = 1  # of the file; another number is refused
State = Literal["pending", "accepted", "rejected"]
MOST_TEXT = 64 * 1024
"""Characters of a reply that are stored."""

_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE calls (
    key TEXT PRIMARY KEY, reference TEXT NOT NULL, step TEXT NOT NULL, model TEXT NOT NULL, prompt TEXT NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, raw TEXT NOT NULL DEFAULT '',
    refusal TEXT NOT NULL DEFAULT '', finish TEXT NOT NULL DEFAULT '', tokens_in INTEGER NOT NULL DEFAULT 0,
    tokens_out INTEGER NOT NULL DEFAULT 0, cost REAL NOT NULL DEFAULT 0, seconds REAL NOT NULL DEFAULT 0,
    problem TEXT NOT NULL DEFAULT '', at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE refs (
    reference TEXT PRIMARY KEY, place INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
    triplets TEXT NOT NULL DEFAULT '[]', at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX refs_by_state ON refs (state, place);
"""


@dataclass(frozen=True)
class Reply:
    """A model's reply to a call.

    `problem` is the reason why the call will get no other reply, such as that the server refused it.
    """

    text: str
    refusal: str = ""
    finish: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    problem: str = ""


class Ledger:
    """An open ledger.

    Raises:
        DataError: the file at `path` is something else.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._base = sqlite3.connect(path, isolation_level=None, timeout=30)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            [version] = self._base.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._base.executescript(f"BEGIN;{_TABLES};PRAGMA user_version = {FORMAT};COMMIT;")
        except sqlite3.DatabaseError as error:
            raise DataError(f"{path}: not a readable ledger ({error}); move it away to start over") from None
        if version not in (0, FORMAT):
            raise DataError(f"{path}: a ledger of another version; move it away to start over")

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def begin(self, facts: dict[str, Any], references: Sequence[str]) -> bool:
        """Enter the work to be done.

        Returns:
            Whether an earlier run with other facts was set aside. Its replies are kept.
        """
        wanted = json.dumps(facts, sort_keys=True)
        known = self._base.execute("SELECT value FROM facts WHERE name = 'run'").fetchone()
        if known is not None and known[0] == wanted:
            return False
        now = time.time()
        with self.transaction():
            self._base.execute("DELETE FROM refs")
            self._base.executemany(
                "INSERT INTO refs (reference, place, state, at) VALUES (?, ?, 'pending', ?)",
                ((reference, place, now) for place, reference in enumerate(references)),
            )
            self._base.execute("INSERT OR REPLACE INTO facts VALUES ('run', ?)", (wanted,))
        return known is not None

    def facts(self) -> dict[str, Any]:
        """The facts of the run: what decides which triplets it makes."""
        row = self._base.execute("SELECT value FROM facts WHERE name = 'run'").fetchone()
        return dict(json.loads(row[0])) if row else {}

    def add_seconds(self, seconds: float) -> None:
        """Add the duration of a run, in seconds."""
        self._base.execute("INSERT OR REPLACE INTO facts VALUES ('seconds', ?)", (repr(self.seconds() + seconds),))

    def seconds(self) -> float:
        """The duration of all runs together. Runs that were killed are not counted."""
        row = self._base.execute("SELECT value FROM facts WHERE name = 'seconds'").fetchone()
        return float(row[0]) if row else 0.0

    def pending(self) -> list[str]:
        """The references that are still to be done, in order."""
        rows = self._base.execute("SELECT reference FROM refs WHERE state = 'pending' ORDER BY place")
        return [reference for (reference,) in rows]

    def settle(self, reference: str, state: State, reason: str, triplets: list[dict[str, Any]]) -> None:
        """Enter how a reference ended."""
        self._base.execute(
            "UPDATE refs SET state = ?, reason = ?, triplets = ?, at = ? WHERE reference = ?",
            (state, reason, json.dumps(triplets), time.time(), reference),
        )

    def triplets(self) -> Iterator[dict[str, Any]]:
        """The triplets of every finished reference, as mappings, in order of reference."""
        for (text,) in self._base.execute("SELECT triplets FROM refs WHERE state != 'pending' ORDER BY place"):
            yield from json.loads(text)

    def reply(self, key: str) -> Reply | None:
        """The reply to a call; None if it was never answered."""
        row = self._base.execute(
            "SELECT raw, refusal, finish, tokens_in, tokens_out, cost, seconds, problem FROM calls "
            "WHERE key = ? AND state IN ('answered', 'refused')",
            (key,),
        ).fetchone()
        return Reply(*row) if row else None

    def record_attempt(self, call: Call, reference: str, *, state: str = "sent", most: float = 0.0) -> None:
        """Enter that a call is about to be sent, with the highest cost that it can have."""
        self._base.execute(
            "INSERT INTO calls (key, reference, step, model, prompt, state, attempts, cost, at) "
            "VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET attempts = attempts + 1, state = excluded.state, "
            "cost = cost + excluded.cost, at = excluded.at WHERE state NOT IN ('answered', 'refused')",
            (call.key, reference, call.step, call.model, call.prompt_version, state, most, time.time()),
        )

    def record_failure(self, key: str, problem: str, *, free: float = 0.0) -> None:
        """Enter why an attempt failed, and how much of its highest cost was certainly not spent."""
        self._base.execute(
            "UPDATE calls SET state = 'failed', problem = ?, cost = MAX(0, cost - ?), at = ? "
            "WHERE key = ? AND state NOT IN ('answered', 'refused')",
            (problem, free, time.time(), key),
        )

    def record_reply(self, key: str, reply: Reply, *, most: float = 0.0) -> bool:
        """Enter a reply, with its cost in place of the `most` of its attempt. The first reply to a call is kept.

        Returns:
            False if there was a reply already, or if the call is not known.
        """
        changed = self._base.execute(
            "UPDATE calls SET state = ?, raw = ?, refusal = ?, finish = ?, tokens_in = ?, tokens_out = ?, "
            "cost = MAX(0, cost - ?) + ?, seconds = ?, problem = ?, at = ? "
            "WHERE key = ? AND state NOT IN ('answered', 'refused')",
            (
                "refused" if reply.problem else "answered", reply.text[:MOST_TEXT], reply.refusal, reply.finish,
                reply.tokens_in, reply.tokens_out, most, reply.cost, reply.seconds, reply.problem, time.time(), key,
            ),
        )  # fmt: skip
        return changed.rowcount == 1

    def reopen(self, keys: Iterable[str]) -> None:
        """Forget that these calls were refused. They and their references are pending again."""
        with self.transaction():
            for key in keys:
                self._base.execute("UPDATE calls SET state = 'failed' WHERE key = ? AND state = 'refused'", (key,))
                self._base.execute(
                    "UPDATE refs SET state = 'pending', reason = '', triplets = '[]', at = 0 "
                    "WHERE reference = (SELECT reference FROM calls WHERE key = ?)",
                    (key,),
                )

    def count(self, state: str) -> int:
        """How many calls are in a state."""
        [number] = self._base.execute("SELECT COUNT(*) FROM calls WHERE state = ?", (state,)).fetchone()
        return int(number)

    def state(self, key: str) -> str:
        """A call's state: sent, batched, failed, answered or refused; empty if it was never entered."""
        row = self._base.execute("SELECT state FROM calls WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def step(self, key: str) -> str:
        """The step of a call; empty if it was never entered."""
        row = self._base.execute("SELECT step FROM calls WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything that the block enters at once, which is much faster for many rows."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    def spent(self) -> tuple[int, float]:
        """The attempts made and the money spent, over all runs.

        Calls that were in flight when a run was killed, and calls that broke off, may have been charged. They count
        with the highest cost that they can have.
        """
        row = self._base.execute("SELECT COALESCE(SUM(attempts), 0), COALESCE(SUM(cost), 0) FROM calls").fetchone()
        return int(row[0]), float(row[1])

    def states(self) -> Counter[str]:
        """How many references are in each state."""
        return Counter(dict(self._base.execute("SELECT state, COUNT(*) FROM refs GROUP BY state").fetchall()))

    def reasons(self) -> Counter[str]:
        """How many references were rejected for each reason, as it was given."""
        rows = self._base.execute("SELECT reason, COUNT(*) FROM refs WHERE state = 'rejected' GROUP BY reason")
        return Counter(dict(rows.fetchall()))

    def pending_because(self) -> Counter[str]:
        """Why references are still pending, and how many of them each problem holds up.

        Messages that differ only in numbers count as one.
        """
        rows = self._base.execute(
            "SELECT calls.problem, calls.reference FROM calls JOIN refs ON refs.reference = calls.reference "
            "WHERE calls.state = 'failed' AND calls.problem != '' AND refs.state = 'pending' AND calls.at >= refs.at "
            "ORDER BY calls.at, calls.key"
        )
        first: dict[str, str] = {}
        held: dict[str, set[str]] = {}
        for problem, reference in rows:
            kind = problem[:4] + re.sub(r"[0-9a-f-]{8,}|\d+", "0", problem[4:])
            held.setdefault(first.setdefault(kind, problem), set()).add(reference)
        return Counter({problem: len(references) for problem, references in held.items()})

    def steps(self) -> dict[str, dict[str, float]]:
        """For each step: answered calls, attempts, tokens, money, and mean seconds."""
        names = ("answered", "attempts", "tokens_in", "tokens_out", "cost", "seconds")
        rows = self._base.execute(
            "SELECT step, SUM(state = 'answered'), SUM(attempts), SUM(tokens_in), SUM(tokens_out), SUM(cost), "
            "COALESCE(AVG(CASE WHEN state = 'answered' AND seconds > 0 THEN seconds END), 0) FROM calls GROUP BY step"
        )
        return {step: dict(zip(names, values, strict=True)) for step, *values in rows}

    def record_live_run(self, since: float) -> None:
        """Enter when the run began that now asks a server; 0 if none does."""
        self._base.execute("INSERT OR REPLACE INTO facts VALUES ('live', ?)", (repr(since),))

    def references_per_second(self) -> float:
        """References finished per second, over the last 200 of the last live run; 0 if unknown."""
        row = self._base.execute("SELECT value FROM facts WHERE name = 'live'").fetchone()
        if not row or not float(row[0]):
            return 0.0
        rows = self._base.execute(
            "SELECT at FROM refs WHERE state != 'pending' AND at >= ? ORDER BY at DESC LIMIT 200", (float(row[0]),)
        ).fetchall()
        span = rows[0][0] - rows[-1][0] if len(rows) > 1 else 0.0
        return (len(rows) - 1) / span if span > 0 else 0.0


def open_ledger(path: Path) -> "closing[Ledger]":
    """Open a ledger for a `with` block."""
    return closing(Ledger(path))


def ledger_path(out: Path) -> Path:
    """The path of an output file's ledger, beside the file."""
    return out.with_name(out.name + ".ledger") / "ledger.sqlite"


def total(steps: Iterable[dict[str, float]], name: str) -> float:
    """The sum of one figure over all steps."""
    return sum(step[name] for step in steps)
