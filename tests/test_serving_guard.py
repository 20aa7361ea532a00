"""What a service withstands: headers, connections, forms, full disks, a catalog that goes away, keys that end."""

import asyncio
import json
import os
import shutil
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import triptych
from serving_helpers import Service, form, picture_file, problem
from test_cli import run
from triptych.catalog.catalog import Catalog
from triptych.core.environment import Runtime
from triptych.core.errors import CatalogError, StoreError, UsageError
from triptych.retrieval.stores.exact import ExactStore
from triptych.retrieval.stores.gallery import Gallery

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

FORM = "application/x-www-form-urlencoded"
IMPATIENT = ("--header-timeout", "0.3", "--idle-timeout", "0.3")
WITHOUT_HTTPTOOLS = "import sys; sys.modules['httptools'] = None\n"
NO_NOTE = """
import triptych.core.files as files
import triptych.catalog.catalog as catalog
import os
def full(path, content):
    if os.path.exists(os.path.join(os.path.dirname(path), "full")):
        raise OSError(28, "No space left on device")
    files.write_json(path, content)
catalog.write_json = full
"""


def opened(service: Service) -> socket.socket:
    return socket.create_connection((service.host, service.port), timeout=60)


def all_of(connection: socket.socket) -> bytes:
    """What comes until the service closes the connection."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)


@pytest.fixture(scope="module")
def impatient(shown_catalog: Path):
    with Service(shown_catalog, *IMPATIENT, "--request-timeout", "0.5") as running:
        yield running


@pytest.mark.parametrize("before", ["", WITHOUT_HTTPTOOLS])
@pytest.mark.parametrize("beginning", [b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"GET /", b"GET / HTTP/1.1\r\nA: b\r\nA: "])
def test_a_header_without_end_is_cut(shown_catalog: Path, before: str, beginning: bytes) -> None:
    with Service(shown_catalog, before=before) as running, opened(running) as connection:
        sent = 0
        try:
            connection.sendall(beginning)
            while sent < 64_000_000:
                connection.sendall(b"x" * 65536)
                sent += 65536
        except ConnectionError:
            pass
        assert sent < 64_000_000
        assert running.get("/health") == {"status": "ok"}


def test_a_header_that_is_a_little_too_long_is_told(impatient: Service) -> None:
    for size, status in ((20_000, b"200"), (60_000, b"431")):
        with opened(impatient) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * size + b"\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 " + status


def test_trailers_without_end_are_cut(shown_catalog: Path) -> None:
    with Service(shown_catalog) as running, opened(running) as connection:
        sent = 0
        try:
            connection.sendall(b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n")
            connection.sendall(b"Content-Type: " + FORM.encode() + b"\r\n\r\n1\r\nx\r\n0\r\nX: ")
            while sent < 64_000_000:
                connection.sendall(b"x" * 65536)
                sent += 65536
        except ConnectionError:
            pass
        assert sent < 64_000_000


@pytest.mark.parametrize("before", ["", WITHOUT_HTTPTOOLS])
def test_silent_and_slow_connections_are_closed(shown_catalog: Path, before: str) -> None:
    with Service(shown_catalog, *IMPATIENT, "--request-timeout", "0.5", before=before) as running:
        with opened(running) as silent:
            assert all_of(silent) == b""
        with opened(running) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nHos")
            assert all_of(slow).startswith(b"HTTP/1.1 408 ")
        with opened(running) as again:
            again.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert again.recv(12) == b"HTTP/1.1 200"
            again.sendall(b"GET / HTTP/1.1\r\nHos")
            assert b"HTTP/1.1 408 " in all_of(again)
        with opened(running) as idle:
            idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert all_of(idle).startswith(b"HTTP/1.1 200")
        with opened(running) as unfinished:
            unfinished.sendall(b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nx")
            assert all_of(unfinished).startswith(b"HTTP/1.1 503")


@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET / HTTP/1.1\r\nHos", b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nx"],
)
def test_open_connections_leave_room_for_others(shown_catalog: Path, beginning: bytes) -> None:
    few = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))\n"
    with Service(shown_catalog, before=few) as running:
        held = [opened(running) for _ in range(150)]
        try:
            for connection in held:
                with suppress(ConnectionError):
                    connection.sendall(beginning)
            assert running.get("/health") == {"status": "ok"}
            assert any("at most 64 connections" in line for line in running.log)
        finally:
            for connection in held:
                connection.close()


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"text=red" + b"&" * 60_000, 422, "too many fields"),
        (b"&" * 1_000_000, 413, "at most 262144 bytes"),
        (b"text=red&where=" + b"x" * 4001, 422, "where.0: string should have at most 4000"),
        (b"text=" + b"x" * 1001, 422, "text.0: string should have at most 1000"),
        (b"like=" + b"x" * 501, 422, "like.0: string should have at most 500"),
        (
            b"text=red&where=" + b"+or+".join([b"line=1"] * 300) + b"&where=" + b"+or+".join([b"line=2"] * 300),
            422,
            "600",
        ),
    ],
)
def test_forms_are_limited_before_they_are_read(impatient: Service, body: bytes, status: int, says: str) -> None:
    answer, content = impatient.ask("POST", "/v1/search", body, {"Content-Type": FORM})
    refusal = problem(answer, content)
    assert (refusal["status"], says in refusal["detail"]) == (status, True), refusal


def test_fields_of_an_addition_are_limited(shown_catalog: Path) -> None:
    picture = ("picture", picture_file())
    with Service(shown_catalog) as service:
        for fields, status, why in (
            ([picture, ("metadata", "x" * 70_000)], 400, "size"),
            ([picture, ("metadata", "x" * 21_000)], 422, "metadata: string should have at most 20000"),
            ([picture, *[("metadata", "{}")] * 60], 400, "fields"),
            ([picture] * 6, 400, "files"),
            ([picture, ("colour", "red")], 422, "colour: is unknown"),
            ([picture, ("metadata", "[" * 15_000)], 422, "metadata: must be a JSON object"),
            ([picture, ("metadata", '{"line": ' + "9" * 15_000 + "}")], 422, "metadata: must be a JSON object"),
            ([("metadata", "{}")], 422, "picture: is missing"),
            ([("picture", "no file")], 422, "picture: must be a file"),
        ):
            answered, answer, _ = service.post("/v1/pictures", fields)
            assert (answered, why in answer["detail"]) == (status, True), answer


def test_fields_of_multipart_forms_are_limited(impatient: Service) -> None:
    status, answer, _ = impatient.post("/v1/search", [("text", "red"), ("where", "x" * 70_000)])
    assert (status, "64KB" in str(answer["detail"]).upper()) == (400, True), answer


def test_a_large_body_is_parsed_in_turns() -> None:
    """The parser runs on the event loop, so between the pieces others have their turn."""
    from triptych.serving.middleware import AccessMiddleware
    from triptych.serving.prometheus import ServiceMetrics
    from triptych.serving.settings import ServiceSettings

    pieces: list[int] = []
    turns: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            pieces.append(len(message["body"]))
            more = message["more_body"]

    async def other() -> None:
        while True:
            turns.append(len(pieces))
            await asyncio.sleep(0)

    async def together() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"x" * 1_000_000, "more_body": False}

        async def send(message: Any) -> None:
            pass

        kind = [(b"content-type", b"multipart/form-data; boundary=x")]
        scope = {"type": "http", "method": "POST", "path": "/v1/search", "headers": kind, "client": ("::1", 1)}
        beside = asyncio.create_task(other())
        await AccessMiddleware(app, ServiceSettings(), ServiceMetrics())(scope, receive, send)
        beside.cancel()

    asyncio.run(together())
    assert (sum(pieces), max(pieces) <= 65536) == (1_000_000, True)
    assert len(set(turns)) > 10


def test_conditions_are_remembered_within_bounds(own_catalog: Path) -> None:
    gallery = Gallery.of(Catalog(own_catalog))
    for number in range(200):
        gallery.fulfilling((f"line={number}",))
    assert len(gallery._masks) <= 64
    assert ("line=199",) in gallery._masks
    gallery.fulfilling(tuple("line in (1" + ", 1" * 1300 + ")" for _ in range(20)))
    assert sum(len(text) for where in gallery._masks for text in where) < 20_000


def test_a_log_that_cannot_be_written_changes_no_answer(own_catalog: Path) -> None:
    """Such as one on a disk that is full."""
    full = "import os, signal\n"
    full += "signal.signal(signal.SIGUSR1, lambda *_: os.dup2(os.open('/dev/full', os.O_WRONLY), 2))\n"
    with Service(own_catalog, before=full + NO_NOTE) as service:
        status, added, _ = service.post("/v1/pictures", [("picture", picture_file())])
        assert status == 201
        (own_catalog / "full").touch()
        service.process.send_signal(signal.SIGUSR1)
        status, _, _ = service.post("/v1/pictures", [("picture", picture_file((1, 2, 3)))])
        assert status == 500
        answer, _ = service.ask("DELETE", f"/v1/pictures/{added['id']}")
        assert answer.status == 500
        (own_catalog / "full").unlink()
        answer, _ = service.ask("DELETE", f"/v1/pictures/{added['id']}")
        assert answer.status == 204


def test_what_a_full_disk_refused_never_comes_true(own_catalog: Path) -> None:
    full = own_catalog / "full"
    with Service(own_catalog, before=NO_NOTE) as running:
        before = running.get("/ready")["pictures"]
        kept = running.get("/v1/pictures?k=1")[0]
        status, mine, _ = running.post("/v1/pictures", [("picture", picture_file((9, 9, 9)))])
        assert status == 201
        parts = sorted(path.name for path in own_catalog.glob("part-*"))
        full.touch()
        status, answer, _ = running.post("/v1/pictures", [("picture", picture_file((1, 2, 3)))])
        assert (status, str(own_catalog) in answer["detail"]) == (500, False)
        for one in (kept, mine):
            assert running.ask("DELETE", f"/v1/pictures/{one['id']}")[0].status == 500
            assert running.get(f"/v1/pictures/{one['id']}") == one
        assert sorted(path.name for path in own_catalog.glob("part-*")) == parts
        full.unlink()
        # What comes after would take a state along that only memory had adopted.
        assert running.post("/v1/pictures", [("picture", picture_file((7, 7, 7)))])[0] == 201
        for one in (kept, mine):
            assert running.get(f"/v1/pictures/{one['id']}") == one
            assert running.ask("GET", f"/v1/pictures/{one['id']}/thumbnail")[0].status == 200
        assert running.get("/ready")["pictures"] == before + 2
    triptych.index(Path(Catalog(own_catalog).root), own_catalog, runtime=Runtime(threads=1), encoder="wardrobe")
    names = Catalog(own_catalog).names
    assert (len(names), kept["name"] in names, mine["name"] in names) == (before + 2, True, True)


@pytest.mark.parametrize("what", ["the folder", "catalog.json", "part-*.parquet", "metadata.parquet"])
def test_a_catalog_that_is_gone_or_damaged(own_catalog: Path, what: str) -> None:
    with Service(own_catalog) as running:
        kept = own_catalog.with_name("kept")
        shutil.copytree(own_catalog, kept)
        one = running.get("/v1/pictures?k=1")[0]["id"]
        if what == "the folder":
            shutil.rmtree(own_catalog)
        else:
            for file in own_catalog.glob(what):
                file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        body, kind = form([("text", "red")])
        picture, kind_of_picture = form([("picture", picture_file())])
        for method, path, content, headers in (
            ("GET", "/ready", None, {}),
            ("POST", "/v1/search", body, {"Content-Type": kind}),
            ("POST", "/v1/pictures", picture, {"Content-Type": kind_of_picture}),
            ("DELETE", f"/v1/pictures/{one}", None, {}),
            ("GET", "/v1/catalog", None, {}),
        ):
            answer, said = running.ask(method, path, content, headers)
            detail = problem(answer, said)["detail"]
            assert (answer.status, str(own_catalog.parent) in detail) == (503, False), (method, path, detail)
        assert running.get("/health") == {"status": "ok"}
        assert own_catalog.exists() == (what != "the folder")
        shutil.rmtree(own_catalog, ignore_errors=True)
        shutil.copytree(kept, own_catalog)
        assert running.get("/ready")["status"] == "ok"
        assert running.search(("text", "red"))["hits"]


def test_a_store_that_fails_after_the_commit_follows(own_catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on disk is answered as done."""

    def fail(*_: object) -> None:
        raise StoreError("no answer")

    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        with monkeypatch.context() as failing:
            failing.setattr(ExactStore, "add", fail)
            (added,) = opened.add([picture_file()])
        assert opened.picture(added.id) == added
        assert opened.refresh()
        assert added.id in {hit.id for hit in opened.search(text="red", k=1000)}
        with monkeypatch.context() as failing:
            failing.setattr(ExactStore, "remove", fail)
            opened.remove([added.id])
        assert added.id not in {hit.id for hit in opened.search(text="red", k=1000)}
        assert opened.refresh()
        assert added.name not in Catalog(own_catalog).names
        with monkeypatch.context() as failing:
            failing.setattr(ExactStore, "check", fail)
            with pytest.raises(StoreError):
                opened.add([picture_file()])
        assert not opened.refresh()
        assert added.name not in Catalog(own_catalog).names


