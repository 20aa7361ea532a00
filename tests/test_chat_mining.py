"""`mine-chat` against a loopback server, well-behaved and hostile."""

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from chat_helpers import REFERENCES, quick, run, settings, states
from loopback import ODD, PASSING, Loopback, completion, content_for, noise_catalog, odd, shade
from triptych.catalog.catalog import Catalog
from triptych.chat.judging import read_judgement
from triptych.chat.ledger import ledger_path
from triptych.chat.parsing import InvalidReply
from triptych.cli import main
from triptych.core.errors import DataError, FailureError, UsageError
from triptych.mining.chat.replies import read_reasoning
from triptych.mining.chat.status import mine_status
from triptych.triplets.file import read_triplets


def test_a_reference_ends_in_triplets_that_the_judge_found_blindly(noise: Path, server: Loopback, tmp_path: Path):
    out = tmp_path / "triplets.parquet"
    facts = run(noise, out, quick(server))
    triplets, note = read_triplets(out)
    assert facts.accepted == len(triplets) == 2 * REFERENCES
    assert (facts.calls, facts.pending) == (3 * REFERENCES, 0)
    names = set(Catalog(noise).names)
    for triplet in triplets:
        assert {triplet.reference, triplet.target, *triplet.negatives} <= names
        assert len({triplet.reference, triplet.target, *triplet.negatives}) == 5
        assert {wording.style for wording in triplet.modifications} == {"shorthand", "sentence", "captions", "relative"}
        assert triplet.changes[0].new in triplet.modifications[0].text
        assert triplet.confidence == pytest.approx(0.9)
        assert triplet.reasoner.startswith("chat:loopback (prompts 1-")
    assert note["settings"]["base_url"] == server.url
    orders = [
        [shade(part["image_url"]["url"]) for part in body["messages"][1]["content"] if part["type"] == "image_url"]
        for body in server.bodies
    ]
    sets = Counter((order[0], tuple(sorted(order[1:]))) for order in orders)
    assert set(sets.values()) == {3}
    assert len(set(map(tuple, orders))) > 2 * REFERENCES


def test_what_fits_as_well_is_no_negative(noise: Path, tmp_path: Path):
    def respond(body: dict):
        right = content_for(body)
        if "picks" in right:
            right["also_fit"] = [number for number in (1, 2) if number != right["picks"][0]][:1] + right["picks"][:1]
        return completion(json.dumps(right))

    with Loopback(respond=respond) as server:
        run(noise, tmp_path / "t", quick(server), limit=4)
    for triplet in read_triplets(tmp_path / "t")[0]:
        assert triplet.accepted
        assert (len(triplet.negatives), len(triplet.other_targets)) == (2, 1)
        assert len({triplet.target, *triplet.negatives, *triplet.other_targets}) == 4


def test_triplets_do_not_depend_on_the_order_in_which_answers_come(noise: Path, server: Loopback, tmp_path: Path):
    run(noise, tmp_path / "one", quick(server))
    run(noise, tmp_path / "two", quick(server, concurrency=1))
    assert read_triplets(tmp_path / "one")[0] == read_triplets(tmp_path / "two")[0]


def test_nothing_is_asked_twice(noise: Path, server: Loopback, tmp_path: Path):
    out = tmp_path / "triplets.parquet"
    first = run(noise, out, quick(server))
    known = read_triplets(out)
    assert run(noise, out, quick(server)) == first
    run(noise, out, quick(server), triplets=2, limit=REFERENCES + 2)
    assert len(server.log) == 3 * (REFERENCES + 2)
    assert set(server.answered.values()) == {1}
    assert read_triplets(out)[0][: len(known[0])] == known[0]
    run(noise, out, quick(server, picture_size=8))
    assert len(server.log) == 3 * (2 * REFERENCES + 2)


