"""Read a server's answer: a reply, wherever the server put it, or an error message in any of the usual forms."""

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from triptych.chat.ledger import MOST_TEXT, Reply
from triptych.core.text import truncate

_MOST_TOKENS = 10**9  # of a call, that a server can mean
_MOST_SAID = 2000  # characters of a server's message that are read; fewer are kept
_MOST_REFUSAL = 300  # characters
_MOST_TOKEN, _MOST_PLACES = 40, 8  # stored characters of a token, and stored positions
_MOST_DEPTH = 4  # of errors within errors
_CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "token_limit"})
"""The names that servers use for a reply that reached its token limit."""
_THINKING = "<think>\n"


@dataclass(frozen=True)
class ServerMessage:
    """A server's error message on one line, without control characters, before it is shortened to be kept."""

    status: int
    """The HTTP status, or the one in the message; 0 if there is none."""
    code: str
    text: str

    def __str__(self) -> str:
        known = self.code in (str(self.status), "") or self.code.lower() in self.text.lower()
        head = " ".join(part for part in (str(self.status or ""), "" if known else self.code) if part)
        return ": ".join(part for part in (head, self.text) if part)


def server_message(status: int, body: bytes | str) -> ServerMessage:
    """Read the error message in a body: JSON as OpenAI, FastAPI and others write it, a web page, or plain text."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        found = _complaint(json.loads(text))
    except (ValueError, RecursionError):
        found = None
    if found is None:
        return ServerMessage(status, "", truncate(_readable(text), _MOST_SAID))
    return ServerMessage(status or found.status, found.code, found.text)


def error_in_answer(body: bytes) -> ServerMessage | None:
    """The error in an answer that has a status of success, as some gateways send it; None if there is none."""
    for content in _contents(body):
        if not isinstance(content, Mapping):
            continue
        for holder in (content, *_mappings(content.get("choices"))):
            if (holder.get("error") or "choices" not in content) and (found := _complaint(holder)):
                return found
    return None


def describe_answer(body: bytes) -> str:
    """Describe an answer without a reply in words, with what it contains."""
    if not body.strip():
        return "the answer is empty"
    start = body.lstrip()[:200].lower()
    said = truncate(_readable(body.decode("utf-8", "replace")), 150)
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        return f"the answer is a web page: {said}"
    if _is_stream(body):
        return f"the answer is a stream of events that breaks off: {said}"
    return f"the answer is no chat completion: {said}"


def completion(raw: bytes | str, *, likelihoods: bool = False) -> Reply | None:
    """Read the reply of a chat completion, without its cost; None if there is none.

    The text is the message's content, as a string, in parts, or as an object; else the arguments of a tool call; else
    what the server took for the model's thinking. A stream of events is joined if it has an end.

    With `likelihoods` the text is a JSON object if the server gave log-probabilities: `first` has, for each of
    the first positions, the log-probabilities of the likeliest tokens.
    """
    try:
        return _completion(raw.encode("utf-8", "replace") if isinstance(raw, str) else raw, likelihoods)
    except RecursionError:  # parts within parts
        return None


def _completion(body: bytes, likelihoods: bool) -> Reply | None:
    whole = _joined(_contents(body)) if _is_stream(body) else next(_contents(body), None)
    choices = whole.get("choices") if isinstance(whole, Mapping) else None
    for choice in _mappings(choices):
        message = choice.get("message")
        if not isinstance(message, Mapping):
            message = {"content": choice.get("text")} if isinstance(choice.get("text"), str) else None
        if message is None or (choice.get("error") and not _text_of(message.get("content"))):
            continue
        assert isinstance(whole, Mapping)
        finish = _finish(choice.get("finish_reason"))
        text = _reply_text(message, finish)
        if likelihoods and (first := _first_likelihoods(choice)):
            text = json.dumps({"first": first})
        return Reply(
            text=text[:MOST_TEXT],
            refusal=truncate(_refusal(message), _MOST_REFUSAL),
            finish=finish,
            tokens_in=_tokens(whole.get("usage"), "prompt_tokens"),
            tokens_out=_tokens(whole.get("usage"), "completion_tokens"),
        )
    return None


def _first_likelihoods(choice: Mapping[str, Any]) -> list[dict[str, float]]:
    """The log-probabilities of the likeliest tokens at each of the first positions; empty if none are given."""
    given = choice.get("logprobs")
    found = []
    for place in _mappings(given.get("content") if isinstance(given, Mapping) else None):
        likely = {
            truncate(each["token"], _MOST_TOKEN): float(each["logprob"])
            for each in _mappings(place.get("top_logprobs"))
            if isinstance(each.get("token"), str)
            and isinstance(each.get("logprob"), int | float)
            and isfinite(each["logprob"])
        }
        found.append(likely)
    return found[:_MOST_PLACES] if any(found) else []


def _reply_text(message: Mapping[str, Any], finish: str) -> str:
    content = _text_of(message.get("content"))
    arguments = _arguments(message)
    if arguments and "{" not in content:
        return _encodable(arguments)
    if content.strip():
        return _encodable(content)
    thinking = _text_of(message.get("reasoning_content")) or _text_of(message.get("reasoning"))
    # The reply was cut while the model was thinking, so it holds drafts and no answer.
    return _encodable((_THINKING if finish == "length" and thinking else "") + thinking)


def _encodable(text: str) -> str:
    """A text without half a surrogate pair, which no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _text_of(content: Any) -> str:
    """A message's text from a string, from parts of several kinds, or from the object that was asked for."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        text = content.get("text", content.get("content"))
        if isinstance(text, str):
            return text
        if isinstance(text, Mapping) and isinstance(text.get("value"), str):
            return str(text["value"])
        return json.dumps(content) if text is None and "type" not in content else ""
    if isinstance(content, list):
        return "".join(map(_text_of, content))
    return ""


def _arguments(message: Mapping[str, Any]) -> str:
    """The arguments of the first call of a tool or function, as text."""
    calls = [*_mappings(message.get("tool_calls")), {"function": message.get("function_call")}]
    for call in calls:
        function = call.get("function")
        arguments = function.get("arguments") if isinstance(function, Mapping) else None
        if isinstance(arguments, Mapping):
            return json.dumps(arguments)
        if isinstance(arguments, str) and arguments.strip():
            return arguments
    return ""


def _refusal(message: Mapping[str, Any]) -> str:
    parts = [message, *_mappings(message.get("content"))]
    return next((part["refusal"] for part in parts if isinstance(part.get("refusal"), str) and part["refusal"]), "")


def _finish(reason: Any) -> str:
    known = truncate(reason if isinstance(reason, str) else "", 40)
    if known.lower() in _CUT:
        return "length"
    return "content_filter" if known.lower() in ("content_filter", "safety") else known


def _tokens(usage: Any, name: str) -> int:
    """A token count of the server, or 0 if it gives none that is possible."""
    count = usage.get(name) if isinstance(usage, Mapping) else None
    return int(count) if isinstance(count, int | float) and 0 <= count < _MOST_TOKENS else 0


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _is_stream(body: bytes) -> bool:
    return body.lstrip()[:7].startswith((b"data:", b"event:", b": ", b"id:"))


def _contents(body: bytes) -> Iterator[Any]:
    """The JSON of a body, or of each event of a stream."""
    parts = [body]
    if _is_stream(body):
        parts = [line[5:] for line in body.splitlines() if line.startswith(b"data:")]
    for part in parts:
        try:
            yield json.loads(part)
        except (ValueError, RecursionError):
            continue


def _joined(events: Iterator[Any]) -> dict[str, Any] | None:
    """The completion that a stream of events makes up; None if the stream has no end."""
    texts: dict[str, list[str]] = {"content": [], "reasoning_content": [], "reasoning": [], "refusal": []}
    arguments: list[str] = []
    finish, usage = None, None
    for event in events:
        if not isinstance(event, Mapping):
            continue
        usage = event.get("usage") or usage
        for choice in _mappings(event.get("choices"))[:1]:
            finish = choice.get("finish_reason") or finish
            delta = choice.get("delta") or choice.get("message")
            if isinstance(delta, Mapping):
                for name, parts in texts.items():
                    parts.append(_text_of(delta.get(name)))
                arguments.append(_arguments(delta))
    if finish is None:
        return None
    message: dict[str, Any] = {name: "".join(parts) for name, parts in texts.items()}
    message["function_call"] = {"arguments": "".join(arguments)}
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}


def _complaint(content: Any, depth: int = 0) -> ServerMessage | None:
    """The error message in JSON: `error`, `errors`, `detail` or `message`, as texts, objects or lists."""
    if isinstance(content, str):
        return ServerMessage(0, "", truncate(content, _MOST_SAID)) if content.strip() else None
    if isinstance(content, list):
        found = [one for one in (_complaint(item, depth + 1) for item in content[:3]) if one] if depth < 4 else []
        return ServerMessage(found[0].status, found[0].code, "; ".join(one.text for one in found)) if found else None
    if not isinstance(content, Mapping) or depth > _MOST_DEPTH:
        return None
    status, code = _code(content)
    if "msg" in content and isinstance(content.get("loc"), list):  # FastAPI: which field, and what of it
        where = ".".join(map(str, content["loc"]))
        return ServerMessage(status, code, truncate(f"{where}: {content['msg']}", _MOST_SAID))
    for name in ("error", "errors", "message", "detail", "msg", "error_msg", "error_message", "title", "reason"):
        found_here = _complaint(content.get(name), depth + 1)
        if found_here:
            text = found_here.text
            if isinstance(metadata := content.get("metadata"), Mapping) and isinstance(metadata.get("raw"), str):
                text = f"{text} ({metadata['raw']})"  # what the server behind a gateway answered
            return ServerMessage(found_here.status or status, found_here.code or code, truncate(text, _MOST_SAID))
    return None


def _code(content: Mapping[str, Any]) -> tuple[int, str]:
    """The status and name of an error, if they are given."""
    status, names = 0, []
    for name in ("code", "status", "status_code", "type"):
        value = content.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:4])
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
            status = status or value
        elif isinstance(value, str) and value.strip() and value != "error":
            names.append(truncate(value, 60))
    return status, names[0] if names else ""


def _readable(text: str) -> str:
    """The text of a web page, its title first; plain text unchanged."""
    text = text[:20_000]
    if not re.match(r"\s*<", text):
        return text
    title = re.search(r"<title[^>]{0,200}>([^<]{0,500})", text, re.IGNORECASE)
    text = re.sub(r"<(script|style|head)\b.*?(</\1\s*>|$)", " ", text, flags=re.IGNORECASE | re.DOTALL)
    words = " ".join(html.unescape(re.sub(r"<[^>]{0,500}>", " ", text)).split())
    heading = html.unescape(title[1]).strip() if title else ""
    return f"{heading}: {words}" if heading and words and heading not in words else heading or words
