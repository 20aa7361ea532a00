"""How long honest clients of a service wait, first in quiet and then with hostile requests among theirs.

    python bench/mixed_load.py CATALOG --minutes 60 [--quiet 2] [--clients 2] [--attackers 2] [--option=value …]

Honest clients search by picture and by words, look at results, and add and remove a picture now and then, at a fixed
rate whatever the answers take. Attackers send everything that they know, one after another: expensive pictures, endless
headers and bodies, damaged forms, wrong keys. Prints the milliseconds of honest requests, and memory and descriptors of
the service at the start and the end. Other options are passed to `triptych serve`. Linux only.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from PIL import Image

from serving_helpers import Service, form
from test_picture_cost import COSTLY, encode, many_scans, tiled

PAUSE = 0.25  # seconds between two requests of one honest client, at least
FORKS = multiprocessing.get_context("fork")
WORDS = ("but in red", "with a hood", "without sleeves", "the same in blue", "with stripes")
REPORT = 60.0  # seconds between two lines


class Honest:
    """Honest clients, and how long each of their requests took."""

    def __init__(self, service: Service, clients: int, seed: int) -> None:
        self.service = service
        self.taken: list[tuple[str, float]] = []
        self.failures: Counter[str] = Counter()
        self._lock = Lock()
        self._over = Event()
        self._threads = [Thread(target=self._work, args=(random.Random(f"{seed} {one}"),)) for one in range(clients)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let them come to an end."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, chance: random.Random) -> None:
        added: list[str] = []
        while not self._over.is_set():
            began = time.perf_counter()
            self._ask(chance, added)
            self._over.wait(max(0.0, PAUSE - (time.perf_counter() - began)))

    def _ask(self, chance: random.Random, added: list[str]) -> None:
        kind = chance.random()
        if kind < 0.45:
            fields = [("picture", photo(chance)), ("text", chance.choice(WORDS)), ("k", "10")]
            self._timed("pictures", "POST", "/api/search", *form(fields))
        elif kind < 0.85:
            self._timed("words", "POST", "/api/search", *form([("text", chance.choice(WORDS)), ("k", "10")]))
        elif kind < 0.95:
            self._timed("pages", "GET", f"/api/pictures?k=24&offset={chance.randrange(100)}")
        elif added:
            self._timed("removals", "DELETE", f"/api/pictures/{added.pop()}")
        else:
            answer = self._timed("additions", "POST", "/api/pictures", *form([("picture", photo(chance))]))
            if answer and b'"id":"' in answer:
                added.append(answer.split(b'"id":"')[1].split(b'"')[0].decode())

    def _timed(self, what: str, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes | None:
        began = time.perf_counter()
        try:
            answer, content = self.service.ask(method, path, body, {"Content-Type": kind} if kind else {})
            good = answer.status < 400
            failure = "" if good else f"{answer.status} {content[:200]!r}"
        except (OSError, HTTPException) as error:
            good, content, failure = False, b"", type(error).__name__
        with self._lock:
            self.taken.append((what, time.perf_counter() - began))
            if not good:
                self.failures[f"{what}: {failure}"] += 1
        return content if good else None

    def line(self) -> str:
        """Count, middle, 99th percentile and longest in milliseconds, of all requests and of each sort."""
        sorts = ["", *sorted({what for what, _ in self.taken})]
        failed = f"; failed: {dict(self.failures)}" if self.failures else ""
        return "; ".join(self._times(what) for what in sorts) + failed

    def _times(self, what: str) -> str:
        taken = sorted(seconds for sort, seconds in self.taken if what in ("", sort))
        middle, late = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
        return (
            f"{len(taken)} {what or 'requests'}, p50 {middle * 1000:.0f} ms, p99 {late * 1000:.0f} ms, "
            f"longest {taken[-1] * 1000:.0f} ms"
        )


def photo(chance: random.Random) -> bytes:
    """An honest upload of 600x800."""
    out = BytesIO()
    Image.frombytes("RGB", (6, 8), chance.randbytes(144)).resize((600, 800)).save(out, "JPEG")
    return out.getvalue()


def attacks(service: Service) -> dict[str, Callable[[], str]]:
    """What is done, by name; each returns what came of it."""
    pictures = {f"picture {name}": content for name, (content, _) in COSTLY.items()}
    pictures |= {
        "picture slow": many_scans(38, side=5000),
        "picture large": encode(Image.new("RGB", (6300, 6300)), "PNG"),
        "picture bomb": encode(Image.new("1", (40_000, 40_000)), "PNG"),
        "picture avif": encode(Image.effect_noise((2500, 2500), 90).convert("RGB"), "AVIF", speed=10),
        "picture tile": tiled(16, 46_336)[:434],
        "picture noise": random.Random(0).randbytes(9_000_000),
    }

    def search(content: bytes) -> str:
        status, _, _ = service.post("/api/search", [("picture", content)])
        return str(status)

    def raw(content: bytes, patience: float = 20.0) -> str:
        with socket.create_connection((service.host, service.port), timeout=patience) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(content)
            return connection.recv(64).split(b"\r\n")[0].decode("latin-1")[9:12] or "closed"

    def body(path: str, content: bytes, kind: str) -> str:
        answer, _ = service.ask("POST", path, content, {"Content-Type": kind})
        return str(answer.status)

    def slowly() -> str:
        with socket.create_connection((service.host, service.port), timeout=20) as connection:
            with contextlib.suppress(OSError):
                for letter in b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20:
                    connection.sendall(bytes([letter]))
                    time.sleep(0.1)
            return connection.recv(64).split(b"\r\n")[0].decode("latin-1")[9:12] or "closed"

    def many() -> str:
        held = [socket.create_connection((service.host, service.port), timeout=20) for _ in range(50)]
        time.sleep(1)
        for connection in held:
            connection.close()
        return "held"

    small = encode(Image.new("RGB", (16, 16)), "PNG")
    urlencoded = "application/x-www-form-urlencoded"
    head = b"POST /api/search HTTP/1.1\r\nHost: localhost\r\n"
    known: dict[str, Callable[[], str]] = {name: lambda given=given: search(given) for name, given in pictures.items()}
    return known | {
        "header": lambda: raw(head + b"X: " + b"x" * 5_000_000),
        "trailer": lambda: raw(head + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 5_000_000),
        "smuggling": lambda: raw(head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /"),
        "no HTTP": lambda: raw(b"\x16\x03\x01" + bytes(200)),
        "slow header": slowly,
        "silent connections": many,
        "ampersands": lambda: body("/api/search", b"&" * 5_000_000, urlencoded),
        "deep JSON": lambda: body("/api/compare", b"[" * 200_000, "application/json"),
        "long where": lambda: body("/api/search", b"text=a&where=" + b"(" * 60_000, urlencoded),
        "many conditions": lambda: body("/api/search", b"text=a" + b"&where=a%3D1" * 40, urlencoded),
        "half a form": lambda: body("/api/search", b"--b\r\nContent-Disposition: x", "multipart/form-data; boundary=b"),
        "deep metadata": lambda: str(service.post("/api/pictures", [("picture", small), ("metadata", "[" * 9_000)])[0]),
        "paths": lambda: str(service.ask("GET", "/api/pictures/..%2f..%2fetc%2fpasswd/full")[0].status),
        "k": lambda: body("/api/search", b"text=a&k=1000000000", urlencoded),
    }  # fmt: skip


class Attackers:
    """Clients that send everything they know, over and over, in a process of their own."""

    def __init__(self, known: Mapping[str, Callable[[], str]], count: int, seed: int) -> None:
        self._over = FORKS.Event()
        self._results = FORKS.SimpleQueue()
        self._process = FORKS.Process(target=_attack, args=(known, count, seed, self._over, self._results))
        self._process.start()

    def end(self) -> Counter[str]:
        """Let them come to an end; how often each attack ended how."""
        self._over.set()
        outcomes: Counter[str] = self._results.get()
        self._process.join()
        return outcomes


def _attack(known: Mapping[str, Callable[[], str]], count: int, seed: int, over: Any, results: Any) -> None:
    outcomes = Counter[str]()
    os.nice(10)  # attackers have machines of their own: what they compute here must not take the service's processor

    def work(chance: random.Random) -> None:
        while not over.is_set():
            names = [*known]
            chance.shuffle(names)
            for name in names:
                if over.is_set():
                    return
                try:
                    what = known[name]()
                except (OSError, HTTPException) as error:
                    what = type(error).__name__
                outcomes[f"{name}: {what}"] += 1

    threads = [Thread(target=work, args=(random.Random(f"{seed} x{one}"),)) for one in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(outcomes)


def held(service: Service) -> str:
    """Memory and descriptors of the service, and of the processes that it has started."""
    process = service.process.pid
    own = _memory(process)
    children = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal()]
    below = [one for one in children if _fields(one)[1:2] == [str(process)]]
    files = len([*Path(f"/proc/{process}/fd").iterdir()])
    return f"{own} MB, {files} descriptors; {len(below)} decoders with {sum(map(_memory, below))} MB"


def _fields(process: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return []


def _memory(process: int) -> int:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace").splitlines()
        return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS")), 0)
    return 0


def main() -> None:
    """Print the quiet figures, those under attack, and what came of the attacks."""
    asked = argparse.ArgumentParser(description="Honest requests among hostile ones.")
    asked.add_argument("catalog", type=Path)
    asked.add_argument("--minutes", type=float, default=60.0)
    asked.add_argument("--quiet", type=float, default=2.0, help="minutes before, without an attacker")
    asked.add_argument("--clients", type=int, default=2)
    asked.add_argument("--attackers", type=int, default=2)
    asked.add_argument("--seed", type=int, default=0)
    given, options = asked.parse_known_args()
    with Service(given.catalog, *options) as service:
        known = attacks(service)
        warm = Honest(service, given.clients, given.seed)
        time.sleep(10)
        warm.end()
        quiet = Honest(service, given.clients, given.seed)
        time.sleep(60 * given.quiet)
        quiet.end()
        print(f"quiet: {quiet.line()}\nat the start: {held(service)}", flush=True)
        hostile = Attackers(known, given.attackers, given.seed)  # first: it is forked
        honest = Honest(service, given.clients, given.seed)
        end = time.monotonic() + 60 * given.minutes
        while time.monotonic() < end:
            time.sleep(min(REPORT, max(0.0, end - time.monotonic())))
            print(f"after {given.minutes - (end - time.monotonic()) / 60:.0f} min: {held(service)}", flush=True)
        honest.end()
        outcomes = hostile.end()
        print(f"under attack: {honest.line()}\nattacks: {sum(outcomes.values())}")
        for what, count in sorted(outcomes.items()):
            print(f"    {count:>5} {what}")
        print(f"at the end: {held(service)}")
        print(f"ended with {service.end()}")


if __name__ == "__main__":
    main()
