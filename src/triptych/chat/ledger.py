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

FORMAT = 1
State = Literal["pending", "accepted", "rejected"]
MOST_TEXT = 64 * 1024
"""Characters of a reply that are kept."""

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
    """What a model answered. `problem` says why nothing more will come of the call, as when the server refused it."""

    text: str
    refusal: str = ""
    finish: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    problem: str = ""


class Ledger:
    """A ledger, open. Raises DataError where `path` holds something else."""

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
            raise DataError(f"{path}: not a readable ledger ({error}); move it away to begin anew") from None
        if version not in (0, FORMAT):
            raise DataError(f"{path}: a ledger of another version; move it away to begin anew")

    def close(self) -> None:
        """Give the file back."""
        self._base.close()

    def begin(self, facts: dict[str, Any], references: Sequence[str]) -> bool:
        """Enter what is to be done. True where an earlier run with other facts was set aside; its replies stay."""
        wanted = json.dumps(facts, sort_keys=True)
        known = self._base.execute("SELECT value FROM facts WHERE name = 'run'").fetchone()
        if known is not None and known[0] == wanted:
            return False
        now = time.time()
        with self.together():
            self._base.execute("DELETE FROM refs")
            self._base.executemany(
                "INSERT INTO refs (reference, place, state, at) VALUES (?, ?, 'pending', ?)",
                ((reference, place, now) for place, reference in enumerate(references)),
            )
            self._base.execute("INSERT OR REPLACE INTO facts VALUES ('run', ?)", (wanted,))
        return known is not None

    def facts(self) -> dict[str, Any]:
        """What the run was asked to do."""
        row = self._base.execute("SELECT value FROM facts WHERE name = 'run'").fetchone()
        return dict(json.loads(row[0])) if row else {}

    def worked(self, seconds: float) -> None:
        """Add what a run took."""
        self._base.execute("INSERT OR REPLACE INTO facts VALUES ('seconds', ?)", (repr(self.seconds() + seconds),))

    def seconds(self) -> float:
        """What all runs took together; one that was killed is not counted."""
        row = self._base.execute("SELECT value FROM facts WHERE name = 'seconds'").fetchone()
        return float(row[0]) if row else 0.0

    def pending(self) -> list[str]:
        """The references still to be done, in order."""
        rows = self._base.execute("SELECT reference FROM refs WHERE state = 'pending' ORDER BY place")
        return [reference for (reference,) in rows]

    def settle(self, reference: str, state: State, reason: str, triplets: list[dict[str, Any]]) -> None:
        """Enter how a reference ended."""
        self._base.execute(
            "UPDATE refs SET state = ?, reason = ?, triplets = ?, at = ? WHERE reference = ?",
            (state, reason, json.dumps(triplets), time.time(), reference),
        )

    def triplets(self) -> Iterator[dict[str, Any]]:
        """The triplets of every reference that is done, in order of reference."""
        for (text,) in self._base.execute("SELECT triplets FROM refs WHERE state != 'pending' ORDER BY place"):
            yield from json.loads(text)

    def reply(self, key: str) -> Reply | None:
        """The reply to a call, if it was ever answered."""
        row = self._base.execute(
            "SELECT raw, refusal, finish, tokens_in, tokens_out, cost, seconds, problem FROM calls "
            "WHERE key = ? AND state IN ('answered', 'refused')",
            (key,),
        ).fetchone()
        return Reply(*row) if row else None

    def attempt(self, call: Call, reference: str, *, state: str = "sent", most: float = 0.0) -> None:
        """Enter that a call goes out now, before it does, with the most that it may cost."""
        self._base.execute(
            "INSERT INTO calls (key, reference, step, model, prompt, state, attempts, cost, at) "
            "VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET attempts = attempts + 1, state = excluded.state, "
            "cost = cost + excluded.cost, at = excluded.at WHERE state NOT IN ('answered', 'refused')",
            (call.key, reference, call.step, call.model, call.prompt_version, state, most, time.time()),
        )

    def trouble(self, key: str, problem: str, *, free: float = 0.0) -> None:
        """Enter why an attempt came to nothing, and how much of what it might have cost it did not."""
        self._base.execute(
            "UPDATE calls SET state = 'failed', problem = ?, cost = MAX(0, cost - ?), at = ? "
            "WHERE key = ? AND state NOT IN ('answered', 'refused')",
            (problem, free, time.time(), key),
        )

    def answer(self, key: str, reply: Reply, *, most: float = 0.0) -> bool:
        """Enter a reply, with its cost in place of the `most` that the attempt was entered with; the first one stays.

        False where there was one, or the call is not known.
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
        """Forget that these calls were refused: they and their references are to be done again."""
        with self.together():
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
        """A call's state: sent, batched, failed, answered or refused; empty where it was never entered."""
        row = self._base.execute("SELECT state FROM calls WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def step(self, key: str) -> str:
        """The step that a call was entered for; empty where it was never entered."""
        row = self._base.execute("SELECT step FROM calls WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    @contextmanager
    def together(self) -> Iterator[None]:
        """Commit all that the block enters at once: far faster for many rows."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    def spent(self) -> tuple[int, float]:
        """Attempts made and money spent, over all runs.

        What was out when a run was killed, and what broke off, may have been paid for: it counts with the most it could
        cost.
        """
        row = self._base.execute("SELECT COALESCE(SUM(attempts), 0), COALESCE(SUM(cost), 0) FROM calls").fetchone()
        return int(row[0]), float(row[1])

    def states(self) -> Counter[str]:
        """How many references there are in each state."""
        return Counter(dict(self._base.execute("SELECT state, COUNT(*) FROM refs GROUP BY state").fetchall()))

    def reasons(self) -> Counter[str]:
        """Why references were rejected, each reason as it was given."""
        rows = self._base.execute("SELECT reason, COUNT(*) FROM refs WHERE state = 'rejected' GROUP BY reason")
        return Counter(dict(rows.fetchall()))

    def pending_because(self) -> Counter[str]:
        """What calls came to for which references are still to be done, and how many references each holds up.

        Messages that differ in numbers alone count as one.
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

    def live(self, since: float) -> None:
        """Enter when the run began that is asking now; 0 where none is."""
        self._base.execute("INSERT OR REPLACE INTO facts VALUES ('live', ?)", (repr(since),))

    def pace(self) -> float:
        """References done a second over the last 200 of the last live run, and 0 where that is not known."""
        row = self._base.execute("SELECT value FROM facts WHERE name = 'live'").fetchone()
        if not row or not float(row[0]):
            return 0.0
        rows = self._base.execute(
            "SELECT at FROM refs WHERE state != 'pending' AND at >= ? ORDER BY at DESC LIMIT 200", (float(row[0]),)
        ).fetchall()
        span = rows[0][0] - rows[-1][0] if len(rows) > 1 else 0.0
        return (len(rows) - 1) / span if span > 0 else 0.0


def open_ledger(path: Path) -> "closing[Ledger]":
    """A ledger that is closed at the end of a `with`."""
    return closing(Ledger(path))


def ledger_path(out: Path) -> Path:
    """Where the ledger of an output file lies: beside it."""
    return out.with_name(out.name + ".ledger") / "ledger.sqlite"


def total(steps: Iterable[dict[str, float]], name: str) -> float:
    """One figure over all steps."""
    return sum(step[name] for step in steps)
