"""A chat model inside an evaluation: it verifies first answers, or turns requests into phrases, and is paid once."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydantic", reason="needs the extra chat")
pytest.importorskip("httpx2", reason="needs the extra chat")

from chat_helpers import quick
from loopback import Loopback, completion
from made_benchmarks import evaluate, read, write_cirr
from planted import Planted, Squares
from triptych.benchmarks.registry import load_tasks
from triptych.benchmarks.task import Task
from triptych.chat.parsing import InvalidReply
from triptych.chat.pictures import PictureUrls
from triptych.cli import main
from triptych.composers.signed_texts import UNWANTED
from triptych.core.errors import FailureError, UsageError
from triptych.core.limits import DEFAULT_LIMITS
from triptych.core.vectors import unit
from triptych.evaluation.chat_calls import ChatCaller, Spent
from triptych.evaluation.chat_verifier import read_yes
from triptych.evaluation.compiling import KEPT, CompiledText, Phrases
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.options import EvaluateChatOptions, EvaluateOptions
from triptych.evaluation.verification import Graded, best_fusion

SQUARES: Any = Squares()


@pytest.fixture(scope="module")
def cirr(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Task, dict[str, str]]:
    """The benchmark, its task, and for each picture as it is sent its name."""
    root = write_cirr(tmp_path_factory.mktemp("chat"))
    (task,) = load_tasks("cirr", root, "val")
    urls = PictureUrls(task.file, size=336, quality=85)
    return root, task, {urls.url(name): name for name in task.gallery}


def shown(body: dict[str, Any], names: dict[str, str]) -> list[str]:
    """The pictures of a request, by name."""
    user = body["messages"][1]["content"]
    return [names[part["image_url"]["url"]] for part in user if part["type"] == "image_url"]


def knowing(task: Task, names: dict[str, str]) -> Callable[[dict[str, Any]], Any]:
    """A verifier that is always right."""
    targets = {query.modification: query.targets for query in task.queries}

    def respond(body: dict[str, Any]) -> Any:
        [wish] = re.findall(r"show \d dogs in group \d", body["messages"][0]["content"])
        _, candidate = shown(body, names)
        right = candidate in targets[wish]
        return completion(json.dumps({"changed": right, "kept": right, "grade": 10 if right else 1}))

    return respond


def verified(
    root: Path,
    out: Path,
    server: Loopback,
    *,
    top: int = 5,
    scores: str = "grades",
    file: Path | None = None,
    **chat: Any,
) -> Any:
    asked = {"rerank": "chat:m", "rerank_top": top, "rerank_weight": 1.0, "rerank_scores": scores, "rerank_out": file}
    options = EvaluateChatOptions(chat=quick(server, **chat))
    asked |= {"methods": ["sum"], "encoder": SQUARES, "chat": options, "output": out / "r.json", "gap": False}
    return evaluate("cirr", root=root, split="val", **asked).rows[0]


def likely(*places: dict[str, float], text: str = "Yes") -> dict[str, Any]:
    """A completion with log-probabilities, as OpenAI's and vLLM's servers write them."""
    body = completion(text)
    listed = [[{"token": token, "logprob": value, "bytes": None} for token, value in each.items()] for each in places]
    content = [{"token": each[0]["token"], "logprob": each[0]["logprob"], "top_logprobs": each} for each in listed]
    body["choices"][0]["logprobs"] = {"content": content, "refusal": None}
    return body


def saying_yes(task: Task, names: dict[str, str]) -> Callable[[dict[str, Any]], Any]:
    """A verifier that says how likely yes is: always right, and less sure of each further picture."""
    targets = {query.modification: query.targets for query in task.queries}

    def respond(body: dict[str, Any]) -> Any:
        assert body["logprobs"] is True
        assert "response_format" not in body
        [wish] = re.findall(r"show \d dogs in group \d", body["messages"][0]["content"])
        _, candidate = shown(body, names)
        yes = -0.1 if candidate in targets[wish] else -3.0 - task.gallery.index(candidate) / 100
        return likely({"\n": -0.01, "A": -5.0}, {"Yes": yes, " no": -0.5, "The": -9.0})

    return respond


def test_the_probability_of_yes_is_the_score_where_the_server_gives_it(cirr, tmp_path):
    root, task, names = cirr
    plain = evaluate("cirr", root=root, split="val", methods=["sum"], encoder=SQUARES, gap=False).rows[0]
    out = tmp_path / "soft.jsonl"
    with Loopback(respond=saying_yes(task, names)) as server:
        row = verified(root, tmp_path, server, scores="auto", file=out)
        assert row.metrics["R@1"] == plain.metrics["R@5"]
        said = row.verification
        assert (said.scores, said.calls, said.unusable) == ("yes-no", 30, 0)
        assert said.seconds > 0
        assert {body["max_tokens"] for body in server.bodies} == {4}
        assert server.answered.total() == 30  # the first question tells what the server gives, and is one of them
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["modification"] for line in lines] == [query.modification for query in task.queries]
    for line, query in zip(lines, task.queries, strict=True):
        assert line["reference"] == query.reference
        assert len(line["candidates"]) == len(line["scores"]) == 5
        best = max(line["scores"])
        assert (best > 0.5) == bool({*line["candidates"]} & {*query.targets})
        if best > 0.5:  # by hand: yes at -0.1 against no at -0.5
            assert best == pytest.approx(1 / (1 + np.exp(-0.5 + 0.1)), abs=1e-6)


@pytest.mark.parametrize("refuses", [False, True])
def test_a_server_without_log_probabilities_is_asked_for_grades(cirr, tmp_path, capsys, refuses):
    root, task, names = cirr
    graded = knowing(task, names)

    def respond(body: dict[str, Any]) -> Any:
        if "logprobs" in body and refuses:
            return 400, {"error": {"message": "logprobs is not supported by this model"}}
        return graded(body) if "grade" in body["messages"][0]["content"] else completion("Yes")

    with Loopback(respond=respond) as server:
        row = verified(root, tmp_path, server, scores="auto")
        assert (row.verification.scores, row.verification.calls) == ("grades", 31)
        assert "gives no log-probabilities of yes and no; the model writes grades instead" in capsys.readouterr().err
        answered = server.answered.total()
        verified(root, tmp_path, server, scores="auto")
        assert server.answered.total() == answered == 31
        with pytest.raises(FailureError, match="use --rerank-scores grades"):
            verified(root, tmp_path, server, scores="yes-no")


@pytest.mark.parametrize(
    ("places", "score"),
    [
        ([{"Yes": -0.1, "yes": -3.0, "No": -2.0}], 0.8758),  # spellings are added up
        ([{"Yes": -0.5, "Maybe": -4.0}], 0.971),  # what is not listed is as likely as the least likely that is
        ([{" no": -0.01, "the": -6.0}], 0.0025),
        ([{"<think>": -0.1}, {"yes": -1.0, "no": -1.0}], 0.5),
    ],
)
def test_the_score_by_hand(places, score):
    assert read_yes(json.dumps({"first": places})) == pytest.approx(score, abs=1e-3)


@pytest.mark.parametrize("text", ["yes", '{"first": [{"The": -1.0}]}', '{"first": []}', "[]", '{"grade": 3}'])
def test_a_reply_without_log_probabilities_of_yes_or_no_is_no_score(text):
    with pytest.raises(InvalidReply):
        read_yes(text)


def test_a_verifier_that_is_right_puts_what_is_among_the_first_at_the_top(cirr, tmp_path):
    root, task, names = cirr
    plain = evaluate("cirr", root=root, split="val", methods=["sum"], encoder=SQUARES, gap=False).rows[0]
    with Loopback(respond=knowing(task, names)) as server:
        row = verified(root, tmp_path, server, price_in=1.0, price_out=2.0)
        assert plain.metrics["R@1"] < plain.metrics["R@5"]
        assert row.metrics["R@1"] == plain.metrics["R@5"]
        assert row.metrics["R@10"] == plain.metrics["R@10"]  # what is not graded stays where it was
        said = row.verification
        assert (said.model, said.top, said.weight, said.calls, said.unusable, said.ungraded_queries) == (
            "m",
            5,
            1.0,
            30,
            0,
            0,
        )
        assert (said.tokens_in, said.tokens_out) == (30_000, 3_000)
        assert said.cost == pytest.approx(30 * (1000 * 1.0 + 100 * 2.0) / 1e6)
        assert read(tmp_path / "r.json")["rows"][0]["verification"]["calls"] == 30
        # Nothing is asked twice, and the row says what its replies took, whenever they came.
        before = server.answered.total()
        assert verified(root, tmp_path, server, price_in=1.0, price_out=2.0).verification == said
        assert server.answered.total() == before == 30


def test_a_verification_that_its_budget_ends_goes_on_later(cirr, tmp_path, capsys):
    root, task, names = cirr
    with Loopback(respond=knowing(task, names)) as server:
        first = verified(root, tmp_path, server, max_calls=12, concurrency=1).verification
        assert first.ungraded_queries >= 4
        assert "queries of relative are not yet verified" in capsys.readouterr().err
        second = verified(root, tmp_path, server).verification
        assert (second.calls, second.ungraded_queries) == (30, 0)
        assert server.answered.total() == 30


def test_replies_that_cannot_be_used_are_counted_and_grade_nothing(cirr, tmp_path):
    root, _, _ = cirr

    def respond(body: dict[str, Any]) -> Any:
        return completion("They look lovely.") if len(body["messages"]) < 4 else completion('{"grade": 99}')

    with Loopback(respond=respond) as server:
        row = verified(root, tmp_path, server, top=3)
    assert (row.verification.calls, row.verification.unusable) == (2 * 18, 18)
    plain = evaluate("cirr", root=root, split="val", methods=["sum"], encoder=SQUARES, gap=False).rows[0]
    assert row.metrics == plain.metrics


def test_the_weight_of_grades_is_the_one_that_does_best(cirr):
    _, task, _ = cirr
    encoded = EncodedTask(task, SQUARES, {})
    # The method has the target first; grades say nothing but for noise that would put others before it.
    orders = {
        query.id: [*query.targets, *sorted({*task.gallery} - {query.reference, *query.targets})[:4]]
        for query in task.queries
    }
    answers = encoded.answers(Planted(encoded, orders))
    first = encoded.first_rows(answers, 5)
    noise = Graded(first, [np.array([0.5, 0.7, 0.1, 0.1, 0.1]) for _ in first], Spent(), 0)
    assert best_fusion(encoded, answers, noise) < 1
    late = {
        query.id: [*sorted({*task.gallery} - {query.reference, *query.targets})[:4], *query.targets]
        for query in task.queries
    }
    answers = encoded.answers(Planted(encoded, late))
    first = encoded.first_rows(answers, 5)
    sure = Graded(first, [np.array([0.6, 0.6, 0.6, 0.6, 0.8]) for _ in first], Spent(), 0)
    assert best_fusion(encoded, answers, sure) == 1


def compiled(body: dict[str, Any]) -> Any:
    [wish] = re.findall(r"show \d dogs in group \d", body["messages"][0]["content"])
    return completion(json.dumps({"target": f"a photo: {wish}", "keep": ["grass"], "avoid": []}))


def test_requests_are_compiled_once_and_searched_by_one_vector(cirr, tmp_path, monkeypatch):
    root, _, _ = cirr
    with Loopback(respond=compiled) as server:
        options = EvaluateChatOptions(compiler="m", chat=quick(server))
        asked = {"methods": ["sum", "compile"], "encoder": SQUARES, "chat": options, "output": tmp_path / "r.json"}
        rows = evaluate("cirr", root=root, split="val", **asked).rows
        assert [row.method for row in rows] == ["sum", "compile"]
        assert rows[0].compilation is None
        assert (rows[1].compilation.calls, rows[1].compilation.plain_queries) == (6, 0)
        assert rows[1].weight == 0.5
        assert all(len(body["messages"][1]["content"]) == 2 for body in server.bodies)  # a label and one picture
        evaluate("cirr", root=root, split="val", **asked)
        assert server.answered.total() == 6


def test_a_compiled_query_adds_what_stays_and_takes_away_what_must_not_be_seen(tmp_path):
    text = CompiledText(SQUARES, ChatCaller("m", quick(Loopback()), tmp_path / "l", DEFAULT_LIMITS))
    references = unit(np.random.default_rng(0).normal(size=(2, 26)))
    text._known[references[0].tobytes(), "wish"] = Phrases("a red cap", ("a dog", "grass"), ("snow",))
    found = text.compose(references, ["wish", "wish"])
    target, dog, grass, snow, plain = SQUARES.encode_texts(["a red cap", "a dog", "grass", "snow", "wish"])
    wanted = unit((target + KEPT * (dog + grass) / 2 - UNWANTED * snow)[None])[0]
    np.testing.assert_allclose(found, [wanted, plain], atol=1e-6)


@pytest.mark.parametrize(
    ("given", "asked", "message"),
    [
        ({}, {"methods": ["sum"], "rerank": "chat:m", "output": None}, "--rerank needs --output FILE"),
        ({"compiler": "m"}, {"methods": ["compile"], "output": None}, "needs --output FILE"),
        ({"compiler": "m"}, {"methods": ["sum"]}, "--compile-model needs --method compile"),
        ({}, {"methods": ["compile"]}, "--method compile needs --compile-model MODEL"),
    ],
)
def test_what_makes_no_sense_with_a_chat_model(cirr, tmp_path, given, asked, message):
    root, _, _ = cirr
    options = EvaluateChatOptions(**given, chat=quick(Loopback()))
    with pytest.raises(UsageError, match=message):
        evaluate(
            "cirr", root=root, split="val", encoder=SQUARES, chat=options, **({"output": tmp_path / "r.json"} | asked)
        )


def test_a_model_that_is_no_chat_model_is_refused(cirr, tmp_path):
    with pytest.raises(UsageError, match="--rerank x: write chat:MODEL"):
        EvaluateOptions(rerank="x")
    with pytest.raises(UsageError, match="--rerank-out needs --rerank"):
        EvaluateOptions(rerank_out=Path("x.jsonl"))
    with pytest.raises(UsageError, match="--rerank chat:m needs --base-url URL"):
        evaluate("cirr", root=cirr[0], split="val", methods=["sum"], rerank="chat:m", output=tmp_path / "r.json")
    with pytest.raises(UsageError, match="--method compile needs --compile-model MODEL and --base-url"):
        evaluate("cirr", root=cirr[0], split="val", methods=["compile"], encoder=SQUARES)


def test_the_command_line_has_the_same_flags(cirr, tmp_path, monkeypatch, capsys):
    root, task, names = cirr

    def command(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["triptych", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    asked = ("eval", "cirr", "--root", root, "--split", "val", "--encoder", "wardrobe", "--threads", 1, "--no-gap")
    asked += ("--method", "sum", "--answers", 4, "--output", tmp_path / "r.json")
    flags = ("--rerank", "chat:m", "--rerank-top", 3, "--rerank-weight", 1, "--rerank-scores", "grades")
    assert command(*asked, *flags) == 2
    assert "--rerank chat:m needs --base-url" in capsys.readouterr().err
    with Loopback(respond=knowing(task, names)) as server:
        assert command(*asked, *flags, "--base-url", server.url) == 0
    (row,) = read(tmp_path / "r.json")["rows"]
    assert (row["verification"]["calls"], row["verification"]["top"], row["verification"]["weight"]) == (18, 3, 1.0)
    assert {len(each) for each in row["answers"].values()} == {4}
    assert command("inspect", tmp_path / "r.json", "--top", 2, "--out", tmp_path / "page.html") == 0
    assert "6" in capsys.readouterr().out
    assert (tmp_path / "page.html").is_file()
