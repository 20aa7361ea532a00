"""What the service refuses, and how it says so."""

import asyncio
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

import triptych
from serving_helpers import Service, form, picture_file, problem
from test_cli import run
from triptych.catalog.catalog import Catalog
from triptych.core.errors import BusyError, DataError, FailureError, MismatchError, StoreError, UsageError
from triptych.core.files import locked
from triptych.serving.prometheus import ServiceMetrics
from triptych.serving.settings import ServiceSettings

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")


@pytest.fixture(scope="module")
def service(shown_catalog: Path):
    with Service(shown_catalog, "--max-upload", "0.2", "--max-pixels", "2") as running:
        yield running


@pytest.fixture(scope="module")
def guarded(shown_catalog: Path, tmp_path_factory: pytest.TempPathFactory):
    """A service with keys, one that may write and one that may not; and the keys."""
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    made = {"reader": triptych.make_key(keys, "reader"), "writer": triptych.make_key(keys, "writer", write=True)}
    options = ["--keys", keys, "--allow-origin", "https://Shop.example/"]
    with Service(shown_catalog, *options) as running:
        yield running, made


def test_bad_requests_are_problems(service: Service) -> None:
    for fields in (
        [],
        [("text", "  ")],
        [("text", "red"), ("k", "0")],
        [("text", "red"), ("k", "many")],
        [("text", "red"), ("weight", "nan")],
        [("text", "red"), ("where", "nonsense")],
        [("text", "red"), ("where", "nobody=1")],
        [("text", "x" * 2000)],
        [("picture", b"")],
        [("picture", b"GIF89a, says it")],
        [("picture", picture_file()[:-30])],
        [("picture", picture_file()), ("box", "0,0")],
    ):
        body, kind = form(fields)  # type: ignore[arg-type]
        answer, content = service.ask("POST", "/v1/search", body, {"Content-Type": kind})
        assert problem(answer, content)["status"] == 422, fields
    for method, path in (("GET", "/nothing"), ("POST", "/health"), ("GET", "/v1/pictures/0000"), ("PUT", "/")):
        answer, content = service.ask(method, path)
        assert problem(answer, content)["status"] in (404, 405)
    answer, content = service.ask("POST", "/v1/search", b"garbage", {"Content-Type": "multipart/form-data"})
    assert problem(answer, content)["status"] in (400, 422)


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("path", "kind", "body", "status", "named"),
    [
        ("/v1/search", "application/json", '{"text": "in red", "k": 1}', 422, "text: input should be a valid"),
        ("/v1/search", "text/plain", "text=red", 415, "text/plain"),
        ("/v1/search", "", "text=red", 415, "Content-Type"),
        ("/v1/search", FORM, "text=red&zoom=3", 422, "zoom: is unknown; there are picture, like, unlike"),
        ("/v1/search", FORM, "text=red&txt=blue", 422, "txt: is unknown; did you mean text?"),
        ("/v1/search", FORM, "text=red&k=3&k=4", 422, "k: is given twice"),
        ("/v1/search", FORM, "text=red&weight=0.3", 422, "weight"),
        ("/v1/search?text=red", FORM, "k=3", 422, "text: is unknown in the URL"),
        ("/v1/search?k=", FORM, "text=red", 422, "k: is unknown in the URL"),
        ("/v1/compare", FORM, "reference=a&result=b", 415, "application/json"),
        ("/v1/compare", "application/json", '{"reference": "a", "result": "b", "words": []}', 422, "words"),
        ("/v1/pictures", FORM, "picture=x", 415, "multipart/form-data"),
    ],
)
def test_what_would_be_half_understood_is_refused(
    service: Service, path: str, kind: str, body: str, status: int, named: str
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer, content = service.ask("POST", path, body.encode(), headers)
    refusal = problem(answer, content)
    assert (refusal["status"], named in refusal["detail"]) == (status, True), refusal


def test_fields_of_forms_with_pictures_that_nothing_reads_are_refused(own_catalog: Path) -> None:
    with Service(own_catalog) as running:
        for path, name in (("/v1/search", "txt"), ("/v1/pictures", "metdata")):
            fields = [("picture", picture_file()), (name, "in red")]
            status, answer, _ = running.post(path, fields)
            assert (status, answer["detail"].startswith(f"{name}: is unknown")) == (422, True)
        fields = [("picture", picture_file()), ("picture", picture_file())]
        status, answer, _ = running.post("/v1/search", fields)
        assert (status, answer["detail"]) == (422, "picture: is given twice; give it once")
        assert len(Catalog(own_catalog).names) == running.get("/ready")["pictures"]


def test_parameters_that_nothing_reads_are_refused(service: Service) -> None:
    for path, named in (
        ("/v1/pictures?limit=3", "limit: is unknown in the URL; there are k, offset, step"),
        ("/v1/pictures?k=3&k=4", "k: is given twice"),
        ("/v1/catalog?k=3", "k: is unknown in the URL"),
    ):
        answer, content = service.ask("GET", path)
        refusal = problem(answer, content)
        assert (refusal["status"], refusal["detail"].startswith(named)) == (422, True)
    one = service.get("/v1/pictures?k=1")[0]["id"]
    assert service.ask("GET", f"/v1/pictures/{one}/thumbnail?v=2")[0].status == 200


def test_head_is_answered_as_get_without_the_body(service: Service) -> None:
    one = service.get("/v1/pictures?k=1")[0]["id"]
    for path in ("/", "/page/page.js", "/v1/catalog", f"/v1/pictures/{one}/thumbnail", "/health"):
        (got, whole), (head, body) = service.ask("GET", path), service.ask("HEAD", path)
        assert (head.status, body) == (200, b"")
        assert head.getheader("Content-Length") == str(len(whole)) == got.getheader("Content-Length")
        assert head.getheader("Content-Type") == got.getheader("Content-Type")
    assert service.ask("HEAD", "/v1/search")[0].status == 405
    assert service.ask("HEAD", "/nothing")[0].status == 404


def test_a_page_below_a_path(own_catalog: Path) -> None:
    page = b'href="page/page.css"'
    with Service(own_catalog) as running:
        assert page in running.ask("GET", "/")[1]
    with Service(own_catalog, "--root-path", "/shop/find/") as running:
        assert running.log[-1].rstrip().endswith("/shop/find")
        for prefix in ("/shop/find", ""):  # a proxy may pass the path on, or strip it
            assert b'src="/shop/find/page/page.js"' in running.ask("GET", f"{prefix}/")[1]
            assert running.ask("GET", f"{prefix}/page/service.js")[0].status == 200
            assert running.get(f"{prefix}/v1/catalog")["pictures"] > 0
            assert running.get(f"{prefix}/openapi.json")["servers"] == [{"url": "/shop/find"}]
        assert b"page/page.js" in running.ask("GET", "/shop/find")[1]
        status, added, answer = running.post("/shop/find/v1/pictures", [("picture", picture_file())])
        assert (status, answer.getheader("Location")) == (201, f"/shop/find/v1/pictures/{added['id']}")
        assert running.ask("GET", "/shop/findings")[0].status == 404
    done = run("serve", "--catalog", own_catalog, "--root-path", "https://x.example/shop")
    assert (done.returncode, "--root-path" in done.stderr) == (2, True)


@pytest.mark.parametrize("kind", ["thumbnail", "full"])
def test_no_path_leads_out_of_the_catalog(service: Service, shown_catalog: Path, kind: str) -> None:
    inside = Catalog(shown_catalog).names[0]
    for name in (
        inside,
        "../catalog/catalog.json",
        "/etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/catalog.json",
        "%00",
    ):
        answer, content = service.ask("GET", f"/v1/pictures/{name}/{kind}")
        assert problem(answer, content)["status"] == 404
    for path in (
        "/page/../service.py",
        "/page/%2e%2e/service.py",
        "/page/..%2fservice.py",
        "/../../etc/passwd",
        "//etc",
    ):
        answer, content = service.ask("GET", path)
        assert problem(answer, content)["status"] == 404


def test_uploads_that_are_too_large(service: Service) -> None:
    large = picture_file() + b"\0" * 400_000
    body, kind = form([("picture", large)])
    answer, content = service.ask("POST", "/v1/search", body, {"Content-Type": kind})
    assert problem(answer, content)["status"] == 413
    # Without a length that could be looked at first.
    connection = service.connect()
    connection.request("POST", "/v1/search", iter([body[:100_000]] * 5), {"Content-Type": kind}, encode_chunked=True)
    answer = connection.getresponse()
    assert problem(answer, answer.read())["status"] == 413
    connection.close()


def test_a_bomb_is_not_unpacked(service: Service) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1_000_000, 9)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    status, answer, _ = service.post("/v1/search", [("picture", bomb)])
    assert status == 422
    assert "too many pixels" in answer["detail"]


