"""Runs against a loopback server, for tests of mining by chat."""

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

from loopback import Loopback
from triptych.chat.ledger import ledger_path
from triptych.chat.settings import ChatSettings
from triptych.core.environment import Runtime
from triptych.core.options import from_flat
from triptych.mining.chat.pipeline import mine_chat
from triptych.mining.options import ChatMineOptions

REFERENCES = 24


def settings(**options: object) -> ChatSettings:
    """Settings by the names of their flags."""
    return from_flat(ChatSettings, options)


def quick(server: Loopback, **options: object) -> ChatSettings:
    """Waits that suit a server on this machine."""
    fast = {"backoff": 0.001, "max_backoff": 0.01, "read_timeout": 20.0, "attempts": 12, "concurrency": 8}
    return settings(**({"base_url": server.url} | fast | options))


def run(catalog: Path, out: Path, chat: ChatSettings, *, threads: int | None = None, **options: Any) -> Any:
    asked = {"limit": REFERENCES, "group_size": 4} | options
    return mine_chat(catalog, out, "loopback", chat, ChatMineOptions(**asked), runtime=Runtime(threads=threads))


def states(out: Path) -> Counter:
    base = sqlite3.connect(ledger_path(out))
    try:
        return Counter(dict(base.execute("SELECT state, COUNT(*) FROM refs GROUP BY state").fetchall()))
    finally:
        base.close()
