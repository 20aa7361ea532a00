"""Pictures of strangers, sent to a service: what harms one costs nobody else anything."""

import os
import signal
import socket
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from serving_helpers import Service, form, picture_file
from test_picture_cost import encode, many_scans, picture
from triptych.core.picture_cost import expected_work

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SLOW = many_scans(38, side=5000)  # seconds of a processor, within every limit of headers
HASTY = """
import triptych.serving.settings as settings
settings._SECONDS = 0.2
"""
SOON_STUCK = """
import triptych.core.decoders as decoders
decoders._STUCK = 0.1
"""
SHORT_DRAIN = """
import triptych.serving.server as server
server._DRAIN, server._LAST = 3, 2
"""


def fields_of(process: int) -> list[str]:
    """What /proc tells of a process, from its state on; nothing where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return []


def decoders_of(service: Service) -> list[int]:
    """The processes that a service has started."""
    running = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal()]
    return [process for process in running if fields_of(process)[1:2] == [str(service.process.pid)]]


def seconds_of(process: int) -> float:
    """Of a processor, that it has used."""
    return sum(map(int, fields_of(process)[11:13])) / os.sysconf("SC_CLK_TCK")


def wait_for(condition) -> None:
    end = monotonic() + 60
    while not condition():
        assert monotonic() < end
        sleep(0.01)  # what is waited for needs the processor


def send(service: Service, content: bytes) -> socket.socket:
    """Begin a search by a picture, whose answer nobody waits for."""
    body, kind = form([("picture", content)])
    head = f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection = socket.create_connection((service.host, service.port), timeout=60)
    connection.sendall(head.encode() + body)
    return connection


def test_a_slow_picture_is_refused_and_keeps_nobody_waiting(shown_catalog: Path) -> None:
    with Service(shown_catalog, before=HASTY) as service, ThreadPoolExecutor(1) as threads:
        refused = threads.submit(service.post, "/v1/search", [("picture", SLOW)])
        while not refused.done():
            assert service.search(("picture", picture_file()), ("k", "1"))["hits"]
            assert service.search(("text", "a red shirt"), ("k", "1"))["hits"]
            service.get("/ready")
        status, answer, _ = refused.result()
        assert status == 422
        assert "too slow: decoding it takes more than 0.2 s" in answer["detail"]


def test_a_slow_picture_is_not_added_and_others_are(own_catalog: Path) -> None:
    with Service(own_catalog, before=HASTY) as service:
        status, answer, _ = service.post("/v1/pictures", [("picture", SLOW)])
        assert status == 422
        assert "too slow" in answer["detail"]
        status, _, _ = service.post("/v1/pictures", [("picture", picture_file())])
        assert status == 201


def test_it_ends_in_time_whatever_a_picture_takes(shown_catalog: Path) -> None:
    with Service(shown_catalog, "--request-timeout", "100", before=SHORT_DRAIN) as service:
        with send(service, SLOW):
            wait_for(lambda: any(seconds_of(process) > 0.5 for process in decoders_of(service)))
            started = decoders_of(service)
            assert service.end() == 0
        wait_for(lambda: not any(Path(f"/proc/{process}").exists() for process in started))


def test_it_ends_in_time_whatever_a_thread_does(shown_catalog: Path) -> None:
    """Here one that asks for the pictures' list and never comes back."""
    stuck = "import threading, triptych.retrieval.open_catalog as l\nl.OpenCatalog.pictures = lambda *_, **__: hang()\n"
    stuck += "def hang():\n    print(' hanging', file=__import__('sys').stderr, flush=True)\n"
    stuck += "    threading.Event().wait()\n"
    # The comparison looks at pictures when it starts; here nothing does.
    with Service(shown_catalog, "--request-timeout", "100", before=SHORT_DRAIN + stuck) as service:
        with socket.create_connection((service.host, service.port), timeout=60) as connection:
            connection.sendall(b"GET /v1/pictures HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_for(lambda: any("hanging" in line for line in service.log))
            assert service.end() == 1
        assert any("still in progress" in line for line in service.log)


def test_ready_says_so_where_pictures_are_stuck(shown_catalog: Path) -> None:
    patient = ("--request-timeout", "300")
    with Service(shown_catalog, *patient, before=SOON_STUCK) as service, ThreadPoolExecutor(2) as threads:
        assert service.search(("picture", picture_file()), ("k", "1"))["hits"]
        stopped: set[int] = set()

        searches: list[Future[dict[str, Any]]] = []

        def stuck() -> bool:
            """Stop decoders, and let two searches wait for them, until the service says that it is stuck."""
            for process in decoders_of(service):
                os.kill(process, signal.SIGSTOP)
                stopped.add(process)
            if sum(not search.done() for search in searches) < 2:
                shirt = picture_file((len(searches) % 256, 0, 0))
                searches.append(threads.submit(service.search, ("picture", shirt)))
            answer, body = service.ask("GET", "/ready")
            return answer.status == 503 and b"pictures are not decoded now" in body

        wait_for(stuck)
        assert service.search(("text", "a red shirt"), ("k", "1"))["hits"]
        for process in stopped:
            os.kill(process, signal.SIGCONT)
        assert all(search.result()["hits"] for search in searches)
        service.get("/ready")


def test_what_work_is_expected_of_a_picture() -> None:
    assert expected_work(encode(picture(100), "JPEG")) == 100 * 100
    assert expected_work(many_scans(20, side=100)) >= 20 * 100 * 100
    assert expected_work(encode(picture(100), "PNG")) == 100 * 100
    assert expected_work(encode(picture(100), "BMP")) == 100 * 100
    assert expected_work(encode(picture(100), "GIF")) == 100 * 100
    assert expected_work(encode(picture(100), "WEBP")) == 2 * 100 * 100
    assert expected_work(encode(picture(100), "TIFF")) == 0
    assert expected_work(b"\xff\xd8") == expected_work(b"") == expected_work(b"RIFFxxxxWEBP") == 0
