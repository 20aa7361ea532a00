"""Mine against a server that fails 30 % of the time, undisturbed and with a kill -9 every few seconds.

    python bench/hostile.py [REFERENCES]

The default of 560 references makes a little over 2,000 calls. The server answers with 429 (with and without a pause),
500, 503, a slow drip, a reset connection, an empty body, a truncated body, prose around JSON, prose alone, a refusal,
wrong indices, unknown fields, 10 MB, instructions to the program, and JSON that breaks off. The script counts whether
each reference ended in one state, and whether a call whose answer was in the ledger was ever sent again. Exits with 1
if a reference was lost or a call paid for twice.
"""

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from loopback import Loopback, noise_catalog
from triptych.chat.ledger import ledger_path
from triptych.triplets.file import read_triplets

RATE = 0.3
LATENCY = 0.15
EVERY = (1.0, 4.0)  # seconds from the first call of a run to its end by kill -9


@dataclass(frozen=True)
class Count:
    """The result of a run, or of several runs of which all but the last were killed."""

    calls: int
    faults: Counter[str]
    kills: int
    seconds: float
    references: int
    ended: Counter[str]
    triplets: int
    repeated: int
    """Triplets whose pair is there before."""
    known: int
    """Calls sent though their answer was in the ledger."""
    answered: int
    """Answers sent again, the first one lost on its way."""

    @property
    def wrong(self) -> int:
        """References lost, pairs twice, and calls paid for twice: none, unless a kill took an answer on its way."""
        lost = self.references - self.ended["accepted"] - self.ended["rejected"]
        return abs(lost) + self.repeated + self.known + (0 if self.kills else self.answered)

    def lines(self) -> list[str]:
        """The result as lines of text."""
        share = 100 * self.faults.total() / max(1, self.calls)
        return [
            f"{self.calls} calls, {self.faults.total()} faults ({share:.0f} %), {self.kills} kills, "
            f"{self.seconds:.0f} s",
            f"references: {self.references}; {dict(self.ended)}; in no state or in two: "
            f"{self.references - self.ended.total()}",
            f"triplets: {self.triplets}, the same pair twice: {self.repeated}",
            f"calls sent again though their answer was in the ledger: {self.known}",
            f"answers sent twice, the first one lost on its way (killed, or too late for --read-timeout): "
            f"{self.answered}",
            f"faults: {dict(self.faults.most_common())}",
        ]


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]))
        return 0
    references, wrong = int(sys.argv[1]) if len(sys.argv) > 1 else 560, 0
    for name, killing in (("undisturbed", False), ("with kill -9", True)):
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name}:", flush=True)
            count = measure(Path(folder), references, killing=killing)
            wrong += count.wrong
            for line in count.lines():
                print(f"  {line}", flush=True)
    return 1 if wrong else 0


def serve(folder: Path, rate: float = RATE, latency: float = LATENCY) -> None:
    log = (folder / "server.jsonl").open("a", buffering=1, encoding="utf-8")
    server = Loopback(rate=rate, latency=latency, note=lambda event: log.write(json.dumps(event) + "\n"))
    server.keep_bodies = False

    async def tell() -> None:
        while not server.port:
            await asyncio.sleep(0.05)
        (folder / "url.new").write_text(server.url)
        (folder / "url.new").replace(folder / "url")

    async def both() -> None:
        await asyncio.gather(server.serve(), tell())

    asyncio.run(both())


def measure(folder: Path, references: int, *, killing: bool) -> Count:
    """Mine this many references to the end."""
    catalog, out = noise_catalog(folder, references), folder / "triplets.parquet"
    server = subprocess.Popen([sys.executable, __file__, "--serve", str(folder)])
    while not (folder / "url").exists():
        time.sleep(0.1)
    program = [sys.executable, "-c", "from triptych.cli import main; main()", "mine-chat", "loopback"]
    program += ["--catalog", str(catalog), "--out", str(out), "--base-url", (folder / "url").read_text()]
    program += ["--group-size", "5", "--concurrency", "16", "--backoff", "0.05", "--max-backoff", "0.5"]
    # A machine that is busy must not make an answer late; a slow drip lasts twice this.
    program += ["--read-timeout", "1" if killing else "4", "--attempts", "10"]
    chance = random.Random(0)
    kills, repeated, started = 0, 0, time.monotonic()
    try:
        while True:
            before = len(events(folder))
            known = recorded(out)
            miner = subprocess.Popen(program, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            if killing:
                while len(events(folder)) == before and miner.poll() is None:
                    time.sleep(0.05)
            try:
                code = miner.wait(chance.uniform(*EVERY) if killing else None)
            except subprocess.TimeoutExpired:
                os.kill(miner.pid, signal.SIGKILL)
                miner.wait()
                kills += 1
                code = None
            repeated += sum(event["key"] in known for event in events(folder)[before:])
            if code is not None and not states(out)["pending"]:
                break
        seconds = time.monotonic() - started
    finally:
        server.terminate()
        server.wait()
    seen = events(folder)
    answers = Counter(event["key"] for event in seen if event["answered"])
    triplets, _ = read_triplets(out)
    pairs = Counter((triplet.reference, triplet.target) for triplet in triplets)
    return Count(
        calls=len(seen),
        faults=Counter(event["fault"] for event in seen if event["fault"]),
        kills=kills,
        seconds=seconds,
        references=references,
        ended=states(out),
        triplets=len(triplets),
        repeated=sum(count - 1 for count in pairs.values()),
        known=repeated,
        answered=sum(count - 1 for count in answers.values()),
    )


def events(folder: Path) -> list[dict[str, Any]]:
    file = folder / "server.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def recorded(out: Path) -> set[str]:
    return {key for (key,) in query(out, "SELECT key FROM calls WHERE state IN ('answered', 'refused')")}


def states(out: Path) -> Counter[str]:
    return Counter(dict(query(out, "SELECT state, COUNT(*) FROM refs GROUP BY state")))


def query(out: Path, text: str) -> list[Any]:
    path = ledger_path(out)
    if not path.exists():
        return []
    base = sqlite3.connect(path)
    try:
        return base.execute(text).fetchall()
    except sqlite3.OperationalError:  # killed before the tables were made
        return []
    finally:
        base.close()


if __name__ == "__main__":
    sys.exit(main())