@pytest.mark.slow
def test_whatever_the_server_does_each_reference_ends_once(noise: Path, tmp_path: Path):
    out = tmp_path / "triplets.parquet"
    with Loopback(rate=0.5, seed=3) as server:
        # A busy machine must not make an answer late: two seconds, and so few drips.
        facts = run(noise, out, quick(server, read_timeout=2.0), limit=40)
        assert {fault for _, fault in server.log} - {""} == {*PASSING, *ODD}
        # An answer is paid for: none is sent for twice. A repair is another call.
        assert max(server.answered.values()) == 1
    ended = states(out)
    assert sum(ended.values()) == facts.references == 40
    assert ended["accepted"] + ended["rejected"] + ended["pending"] == 40
    assert ended["accepted"] > 10
    triplets, _ = read_triplets(out)
    assert max(Counter((triplet.reference, triplet.target) for triplet in triplets).values()) == 1
    assert all(bool(triplet.reason) != triplet.accepted for triplet in triplets)
    names = set(Catalog(noise).names)
    for triplet in triplets:
        assert {triplet.reference, triplet.target, *triplet.negatives} <= names
        texts = [text.text for text in triplet.modifications]
        assert all(text.isprintable() and len(text) < 600 for text in (*texts, triplet.reason))


def test_kill_9_loses_nothing_and_asks_nothing_again(noise: Path, tmp_path: Path):
    out = tmp_path / "triplets.parquet"
    with Loopback(rate=0.3, seed=5, faults=(*PASSING, "wrong index"), latency=0.02) as server:
        code = (
            "import sys, triptych\n"
            "endpoint = triptych.ChatEndpoint(base_url=sys.argv[3], backoff=.001, max_backoff=.01, read_timeout=1., "
            "attempts=12, concurrency=4)\n"
            f"options = triptych.ChatMineOptions(group_size=4, limit={REFERENCES})\n"
            "chat = triptych.ChatSettings(endpoint)\n"
            "triptych.mine_chat(sys.argv[1], sys.argv[2], 'loopback', chat, options)"
        )
        for part in (1, 2):
            miner = subprocess.Popen([sys.executable, "-c", code, str(noise), str(out), server.url])
            while len(server.log) < part * 25 and miner.poll() is None:
                time.sleep(0.01)
            os.kill(miner.pid, signal.SIGKILL)
            miner.wait()
            base = sqlite3.connect(ledger_path(out))
            known = {key for (key,) in base.execute("SELECT key FROM calls WHERE state IN ('answered', 'refused')")}
            base.close()
            sent = len(server.log)
        run(noise, out, quick(server, concurrency=4, read_timeout=1.0))
        assert len(known) > 10
        assert not known & {key for key, _ in server.log[sent:]}
    ended = states(out)
    assert ended["accepted"] + ended["rejected"] == REFERENCES
    triplets, _ = read_triplets(out)
    assert max(Counter((triplet.reference, triplet.target) for triplet in triplets).values()) == 1


@pytest.mark.parametrize("fault", [*ODD, "already true", "picks nothing", "true of all", "itself"])
def test_answers_that_are_not_as_they_should_be(noise: Path, tmp_path: Path, fault: str):
    """Each ends as it must, and the one repair shows the model what was wrong."""

    def respond(body: dict) -> dict:
        right = content_for(body)
        if fault in ODD:
            return odd(fault, right)
        if "picks" in right:
            wrong = {
                "already true": {"already_true": True},
                "picks nothing": {"picks": [0] * 4},
                "true of all": {"also_fit": [1, 2, 3, 4]},
                "itself": {},
            }
            return completion(json.dumps(right | wrong[fault]))
        if fault == "itself":
            right["targets"][0]["changes"] = [{"group": "shade", "old": "Red", "new": "red\x00"}]
            right["targets"][1]["shorthand"] = "like picture 3"
        return completion(json.dumps(right))

    with Loopback(respond=respond) as server:
        out = tmp_path / "triplets.parquet"
        able = fault in ("prose", "unknown fields", "instructions")
        if able:
            assert run(noise, out, quick(server), limit=3).accepted == 6
        else:
            with pytest.raises(FailureError, match="no triplet was accepted"):
                run(noise, out, quick(server), limit=3)
        complaints = [body["messages"][3]["content"] for body in server.bodies if len(body["messages"]) > 2]
    status = mine_status(out)
    assert status.pending == 0
    [reason] = status.reasons or [""]
    expected = {
        "already true": "already true of the reference",
        "picks nothing": "the judge picked no picture",
        "true of all": "true of most others too",
        "refusal": "reasoner: the model refused",
        "cut short": "reasoner: the reply is longer than --max-tokens",
    }
    assert reason == ("" if able else expected.get(fault, "reasoner: no usable reply"))
    if fault in ("no json", "wrong index", "cut short", "10 MB", "itself"):
        assert len(complaints) == 3
        words = {"no json": "no JSON", "wrong index": "1 to 4", "cut short": "token limit", "10 MB": "too long"}
        assert all(words.get(fault, "to itself") in complaint for complaint in complaints)
    else:
        assert not complaints


