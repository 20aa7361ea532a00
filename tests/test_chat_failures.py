"""Failures of a chat server: its message is kept and shown, and each kind of refusal has its own remedy."""

import asyncio
import contextlib
import gzip
import json
import re
import socket
import sqlite3
import ssl
import subprocess
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from chat_helpers import quick, run, settings, states
from loopback import SHADE, Loopback, completion, content_for
from triptych import mine_status
from triptych.chat.answers import completion as read_completion
from triptych.chat.answers import describe_answer, server_message
from triptych.chat.endpoint import Endpoint, RequestRefused, TransientError
from triptych.chat.ledger import MOST_TEXT, Reply, ledger_path
from triptych.chat.parsing import CallRefused, InvalidReply, find_json, read_reply
from triptych.chat.remedies import advice, is_about_money, is_hopeless, remedy_for
from triptych.chat.settings import ChatEndpoint
from triptych.core.errors import FailureError
from triptych.core.text import truncate
from triptych.retrieval.options import RerankOptions
from triptych.retrieval.reranking import Reranked, Reranker
from triptych.retrieval.results import Hit

BODY = {"model": "m", "messages": [{"role": "system", "content": ""}, {"role": "user", "content": []}]}
STREAM = b'data: {"choices": [{"delta": {"content": "{"}}]}\n\ndata: [DONE]\n\n'
PAGE = b"<!DOCTYPE html><html><head><title>Please sign in</title><script>x()</script></head><body>Go</body></html>"


def problems(out: Path) -> list[str]:
    base = sqlite3.connect(ledger_path(out))
    try:
        return [text for (text,) in base.execute("SELECT DISTINCT problem FROM calls")]
    finally:
        base.close()


def said_by(status: int, content: Any) -> str:
    message = server_message(status, content if isinstance(content, bytes) else json.dumps(content).encode())
    return truncate(str(message), 300)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"error": {"message": "slow down", "code": "rate_limit"}}, "429 rate_limit: slow down"),
        ({"error": {"message": "slow down", "type": "tokens", "code": None}}, "429 tokens: slow down"),
        ({"error": "slow down"}, "429: slow down"),
        ({"error": {"message": ""}}, '429: {"error": {"message": ""}}'),
        ({"object": "error", "message": "slow down", "code": 429}, "429: slow down"),
        ([{"error": {"message": "slow down", "status": "BUSY"}}], "429 BUSY: slow down"),
        ({"detail": "slow down"}, "429: slow down"),
        ({"detail": [{"loc": ["body", "n"], "msg": "too high", "type": "x"}]}, "429 x: body.n: too high"),
        ({"errors": [{"message": "a"}, {"message": "b"}]}, "429: a; b"),
        (
            {"error": {"message": "Provider error", "metadata": {"raw": "slow down"}}},
            "429: Provider error (slow down)",
        ),
        ({"error": {"error": {"error": {"message": "deep"}}}}, "429: deep"),
        (b"slow\x1b[31m down\n\x00", "429: slow[31m down"),
        (PAGE, "429: Please sign in: Go"),
        (b"", "429"),
        ({"fine": True}, '429: {"fine": true}'),
        (b"[" * 100_000, "429: " + "[" * 295),
        ({"error": {"message": "x" * 10_000}}, "429: " + "x" * 295),
    ],
)
def test_what_a_server_says_in_any_of_the_usual_forms(content: Any, expected: str) -> None:
    assert said_by(429, content) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b" ", "the answer is empty"),
        (PAGE, "the answer is a web page: Please sign in: Go"),
        (STREAM, "the answer is a stream of events that breaks off: data:"),
        (b'{"choices": []}', "the answer is no chat completion: "),
    ],
)
def test_what_an_answer_is_that_holds_no_reply(body: bytes, expected: str) -> None:
    assert read_completion(body) is None
    assert describe_answer(body).startswith(expected)


OBJECT = {"a": {"b": "1"}}
TEXT = json.dumps(OBJECT)


