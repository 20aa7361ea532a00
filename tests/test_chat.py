"""The room `chat`: settings, prompts, pictures, calls, replies, limits, and the ledger."""

import asyncio
import base64
import io
import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from chat_helpers import settings
from triptych.chat.answers import completion
from triptych.chat.cost import picture_tokens, tokens_in
from triptych.chat.ledger import MOST_TEXT, Ledger, Reply, ledger_path
from triptych.chat.limits import Backoff, Budget, ConcurrencyLimiter, retry_after
from triptych.chat.parsing import InvalidReply, find_json
from triptych.chat.pictures import PictureUrls
from triptych.chat.prompts import fill, load_prompts
from triptych.chat.remedies import RequestForm
from triptych.chat.request import Call, CallPicture, rendering, request
from triptych.chat.settings import ChatRequest
from triptych.core.errors import DataError, PictureError, UsageError
from triptych.core.text import clean

HERE = ChatRequest()


def call(text: str = "what differs?", names: tuple[str, ...] = ("a.png", "b.png"), **other: object) -> Call:
    pictures = tuple(
        CallPicture("Reference" if not place else f"Picture {place}", name, name * 8)
        for place, name in enumerate(names)
    )
    usual = {"step": "reasoning", "model": "m", "prompt_version": "1", "schema": {"type": "object"}}
    return Call(**(usual | {"text": text, "pictures": pictures, "rendering": rendering(HERE)} | other))


@pytest.fixture
def urls(tmp_path: Path) -> PictureUrls:
    for name, size in (("a.png", (800, 400)), ("b.png", (60, 90)), ("c.png", (64, 64))):
        picture = Image.new("RGB", size, (200, 30, 30))
        exif = picture.getexif()
        exif[0x010E] = "taken at home"
        picture.save(tmp_path / name, exif=exif)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return PictureUrls(lambda name: tmp_path / name, size=100, quality=80)


def decoded(url: str) -> Image.Image:
    head, _, content = url.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": ""},
        {"base_url": "localhost:8000"},
        {"base_url": "http://user:secret@host/v1"},
        {"base_url": "http://host/v1?key=secret"},
        {"base_url": "http://host:99999999/v1"},
        {"concurrency": 0},
        {"attempts": 0},
        {"backoff": -1.0},
        {"backoff": float("nan")},
        {"read_timeout": 0.0},
        {"picture_quality": 100},
        {"max_calls": -1},
        {"max_cost": 5.0},
        {"dry_run": True, "batch_out": Path("x")},
        {"max_calls": 3, "batch_out": Path("x")},
        {"judge": ","},
        {"judge_base_url": "http://judge/v1"},
        {"judge_price_in": 1.0},
        {"judge": "strong", "judge_base_url": "http://user:secret@judge/v1"},
        {"judge": "strong", "judge_base_url": "http://judge/v1?key=secret"},
        {"judge": "strong", "judge_base_url": "http://judge/v1", "batch_out": Path("x")},
    ],
)
def test_settings_that_make_no_sense_are_named_without_the_secret(wrong: dict) -> None:
    with pytest.raises(UsageError) as raised:
        settings(**({"base_url": "http://host/v1"} | wrong))
    assert "secret" not in str(raised.value)
    assert "--" in str(raised.value)


def test_prompts_have_a_version_that_follows_their_words(tmp_path: Path) -> None:
    own = load_prompts()
    assert own.version.startswith("1-")
    for text, names in ((own.reason, ("count", "targets")), (own.judge, ("texts", "wordings", "count"))):
        assert all("{" + name + "}" in text for name in names)
    (tmp_path / "judge.md").write_text("Which of {count}? {texts}", encoding="utf-8")
    changed = load_prompts(tmp_path)
    assert (changed.reason, changed.judge) == (own.reason, "Which of {count}? {texts}")
    assert changed.version != own.version
    with pytest.raises(DataError, match=r"reason\.md"):
        load_prompts(tmp_path / "nowhere")
    (tmp_path / "reason.md").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"reason\.md"):
        load_prompts(tmp_path)


def test_filling_leaves_other_braces_alone() -> None:
    assert fill('{"a": {count}} {other}', count=3, texts="{count}") == '{"a": 3} {other}'
    assert fill("{count} {texts}", count=3, texts="{count}") == "3 {count}"


def test_pictures_are_downscaled_encoded_anew_and_without_metadata(urls: PictureUrls) -> None:
    picture = decoded(urls.url("a.png"))
    assert picture.size == (100, 50)
    assert not picture.getexif()
    assert decoded(urls.url("b.png")).size == (60, 90)
    sheet = decoded(urls.side_by_side([(str(number), "a.png") for number in range(6)]))
    assert sheet.width > 4 * 100
    assert 2 * 100 < sheet.height < 3 * 100
    with pytest.raises(PictureError):
        urls.url("broken.png")