def test_words_of_a_model_are_data(noise: Path, server: Loopback):
    def text(**changes: object) -> str:
        target = {
            "picture": 1,
            "changes": [{"group": "colour", "old": "blue", "new": "red"}],
            "shorthand": "in red",
            "sentence": "i want it in red",
            "captions": ["is red", "is bright"],
            "relative": "the same in red",
        }
        return json.dumps({"shared": "", "candidates": [], "targets": [target | changes]})

    [chosen] = read_reasoning(text(picture="1", path="/etc"), count=3, most=2)
    assert (chosen.place, [wording.text for wording in chosen.modifications][2]) == (0, "is red and is bright")
    for wrong in (
        {"picture": 0}, {"picture": -1}, {"picture": 4}, {"picture": 10**400}, {"picture": "../a"}, {"picture": 1.5},
        {"shorthand": ""}, {"shorthand": "\u200b\x00"}, {"shorthand": "x" * 241}, {"shorthand": None},
        {"captions": []}, {"captions": ["a"] * 4}, {"changes": []}, {"sentence": "like Picture 2"},
    ):  # fmt: skip
        with pytest.raises(InvalidReply) as raised:
            read_reasoning(text(**wrong), count=3, most=2)
        assert len(str(raised.value)) < 500
    hidden = json.loads(text()) | {"candidates": [{"picture": 1, "differs": "", "reachable": False}]}
    assert read_reasoning(json.dumps(hidden), count=3, most=2) == []
    for wrong in ('{"picks": [1]}', '{"picks": [1, 9], "already_true": false, "also_fit": [], "certainty": 1}',
                  '{"picks": [1, 1], "already_true": false, "also_fit": [0], "certainty": 1}',
                  '{"picks": [1, 1], "already_true": false, "also_fit": [], "certainty": NaN}'):  # fmt: skip
        with pytest.raises(InvalidReply):
            read_judgement(wrong, count=3, wordings=2)


def test_a_server_without_schemas_is_asked_without(noise: Path, tmp_path: Path, capfd):
    def respond(body: dict):
        if "response_format" in body:
            return 400, {"error": {"message": "response_format json_schema is not supported"}}
        if "max_tokens" in body:
            return 400, {"error": {"message": "Unsupported parameter: use max_completion_tokens instead"}}
        return completion(json.dumps(content_for(body)))

    with Loopback(respond=respond) as server:
        assert run(noise, tmp_path / "t", quick(server)).accepted == 2 * REFERENCES
    assert capfd.readouterr().err.count("does not take a JSON schema") == 1


def test_a_server_that_refuses_everything_ends_the_run(noise: Path, tmp_path: Path):
    answer = 400, {"error": {"message": "at most 1 image may be provided"}}
    with Loopback(respond=lambda _: answer) as server, pytest.raises(FailureError, match="--one-image"):
        run(noise, tmp_path / "t", quick(server), limit=40)
    assert len(server.log) < 40
    sheets = []

    def one(body: dict):
        sheets.append(len(body["messages"][1]["content"]))
        return completion("nothing")

    with Loopback(respond=one) as server, pytest.raises(FailureError):
        run(noise, tmp_path / "u", quick(server, one_image=True), limit=2)
    assert set(sheets) == {1}