@pytest.mark.parametrize(
    "message",
    [
        {"content": TEXT},
        {"content": [{"type": "text", "text": TEXT[:5]}, {"type": "text", "text": TEXT[5:]}]},
        {"content": [TEXT]},
        {"content": [{"type": "output_text", "text": {"value": TEXT}}]},
        {"content": OBJECT},
        {"content": None, "reasoning_content": TEXT},
        {"content": "\n\n", "reasoning": f"So:\n```json\n{TEXT}\n```"},
        {"content": None, "tool_calls": [{"type": "function", "function": {"name": "answer", "arguments": TEXT}}]},
        {"content": "I call a tool.", "tool_calls": [{"function": {"arguments": OBJECT}}]},
        {"content": "", "function_call": {"name": "answer", "arguments": TEXT}},
        {"content": f"<think>{{not}}</think>\n{TEXT}"},
        {"content": f"[THINK]{{not}}[/THINK]{TEXT}"},
        {"content": f"<think>{TEXT}</think>"},
        {"content": f"<think>{TEXT}"},
        {"content": json.dumps(TEXT)},
    ],
)
def test_a_reply_is_found_wherever_it_was_put(message: dict[str, Any]) -> None:
    reply = read_completion(json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}))
    assert reply is not None
    assert find_json(reply.text) == OBJECT


def test_a_text_in_a_reply_may_hold_line_breaks_as_they_are() -> None:
    assert find_json('{"a": "in\nred\tand\x0bblue"}') == {"a": "in\nred\tand\x0bblue"}


def test_other_places_of_a_reply() -> None:
    assert read_completion(json.dumps({"choices": [{"text": TEXT}]})) == Reply(TEXT)
    refused = {"choices": [{"message": {"content": [{"type": "refusal", "refusal": "no"}]}}]}
    assert read_completion(json.dumps(refused)) == Reply("", refusal="no")
    events = [
        {"choices": [{"delta": {"role": "assistant", "content": TEXT[:3]}}]},
        {"choices": [{"delta": {"content": TEXT[3:]}, "finish_reason": None}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}},
    ]
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    assert read_completion(stream) == Reply(TEXT, finish="stop", tokens_in=7, tokens_out=5)


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS"])
def test_a_reply_that_its_token_limit_cut_is_told_as_such(finish: str) -> None:
    def asked(message: dict[str, Any]) -> dict[str, Any]:
        reply = read_completion(json.dumps({"choices": [{"message": message, "finish_reason": finish}]}))
        assert reply is not None
        return read_reply(reply, find_json, most_tokens=1500)

    # A draft that the model was thinking about is no answer.
    for message in ({"content": TEXT[:-2]}, {"reasoning_content": f"maybe {TEXT}"}, {"content": f"<think>{TEXT}"}):
        with pytest.raises(InvalidReply, match="cut by its token limit of 1500") as raised:
            asked(message)
        assert raised.value.cut
    assert asked({"content": TEXT}) == OBJECT


def test_refusals_are_no_replies() -> None:
    for reply in (Reply("", problem="400: no"), Reply("", refusal="no"), Reply(TEXT, finish="content_filter")):
        with pytest.raises(CallRefused, match=r"the (server|model) refused"):
            read_reply(reply, find_json, most_tokens=9)


