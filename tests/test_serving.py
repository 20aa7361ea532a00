"""The service as a process: what it answers, and what survives its end."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

import triptych
from serving_helpers import Service, form, picture_file, problem
from triptych.catalog.catalog import Catalog
from triptych.core.environment import Runtime
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder
from triptych.serving.comparison import TagComparison
from triptych.tagging.vocabulary import load_vocabulary

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")


@pytest.fixture(scope="module")
def service(shown_catalog: Path):
    with Service(shown_catalog, "--max-upload", "0.2", "--max-pixels", "2") as running:
        yield running


def a_picture(catalog: Path) -> bytes:
    opened = Catalog(catalog)
    return opened.path(opened.names[3]).read_bytes()


def test_it_answers_as_the_library_does(service: Service, shown_catalog: Path) -> None:
    with triptych.open_catalog(shown_catalog, runtime=Runtime(threads=1)) as opened:
        data, name = a_picture(shown_catalog), Catalog(shown_catalog).names[3]
        expected = [hit.id for hit in opened.search(image=data, text="in red", k=7)]
        uploaded = service.search(("picture", data), ("text", "in red"), ("k", "7"))
        assert [hit["id"] for hit in uploaded["hits"]] == expected
        for like in (uploaded["reference"], name, opened.picture(name).id):
            again = service.search(("like", like), ("text", "in red"), ("k", "7"))
            assert [hit["id"] for hit in again["hits"]] == expected
        words = service.search(("text", "red shirt"))["hits"]
        assert [hit["id"] for hit in words] == [hit.id for hit in opened.search(text="red shirt", k=24)]
        assert words[0]["metadata"] == dict(opened.picture(words[0]["id"]).metadata)


def test_words_that_are_not_understood_are_told(service: Service, shown_catalog: Path) -> None:
    like = ("like", Catalog(shown_catalog).names[3])
    answer = service.search(like, ("text", "in rot"))
    assert answer["not_understood"] == ["rot"]
    assert answer["notes"] == ["not understood: rot; wardrobe does not know such words"]
    assert answer["hits"]
    plain = service.search(like, ("text", "in red"))
    assert (plain["not_understood"], plain["notes"]) == ([], [])
    (note,) = service.search(("text", "red dress " * 40))["notes"]
    assert note.startswith("the text has 80 tokens, and wardrobe reads 24 at once: it was read in 4 parts")


def test_many_clients_at_once_get_what_one_would(service: Service, shown_catalog: Path) -> None:
    names = Catalog(shown_catalog).names[:12]
    asked = [(("like", name), ("text", text), ("k", "5")) for name in names for text in ("in red", "")]
    alone = [service.search(*fields)["hits"] for fields in asked]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda fields: service.search(*fields)["hits"], asked))
    assert [[hit["id"] for hit in hits] for hits in together] == [[hit["id"] for hit in hits] for hits in alone]


def test_pages_and_filters(service: Service, shown_catalog: Path) -> None:
    whole = service.search(("text", "shirt"), ("k", "30"))
    pages = [service.search(("text", "shirt"), ("k", "10"), ("offset", str(start))) for start in (0, 10, 20)]
    assert [hit for page in pages for hit in page["hits"]] == whole["hits"]
    assert whole["more"]
    assert not service.search(("text", "shirt"), ("k", "200"))["more"]
    colours = Catalog(shown_catalog).metadata.column("colour").to_pylist()
    rarest = min(set(colours), key=colours.count)
    kept = service.search(("text", "shirt"), ("where", f"colour={rarest}"), ("where", "line>0"), ("k", "200"))["hits"]
    assert len(kept) == colours.count(rarest)
    columns = {column["name"]: column for column in service.get("/v1/catalog")["columns"]}
    assert set(columns["colour"]["values"]) == set(colours)
    assert columns["line"]["kind"] == "number"


def test_pictures_that_fulfil_conditions_are_listed(service: Service) -> None:
    every = service.get("/v1/pictures?k=1000")
    wanted = [one["id"] for one in every if one["metadata"]["colour"] == "red" and one["metadata"]["kind"] != "dress"]
    assert wanted
    asked = "where=colour%3Dred&where=kind!%3Ddress"
    assert [one["id"] for one in service.get(f"/v1/pictures?k=1000&{asked}")] == wanted
    assert [one["id"] for one in service.get(f"/v1/pictures?k=2&offset=1&{asked}")] == wanted[1:3]
    answer, content = service.ask("GET", "/v1/pictures?where=colour")
    assert problem(answer, content)["status"] == 422


def test_pictures_are_drawn_anew(service: Service, shown_catalog: Path) -> None:
    listed = service.get("/v1/pictures?k=5&step=7")
    assert [picture["name"] for picture in listed] == Catalog(shown_catalog).names[::7][:5]
    for kind, side in (("thumbnail", 256), ("full", 1600)):
        answer, body = service.ask("GET", f"/v1/pictures/{listed[0]['id']}/{kind}")
        assert answer.getheader("Content-Type") == "image/jpeg"
        with Image.open(BytesIO(body)) as picture:
            assert max(picture.size) <= side
            assert not picture.getexif()
    assert service.get(f"/v1/pictures/{listed[0]['id']}") == listed[0]


def test_the_owners_pictures_are_drawn_whatever_an_upload_may_be(own_catalog: Path) -> None:
    root = Path(Catalog(own_catalog).root)
    Image.new("RGB", (400, 300), (9, 99, 9)).save(root / "large.bmp")
    triptych.index(root, own_catalog, runtime=Runtime(threads=1), encoder="wardrobe")
    with Service(own_catalog, "--max-upload", "0.01", "--max-pixels", "0.01") as running:
        name = next(picture for picture in running.get("/v1/pictures?k=1000") if picture["name"] == "large.bmp")
        path = f"/v1/pictures/{name['id']}/thumbnail"
        answer, _ = running.ask("GET", path)
        assert answer.status == 200
        tag = {"If-None-Match": answer.getheader("ETag") or ""}
        assert "no-cache" in (answer.getheader("Cache-Control") or "")
        answer, again = running.ask("GET", path, headers=tag)
        assert (answer.status, again) == (304, b"")
        Image.new("RGB", (400, 300), (99, 9, 9)).save(root / "large.bmp")
        os.utime(root / "large.bmp", ns=(1, 1))
        answer, content = running.ask("GET", path, headers=tag)  # it may be anything, until it is indexed again
        assert problem(answer, content)["status"] == 404
        for spoil in (lambda: (root / "large.bmp").write_bytes(b"none"), (root / "large.bmp").unlink):
            spoil()
            answer, content = running.ask("GET", path)
            assert problem(answer, content)["status"] == 404
            assert "triptych index" in json.loads(content)["detail"]


def test_comparing_keeps_no_search_waiting(shown_catalog: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    before = f"""
import sys
from triptych.serving.comparison import TagComparison
def compared(self, reference, result):
    print("comparing", file=sys.stderr, flush=True)
    with open({str(tmp_path / "gate")!r}) as gate:
        gate.read()
    return {{"changed": [], "kept": []}}
