"""What a server's refusal is about: which other form of the request may work, and what a person can do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LEAST_REPLY = 300  # tokens; in fewer no reply fits
_MOST_READ = 2000  # characters of a message that are looked at


@dataclass(frozen=True)
class RequestForm:
    """The form in which a server accepts requests. It starts as OpenAI's;
    refusals change it for the rest of the run."""

    schema: bool = True
    """Whether a JSON schema is sent."""
    temperature: bool = True
    """Whether a temperature is sent, if one was chosen."""
    system_role: bool = True
    """Whether the instructions have a message of their own; otherwise they begin the user's message."""
    limit_name: str = "max_tokens"
    """The name of the limit on a reply."""
    most_tokens: int | None = None
    """The highest limit that the server accepts, if that is less than the chosen one."""
    likely: int = 20
    """The number of log-probabilities to request per position; 0 if the server gives none."""


@dataclass(frozen=True)
class Remedy:
    """Another form of a request: changes to a `RequestForm`, and a description of them."""

    changes: Mapping[str, Any]
    description: str


_CONTEXT = re.compile(
    r"context[ _](length|size|window)|exceed_context|context_length_exceeded|too many (input )?tokens|"
    r"prompt is too long|input is too long"
)
_ROOM = (
    # vLLM and OpenAI: the context's length, and how much of it the input takes.
    re.compile(r"context (?:length|size|window) (?:is|of) (?P<all>\d+) tokens.{0,200}?(?P<asked>\d+) input tokens"),
    re.compile(r"context (?:length|size|window) (?:is|of) (?P<all>\d+) tokens.{0,200}?(?P<asked>\d+) in the messages"),
)
_MOST_REPLY = re.compile(
    r"at most (?P<a>\d+) (?:completion|output|new|generated) tokens|"
    r"max_(?:completion_|output_|new_)?tokens\W.{0,120}?"
    r"(?:less than or equal to|<=|at most|no more than|not exceed|maximum (?:value )?(?:is|of)|\[\d+,)"
    r"\D{0,12}?(?P<b>\d+)"
)
_UNKNOWN_LIMIT = re.compile(
    r"(unsupported|unrecogni[sz]ed|unknown|not supported|not permitted|unexpected|extra|invalid)\b.{0,80}\bmax_tokens|"
    r"\bmax_tokens\b.{0,80}(unsupported|unrecogni[sz]ed|unknown|not supported|not permitted|unexpected|extra)"
)
_LIKELIHOODS = re.compile(r"log[ _-]?prob")
_FEW_LIKELY = 5  # the limit of services with older models
_SCHEMAS = ("response_format", "json_schema", "schema", "grammar", "structured", "guided")
_SYSTEM = re.compile(
    r"system.{0,12}(role|message|prompt|instruction)|role.{0,40}\bsystem\b|\bgot\W{0,3}system|developer instruction|"
    r"roles must alternate|must start with a user|first message must"
)


def remedy_for(said: str, body: Mapping[str, Any], *, schema_works: bool) -> Remedy | None:
    """The other form in which a refused request may be accepted; None if no other form would help.

    What the model is shown never changes, and no limit is lifted, so that the highest cost of a call stays the same.

    Args:
        said: the server's message.
        body: the request that it refused.
        schema_works: whether the server has answered a request with a JSON schema before.
    """
    text = said.lower()[:_MOST_READ]
    if "logprobs" in body and _LIKELIHOODS.search(text):
        if body["top_logprobs"] > _FEW_LIKELY:
            return Remedy({"likely": _FEW_LIKELY}, f"gives fewer log-probabilities; requesting {_FEW_LIKELY}")
        return Remedy({"likely": 0}, "gives no log-probabilities; none are requested")
    name = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
    if (most := _most_reply(text, int(body.get(name, 0)))) is not None:
        return Remedy({"most_tokens": most}, f"takes replies of at most {most} tokens; asking for no more")
    if _CONTEXT.search(text):
        return None
    if name == "max_tokens" and ("max_completion_tokens" in text or _UNKNOWN_LIMIT.search(text)):
        return Remedy({"limit_name": "max_completion_tokens"}, "wants max_completion_tokens in place of max_tokens")
    if "temperature" in body and "temperature" in text:
        return Remedy({"temperature": False}, "takes no --temperature; asking without, at the model's own")
    if "response_format" in body and not schema_works and any(word in text for word in _SCHEMAS):
        return Remedy({"schema": False}, "does not take a JSON schema; asking without")
    if body["messages"][0]["role"] == "system" and _SYSTEM.search(text):
        return Remedy({"system_role": False}, "takes no system message; the instructions begin the user's")
    return None


