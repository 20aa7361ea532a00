"""The first results judged by a chat model: what it says counts, and whatever goes wrong leaves the plain ranking."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import triptych
from chat_helpers import settings
from loopback import Loopback, completion
from serving_helpers import Service, picture_file
from test_cli import run
from triptych.catalog.catalog import Catalog
from triptych.chat.pictures import PictureUrls
from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.retrieval.options import RerankOptions, SearchOptions
from triptych.retrieval.results import Hit

pytest.importorskip("httpx2", reason="the extra `chat` is not installed")

Respond = Callable[[dict[str, Any]], Any]


def shown(body: dict[str, Any]) -> list[str]:
    """The data URLs of a call, the reference's first."""
    return [part["image_url"]["url"] for part in body["messages"][1]["content"] if part["type"] == "image_url"]


def choosing(best: str, also: str = "") -> Respond:
    """A judge that picks one file, and says that another one does as well."""

    def respond(body: dict[str, Any]) -> Any:
        painter = PictureUrls(Path, size=336, quality=85)
        others = shown(body)[1:]
        fitting = [others.index(painter.url(also)) + 1] if also else []
        pick = others.index(painter.url(best)) + 1
        judgement = {"picks": [pick], "already_true": False, "also_fit": fitting, "certainty": 0.8}
        return completion(json.dumps(judgement))

    return respond


def ask(catalog: Path, server: Loopback | None, **options: Any) -> list[Hit]:
    how = {name: options.pop(name) for name in ("top", "timeout") if name in options}
    chat = settings(base_url=server.url if server else "http://127.0.0.1:9/v1", backoff=0.01, **options)
    return triptych.search(
        catalog,
        text="in red",
        options=SearchOptions(like=Catalog(catalog).names[3], k=8),
        rerank=RerankOptions("chat:m", chat=chat, **how),
        runtime=Runtime(threads=1),
    )


@pytest.fixture(scope="module")
def plain(shown_catalog: Path) -> list[Hit]:
    return triptych.search(
        shown_catalog,
        text="in red",
        options=SearchOptions(like=Catalog(shown_catalog).names[3], k=8),
        runtime=Runtime(threads=1),
    )


def names(hits: list[Hit]) -> list[str]:
    return [hit.name for hit in hits]


def test_what_the_model_picks_comes_first(shown_catalog: Path, plain: list[Hit]) -> None:
    with Loopback(respond=choosing(plain[4].path, plain[2].path)) as server:
        found = ask(shown_catalog, server, top=6)
    expected = [plain[place] for place in (4, 2, 0, 1, 3, 5, 6, 7)]
    assert names(found) == names(expected)
    assert [hit.rank for hit in found] == list(range(1, 9))
    assert [hit.score for hit in found] == [hit.score for hit in expected]
    (body,) = server.bodies
    assert len(shown(body)) == 1 + 6
    assert "in red" in body["messages"][0]["content"]
    painter = PictureUrls(Path, size=336, quality=85)
    assert shown(body)[1:] != [painter.url(hit.path) for hit in plain[:6]]  # it does not see our order


def test_a_reply_is_repaired_once(shown_catalog: Path, plain: list[Hit]) -> None:
    right = choosing(plain[1].path)

    def respond(body: dict[str, Any]) -> Any:
        return right(body) if len(body["messages"]) > 2 else completion('{"picks": [99]}')

    with Loopback(respond=respond) as server:
        assert names(ask(shown_catalog, server))[0] == plain[1].name
    assert len(server.bodies) == 2


def test_a_picture_that_is_gone_stays_where_it_is(own_catalog: Path) -> None:
    name = Catalog(own_catalog).names[3]
    before = triptych.search(
        own_catalog, text="in red", options=SearchOptions(like=name, k=8), runtime=Runtime(threads=1)
    )
    Path(before[0].path).unlink()
    with Loopback(respond=choosing(before[2].path)) as server:
        found = ask(own_catalog, server)
    assert names(found) == [before[place].name for place in (2, 0, 1, 3, 4, 5, 6, 7)]
    assert len(shown(server.bodies[0])) == 1 + 7


