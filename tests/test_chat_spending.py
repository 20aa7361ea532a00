"""What a server may do to a run's money, and what it may not do to its references."""

import asyncio
import json
from pathlib import Path

import pytest

from chat_helpers import quick, run, settings, states
from loopback import Loopback, completion, content_for
from triptych import mine_status
from triptych.chat.client import DialogueRunner
from triptych.chat.cost import most_cost
from triptych.chat.endpoint import Endpoint, TransientError
from triptych.chat.ledger import Ledger, Reply, ledger_path, open_ledger
from triptych.chat.limits import Budget
from triptych.chat.pictures import PictureUrls
from triptych.chat.reply_cache import ReplyCache
from triptych.chat.request import Call
from triptych.chat.server import ServerConnection
from triptych.chat.settings import REASONING, ChatEndpoint
from triptych.core.errors import FailureError, UsageError

CALL = Call(REASONING, "model", "1", "words", (), {}, "shape")


@pytest.mark.parametrize(
    ("code", "says"),
    [(402, "asks for payment"), (403, "TRIPTYCH_API_KEY"), (400, "refuses every call"), (404, "model")],
)
def test_a_server_that_takes_nothing_costs_no_reference(
    noise: Path,
    server: Loopback,
    tmp_path: Path,
    code: int,
    says: str,
):
    out = tmp_path / "t.parquet"
    with (
        Loopback(respond=lambda _: (code, {"error": {"message": "no"}})) as shut,
        pytest.raises(FailureError, match=says),
    ):
        run(noise, out, quick(shut), limit=5)
    assert states(out) == {"pending": 5}
    assert run(noise, out, quick(server), limit=5).references_accepted == 5


def test_a_server_that_stops_taking_calls_costs_no_reference(noise: Path, server: Loopback, tmp_path: Path):
    out = tmp_path / "t.parquet"
    taken = []

    def respond(body: dict) -> object:
        taken.append(body)
        return None if len(taken) <= 9 else (400, {"error": {"message": "at most 1 image"}})

    with Loopback(respond=respond) as tired, pytest.raises(FailureError, match="refuses every call"):
        run(noise, out, quick(tired, concurrency=2), limit=40)
    found = states(out)
    assert found["rejected"] == 0
    assert found["pending"] > 30
    assert run(noise, out, quick(server), limit=40).references_accepted == 40


def test_a_picture_that_a_service_will_not_see_rejects_its_reference_alone(noise: Path, tmp_path: Path):
    out = tmp_path / "t.parquet"
    answered = []

    def respond(body: dict) -> object:
        answered.append(body)
        return (403, {"error": {"message": "flagged"}}) if len(answered) == 4 else None

    with Loopback(respond=respond) as strict:
        facts = run(noise, out, quick(strict, concurrency=1), limit=4)
        assert (facts.references_accepted + facts.references_rejected, facts.pending) == (4, 0)
        refusals = facts.rejected_because | facts.reasons
        assert [reason for reason in refusals if "the server refused the call" in reason]
        sent = len(strict.log)
        run(noise, out, quick(strict), limit=4)
        assert len(strict.log) == sent


def test_a_key_is_taken_without_its_line_end_and_never_told(noise: Path, tmp_path: Path, monkeypatch):
    with Loopback(key="sk-1234") as locked:
        monkeypatch.setenv("TRIPTYCH_API_KEY", "sk-1234\r\n")
        assert run(noise, tmp_path / "t", quick(locked), limit=1).references_accepted == 1
        for wrong in ("sk-12\n34", "sk-12\u00e934"):
            monkeypatch.setenv("TRIPTYCH_API_KEY", wrong)
            with pytest.raises(UsageError, match="TRIPTYCH_API_KEY") as raised:
                run(noise, tmp_path / "u", quick(locked), limit=1)
            assert "sk-" not in str(raised.value)


ODD_COMPLETIONS = {
    "half a surrogate pair": lambda whole: whole["choices"][0]["message"].update(
        content=whole["choices"][0]["message"]["content"] + "\ud800"
    ),
    "more tokens than there are": lambda whole: whole["usage"].update(prompt_tokens=2**70),
    "fractions of tokens": lambda whole: whole["usage"].update(prompt_tokens=10.5, completion_tokens=None),
    "usage that is none": lambda whole: whole.update(usage="none"),
    "content in parts": lambda whole: whole["choices"][0]["message"].update(
        content=[{"type": "text", "text": whole["choices"][0]["message"]["content"]}, {"type": "else"}]
    ),
}


@pytest.mark.parametrize("oddity", ODD_COMPLETIONS)
def test_an_odd_completion_is_an_answer_all_the_same(noise: Path, tmp_path: Path, oddity: str):
    def respond(body: dict) -> dict:
        whole = completion(json.dumps(content_for(body)))
        ODD_COMPLETIONS[oddity](whole)
        return whole

    with Loopback(respond=respond) as odd:
        assert run(noise, tmp_path / "t", quick(odd), limit=3).accepted == 6
        assert len(odd.log) == 9