def test_a_slow_upload_is_given_up(shown_catalog: Path) -> None:
    with Service(shown_catalog, "--request-timeout", "0.3") as running:
        body, kind = form([("text", "red")])
        connection = running.connect()
        connection.putrequest("POST", "/v1/search")
        connection.putheader("Content-Type", kind)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        connection.send(body[:20])
        answer = connection.getresponse()
        assert problem(answer, answer.read())["status"] == 503
        connection.close()


def test_too_many_requests(shown_catalog: Path) -> None:
    with Service(shown_catalog, "--rate-limit", "0.001") as running:
        statuses = [running.ask("GET", "/health")[0].status for _ in range(3)]
        assert statuses == [200, 429, 429]
        assert int(running.ask("GET", "/health")[0].getheader("Retry-After") or 0) > 100


def test_other_sites_and_other_names(service: Service, guarded: tuple[Service, dict[str, str]]) -> None:
    answer, content = service.ask("GET", "/v1/catalog", headers={"Host": "evil.example"})
    assert problem(answer, content)["status"] == 421
    body, kind = form([("picture", picture_file())])
    foreign = [{"Origin": origin} for origin in ("https://evil.example", "http://[", "null")]
    for headers in (*foreign, {"Sec-Fetch-Site": "cross-site"}):
        answer, content = service.ask("POST", "/v1/pictures", body, {"Content-Type": kind, **headers})
        assert problem(answer, content)["status"] == 403
    answer, _ = service.ask("GET", "/v1/catalog", headers={"Origin": "https://evil.example"})
    assert answer.getheader("Access-Control-Allow-Origin") is None
    running, keys = guarded
    friend = {"Origin": "https://shop.example"}
    answer, _ = running.ask("OPTIONS", "/v1/search", headers=friend)
    assert (answer.status, answer.getheader("Access-Control-Allow-Origin")) == (204, "https://shop.example")
    status, _, answer = running.post("/v1/search", [("text", "red")], friend | {"X-API-Key": keys["reader"]})
    assert (status, answer.getheader("Access-Control-Allow-Origin")) == (200, "https://shop.example")