TagComparison.__call__ = compared
"""
    with Service(shown_catalog, "--request-timeout", "20", before=before) as running, ThreadPoolExecutor(4) as pool:
        first, second = (picture["id"] for picture in running.get("/v1/pictures?k=2"))
        body = json.dumps({"reference": first, "result": second}).encode()
        kind = {"Content-Type": "application/json"}
        for _ in range(4):
            pool.submit(running.ask, "POST", "/v1/compare", body, kind)
        while not any("comparing" in line for line in running.log):
            assert running.process.poll() is None
        try:
            assert running.search(("text", "red"))["hits"]
            assert running.get("/ready")["status"] == "ok"
        finally:
            running.process.kill()  # the gate is never opened


def test_comparing_tells_words_of_the_vocabulary(service: Service) -> None:
    pictures = service.get("/v1/pictures?k=12&step=3")
    every = []
    for reference, result in pairwise(pictures):
        body = json.dumps({"reference": reference["id"], "result": result["id"]}).encode()
        answer, content = service.ask("POST", "/v1/compare", body, {"Content-Type": "application/json"})
        comparison = json.loads(content)
        assert answer.status == 200
        assert all(tag["before"] != tag["after"] for tag in comparison["changed"])
        assert all(tag["before"] == tag["after"] for tag in comparison["kept"])
        every += comparison["changed"] + comparison["kept"]
    assert every


def test_comparing_is_prepared_ahead(shown_catalog: Path, tmp_path: Path) -> None:
    vocabulary = {"colour": ["red", "blue"], "kind": [f"kind {number}" for number in range(400)]}
    (tmp_path / "words.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    words = load_vocabulary(tmp_path / "words.json")
    with triptych.open_catalog(shown_catalog, runtime=Runtime(threads=1)) as opened:
        encoder = CountingEncoder(opened.encoder)
        first, second = (opened.reference(like=picture.id).vector for picture in opened.pictures(2))

        def some() -> Vectors:
            return opened.catalog.vectors[:100]

        expected = TagComparison(CountingEncoder(opened.encoder), words, some)(first, second)  # type: ignore[arg-type]
        ended = TagComparison(encoder, words, some)  # type: ignore[arg-type]
        ended.end()
        ended.prepare()
        assert 0 < encoder.texts < 800
        encoder.texts = 0
        comparing = TagComparison(encoder, words, some)  # type: ignore[arg-type]
        comparing.prepare()
        prepared = encoder.texts
        assert prepared >= 800  # each word in two phrasings
        assert comparing(first, second) == expected
        assert encoder.texts == prepared


class CountingEncoder:
    """Counts the texts that are encoded; names nothing by itself."""

    lexicon = None

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.dim, self.logit_scale, self.texts = encoder.dim, encoder.logit_scale, 0

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.texts += len(texts)
        return self._encoder.encode_texts(texts)


def test_upkeep(service: Service) -> None:
    assert service.get("/health") == {"status": "ok"}
    assert service.get("/ready")["pictures"] == service.get("/v1/catalog")["pictures"]
    service.search(("text", "an utterly private question"))
    answer, body = service.ask("GET", "/metrics")
    assert answer.getheader("Content-Type", "").startswith("text/plain; version=0.0.4")
    lines = body.decode().splitlines()
    counts = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(counts['triptych_requests_total{method="POST",route="/v1/search",status="200"}']) >= 1
    histogram = {name: value for name, value in counts.items() if name.startswith("triptych_seconds_bucket{")}
    buckets = [float(value) for name, value in histogram.items() if 'stage="request"' in name]
    assert all(less <= more for less, more in pairwise(buckets))
    assert buckets[-1] == float(counts['triptych_seconds_count{stage="request"}'])
    assert float(counts["triptych_pictures"]) > 0
    assert not any("private" in line for line in [*lines, *service.log])


def test_it_is_ready_while_the_catalog_is_there(own_catalog: Path) -> None:
    with Service(own_catalog) as running:
        assert running.get("/ready")["status"] == "ok"
        own_catalog.rename(own_catalog.with_name("elsewhere"))
        answer, content = running.ask("GET", "/ready")
        assert problem(answer, content)["status"] == 503
        assert str(own_catalog) not in content.decode()
        own_catalog.with_name("elsewhere").rename(own_catalog)
        assert running.get("/ready")["status"] == "ok"
        assert running.end() == 0
        assert any(line.startswith("not ready: ") for line in running.log)


def test_it_is_ready_while_the_store_answers(own_catalog: Path, database: str) -> None:
    import psycopg

    before = "import triptych.retrieval.stores.connections as connections; connections._STATEMENT = 0.3\n"
    with Service(own_catalog, "--store", database, before=before) as running, psycopg.connect(database) as other:
        assert running.get("/ready")["status"] == "ok"
        (table,) = other.execute("SELECT relname FROM pg_class WHERE relkind = 'r' ORDER BY oid DESC").fetchone() or ()
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")  # type: ignore[arg-type]
        body, kind = form([("text", "red")])
        for method, path, sent in (("GET", "/ready", None), ("POST", "/v1/search", body)):
            answer, content = running.ask(method, path, sent, {"Content-Type": kind})
            assert problem(answer, content)["status"] == 503
            assert "the database" in json.loads(content)["detail"]
        assert running.get("/health") == {"status": "ok"}
        other.rollback()
        assert running.get("/ready")["status"] == "ok"
        assert running.search(("text", "red"))["hits"]


def test_the_description_has_examples(service: Service) -> None:
    described = service.get("/openapi.json")
    assert {"/v1/search", "/v1/pictures", "/v1/pictures/{id}", "/health", "/metrics"} <= set(described["paths"])
    for path, operations in described["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            assert "application/problem+json" in operation["responses"]["422"]["content"]
    forms = described["paths"]["/v1/search"]["post"]["requestBody"]["content"]
    fields = forms["multipart/form-data"]["schema"]["properties"]
    assert fields["picture"]["type"] == "string"
    assert fields["text"]["examples"] == [["but in red"]]


def test_pictures_come_and_go(own_catalog: Path) -> None:
    with Service(own_catalog) as running:
        metadata = json.dumps({"colour": "<script>alert(1)</script>", "line": 7})
        status, added, answer = running.post("/v1/pictures", [("picture", picture_file()), ("metadata", metadata)])
        assert status == 201
        assert answer.getheader("Location") == f"/v1/pictures/{added['id']}"
        assert added["metadata"] == {"colour": "<script>alert(1)</script>", "line": 7}
        found = running.search(("text", "red"), ("where", "line=7"))["hits"]
        assert [hit["id"] for hit in found] == [added["id"]]
        for bad in ('{"nobody": 1}', '{"line": "many"}', "[]", "{", '{"line": [1]}'):
            status, _, _ = running.post("/v1/pictures", [("picture", picture_file((1, 2, 3))), ("metadata", bad)])
            assert status == 422
        answer, _ = running.ask("DELETE", f"/v1/pictures/{added['id']}")
        assert answer.status == 204
        answer, content = running.ask("GET", f"/v1/pictures/{added['id']}/thumbnail")
        assert problem(answer, content)["status"] == 404
        assert running.search(("text", "red"), ("where", "line=7"))["hits"] == []
        assert running.end() == 0
    assert added["name"] not in Catalog(own_catalog).names


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_acknowledged_is_kept(own_catalog: Path, how: signal.Signals) -> None:
    """Eight clients add pictures until the service is gone; each answer that one of them got holds."""
    names: list[str] = []
    with Service(own_catalog) as running:

        def add_many(client: int) -> None:
            for number in range(100):
                colour = (client * 30, number * 2, 7)
                try:
                    status, added, _ = running.post("/v1/pictures", [("picture", picture_file(colour))])
                except (OSError, ValueError, AssertionError):
                    return
                except Exception:  # what http.client raises where an answer breaks off
                    return
                if status == 201:
                    names.append(added["name"])
                if len(names) == 25:
                    running.process.send_signal(how)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add_many, range(8)))
        running.process.wait(60)
    assert len(names) >= 25
    opened = Catalog(own_catalog)
    assert set(names) <= set(opened.names)
    assert all(opened.path(name).stat().st_size > 0 for name in names)
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as searchable:
        assert {hit.name for hit in searchable.search(text="red", k=1000)} >= set(names)


def test_a_request_under_way_is_finished(shown_catalog: Path) -> None:
    with Service(shown_catalog) as running:
        body, kind = form([("text", "red")])
        connection = running.connect()
        connection.putrequest("POST", "/v1/search")
        connection.putheader("Content-Type", kind)
        connection.putheader("Content-Length", str(len(body)))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        # The service asks for the body: the request has begun.
        assert connection.sock.recv(64).startswith(b"HTTP/1.1 100")
        running.process.send_signal(signal.SIGTERM)
        connection.send(body)
        answer = connection.getresponse()
        assert answer.status == 200
        assert json.loads(answer.read())["hits"]
        connection.close()
        assert running.process.wait(60) == 0


def check_by_its_own_description(running: Service, folder: Path, examples: int) -> None:
    """schemathesis makes requests from the OpenAPI, valid and not, and checks each answer against it."""
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    checks = "not_a_server_error,response_schema_conformance,content_type_conformance,status_code_conformance"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{running.url}/openapi.json"]
    options = ["--max-examples", str(examples), "--seed", "1", "--checks", checks, "--continue-on-failure"]
    options += ["--phases", "examples,coverage,fuzzing", "--no-color"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert running.get("/health") == {"status": "ok"}
    assert not any("Traceback" in line or " 500 " in line for line in running.log)


def test_no_request_by_its_own_description_breaks_it(own_catalog: Path) -> None:
    with Service(own_catalog) as running:
        check_by_its_own_description(running, own_catalog, 5)


@pytest.mark.slow
def test_no_request_breaks_it_with_everything_allowed(
    tiny_catalog: Path, tiny_composer: Path, wardrobe_world: Path, tmp_path: Path
) -> None:
    """With a composer, feedback, a blind comparison and pictures by URL."""
    for old, name in ((wardrobe_world / "images", "images"), (tiny_catalog, "catalog"), (tiny_composer, "composer")):
        shutil.copytree(old, tmp_path / name)
    catalog, note = tmp_path / "catalog", json.loads((tiny_catalog / "catalog.json").read_text("utf-8"))
    (catalog / "catalog.json").write_text(json.dumps(note | {"root": str(tmp_path / "images")}), "utf-8")
    options = ("--composer", tmp_path / "composer", "--blind", "--feedback", tmp_path / "feedback.jsonl")
    with Service(catalog, *options, "--fetch-from", "shop.example", "--fetch-timeout", "1") as running:
        check_by_its_own_description(running, tmp_path, 30)


def test_torch_is_never_loaded(shown_catalog: Path) -> None:
    program = f"""
import sys
from pathlib import Path
import triptych
from triptych.serving.handlers import RequestHandlers
from triptych.serving.routes import create_app
from triptych.serving.settings import ServiceSettings
from triptych.serving.comparison import TagComparison
from triptych.tagging.vocabulary import load_vocabulary
opened = triptych.open_catalog({str(shown_catalog)!r}, runtime=triptych.Runtime(threads=1))
opened.load()
comparing = TagComparison(opened.encoder, load_vocabulary(), lambda: opened.catalog.vectors[:100])
create_app(RequestHandlers(opened, ServiceSettings(), 1), comparing)
first, second = opened.pictures(2)
comparing(opened.reference(like=first.id).vector, opened.reference(image=Path(second.path)).vector)
opened.search(like=first.id, text="in red")
assert not {{"torch", "onnx", "matplotlib", "transformers"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