@pytest.mark.parametrize("fault", ["429", "500", "503", "drip", "reset", "empty", "cut", "no json", "refusal", "10 MB"])
def test_whatever_fails_the_ranking_is_the_plain_one(
    shown_catalog: Path, plain: list[Hit], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Loopback(rate=1.0, faults=(fault,)) as server:
        assert ask(shown_catalog, server, timeout=0.5 if fault == "drip" else 20) == plain
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("search: not re-ranked: ")


@pytest.mark.parametrize("why", ["nobody listens", "wrong key", "calls", "cost"])
def test_limits_and_refusals(
    shown_catalog: Path, plain: list[Hit], why: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIPTYCH_API_KEY", "sk-never-shown")
    with Loopback(key="another" if why == "wrong key" else None) as server:
        limits = {"calls": {"max_calls": 0}, "cost": {"max_cost": 1e-9, "price_in": 1.0}}.get(why, {})
        assert ask(shown_catalog, None if why == "nobody listens" else server, **limits) == plain
        assert len(server.log) == (why == "wrong key")
    (line,) = capsys.readouterr().err.splitlines()
    assert "not re-ranked" in line
    assert ("its limit is reached" in line) == (why in ("calls", "cost"))
    assert "sk-never-shown" not in line


def test_bad_requests(shown_catalog: Path) -> None:
    with Loopback() as server:
        chat = settings(base_url=server.url)
        name = Catalog(shown_catalog).names[0]
        for like, text, model in ((None, "red", "chat:m"), (name, "", "chat:m"), (name, "red", "tags")):
            with pytest.raises(UsageError):
                triptych.search(
                    shown_catalog,
                    text=text,
                    options=SearchOptions(like=like),
                    rerank=RerankOptions(model, chat=chat),
                )
        with pytest.raises(UsageError, match="needs --base-url"):
            triptych.search(shown_catalog, text="red", options=SearchOptions(like=name), rerank=RerankOptions("chat:m"))
        assert not server.log
    asked = ("search", "--catalog", shown_catalog, "--like", Catalog(shown_catalog).names[0], "--text", "red")
    for wrong in (("--rerank", "chat:m"), ("--base-url", "http://localhost:1/v1"), ("--max-cost", "1")):
        done = run(*asked, *wrong)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_on_the_command_line(shown_catalog: Path, plain: list[Hit]) -> None:
    with Loopback(respond=choosing(plain[3].path)) as server:
        asked = ("--like", Catalog(shown_catalog).names[3], "--text", "in red", "-k", 8, "--threads", 1)
        done = run("search", "--catalog", shown_catalog, *asked, "--rerank", "chat:m", "--base-url", server.url)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].endswith(plain[3].path)


@pytest.fixture
def judge() -> Iterator[Loopback]:
    """Picks whatever it is shown last."""

    def respond(body: dict[str, Any]) -> Any:
        judgement = {"picks": [len(shown(body)) - 1], "already_true": False, "also_fit": [], "certainty": 0.8}
        return completion(json.dumps(judgement))

    with Loopback(respond=respond) as server:
        yield server


def test_the_service_judges_and_degrades(shown_catalog: Path, judge: Loopback) -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    limits = ("--rerank", "chat:m", "--base-url", judge.url, "--rerank-top", "5", "--max-calls", "2")
    with Service(shown_catalog, *limits) as running:
        question = (("picture", picture_file()), ("text", "in blue"), ("k", "8"))
        without = running.search(*question, ("rerank", "false"))
        assert (without["reranked"], without["degraded"]) == (False, None)
        assert not judge.log
        judged = running.search(*question)
        assert (judged["reranked"], judged["degraded"]) == (True, None)
        ids, before = ([hit["id"] for hit in answer["hits"]] for answer in (judged, without))
        assert ids[0] in before[:5]
        assert [one for one in before if one != ids[0]] == ids[1:]
        assert judged["more"] == without["more"]
        # As its page asks again: the reference by its id, and no second call.
        again = running.search(("like", judged["reference"]), ("text", "in blue"), ("k", "8"))
        assert [hit["id"] for hit in again["hits"]] == ids
        assert len(judge.log) == 1
        for alone in (question[:1], question[1:]):
            answer = running.search(*alone)
            assert (answer["reranked"], answer["degraded"]) == (False, None)
        assert not running.search(*question, ("offset", "3"))["reranked"]
        assert running.search(*question[:1], ("text", "in green"))["reranked"]
        refused = running.search(*question[:1], ("text", "in black"))
        assert (refused["reranked"], refused["degraded"]) == (False, "its limit is reached")
        assert len(judge.log) == 2
        assert running.search(*question)["reranked"]  # what it knows it goes on telling


def test_the_service_tells_its_clients_nothing_of_the_endpoint(shown_catalog: Path, judge: Loopback) -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    judge.rate, judge.faults = 1.0, ("500",)
    with Service(shown_catalog, "--rerank", "chat:m", "--base-url", judge.url) as running:
        answer = running.search(("picture", picture_file()), ("text", "in blue"))
        assert (answer["reranked"], answer["degraded"]) == (False, "it failed")
        text = json.dumps(answer)
        assert f":{judge.port}" not in text  # with the colon: a score or an id may hold the same digits
        assert "127.0.0.1" not in text
        assert "localhost" not in text
        judge.rate = 0.0  # it is asked again when it is back
        assert running.search(("picture", picture_file()), ("text", "in red"))["reranked"]
