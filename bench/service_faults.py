"""Rounds of adds and removals over HTTP under kill -9, SIGTERM and a full disk: does the catalog match the answers?

    python bench/service_faults.py [--rounds 200] [--minutes M] [--seed 0] [--disk DIR] [--folder DIR]

In each round a service is started on the same catalog, and clients add and remove pictures until it is killed, ended,
or has met a full disk several times. What was acknowledged must be there, and what was refused must not, in the catalog
and, after some rounds, also after `triptych index`. Where no answer came, both are right.

Without --disk, a full disk is a limit on the size of the service's files, which changes at random: some of a change's
writes pass, and the rest do not. With --disk, a folder of a small file system (such as a tmpfs of 32 MB), everything is
kept there, and the file system is filled and freed again. Linux only. Exits with 1 if anything is wrong.
"""

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from io import BytesIO
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any
from uuid import uuid4

os.environ["OMP_NUM_THREADS"] = "1"  # before the libraries: a process with threads does not fork well

from PIL import Image

from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.cli import main as program
from triptych.core.environment import Runtime

FAULTS = ("kill", "term", "full")
CLIENTS = 3
FULL = 6  # times that a disk is full in a round
LONGEST = 1.5  # seconds of a round
INDEXED = 10  # rounds between two runs of `index`
END = 60.0  # seconds that a service may take to end
FORKS = multiprocessing.get_context("fork")


class Wrong(Exception):
    """The catalog does not match the answers."""


@dataclass
class Truth:
    """By content: whether a picture must be there; None if no answer came."""

    there: dict[str, bool | None] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)

    def note(self, content: str, wanted: bool, before: bool | None, status: int, what: str) -> None:
        """A change's answer; 0 where none came."""
        with self.lock:
            good = status in (201, 204)
            self.there[content] = wanted if good else None if not status else before
            self.outcomes[f"{what} {'acknowledged' if good else 'unanswered' if not status else 'refused'}"] += 1


def noise(number: int) -> bytes:
    """A small picture, for each number another one."""
    out = BytesIO()
    Image.frombytes("RGB", (6, 6), random.Random(number).randbytes(108)).resize((48, 48)).save(out, "PNG")
    return out.getvalue()


def ask(port: int, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, Any]:
    """Status and content; 0 where no whole answer came."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None
    except (OSError, HTTPException, ValueError):
        return 0, None
    finally:
        connection.close()


def change(port: int, truth: Truth, chance: random.Random, own: list[str]) -> bool:
    """Add a picture, or remove one of the client's own. False where the service is gone."""
    known = [content for content in own if truth.there[content] and content in truth.ids]
    if known and chance.random() < 0.4:
        content = chance.choice(known)
        status, _ = ask(port, "DELETE", f"/api/pictures/{truth.ids[content]}")
        truth.note(content, False, True, status, "removals")
        return bool(status)
    data = noise(chance.getrandbits(60))
    content, boundary = hashlib.sha256(data).hexdigest(), uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="picture"; filename="p"\r\n\r\n'
    body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
    status, answer = ask(port, "POST", "/api/pictures", body, f"multipart/form-data; boundary={boundary}")
    if status == 201:
        truth.ids[content] = answer["id"]
    truth.note(content, True, False, status, "adds")
    own.append(content)
    return bool(status)


class Running:
    """A service in a process of its own."""

    def __init__(self, catalog: Path, log: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process = FORKS.Process(target=_serve, args=(catalog, self.port, log), daemon=True)
        self.process.start()
        end = time.monotonic() + END
        while ask(self.port, "GET", "/ready")[0] != 200:
            if self.process.exitcode is not None or time.monotonic() > end:
                raise Wrong(f"the service does not start: {log.read_text(errors='replace')[-400:]}")
            time.sleep(0.02)

    def end(self, how: int) -> None:
        """Send a signal and wait. Raises Wrong where it does not end, or with another status than it must."""
        os.kill(self.process.pid, how)
        self.process.join(END)
        if self.process.exitcode != (0 if how == signal.SIGTERM else -how):
            self.process.kill()
            raise Wrong(f"it ended with {self.process.exitcode}")


def _serve(catalog: Path, port: int, log: Path) -> None:
    with log.open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["triptych", "serve", "--catalog", str(catalog), "--port", str(port), "--threads", "1"]
    with contextlib.suppress(SystemExit):
        program()
    os._exit(0)


def changed(truth: Truth) -> None:
    """Wait until some changes were answered, but not for ever: a service may hold them all back."""
    end, before = time.monotonic() + LONGEST, sum(truth.outcomes.values())
    while sum(truth.outcomes.values()) < before + 2 * CLIENTS and time.monotonic() < end:
        time.sleep(0.01)


def fill(running: Running, truth: Truth, disk: Path | None, chance: random.Random) -> None:
    """Let the disk be full now and then."""
    for _ in range(FULL):
        time.sleep(chance.uniform(0, 0.1))
        if disk is None:
            size = chance.choice((0, 5000, 7000, 9000, 12_000))
            resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            changed(truth)
            most = resource.RLIM_INFINITY
            resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (most, most))
            continue
        ballast = disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 20))
        with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
            for _ in range(256 - chance.choice((0, 1, 2, 4))):  # of a last megabyte, but for a few pages
                file.write(bytes(4096))
        changed(truth)
        ballast.unlink()


