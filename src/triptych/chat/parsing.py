"""Parse replies: find the JSON in a model's reply, and clean and limit its texts."""

import json
import re
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from triptych.chat.ledger import Reply

T = TypeVar("T")

_MOST_STARTS = 200  # places at which an object is looked for; a hostile reply could hold thousands of braces
_WORDS = r"think|thinking|thought|thoughts|reasoning|analysis"
_OPENED = re.compile(rf"<(?:\w+:)?(?:{_WORDS})>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|channel\|>analysis", re.I)
_CLOSED = re.compile(
    rf"</(?:\w+:)?(?:{_WORDS})>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|channel\|>final(?:<\|message\|>)?", re.I
)


class InvalidReply(Exception):
    """A reply that cannot be used. The message tells the model why. `cut`: the reply reached its token limit."""

    def __init__(self, why: str, *, cut: bool = False) -> None:
        super().__init__(why)
        self.cut = cut


class CallRefused(Exception):
    """There is no reply, and another try would bring none, since the server or the model refuses."""


class Parse(Protocol):
    """Turns an object that a model wrote into a value."""

    def __call__(self, content: dict[str, Any]) -> Any:
        """Parse the object.

        Raises:
            InvalidReply: it does not fit.
        """
        ...


def read_reply(reply: Reply, read: Callable[[str], T], *, most_tokens: int) -> T:
    """Parse the text of a reply.

    Args:
        reply: the result of the call.
        read: parses the text.
        most_tokens: the limit on the reply's length that was asked for.

    Raises:
        CallRefused: the server or the model refused.
        InvalidReply: the reply cannot be used. If it was cut by its token limit, the message says so first.
    """
    if reply.problem:
        raise CallRefused(f"the server refused the call: {reply.problem}")
    if reply.refusal or reply.finish == "content_filter":
        raise CallRefused(f"the model refused: {reply.refusal or 'content filter'}")
    if reply.finish == "too long":
        raise InvalidReply("it was far too long")
    cut = reply.finish == "length"
    try:
        return read(without_thinking(reply.text, cut=cut))
    except InvalidReply as error:
        if not cut:
            raise
        limit = min(most_tokens, reply.tokens_out or most_tokens)
        raise InvalidReply(f"it was cut by its token limit of {limit}; {error}", cut=True) from None


def without_thinking(text: str, *, cut: bool = False) -> str:
    """A reply's text without what the model wrote between thinking tags.

    If nothing stands outside the tags, the text within them is the answer, unless the reply was cut.
    """
    closings = list(_CLOSED.finditer(text))
    if closings:
        after = text[closings[-1].end() :]
        return after if after.strip() or cut else text
    opened = _OPENED.search(text)
    if opened is None:
        return text
    before = text[: opened.start()]
    return before if before.strip() or cut else text[opened.end() :]


def find_json(text: str) -> dict[str, Any]:
    """Find the JSON object in a text: the whole text, or the longest object within prose or a code fence.

    Strings may contain raw line breaks. An object that was written as a JSON string is found, too.

    Raises:
        InvalidReply: there is no object.
    """
    text = without_thinking(text)
    decoder = json.JSONDecoder(strict=False)
    if text.lstrip().startswith('"'):
        try:
            inner = json.loads(text, strict=False)
        except (ValueError, RecursionError):
            inner = None
        text = inner if isinstance(inner, str) else text
    best: tuple[int, dict[str, Any]] | None = None
    start, tried = text.find("{"), 0
    while start >= 0 and tried < _MOST_STARTS:
        tried += 1
        end = start + 1
        try:
            content, end = decoder.raw_decode(text, start)
            if isinstance(content, dict) and (best is None or end - start > best[0]):
                best = end - start, content
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find("{", end)
    if best is None:
        cut = " (it breaks off)" if "{" in text else ""
        raise InvalidReply(f"it holds no JSON object{cut}")
    return best[1]