def test_a_request_shows_each_picture_under_its_label(urls: PictureUrls) -> None:
    body = request(call(names=("a.png", "b.png", "c.png")), urls, HERE)
    parts = body["messages"][1]["content"]
    assert [part.get("text") for part in parts[::2]] == ["Reference:", "Picture 1:", "Picture 2:"]
    assert [decoded(part["image_url"]["url"]).size for part in parts[1::2]] == [(100, 50), (60, 90), (64, 64)]
    assert body["response_format"]["json_schema"]["strict"] is True
    assert "temperature" not in body
    form = RequestForm(schema=False, limit_name="longest")
    sheet = request(call(), urls, replace(HERE, one_image=True, temperature=0.0), form)
    assert [part["type"] for part in sheet["messages"][1]["content"]] == ["image_url"]
    assert (sheet["longest"], sheet["temperature"]) == (1500, 0.0)
    assert "response_format" not in sheet


def test_a_key_follows_all_that_decides_the_reply_and_no_file_name() -> None:
    one = call()
    same_content = replace(one, pictures=tuple(replace(shown, name="elsewhere.png") for shown in one.pictures))
    assert one.key == call().key == same_content.key
    assert one.again("{}", "wrong").key != one.key
    others = [
        call(text="other"),
        call(model="n"),
        call(prompt_version="2"),
        call(names=("b.png", "a.png")),
        call(step="judgement"),
        call(schema={}),
        call(rendering=rendering(replace(HERE, picture_size=100))),
    ]
    assert len({one.key, *(other.key for other in others)}) == 8


@pytest.mark.parametrize(
    "text",
    [
        '{"a": {"b": 1}}',
        'Sure! Here it is:\n```json\n{"a": {"b": 1}}\n```\nAnything else?',
        'I think {this} and {"x": 1} are short, so: {"a": {"b": 1}} and {"a": 2',
        '<think>maybe {"a": {"b": 2, "c": [1, 2, 3, 4, 5, 6, 7, 8]}}</think> {"a": {"b": 1}}',
    ],
)
def test_json_is_found_in_prose(text: str) -> None:
    assert find_json(text) == {"a": {"b": 1}}


@pytest.mark.parametrize("text", ["", "no", "[1, 2]", '{"a": ', "{" * 5000, '{"a":' * 3000, '"{\\"a\\": 1"'])
def test_no_json_is_said_so(text: str) -> None:
    with pytest.raises(InvalidReply):
        find_json(text)


def test_texts_are_cleaned_of_what_could_steer_a_terminal() -> None:
    assert clean("in\x1b[31m  red\u202e\u200b\x00\n\tnow\ud800") == "in[31m red now"
    assert clean("größer, 赤い") == "größer, 赤い"


def test_a_completion_is_read_and_anything_else_gives_none() -> None:
    whole = {
        "choices": [{"message": {"content": "x" * (2 * MOST_TEXT), "more": 1}, "finish_reason": "stop\x1b"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "details": {}},
        "unknown": [],
    }
    reply = completion(json.dumps(whole))
    assert reply is not None
    assert (len(reply.text), reply.finish) == (MOST_TEXT, "stop")
    assert (reply.tokens_in, reply.tokens_out) == (1000, 100)
    for broken in ("", "[]", "{}", '{"choices": []}', '{"choices": [{"message": 3}]}', "[" * 100_000, "nul"):
        assert completion(broken) is None


def test_a_judge_may_have_prices_of_its_own() -> None:
    prices = {"base_url": "http://localhost:1/v1", "price_in": 2.0, "price_out": 10.0}
    one = settings(**prices)
    assert one.cost("reasoning", 1000, 100) == one.cost("judgement", 1000, 100) == pytest.approx(0.003)
    judge = {"judge": "strong", "judge_price_in": 20.0, "judge_price_out": 0.0}
    two = settings(**prices, **judge)
    assert two.cost("reasoning", 1000, 100) == pytest.approx(0.003)
    assert two.cost("judgement", 1000, 100) == pytest.approx(0.02)
    free = prices | judge | {"price_in": 0.0, "price_out": 0.0}
    assert settings(**free, max_cost=1.0).budget.max_cost == 1.0
    assert settings(**free | {"judge": "chat:strong, other"}).judges("m") == ["strong", "other"]


def test_tokens_of_a_picture_by_the_dearer_rule() -> None:
    assert picture_tokens(336, 336) == 255
    assert picture_tokens(1024, 1024) == 1369
    assert tokens_in(call(names=("a", "b", "c")), settings(base_url="http://localhost:1/v1")) == 3 * 255 + 4


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after-ms": "250", "retry-after": "7"}) == 0.25
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT"}, now=1445412480) == 30
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, now=1445412490) == 0
    for nothing in ({}, {"retry-after": "soon"}, {"retry-after": "nan"}, {"retry-after": "inf"}):
        assert retry_after(nothing) is None


def test_back_off_doubles_up_to_its_limit_and_never_undercuts_the_server() -> None:
    wait = Backoff(1.0, 8.0, Random(0))
    for attempt, full in ((1, 1), (2, 2), (3, 4), (4, 8), (9, 8), (5000, 8)):
        waits = [wait.before(attempt) for _ in range(50)]
        assert full / 2 <= min(waits) < max(waits) <= full
    assert wait.before(1, asked=33.0) == 33.0
    assert wait.before(1, asked=1e9) == 900.0