def test_what_nobody_tells_the_price_of_counts_with_the_most(noise: Path, tmp_path: Path):
    out = tmp_path / "t.parquet"
    prices = {"price_out": 1000.0, "max_tokens": 1000}  # at most 1 a call
    with Loopback(respond=lambda _: {"choices": []}) as vague:
        with pytest.raises(FailureError, match="no chat completion"):
            run(noise, out, quick(vague, max_cost=4.5, **prices))
        assert mine_status(out).cost == pytest.approx(4)
        assert len(vague.log) == 4
    with Loopback(respond=lambda body: completion(json.dumps(content_for(body))) | {"usage": None}) as silent:
        assert run(noise, out, quick(silent, max_cost=8.5, **prices)).cost == pytest.approx(8)
        assert len(silent.log) == 4
    assert mine_status(out).cost == pytest.approx(8)


def test_what_was_out_when_a_run_was_killed_stays_in_the_books(tmp_path: Path):
    with open_ledger(tmp_path / "ledger") as ledger:
        ledger.record_attempt(CALL, "a.jpg", most=2.0)
    with open_ledger(tmp_path / "ledger") as ledger:
        assert ledger.spent() == (1, 2.0)
        ledger.record_attempt(CALL, "a.jpg", most=2.0)
        ledger.record_failure(CALL.key, "429", free=2.0)
        ledger.record_attempt(CALL, "a.jpg", most=2.0)
        ledger.record_reply(CALL.key, Reply("{}", cost=0.5), most=2.0)
        assert ledger.spent() == (3, 2.5)


def test_minutes_left_follow_from_the_run_that_is_asking(noise: Path, server: Loopback, tmp_path: Path):
    out = tmp_path / "t.parquet"
    run(noise, out, quick(server, max_calls=31))
    assert mine_status(out).minutes_left is not None
    with open_ledger(ledger_path(out)) as ledger:
        done = ledger.references_per_second()
        ledger.record_live_run(4e9)  # a run that has done nothing yet
    assert done > 0
    assert mine_status(out).minutes_left is None


def test_a_pause_that_a_server_asks_for_is_heard():
    async def asked(url: str) -> None:
        async with Endpoint(url, ChatEndpoint(base_url=url)) as endpoint:
            await endpoint.send({"model": "m", "messages": []}, "key")

    said = {"error": {"message": "slower"}}
    with (
        Loopback(respond=lambda _: (429, said, {"Retry-After": "7"})) as busy,
        pytest.raises(TransientError) as error,
    ):
        asyncio.run(asked(busy.url))
    assert (error.value.busy, error.value.after, error.value.paid) == (True, 7.0, False)
    with pytest.raises(TransientError) as error:
        asyncio.run(asked(busy.url))  # nobody listens there any more
    assert not error.value.paid


class Slow:
    """An endpoint that answers once it may."""

    url = "http://localhost/v1"

    def __init__(self) -> None:
        self.asked, self.may = asyncio.Event(), asyncio.Event()

    async def send(self, body: dict, key: str) -> Reply:
        self.asked.set()
        await self.may.wait()
        return Reply("{}", tokens_in=1, tokens_out=1)


def test_a_run_that_is_stopped_near_its_last_money_ends():
    chosen = settings(base_url="http://localhost/v1", price_out=1000.0, max_cost=1.0)

    async def whole() -> list[str]:
        endpoint = Slow()
        budget = Budget(calls=None, cost=2.5 * most_cost(CALL, chosen), minutes=None)
        urls = PictureUrls(Path, size=8, quality=80)
        connections = {REASONING: ServerConnection(endpoint, chosen)}  # type: ignore[arg-type]
        runner = DialogueRunner(ReplyCache(), urls, chosen, connections, budget)

        def dialogue(number: int):
            yield [Call(REASONING, "model", "1", f"words {number}", (), {}, "shape")]

        done: list[str] = []
        dialogues = ((str(number), dialogue(number)) for number in range(8))
        running = asyncio.create_task(runner.run(dialogues, lambda name, _: done.append(name), lambda *_: None))
        await endpoint.asked.wait()
        for _ in range(100):  # until the others wait for money
            await asyncio.sleep(0)
        runner.stop("interrupted")
        endpoint.may.set()
        async with asyncio.timeout(20):
            await running
        return done

    assert len(asyncio.run(whole())) <= 2


def test_a_ledger_forgets_refusals_when_told(tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger")
    ledger.begin({}, ["a.jpg"])
    ledger.record_attempt(CALL, "a.jpg")
    ledger.record_reply(CALL.key, Reply("", problem="400: no"))
    ledger.settle("a.jpg", "rejected", "reasoner: the server refused the call: 400: no", [])
    assert ledger.reasons() == {"reasoner: the server refused the call: 400: no": 1}
    ledger.reopen([CALL.key])
    assert (ledger.reply(CALL.key), ledger.pending()) == (None, ["a.jpg"])
    ledger.close()