def test_pages_of_a_friend_may_show_pictures(service: Service, guarded: tuple[Service, dict[str, str]]) -> None:
    """In an `<img>`, with which no browser says where it stands."""
    running, keys = guarded
    key = {"X-API-Key": keys["reader"]}
    drawing = f"/v1/pictures/{running.get('/v1/pictures?k=1', key)[0]['id']}/thumbnail"
    for path, policy in ((drawing, "cross-origin"), ("/v1/catalog", "same-origin")):
        answer, _ = running.ask("GET", path, headers=key)
        assert (answer.getheader("Cross-Origin-Resource-Policy"), answer.getheader("Vary")) == (policy, "Origin")
        assert answer.getheader("Access-Control-Allow-Origin") is None
    answer, _ = running.ask("GET", drawing, headers=key | {"Origin": "https://evil.example"})
    assert answer.getheader("Access-Control-Allow-Origin") is None
    answer, _ = running.ask("GET", "/v1/catalog", headers=key | {"Origin": "https://shop.example"})
    assert (answer.getheader("Cross-Origin-Resource-Policy"), answer.getheader("Vary")) == ("cross-origin", "Origin")
    answer, _ = service.ask("GET", drawing)
    assert answer.getheader("Cross-Origin-Resource-Policy") == "same-origin"


def test_another_name_is_answered_to_and_needs_a_key_to_write(own_catalog: Path, tmp_path: Path) -> None:
    key = {"X-API-Key": triptych.make_key(tmp_path / "keys.json", "writer", write=True)}
    named = ["--allow-host", "Shop.example:8443"]
    body, kind = form([("picture", picture_file())])
    headers_sent = {"Content-Type": kind, "Host": "shop.example"}
    with Service(own_catalog, *named) as running:
        assert running.ask("GET", "/v1/catalog", headers={"Host": "shop.example:1234"})[0].status == 200
        answer, content = running.ask("GET", "/v1/catalog", headers={"Host": "evil.example"})
        assert problem(answer, content)["status"] == 421
        for headers in (headers_sent, headers_sent | {"Host": running.host}):
            answer, content = running.ask("POST", "/v1/pictures", body, headers)
            assert problem(answer, content)["status"] == 403
        assert not running.get("/v1/catalog")["writable"]
        assert running.end() == 0
        assert any("anyone who can reach this address can search" in line for line in running.log)
    with Service(own_catalog, *named, "--keys", tmp_path / "keys.json") as running:
        assert running.ask("POST", "/v1/pictures", body, headers_sent)[0].status == 401
        assert running.ask("POST", "/v1/pictures", body, headers_sent | key)[0].status == 201