def test_the_key_goes_to_the_server_and_nowhere_else(noise: Path, tmp_path: Path, monkeypatch, capfd):
    secret = "sk-very-secret-0123456789"
    monkeypatch.setenv("TRIPTYCH_API_KEY", secret)
    with Loopback(rate=0.3, seed=1, key=secret, faults=("429", "500", "cut", "no json")) as server:
        run(noise, tmp_path / "t.parquet", quick(server))
    monkeypatch.setenv("TRIPTYCH_API_KEY", secret + "-wrong")
    with Loopback(key=secret) as server, pytest.raises(FailureError, match="TRIPTYCH_API_KEY") as raised:
        run(noise, tmp_path / "u.parquet", quick(server))
    assert len(server.log) <= 8
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    shown = capfd.readouterr()
    for place in (written.decode("latin-1"), shown.out, shown.err, str(raised.value)):
        assert secret not in place


def test_budgets_are_kept_over_all_runs(noise: Path, server: Loopback, tmp_path: Path, capfd):
    out = tmp_path / "t.parquet"
    facts = run(noise, out, quick(server, max_calls=10))
    assert facts.calls == len(server.log) == 10
    assert facts.pending > 0
    assert "--max-calls 10" in capfd.readouterr().err
    run(noise, out, quick(server, max_calls=10))
    assert len(server.log) == 10
    prices = {"price_in": 1000.0, "price_out": 1000.0}  # 1.1 a call
    run(noise, out, quick(server, max_cost=30.0, **prices))
    assert 11 <= mine_status(out).cost <= 30
    assert run(noise, out, quick(server, max_minutes=0.0)).pending > 0
    assert run(noise, out, quick(server)).pending == 0
    assert set(server.answered.values()) == {1}


def test_a_dry_run_tells_and_sends_nothing(noise: Path, server: Loopback, tmp_path: Path):
    out = tmp_path / "t.parquet"
    prices = {"price_in": 1.0, "price_out": 10.0}
    estimate = run(noise, out, settings(dry_run=True, **prices))
    assert (estimate.references, estimate.calls_at_most) == (REFERENCES, 3 * REFERENCES)
    assert estimate.tokens_in > 3 * REFERENCES * 5 * 255
    assert estimate.cost == pytest.approx((estimate.tokens_in + 10 * estimate.tokens_out) / 1e6, abs=1e-4)
    assert not server.log
    assert not list(tmp_path.iterdir())
    run(noise, out, quick(server, max_calls=66))
    again = run(noise, out, settings(dry_run=True, **prices))
    assert 0 < again.references < 12
    assert again.tokens_in == again.calls_at_most * 1000


def test_a_server_that_is_gone_leaves_references_for_later(noise: Path, tmp_path: Path):
    out = tmp_path / "t.parquet"
    with Loopback(rate=1.0, faults=("503",)) as server:
        with pytest.raises(FailureError, match="in a row"):
            run(noise, out, quick(server, concurrency=2), limit=40)
        assert len(server.log) < 60
    assert states(out) == {"pending": 40}
    assert not out.exists()
    with pytest.raises(FailureError, match=r"in a row.*connection"):  # nobody listens there any more
        run(noise, out, quick(server, concurrency=2), limit=40)
    assert states(out) == {"pending": 40}