def test_the_limiter_grows_with_answers_and_halves_once_for_calls_that_were_out_together() -> None:
    async def scenario() -> None:
        limiter = ConcurrencyLimiter(32, first=8)
        async with limiter.slot() as before:
            pass
        for _ in range(24):
            limiter.grow()
        assert limiter.limit == 32
        limiter.shrink(before)
        limiter.shrink(before)
        assert limiter.limit == 16
        for _ in range(16):
            limiter.grow()
        assert 16.5 < limiter.limit < 17.5
        for cuts in range(1, 20):
            limiter.shrink(cuts)
        assert limiter.limit == 1

    asyncio.run(scenario())


def test_a_pause_holds_for_everybody_until_it_is_over() -> None:
    async def scenario() -> None:
        now = 0.0
        limiter = ConcurrencyLimiter(4, clock=lambda: now)
        limiter.shrink(0, pause=0.001)
        entered = asyncio.ensure_future(enter(limiter))
        await asyncio.sleep(0.01)
        assert not entered.done()
        now = 1.0
        limiter.grow()
        await asyncio.wait_for(entered, 5)

    async def enter(limiter: ConcurrencyLimiter) -> None:
        async with limiter.slot():
            pass

    asyncio.run(scenario())


def test_no_more_calls_are_out_than_the_limiter_allows() -> None:
    async def scenario() -> int:
        limiter, out, most = ConcurrencyLimiter(3, first=3), 0, 0

        async def work() -> None:
            nonlocal out, most
            async with limiter.slot():
                out += 1
                most = max(most, out)
                await asyncio.sleep(0)
                out -= 1

        tasks = [asyncio.ensure_future(work()) for _ in range(40)]
        tasks[7].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return most

    assert asyncio.run(scenario()) == 3


def test_a_budget_counts_what_is_in_flight() -> None:
    async def scenario() -> None:
        calls = Budget(calls=2, cost=None, minutes=None, spent=(1, 0.0))
        assert await calls.take(1.0) == ""
        assert "--max-calls 2" in await calls.take(1.0)
        money = Budget(calls=None, cost=1.0, minutes=None)
        assert await money.take(0.6) == ""
        waiting = asyncio.ensure_future(money.take(0.6))
        await asyncio.sleep(0)
        assert not waiting.done()
        money.settle(0.6, 0.1)
        assert await waiting == ""
        money.settle(0.6, 0.6)
        assert "--max-cost 1" in await money.take(0.4)
        now = 0.0
        minutes = Budget(calls=None, cost=None, minutes=2, clock=lambda: now)
        assert minutes.exhausted() == ""
        now = 121.0
        assert "--max-minutes" in minutes.exhausted()

    asyncio.run(scenario())


def test_a_ledger_keeps_the_first_reply_and_counts_attempts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    asked = call()
    assert not ledger.record_reply(asked.key, Reply("to nobody"))
    ledger.record_attempt(asked, "a.png")
    ledger.record_failure(asked.key, "503")
    ledger.record_attempt(asked, "a.png")
    assert ledger.reply(asked.key) is None
    first = Reply("{}", finish="stop", tokens_in=10, tokens_out=2, cost=0.5, seconds=1.0)
    assert ledger.record_reply(asked.key, first)
    assert not ledger.record_reply(asked.key, Reply("another"))
    ledger.record_attempt(asked, "a.png")
    ledger.record_failure(asked.key, "late")
    assert ledger.reply(asked.key) == first
    assert ledger.spent() == (2, 0.5)
    assert ledger.steps()["reasoning"]["answered"] == 1
    ledger.record_attempt(call("lost"), "a.png", most=0.5)  # out when the program was killed: paid for, it may be
    assert ledger.spent() == (3, 1.0)
    ledger.close()
    assert Ledger(tmp_path / "ledger.sqlite").reply(asked.key) == first


def test_a_run_with_other_facts_begins_anew_and_keeps_the_replies(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    assert ledger.begin({"seed": 0}, ["b", "a"]) is False
    ledger.settle("a", "rejected", "reasoner: nothing: said", [])
    assert ledger.begin({"seed": 0}, ["b", "a"]) is False
    assert ledger.pending() == ["b"]
    assert ledger.reasons() == {"reasoner: nothing: said": 1}
    ledger.record_attempt(call(), "a")
    ledger.record_reply(call().key, Reply("{}"))
    assert ledger.begin({"seed": 1}, ["a", "c"]) is True
    assert ledger.pending() == ["a", "c"]
    assert ledger.reply(call().key) is not None


def test_what_is_no_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no ledger at all, but long enough to be looked at as if it were one" * 9)
    with pytest.raises(DataError, match="text"):
        Ledger(tmp_path / "text")
    base = sqlite3.connect(tmp_path / "later")
    base.execute("PRAGMA user_version = 99")
    base.close()
    with pytest.raises(DataError, match="another version"):
        Ledger(tmp_path / "later")
    assert ledger_path(tmp_path / "t.parquet").parent.name == "t.parquet.ledger"