def test_a_library_whose_catalog_is_gone_makes_no_folder(own_catalog: Path) -> None:
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        one = next(iter(opened)).id
        shutil.rmtree(own_catalog)
        with pytest.raises(CatalogError):
            opened.add([picture_file()])
        with pytest.raises(CatalogError):
            opened.remove([one])
        assert not own_catalog.exists()


def test_a_revoked_key_stops_at_once(shown_catalog: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    first, other = triptych.make_key(file, "shop"), triptych.make_key(file, "other")
    with Service(shown_catalog, "--keys", file) as running:

        def status(key: str) -> int:
            return running.ask("GET", "/v1/catalog", headers={"X-API-Key": key})[0].status

        assert (status(first), status(other)) == (200, 200)
        second = triptych.make_key(file, "shop")
        assert (status(first), status(second), status(other)) == (401, 200, 200)
        content = json.loads(file.read_text(encoding="utf-8"))
        content["keys"] = [entry for entry in content["keys"] if entry["name"] != "other"]
        times = file.stat()
        file.write_text(json.dumps(content), encoding="utf-8")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert (status(second), status(other)) == (200, 401)
        file.write_text("{", encoding="utf-8")
        answer, said = running.ask("GET", "/v1/catalog", headers={"X-API-Key": second})
        assert (answer.status, str(tmp_path) in problem(answer, said)["detail"]) == (503, False)
        file.unlink()
        assert (status(second), status("wrong")) == (503, 503)


def test_only_a_proxy_that_is_named_says_who_asks(shown_catalog: Path) -> None:
    clients = [{"X-Forwarded-For": f"192.0.2.{number}"} for number in range(3)]
    with Service(shown_catalog, "--rate-limit", "0.001") as running:
        assert [running.ask("GET", "/health", headers=sent)[0].status for sent in clients] == [200, 429, 429]
        assert running.end() == 0
        assert sum("--trusted-proxy" in line for line in running.log) == 1
    with Service(shown_catalog, "--rate-limit", "0.001", "--trusted-proxy", "127.0.0.0/8") as running:
        sent = [*clients, {"X-Forwarded-For": "203.0.113.9, 192.0.2.0"}]  # what a client claims stands before
        assert [running.ask("GET", "/health", headers=one)[0].status for one in sent] == [200, 200, 200, 429]
    done = run("serve", "--catalog", shown_catalog, "--trusted-proxy", "*")
    assert (done.returncode, "--trusted-proxy *" in done.stderr) == (2, True)


def test_another_site_does_not_write_without_a_key(own_catalog: Path, tmp_path: Path) -> None:
    site = {"Origin": "https://shop.example"}
    body, kind = form([("picture", picture_file())])
    with Service(own_catalog, "--allow-origin", "https://shop.example") as running:
        one = running.get("/v1/pictures?k=1")[0]["id"]
        assert running.post("/v1/search", [("text", "red")], site)[0] == 200
        for method, path in (("POST", "/v1/pictures"), ("DELETE", f"/v1/pictures/{one}")):
            answer, said = running.ask(method, path, body, {"Content-Type": kind, **site})
            assert (problem(answer, said)["status"], b"key" in said) == (403, True)
        own = {"Origin": running.url}
        assert running.ask("POST", "/v1/pictures", body, {"Content-Type": kind, **own})[0].status == 201
    key = {"X-API-Key": triptych.make_key(tmp_path / "keys.json", "shop", write=True)}
    options = ["--keys", tmp_path / "keys.json", "--allow-origin", "https://shop.example"]
    with Service(own_catalog, *options) as running:
        assert running.ask("DELETE", f"/v1/pictures/{one}", headers=site)[0].status == 401
        assert running.ask("DELETE", f"/v1/pictures/{one}", headers=site | key)[0].status == 204


def test_odd_values_and_conditions_with_every_store(own_catalog: Path, database: str) -> None:
    catalog = Catalog(own_catalog)
    columns = {"size": [1.5, float("nan"), float("inf"), None], "mark": ["a\0b", "ab", "nan", ""]}
    catalog.keep_metadata(pa.table({"name": catalog.names[:4], **columns}))
    conditions = ["size>1", "size<1e300", 'size=""', "size!=1.5", 'mark=""', "mark=nan", "mark!=ab", "mark>=a"]
    refused = ["mark=a\0b", "size=nan", "size<NaN", "size in (1, nan)", "mark=\ud800", "mark\0=a", "\0"]
    runtime = Runtime(threads=1)
    with (
        triptych.open_catalog(own_catalog, runtime=runtime) as exact,
        triptych.open_catalog(own_catalog, store=database, runtime=runtime) as other,
    ):
        for where in conditions:
            found = [[hit.name for hit in one.search(text="red", where=where, k=50)] for one in (exact, other)]
            assert found[0] == found[1], where
        for where in refused:
            said = []
            for one in (exact, other):
                with pytest.raises(UsageError) as raised:
                    one.search(text="red", where=where)
                said.append(str(raised.value))
            assert said[0] == said[1]