def test_ctrl_c_finishes_what_is_in_flight(noise: Path, tmp_path: Path):
    out = tmp_path / "t.parquet"
    with Loopback(latency=0.3) as server:
        command = ["mine-chat", "m", "--catalog", noise, "--out", out, "--base-url", server.url]
        code = "from triptych.cli import main; main()"
        miner = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, command)], stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        while server.active < 4 and miner.poll() is None:
            time.sleep(0.01)
        miner.send_signal(signal.SIGINT)
        _, said = miner.communicate(timeout=30)
    assert miner.returncode == 130
    assert "goes on where it stopped" in said
    assert "Traceback" not in said
    base = sqlite3.connect(ledger_path(out))
    assert base.execute("SELECT COUNT(*) FROM calls WHERE state != 'answered'").fetchone() == (0,)
    base.close()
    assert states(out)["pending"] > 0


def test_status_tells_how_far_it_is(noise: Path, server: Loopback, tmp_path: Path):
    out = tmp_path / "t.parquet"
    with pytest.raises(DataError, match="no run"):
        mine_status(out)
    run(noise, out, quick(server, max_calls=31, price_in=1.0))
    status = mine_status(out)
    assert status.references == REFERENCES == status.accepted + status.rejected + status.pending
    assert status.acceptance_percent == 100.0
    assert status.cost == pytest.approx(0.031)
    assert status.minutes_left is not None


def test_another_model_may_judge(noise: Path, server: Loopback, tmp_path: Path):
    run(noise, tmp_path / "t", quick(server, judge="strong"), limit=4)
    models = Counter((body["response_format"]["json_schema"]["name"], body["model"]) for body in server.bodies)
    assert models == {("reasoning", "loopback"): 4, ("judgement", "strong"): 8}


