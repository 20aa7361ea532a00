"""What the ledger is to a run, for questions that come and go: the last replies, in memory alone."""

from collections import OrderedDict
from collections.abc import Sequence

from triptych.chat.ledger import Reply
from triptych.chat.request import Call


class ReplyCache:
    """The last `most` replies. What is spent is the budget's to know, for as long as the process lives."""

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._replies: OrderedDict[str, Reply] = OrderedDict()

    def reply(self, key: str) -> Reply | None:
        """The reply to a call, if it is remembered."""
        return self._replies.get(key)

    def attempt(self, call: Call, reference: str, *, most: float = 0.0) -> None:
        """Nothing is to be kept of a call that goes out."""

    def trouble(self, key: str, problem: str, *, free: float = 0.0) -> None:
        """Nor of an attempt that came to nothing."""

    def reopen(self, keys: Sequence[str]) -> None:
        """Nor of a refusal."""

    def answer(self, key: str, reply: Reply, *, most: float = 0.0) -> bool:
        """Remember a reply."""
        if reply.problem:
            return False
        self._replies[key] = reply
        while len(self._replies) > self._most:
            self._replies.popitem(last=False)
        return True