FULL = BODY | {"max_tokens": 1500, "temperature": 0.0, "response_format": {}}


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        (
            "400 unsupported_parameter: Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            {"limit_name": "max_completion_tokens"},
        ),
        ("422: body.max_tokens: Extra inputs are not permitted", {"limit_name": "max_completion_tokens"}),
        (
            "400: Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value",
            {"temperature": False},
        ),
        ("400: System role not supported", {"system_role": False}),
        ("400: Only user, assistant and tool roles are supported, got system.", {"system_role": False}),
        ("500: Conversation roles must alternate user/assistant/user/assistant/...", {"system_role": False}),
        ("400: Developer instruction is not enabled for models/gemma-3", {"system_role": False}),
        ("400: 'response_format' of type 'json_schema' is not supported", {"schema": False}),
        ("400: This response_format type is unavailable now", {"schema": False}),
        (
            "400: max_tokens is too large: 1500. This model supports at most 1024 completion tokens",
            {"most_tokens": 1024},
        ),
        ("400: `max_tokens` must be less than or equal to `1024`", {"most_tokens": 1024}),
        ("400: Invalid max_tokens value, the valid range of max_tokens is [1, 1024]", {"most_tokens": 1024}),
        (
            "400: 'max_tokens' or 'max_completion_tokens' is too large: 1500. This model's maximum context length is "
            "4096 tokens and your request has 3000 input tokens (1500 > 4096 - 3000).",
            {"most_tokens": 1096},
        ),
        (
            "400: This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (7500 in the "
            "messages, 1500 in the completion).",
            {"most_tokens": 692},
        ),
        # No room for a reply, and refusals that another form does not help.
        ("400: This model's maximum context length is 4096 tokens and your request has 4000 input tokens", None),
        ("400: the request exceeds the available context size. try increasing the context size", None),
        ("400: at most 1 image may be provided in one request", None),
        ("500: image input is not supported - hint: you may need to provide the mmproj", None),
        ("400: Invalid image", None),
    ],
)
def test_each_refusal_has_its_own_remedy(said: str, changes: dict[str, Any] | None) -> None:
    remedy = remedy_for(said, FULL, schema_works=False)
    assert (remedy.changes if remedy else None) == changes


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("400: At most 1 image(s) may be provided in one request.", "--one-image"),
        ("400: Multiple images are not supported", "--one-image"),
        ("500: image input is not supported - hint: if this is unexpected, provide the mmproj", "choose a model"),
        ("500: this server has no image input", "choose a model"),
        ("404: No endpoints found that support image input", "choose a model"),
        ("400: m is not a multimodal model", "choose a model"),
        ("422: messages[1].content: unknown variant `image_url`, expected `text`", "choose a model"),
        ("400: the request exceeds the available context size", "--picture-size"),
        ("413: Request Entity Too Large", "--picture-size"),
        ("400: The model `m` does not exist", "model's name"),
        ("400: Client sent an HTTP request to an HTTPS server.", "https://"),
        ("400: something else", ""),
        ("400: the image format is not supported", ""),
    ],
)
def test_what_a_person_can_do_is_told(said: str, expected: str) -> None:
    assert expected in advice(said)
    assert bool(advice(said)) == bool(expected)
    assert is_hopeless(said) == any(word in expected for word in ("choose", "name", "https"))


def test_money_is_told_from_haste() -> None:
    for said in ("429 insufficient_quota: You exceeded your current quota", "400: Your credit balance is too low"):
        assert is_about_money(said)
    assert not is_about_money("429: Rate limit reached; you can add a payment method at https://example.com/billing")


def adapting(body: dict[str, Any]) -> Any:
    """A server that takes nothing of what is optional, one thing after the other."""
    if body["messages"][0]["role"] == "system":
        return 500, {"error": {"message": "System role not supported"}}
    if "temperature" in body:
        return 400, {"error": {"message": "temperature: only the default is supported"}}
    if "response_format" in body:
        return 422, {"detail": [{"loc": ["body", "response_format"], "msg": "Extra inputs are not permitted"}]}
    if "max_tokens" in body:
        return 400, {"error": {"message": "use max_completion_tokens"}}
    if body["max_completion_tokens"] > 900:
        return 400, {"error": {"message": "max_completion_tokens must be at most 900"}}
    text = body["messages"][0]["content"][0]["text"]
    asked = [{"content": text}, {"content": body["messages"][0]["content"][1:]}]
    return completion(json.dumps(content_for({"messages": asked})))