def test_a_judge_may_be_served_elsewhere_with_a_key_and_prices_of_its_own(noise: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_API_KEY", "sk-reasoner")
    monkeypatch.setenv("TRIPTYCH_JUDGE_API_KEY", "sk-judge")
    out = tmp_path / "t.parquet"
    with Loopback(key="sk-reasoner") as first, Loopback(key="sk-judge", rate=0.2, faults=("503", "cut")) as second:
        asked = quick(
            first, judge="strong", judge_base_url=second.url, price_in=1.0, judge_price_in=10.0, judge_price_out=100.0
        )
        # Both are counted against one budget.
        assert run(noise, out, replace(asked, budget=replace(asked.budget, max_calls=20)), limit=8).calls == 20
        assert len(first.log) + len(second.log) == 20
        facts = run(noise, out, asked, limit=8)
        for server, step, model in ((first, "reasoning", "loopback"), (second, "judgement", "strong")):
            assert {body["model"] for body in server.bodies} == {model}
            assert {body["response_format"]["json_schema"]["name"] for body in server.bodies} == {step}
            assert max(server.answered.values()) == 1
    assert (facts.accepted, facts.pending) == (16, 0)
    assert facts.cost == pytest.approx(8 * 0.001 + 16 * (0.01 + 0.01))
    assert mine_status(out).cost == pytest.approx(facts.cost)
    note = read_triplets(out)[1]["settings"]
    assert (note["base_url"], note["judge_base_url"]) == (first.url, second.url)


def test_the_reasoners_key_is_never_shown_to_the_judge(noise: Path, server: Loopback, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-reasoner")
    monkeypatch.delenv("TRIPTYCH_JUDGE_API_KEY", raising=False)
    with Loopback(key="sk-reasoner") as second:
        asked = quick(server, judge="strong", judge_base_url=second.url)
        with pytest.raises(FailureError, match=r"another key .* set TRIPTYCH_JUDGE_API_KEY") as raised:
            run(noise, tmp_path / "t", asked, limit=4)
    assert second.url in str(raised.value)
    assert "sk-reasoner" not in str(raised.value)


def test_several_judges_vote(noise: Path, tmp_path: Path):
    def respond(body: dict):
        right = content_for(body)
        if body["model"] == "contrary":
            right |= {"picks": [0, 0, 0, 0], "already_true": True}
        if body["model"] == "mute":
            return completion(None, refusal="no")
        if body["model"] == "choosy":
            right["picks"][0] = 0
        return completion(json.dumps(right))

    with Loopback(respond=respond) as server:
        two = run(noise, tmp_path / "two", quick(server, judge="able, choosy, contrary, mute"), limit=4)
        kept, _ = read_triplets(tmp_path / "two")
        with pytest.raises(FailureError):
            run(noise, tmp_path / "tie", quick(server, judge="able,contrary"), limit=4)
    assert two.accepted == 8
    assert two.calls == 4 + 8 * 4
    assert {len(triplet.modifications) for triplet in kept} == {3}
    assert mine_status(tmp_path / "tie").reasons == {"already true of the reference": 4}


def test_prompts_of_ones_own_are_used(noise: Path, server: Loopback, tmp_path: Path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "reason.md").write_text("My own: {count} pictures, {targets} targets.")
    run(noise, tmp_path / "t", quick(server, prompts=tmp_path / "own"), limit=2)
    assert server.bodies[0]["messages"][0]["content"] == "My own: 4 pictures, 2 targets."


def test_a_picture_that_vanished_rejects_its_references_alone(server: Loopback, tmp_path: Path):
    catalog = noise_catalog(tmp_path, 30)
    name = Catalog(catalog).names[3]
    Catalog(catalog).path(name).unlink()
    facts = run(catalog, tmp_path / "t", quick(server), limit=30)
    assert facts.references_accepted + facts.references_rejected == 30
    assert 1 <= facts.references_rejected < 30
    assert set(mine_status(tmp_path / "t").reasons) == {"unreadable"}


def answers(lines: list[str], respond=None) -> list[str]:
    """What a batch service makes of a file's lines."""
    results = []
    for line in lines:
        asked = json.loads(line)
        assert (asked["method"], asked["url"]) == ("POST", "/v1/chat/completions")
        body = completion(json.dumps(content_for(asked["body"]))) if respond is None else respond(asked["body"])
        results.append(
            json.dumps({"id": "1", "custom_id": asked["custom_id"], "response": {"status_code": 200, "body": body}})
        )
    return results


def test_batches_in_any_order_in_part_and_twice(noise: Path, server: Loopback, tmp_path: Path):
    out, live = tmp_path / "t.parquet", tmp_path / "live.parquet"

    def round_(number: int, results: list[str] = (), **more: object) -> tuple[dict, list[str]]:
        given = {}
        if results:
            (tmp_path / f"in{number}.jsonl").write_text("\n".join(results) + "\n\n")
            given["batch_in"] = tmp_path / f"in{number}.jsonl"
        file = tmp_path / f"out{number}.jsonl"
        facts = run(noise, out, settings(batch_out=file, **given, **more))
        return facts, file.read_text().splitlines() if file.exists() else []

    facts, asked = round_(1)
    assert facts.requests == len(asked) == REFERENCES
    assert not out.exists()
    results = answers(asked)[::-1]
    failed = json.dumps(
        {"custom_id": json.loads(asked[0])["custom_id"], "response": None, "error": {"code": "expired"}}
    )
    unknown = results[0].replace(json.loads(results[0])["custom_id"], "0" * 64)
    # The first half, one of them twice; one that failed; one of somebody else's.
    facts, asked = round_(2, [*results[:12], results[3], failed, unknown])
    assert facts.results == {"new": 12, "known": 1, "failed": 1, "unknown": 1}
    assert len(asked) == 2 * 12 + 1  # what is still out is not written again
    facts, more = round_(3, results[12:-1] + answers(asked))
    assert len(more) == 2 * 12
    facts, last = round_(4, answers(more))
    assert (facts.pending, last) == (0, [])
    run(noise, live, quick(server))
    assert read_triplets(out)[0] == read_triplets(live)[0]
    with pytest.raises(UsageError, match="exists"):
        round_(1)


def test_a_batch_that_never_came_back_may_be_asked_again(noise: Path, server: Loopback, tmp_path: Path):
    out = tmp_path / "t.parquet"
    run(noise, out, settings(batch_out=tmp_path / "one.jsonl"))
    run(noise, out, settings(batch_out=tmp_path / "two.jsonl"))
    assert not (tmp_path / "two.jsonl").exists()
    run(noise, out, settings(batch_out=tmp_path / "two.jsonl", batch_resend=True))
    assert (tmp_path / "two.jsonl").read_text() == (tmp_path / "one.jsonl").read_text()
    with pytest.raises(UsageError, match="--batch-in"):
        run(noise, out, quick(server))
    assert not server.log
    assert run(noise, out, quick(server, batch_resend=True)).pending == 0


def test_a_batch_file_is_never_written_over(noise: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("triptych.mining.chat.batch._MOST_REQUESTS", 10)
    (tmp_path / "b-2.jsonl").write_text("paid for\n")
    with pytest.raises(UsageError, match=r"b-2\.jsonl"):
        run(noise, tmp_path / "t", settings(batch_out=tmp_path / "b.jsonl"))
    assert (tmp_path / "b-2.jsonl").read_text() == "paid for\n"
    # What the first file asks is known, so its results are.
    (tmp_path / "in.jsonl").write_text("\n".join(answers((tmp_path / "b.jsonl").read_text().splitlines())))
    facts = run(noise, tmp_path / "t", settings(batch_in=tmp_path / "in.jsonl"))
    assert facts.results == {"new": 10}


def test_results_that_are_none_are_named_by_their_line(noise: Path, tmp_path: Path):
    (tmp_path / "in.jsonl").write_text('{"custom_id": "1", "response": {}}\nnonsense\n')
    with pytest.raises(DataError, match=r"in\.jsonl:2"):
        run(noise, tmp_path / "t", settings(batch_in=tmp_path / "in.jsonl"))
    with pytest.raises(DataError, match="cannot be read"):
        run(noise, tmp_path / "t", settings(batch_in=tmp_path / "missing.jsonl"))


def test_a_vocabulary_widens_what_is_proposed(
    tiny_catalog: Path, vocabulary_file: Path, wardrobe_world: Path, server: Loopback, tmp_path: Path
):
    """Nearest neighbours are mostly of one colour; with words, the groups also hold what differs in one thing."""
    with (wardrobe_world / "garments.csv").open(encoding="utf-8", newline="") as table:
        truth = {row["image"]: row for row in csv.DictReader(table)}

    def colours(**options: object) -> float:
        out = tmp_path / f"t{len(options)}"
        run(tiny_catalog, out, quick(server, max_calls=90), limit=30, group_size=6, **options)
        groups = [(one.reference, {one.target, *one.negatives}) for one in read_triplets(out)[0]]
        other = [sum(truth[name]["colour"] != truth[ref]["colour"] for name in names) for ref, names in groups]
        return sum(other) / len(other)

    assert colours(vocabulary=vocabulary_file, threads=1) > colours()


def test_the_command_line_takes_the_settings_as_options(
    noise: Path, server: Loopback, tmp_path: Path, monkeypatch, capsys
):
    def program(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["triptych", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    chat = ("mine-chat", "m", "--out", tmp_path / "t", "--catalog", noise, "--limit", 3, "--group-size", 3)
    code, _, _ = program(*chat, "--base-url", server.url, "--no-schema", "--temperature", 0.5)
    assert code == 0
    assert server.bodies[0]["temperature"] == 0.5
    assert "response_format" not in server.bodies[0]
    code, shown, _ = program("mine-status", tmp_path / "t")
    assert code == 0
    assert "acceptance percent" in shown
    for wrong, said in (
        (("mine", "--catalog", noise, "--out", "t", "--base-url", server.url), "No such option: --base-url"),
        (chat, "needs --base-url"),
        (("mine-chat", "m", "--out", "t", "--base-url", server.url), "Missing option '--catalog'"),
        (("mine-chat", "", *chat[2:], "--base-url", server.url), "name of a model"),
    ):
        code, _, complaint = program(*wrong)
        assert code == 2
        assert said in complaint
        assert len(complaint.strip().splitlines()) == 1