def test_uploads_under_way_share_what_they_may_hold() -> None:
    from triptych.serving.middleware import AccessMiddleware

    answered: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    guard = AccessMiddleware(app, ServiceSettings(max_held_bytes=100), ServiceMetrics())

    async def post(*pieces: bytes, until: asyncio.Event | None = None, begun: asyncio.Event | None = None) -> int:
        scope = {"type": "http", "method": "POST", "path": "/v1/search", "headers": [], "client": ("::1", 1)}
        statuses: list[int] = []
        waiting = list(pieces)

        async def receive() -> dict[str, Any]:
            if begun and len(waiting) < len(pieces):
                begun.set()
                assert until
                await until.wait()
            return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await guard(scope, receive, send)
        return statuses[0]

    async def together() -> None:
        until, begun = asyncio.Event(), asyncio.Event()
        slow = asyncio.create_task(post(b"x" * 60, b"x", until=until, begun=begun))
        await begun.wait()
        answered.append(await post(b"x" * 60))
        answered.append(await post(b"x" * 30))
        until.set()
        answered.append(await slow)
        answered.append(await post(b"x" * 100))

    asyncio.run(together())
    assert answered == [503, 200, 200, 200]


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (BusyError("/secret: another run is writing here"), 503, "being written to by another run"),
        (StoreError("PostgreSQL: /secret"), 503, "the database does not answer"),
        (MismatchError("/secret: indexed with another encoder"), 503, "must be restarted"),
        (FailureError("/secret: the disk is full"), 500, "its log says why"),
    ],
)
def test_failures_are_told_apart_and_logged(
    error: FailureError, status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from triptych.serving.problems import as_problem

    refusal = as_problem(error)
    assert refusal.status == status
    assert says in refusal.detail
    assert "/secret" not in refusal.detail
    assert str(error) in capsys.readouterr().err


def test_a_catalog_that_another_run_writes_to(own_catalog: Path) -> None:
    with Service(own_catalog) as running:
        with locked(own_catalog):
            status, answer, _ = running.post("/v1/pictures", [("picture", picture_file())])
        assert (status, "another run" in answer["detail"]) == (503, True)
        assert running.post("/v1/pictures", [("picture", picture_file())])[0] == 201
        assert running.end() == 0
        assert any(line.startswith("failed: ") and "another run" in line for line in running.log)


@pytest.mark.parametrize("seconds", [5, 10])
def test_a_second_look_may_not_take_as_long_as_a_request(shown_catalog: Path, seconds: int) -> None:
    pytest.importorskip("httpx2", reason="the extra `chat` is not installed")
    asked = ["--rerank", "chat:m", "--base-url", "http://127.0.0.1:9/v1", "--rerank-timeout", 10]
    done = run("serve", "--catalog", shown_catalog, "--port", 0, *asked, "--request-timeout", seconds)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--rerank-timeout 10" in done.stderr


def test_every_answer_is_dressed(service: Service) -> None:
    for path in ("/", "/page/page.js", "/v1/catalog", "/nothing"):
        answer, _ = service.ask("GET", path)
        policy = answer.getheader("Content-Security-Policy") or ""
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.getheader("X-Content-Type-Options") == "nosniff"


def test_keys_open_what_they_are_for(guarded: tuple[Service, dict[str, str]], shown_catalog: Path) -> None:
    running, keys = guarded
    for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"}, {"Authorization": "Basic Og=="},
                 {"X-API-Key": "\xff\xfe"}, {"Authorization": "Bearer " + "x" * 5000}):  # fmt: skip
        for method, path in (
            ("GET", "/v1/catalog"),
            ("GET", "/metrics"),
            ("POST", "/v1/search"),
            ("DELETE", "/v1/pictures/a"),
        ):
            answer, content = running.ask(method, path, headers=wrong)
            assert problem(answer, content)["status"] == 401
    for path in ("/", "/page/page.js", "/health", "/ready"):
        assert running.ask("GET", path)[0].status == 200
    for name in keys:
        assert running.get("/v1/catalog", {"Authorization": f"Bearer {keys[name]}"})["pictures"] > 0
    before = len(Catalog(shown_catalog).names)
    fields = [("picture", b"not one")]
    assert running.post("/v1/pictures", fields, {"X-API-Key": keys["reader"]})[0] == 403  # type: ignore[arg-type]
    assert running.post("/v1/pictures", fields, {"X-API-Key": keys["writer"]})[0] == 422  # type: ignore[arg-type]
    assert len(Catalog(shown_catalog).names) == before


def test_keys_are_stored_hashed(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    first, second = triptych.make_key(file, "shop"), triptych.make_key(file, "shop", write=True)
    assert first != second
    assert len(json.loads(file.read_text(encoding="utf-8"))["keys"]) == 1
    assert first not in file.read_text(encoding="utf-8")
    assert second not in file.read_text(encoding="utf-8")
    with pytest.raises(UsageError):
        triptych.make_key(file, "<b>")
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError):
        triptych.make_key(file, "shop")


def test_read_only(shown_catalog: Path) -> None:
    with Service(shown_catalog, "--read-only") as running:
        assert running.post("/v1/pictures", [("picture", picture_file())])[0] == 403
        assert not running.get("/v1/catalog")["writable"]


def test_an_address_that_is_taken(service: Service, shown_catalog: Path) -> None:
    command = [sys.executable, "-c", "from triptych.cli import main; main()", "serve", "--catalog", str(shown_catalog)]
    done = subprocess.run([*command, "--port", str(service.port)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "cannot listen there" in done.stderr