def test_what_a_server_does_not_take_is_left_out_for_the_rest_of_the_run(
    noise: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Loopback(respond=adapting) as server:
        chat = quick(server, temperature=0.0, attempts=1, concurrency=1)
        assert run(noise, tmp_path / "t", chat, limit=4).accepted == 8
        assert len(server.bodies) <= 4 * 3 + 2 * 5  # some calls were made ready before the answer to another one came
    messages = [line for line in capfd.readouterr().err.splitlines() if line.startswith(server.url)]
    assert len(messages) == 5
    for word in ("--temperature", "JSON schema", "system message", "max_completion_tokens", "at most 900"):
        assert sum(word in line for line in messages) >= 1


CREDIT = {"error": {"message": "no credit left", "code": 402}}
FAILING: dict[str, tuple[Any, str]] = {
    "an error with status 200": ((200, CREDIT), r"asks for payment \(402: no credit left\)"),
    "no pictures": ((500, {"error": {"message": "this server has no image input"}}), "no image input.*choose a model"),
    "a web page": ((200, PAGE, {"Content-Type": "text/html"}), "web page: Please sign in"),
    "a stream that breaks off": ((200, STREAM, {"Content-Type": "text/event-stream"}), "stream of events"),
    "an unknown error": ((200, {"error": {"message": "out of order"}}), "out of order"),
    "no money": ((429, {"error": {"message": "pay", "code": "insufficient_quota"}}), "asks for payment"),
    "a wrong key": ((400, {"error": {"message": "API key not valid"}}), "another key"),
    "another address": ((404, b"404 page not found"), "page not found.*check the address"),
    "another address, too": ((405, {"detail": "Method Not Allowed"}), "Method Not Allowed.*check the address"),
    "busy": ((503, {"error": {"message": "loading the model"}}), "loading the model"),
    "refused": ((400, {"error": {"message": "I know no such thing"}}), "I know no such thing"),
}


@pytest.mark.parametrize("limit", [3, 40])
@pytest.mark.parametrize("kind", FAILING)
def test_a_run_in_which_no_call_is_answered_ends_soon_and_says_why(
    noise: Path, tmp_path: Path, kind: str, limit: int
) -> None:
    answer, expected = FAILING[kind]
    out = tmp_path / "t.parquet"
    with Loopback(respond=lambda _: answer) as server, pytest.raises(FailureError, match=expected) as raised:
        run(noise, out, quick(server, attempts=3, concurrency=4), limit=limit)
    assert len(server.log) <= 24
    assert len(str(raised.value)) < 700
    assert states(out) == {"pending": limit}
    status = mine_status(out)
    assert status.pending == limit
    reason = str(answer[1]["error"]["message"]) if isinstance(answer[1], dict) and "error" in answer[1] else ""
    assert any(reason in problem for problem in problems(out))
    assert any(reason in problem for problem in status.pending_because)


def test_a_partial_success_says_how_many_are_left_and_why(
    noise: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    reasoned = []

    def respond(body: dict[str, Any]) -> Any:
        if SHADE.search(json.dumps(body["messages"])):  # it is asked to judge
            return None
        reasoned.append(body)
        return None if len(reasoned) <= 2 else (500, {"error": {"message": f"worker {len(reasoned)} died"}})

    out = tmp_path / "t"
    with Loopback(respond=respond) as server:
        result = run(noise, out, quick(server, attempts=2, concurrency=1), limit=5)
    assert (result.accepted, result.pending) == (4, 3)
    [(why, count)] = result.pending_because.items()
    assert (why[:11], count) == ("500: worker", 3)
    assert mine_status(out).pending_because == result.pending_because
    assert f"mine: 3 of 5 references are pending: 3 times {why}" in capfd.readouterr().err


def test_replies_that_are_cut_are_told_by_the_run(noise: Path, tmp_path: Path) -> None:
    cut = completion('{"shared": "all are', finish="length") | {"usage": {"completion_tokens": 50}}
    with Loopback(respond=lambda _: cut) as server:
        with pytest.raises(FailureError, match="no triplet was accepted: 3 times reasoner: the reply is longer than"):
            run(noise, tmp_path / "t", quick(server, max_tokens=50), limit=3)
        assert "token limit of 50" in server.bodies[-1]["messages"][3]["content"]
    assert mine_status(tmp_path / "t").reasons == {"reasoner: the reply is longer than --max-tokens": 3}


def send(url: str, **options: Any) -> Reply:
    async def asked() -> Reply:
        async with Endpoint(url, ChatEndpoint(base_url=url, **options)) as endpoint:
            return await endpoint.send(BODY, "key")

    return asyncio.run(asked())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_pictures_and_key_go_to_no_other_server(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_API_KEY", "sk-very-secret")
    with Loopback() as other:
        headers = {"Location": f"http://localhost:{other.port}/v1/chat/completions?key=sk-very-secret"}
        with Loopback(respond=lambda _: (status, {}, headers)) as server, pytest.raises(FailureError) as raised:
            send(server.url)
        assert not other.log
    assert f"sends on to http://localhost:{other.port}/v1" in str(raised.value)
    assert "sk-very-secret" not in str(raised.value)


def test_a_redirect_within_the_server_is_followed_and_a_circle_ends() -> None:
    asked: list[dict[str, Any]] = []

    def respond(body: dict[str, Any]) -> Any:
        asked.append(body)
        return (307, {}, {"Location": "/v1/chat/completions/"}) if len(asked) == 1 else completion("{}")

    with Loopback(respond=respond) as server:
        assert send(server.url).text == "{}"
    assert asked == [BODY, BODY]
    with (
        Loopback(respond=lambda _: (308, {}, {"Location": "/v1/again"})) as circle,
        pytest.raises(FailureError, match="from one address to the next"),
    ):
        send(circle.url)


def packed(status: int) -> tuple[int, bytes, dict[str, str]]:
    """60 MB of blanks in 0.3 MB."""
    whole = b'{"error": "too much"' + b" " * 60_000_000 + b"}"
    return status, gzip.compress(whole, 1), {"Content-Encoding": "gzip"}


@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_answer_is_unpacked_no_further_than_it_is_read(status: int) -> None:
    answer = packed(status)
    with Loopback(respond=lambda _: answer) as server:
        tracemalloc.start()
        try:
            if status == 200:
                assert send(server.url).finish == "too long"
            else:
                with pytest.raises((TransientError, RequestRefused), match=f"^{status}: "):
                    send(server.url)
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()


def test_an_answer_may_be_packed_as_is_usual() -> None:
    whole = gzip.compress(json.dumps(completion("{}")).encode())
    with Loopback(respond=lambda _: (200, whole, {"Content-Encoding": "gzip"})) as server:
        assert send(server.url).text == "{}"
    for encoding in ("br", "gzip"):
        broken = (200, b"no such thing", {"Content-Encoding": encoding})
        with (
            Loopback(respond=lambda _, broken=broken: broken) as server,
            pytest.raises(TransientError, match="cannot be unpacked"),
        ):
            send(server.url)


def test_a_fault_of_tls_is_told_as_such(tmp_path: Path) -> None:
    with Plain() as port, pytest.raises(FailureError, match=r"does not speak TLS.*http://"):
        send(f"https://127.0.0.1:{port}/v1")
    with Loopback(tls=certificate(tmp_path)) as own, pytest.raises(FailureError, match=r"certificate is not trusted"):
        send(own.url.replace("http://", "https://"))


class Plain:
    """A server that answers whatever comes in plain HTTP, as most do."""

    def __enter__(self) -> int:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return int(self._server.getsockname()[1])

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    def __exit__(self, *_: object) -> None:
        self._server.close()


def certificate(folder: Path) -> ssl.SSLContext:
    """Of nobody that anybody trusts."""
    names = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", *names]
    try:
        subprocess.run(made, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


ECHOES: dict[str, Callable[[str], Any]] = {
    "in a reply": lambda key: completion(f"your key is {key}"),
    "in a refusal": lambda key: completion(None, refusal=f"not for {key}"),
    "in an error": lambda key: (400, {"error": {"message": f"no {key[:8]}\u200b{key[8:]}, no {key}"}}),
    "in plain text": lambda key: (500, f"who is {key}?".encode()),
    "in a web page": lambda key: (200, f"<html><body>{key}</body></html>".encode()),
    "in an error with status 200": lambda key: {"error": {"message": key, "code": 500}},
    "where a message is cut": lambda key: (400, {"error": {"message": "x" * 285 + key}}),
    "where a reply is cut": lambda key: completion("x" * (MOST_TEXT - 9) + key),
}


@pytest.mark.parametrize("where", ECHOES)
def test_a_key_that_a_server_echoes_is_not_kept(
    noise: Path, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "sk-very-secret-0123456789"
    monkeypatch.setenv("TRIPTYCH_API_KEY", secret)
    with Loopback(respond=lambda _: ECHOES[where](secret)) as server, pytest.raises(FailureError) as raised:
        run(noise, tmp_path / "t", quick(server, attempts=1), limit=3)
    shown = capfd.readouterr()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()).decode("latin-1")
    for place in (kept, shown.out, shown.err, str(raised.value), str(mine_status(tmp_path / "t"))):
        assert secret[:9] not in place
    assert "***" in kept


def test_a_dummy_key_changes_no_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_API_KEY", "red")
    with Loopback(respond=lambda _: completion('{"a": "in red"}')) as server:
        assert send(server.url).text == '{"a": "in red"}'


def test_a_batch_keeps_what_the_service_says(noise: Path, tmp_path: Path) -> None:
    out = tmp_path / "t"
    run(noise, out, settings(batch_out=tmp_path / "out.jsonl"), limit=2)
    keys = [json.loads(line)["custom_id"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    lines = [
        {"custom_id": keys[0], "response": {"status_code": 429, "body": {"error": {"message": "not\x1b now"}}}},
        {"custom_id": keys[1], "response": None, "error": {"code": "batch_expired", "message": "too late"}},
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(noise, out, settings(batch_in=tmp_path / "in.jsonl"), limit=2)
    assert mine_status(out).pending_because == {"batch: 429: not now": 1, "batch: batch_expired: too late": 1}


async def judged(reranker: Reranker, folder: Path, text: str = "in red") -> Reranked:
    files = []
    for number in range(3):
        files.append(folder / f"{number}.png")
        Image.new("RGB", (16, 16), (80 * number, 30, 30)).save(files[-1])
    hits = [Hit(rank, file.name, str(file), 1.0, str(rank), {}) for rank, file in enumerate(files[1:], 1)]
    return await reranker(files[0], text, hits)


def judge_at(server: Loopback, **options: object) -> Reranker:
    chat = settings(base_url=server.url, backoff=0.001, max_backoff=0.01, **options)
    return Reranker(RerankOptions("chat:m", chat=chat))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((500, {"error": {"message": "this server has no image input"}}), "no image input; .*choose a model"),
        (
            (400, {"error": {"message": "At most 1 image may be provided"}}),
            "refused the call: 400: At most 1.*--one-im",
        ),
        ((200, CREDIT), r"asks for payment \(402: no credit left\)"),
        ((503, {"error": {"message": "overloaded"}}), r"no answer in 2 attempts \(503: overloaded\)"),
        ((200, PAGE), "web page: Please sign in"),
        (completion("{", finish="length"), "no usable reply: it was cut by its token limit of"),
    ],
)
def test_re_ranking_says_why_there_was_none(answer: Any, expected: str, tmp_path: Path) -> None:
    with Loopback(respond=lambda _: answer) as server:
        found = asyncio.run(judged(judge_at(server), tmp_path))
    assert found.problem == "it failed"
    assert re.search(expected, found.detail), found.detail
    assert [hit.rank for hit in found.hits] == [1, 2]


def test_re_ranking_remembers_how_a_server_wants_to_be_asked(tmp_path: Path) -> None:
    mood = {"dead": False}

    def respond(body: dict[str, Any]) -> Any:
        if mood["dead"]:
            return 402, {"error": {"message": "pay"}}
        if "response_format" in body:
            return 400, {"error": {"message": "no response_format here"}}
        return completion('{"picks": [2], "already_true": false, "also_fit": [], "certainty": 1}')

    async def ask_thrice(reranker: Reranker) -> None:
        assert not (await judged(reranker, tmp_path)).problem
        mood["dead"] = True
        assert "pay" in (await judged(reranker, tmp_path, "in blue")).detail
        mood["dead"] = False
        assert not (await judged(reranker, tmp_path, "in green")).problem

    with Loopback(respond=respond) as server:
        asyncio.run(ask_thrice(judge_at(server)))
    assert ["response_format" in body for body in server.bodies] == [True, False, False, False]
