"""A cache of replies in memory, for single questions: it takes the place of a run's ledger."""

from collections import OrderedDict
from collections.abc import Sequence

from triptych.chat.ledger import Reply
from triptych.chat.request import Call


class ReplyCache:
    """Keeps the last `most` replies in memory. The budget counts what is spent while the process lives."""

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._replies: OrderedDict[str, Reply] = OrderedDict()

    def reply(self, key: str) -> Reply | None:
        """The reply to a call; None if it is not in the cache."""
        return self._replies.get(key)

    def record_attempt(self, call: Call, reference: str, *, most: float = 0.0) -> None:
        """Does nothing: calls that are sent are not recorded."""

    def record_failure(self, key: str, problem: str, *, free: float = 0.0) -> None:
        """Does nothing: failed attempts are not recorded."""

    def reopen(self, keys: Sequence[str]) -> None:
        """Does nothing: refusals are not recorded."""

    def record_reply(self, key: str, reply: Reply, *, most: float = 0.0) -> bool:
        """Keep a reply."""
        if reply.problem:
            return False
        self._replies[key] = reply
        while len(self._replies) > self._most:
            self._replies.popitem(last=False)
        return True
