"""A call: what a model is asked, the key of its reply, and the request body."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from triptych.chat.pictures import PictureUrls
from triptych.chat.remedies import RequestForm
from triptych.chat.settings import ChatRequest

LIKELY_TOKENS = 4
"""The length of a reply of which only log-probabilities are used. The answer may not be its first token."""


@dataclass(frozen=True)
class CallPicture:
    """A picture in a call: its label, its name in the catalog, and the hash of its content."""

    label: str
    name: str
    sha256: str


@dataclass(frozen=True)
class Call:
    """One question to a model about some pictures. `turns` are an earlier reply and the complaint about it."""

    step: str
    model: str
    prompt_version: str
    text: str
    pictures: tuple[CallPicture, ...]
    schema: Mapping[str, Any] = field(hash=False)
    rendering: str
    """How pictures are encoded, and everything else that decides what the model sees."""
    turns: tuple[tuple[str, str], ...] = ()
    likelihoods: bool = False
    """Whether the log-probabilities of the first tokens are requested, instead of an answer in the schema."""

    @cached_property
    def key(self) -> str:
        """The key of the reply: equal keys ask the same model the same question about the same pictures."""
        seen = [
            self.step,
            self.model,
            self.prompt_version,
            self.text,
            [[shown.label, shown.sha256] for shown in self.pictures],
            self.schema,
            self.rendering,
            self.turns,
            *(["likelihoods"] if self.likelihoods else []),
        ]
        return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()

    def again(self, reply: str, complaint: str) -> "Call":
        """The same call with a reply that could not be used, and the complaint about it."""
        return replace(self, turns=(("assistant", reply), ("user", complaint)))


def rendering(settings: ChatRequest) -> str:
    """The settings, besides the call itself, that decide the reply."""
    # This is a part of call keys. With other words here, every call would be paid for again.
    layout = "sheet" if settings.one_image else "apart"
    return f"{layout} {settings.picture_size} {settings.picture_quality} {settings.max_tokens} {settings.temperature}"


def request(call: Call, urls: PictureUrls, settings: ChatRequest, form: RequestForm = RequestForm()) -> dict[str, Any]:
    """The body of a chat completion in the form that the server accepts.

    Raises:
        PictureError: a picture can no longer be read.
    """
    content: list[dict[str, Any]] = []
    if settings.one_image:
        content.append(_picture(urls.side_by_side([(shown.label, shown.name) for shown in call.pictures])))
    else:
        for shown in call.pictures:
            content.append({"type": "text", "text": f"{shown.label}:"})
            content.append(_picture(urls.url(shown.name)))
    messages: list[dict[str, Any]] = [{"role": "system", "content": call.text}]
    if not form.system_role:
        messages.clear()
        content.insert(0, {"type": "text", "text": call.text})
    messages.append({"role": "user", "content": content})
    messages += [{"role": role, "content": text} for role, text in call.turns]
    most = settings.max_tokens if form.most_tokens is None else min(settings.max_tokens, form.most_tokens)
    if call.likelihoods:
        most = min(most, LIKELY_TOKENS)
    body: dict[str, Any] = {"model": call.model, "messages": messages, form.limit_name: most}
    if form.temperature and settings.temperature is not None:
        body["temperature"] = settings.temperature
    if call.likelihoods:
        if form.likely:
            body |= {"logprobs": True, "top_logprobs": form.likely}
    elif form.schema and settings.schema:
        described = {"name": call.step, "strict": True, "schema": dict(call.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": described}
    return body


def _picture(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}
