"""Runs against a loopback server, for tests of mining by chat."""

import sqlite3
from collections import Counter
from pathlib import Path

from loopback import Loopback
from triptych.chat.ledger import ledger_path
from triptych.chat.settings import ChatSettings
from triptych.mining.pipeline import mine

REFERENCES = 24


def quick(server: Loopback, **options: object) -> ChatSettings:
    """Waits that suit a server on this machine."""
    fast = {"backoff": 0.001, "backoff_most": 0.01, "read_timeout": 20.0, "attempts": 12, "concurrency": 8}
    return ChatSettings(**({"base_url": server.url} | fast | options))


def run(catalog: Path, out: Path, chat: ChatSettings, **options: object) -> dict:
    asked = {"limit": REFERENCES, "group": 4, "reasoner": "chat:loopback"} | options
    return mine(catalog, out, chat=chat, **asked)


def states(out: Path) -> Counter:
    base = sqlite3.connect(ledger_path(out))
    try:
        return Counter(dict(base.execute("SELECT state, COUNT(*) FROM refs GROUP BY state").fetchall()))
    finally:
        base.close()