def _most_reply(text: str, asked: int) -> int | None:
    """The longest reply that the message allows, if that is less than what was asked for; else None."""
    for pattern in _ROOM:
        if found := pattern.search(text):
            room = int(found["all"]) - int(found["asked"])
            return room if _LEAST_REPLY <= room < asked else None
    if found := _MOST_REPLY.search(text):
        most = int(found["a"] or found["b"])
        return most if _LEAST_REPLY <= most < asked else None
    return None


_NO_PICTURES = (
    r"no image (?:input|support)|(?:not|n't) (?:support|accept|process|handle|allow|take)\w*\b.{0,40}"
    r"\b(?:images?|pictures?|vision|multi-?modal|image_url)\b(?! (?:format|type|larger|with|size|that))|"
    r"(?:images|image[ _]?(?:inputs?|urls?|content|data)|vision|multi-?modal\w*(?: input)?)(?: is| are)? "
    r"(?:not|unsupported|only supported|disabled)|not a (?:multi-?modal|vision)|text-only|mmproj|"
    r"missing data required for image|support image input|unknown variant .?image_url|"
    r"content.{0,20} should be a valid string|content must be a string"
)
_ADVICE: tuple[tuple[re.Pattern[str], str, bool], ...] = tuple(
    (re.compile(pattern), advice, hopeless)
    for pattern, advice, hopeless in (
        (
            r"at most (?:\d+|one) (?:image|picture)|too many (?:images|pictures)|(?:single|multiple|number of) images?|"
            r"(?:only|more than|maximum of|limit of|up to) (?:a single|one|\d+) (?:image|picture)|limit[-_]mm[-_]per",
            "the model takes fewer pictures in a request: --one-image sends them as one",
            False,
        ),
        (
            _NO_PICTURES,
            "the model or its server takes no pictures: choose a model that sees (llama.cpp needs its --mmproj)",
            True,
        ),
        (
            _CONTEXT.pattern,
            "pictures and instructions do not fit the model's context: fewer pictures (--group-size, --rerank-top), "
            "smaller ones (--picture-size), or a longer context at the server",
            False,
        ),
        (
            r"^413\b|too large|payload|entity|body (?:size|limit)",
            "the request is too large: smaller pictures (--picture-size, --picture-quality) or fewer (--group-size)",
            False,
        ),
        (r"plain http|http request .{0,20}to an? https", "the address wants https://", True),
        (
            r"model\b.{0,80}(?:not found|not exist|unknown|invalid|not loaded|not available)|(?:invalid|unknown) model|"
            r"no such model",
            "check the model's name",
            True,
        ),
        (r"temperature", "without --temperature it may do", False),
        (r"response_format|json_schema|grammar", "with --no-schema it may do", False),
    )
)


def advice(said: str) -> str:
    """What a person can do about a server's message; empty if nothing is known."""
    text = said.lower()[:_MOST_READ]
    return next((advice for pattern, advice, _ in _ADVICE if pattern.search(text)), "")


def is_hopeless(said: str) -> bool:
    """Whether a server that sends this message, and has answered nothing yet, will answer nothing."""
    text = said.lower()[:_MOST_READ]
    return next((hopeless for pattern, _, hopeless in _ADVICE if pattern.search(text)), False)


_NO_MONEY = re.compile(
    r"insufficient[_ ](?:quota|balance|credit|fund)|no credits? left|out of credit|credit balance is too low|"
    r"billing_hard_limit|billing_not_active|payment required"
)
_NO_KEY = re.compile(
    r"(?:invalid|incorrect|missing|expired|revoked|wrong|no)\b.{0,20}\bapi[ _-]?key|"
    r"api[ _-]?key\b.{0,20}(?:not valid|invalid|expired|missing|revoked|incorrect|not found)|invalid_api_key"
)


def is_about_money(said: str) -> bool:
    """Whether the message says that nothing is answered until the server is paid."""
    return bool(_NO_MONEY.search(said.lower()[:_MOST_READ]))


def is_about_the_key(said: str) -> bool:
    """Whether the message says that the server wants another key, whatever its status."""
    return bool(_NO_KEY.search(said.lower()[:_MOST_READ]))
