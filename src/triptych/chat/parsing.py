"""Replies are data: JSON is found in whatever a model wrote, its texts are cleaned and bounded."""

import json
import re
from typing import Any, Protocol

_MOST_STARTS = 200  # places at which an object is looked for; a hostile reply could hold thousands of braces


class InvalidReply(Exception):
    """A reply that cannot be used; the message tells the model why."""


class Parse(Protocol):
    """Makes something of an object that a model wrote."""

    def __call__(self, content: dict[str, Any]) -> Any:
        """Raises InvalidReply."""
        ...


def find_json(text: str) -> dict[str, Any]:
    """The object in `text`: all of it, or the longest one within prose or a code fence. Raises InvalidReply."""
    text = re.sub(r"^.*</think>", "", text, flags=re.DOTALL)  # what some models write before they answer
    decoder = json.JSONDecoder()
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