def attempt(catalog: Path, truth: Truth, fault: str, disk: Path | None, chance: random.Random) -> None:
    """One round. Raises Wrong."""
    running, over = Running(catalog, catalog.with_suffix(".log")), Event()

    def client(number: int, seed: int) -> None:
        own_chance = random.Random(seed)
        own = [content for content in truth.ids if int(content[:8], 16) % CLIENTS == number]
        while not over.is_set() and change(running.port, truth, own_chance, own):
            pass

    clients = [Thread(target=client, args=(number, chance.getrandbits(60))) for number in range(CLIENTS)]
    for thread in clients:
        thread.start()
    if fault == "full":
        fill(running, truth, disk, chance)
        over.set()
        for thread in clients:
            thread.join()
        check(catalog, truth, "while it runs")
        running.end(signal.SIGTERM)
    else:
        time.sleep(chance.uniform(0, LONGEST))
        running.end(signal.SIGKILL if fault == "kill" else signal.SIGTERM)
    over.set()
    for thread in clients:
        thread.join()
    check(catalog, truth, "afterwards")


def check(catalog: Path, truth: Truth, when: str) -> None:
    """Compare the catalog with what was answered; what nobody knew is known from here on."""
    there = {*Catalog(catalog).hashes}
    lost = [content for content, wanted in truth.there.items() if wanted and content not in there]
    come_true = [content for content, wanted in truth.there.items() if wanted is False and content in there]
    if lost or come_true:
        raise Wrong(f"{when}: {len(lost)} acknowledged are lost, {len(come_true)} that must not be there are")


def settle(catalog: Path, truth: Truth) -> None:
    """Let `index` run, and take what nobody knew as it is."""
    index(catalog.parent / "pictures", catalog, runtime=Runtime(threads=1))
    check(catalog, truth, "after `index`")
    there = {*Catalog(catalog).hashes}
    for content, wanted in truth.there.items():
        if wanted is None:
            truth.there[content] = content in there


def measure(folder: Path, rounds: int, seed: int, *, minutes: float = 1e9, disk: Path | None = None) -> Truth:
    """Rounds, or as many as fit; what came of them is in `outcomes`. Raises Wrong."""
    (folder / "pictures").mkdir(parents=True)
    for number in range(3):
        (folder / "pictures" / f"{number}.png").write_bytes(noise(number))
    catalog, truth = folder / "catalog", Truth()
    made = FORKS.Process(target=index, args=(folder / "pictures", catalog), kwargs={"encoder": "wardrobe"})
    made.start()
    made.join()
    began = time.monotonic()
    for number in range(rounds):
        if time.monotonic() - began > 60 * minutes:
            break
        fault = FAULTS[number % len(FAULTS)]
        attempt(catalog, truth, fault, disk, random.Random(f"{seed} {number}"))
        truth.outcomes[f"rounds {fault}"] += 1
        if (number + 1) % INDEXED == 0 or number + 1 == rounds:
            settled = FORKS.Process(target=_settled, args=(catalog, truth.there))
            settled.start()
            settled.join()
            if settled.exitcode:
                raise Wrong(f"round {number}: after `index`")
            there = {*Catalog(catalog).hashes}
            truth.there = {content: content in there for content in truth.there}
    return truth


def _settled(catalog: Path, there: dict[str, bool | None]) -> None:
    """`settle` in a process of its own: the one that forks is to have no threads of a runtime."""
    try:
        settle(catalog, Truth(there))
    except Wrong as error:
        print(error, file=sys.stderr)
        os._exit(1)


def main() -> int:
    """Print what came of the rounds; 1 where something is wrong."""
    asked = argparse.ArgumentParser(description="Adds and removals over HTTP under kill -9, SIGTERM and a full disk.")
    asked.add_argument("--rounds", type=int, default=200)
    asked.add_argument("--minutes", type=float, default=1e9, help="no round begins after so many")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--disk", type=Path, help="a folder of a small file system, which is filled")
    asked.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    given = asked.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=given.disk) as temporary:
        try:
            folder = given.folder or Path(temporary) / "work"
            truth = measure(folder, given.rounds, given.seed, minutes=given.minutes, disk=given.disk)
        except Wrong as error:
            print(f"wrong: {error}")
            return 1
    for what, count in sorted(truth.outcomes.items()):
        print(f"{what}: {count}")
    print(f"nothing acknowledged was lost, nothing refused came true; {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
