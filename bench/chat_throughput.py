"""How busy the miner keeps a server of 32 slots that answers after 200 ms, and the processor time of a call.

    python bench/chat_throughput.py [CALLS] [SIDE]

The server is a process of its own. It reads each request whole, holds one of its slots for 200 ms, and answers without
looking at the question. Requests wait while all slots are taken. Pictures are SIDE pixels a side (default 64), nine a
call. Measured with as many calls at once as there are slots, and with a quarter more, so that a free slot finds the
next call waiting.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import triptych
from loopback import completion, noise_catalog

SLOTS = 32
LATENCY = 0.2
WARM = 3  # calls that are not counted
REFERENCES = 300  # so that each picture is encoded once and then remembered, as in a long run


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(Path(sys.argv[2])))
        return
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    side = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    for concurrency in (SLOTS, SLOTS * 5 // 4):
        print(f"--concurrency {concurrency}:", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            for line in measure(Path(folder), calls, side, concurrency):
                print(f"  {line}", flush=True)


def measure(work: Path, calls: int, side: int, concurrency: int) -> list[str]:
    catalog = noise_catalog(work, max(REFERENCES, calls // 3), side=side, grain=8)
    server = subprocess.Popen([sys.executable, __file__, "--serve", str(work)])
    while not (work / "url").exists():
        time.sleep(0.1)
    url = (work / "url").read_text()
    endpoint = triptych.ChatEndpoint(url, concurrency=concurrency)
    chat = triptych.ChatSettings(endpoint, budget=triptych.ChatBudget(max_calls=calls))
    # What is imported once is not what a call costs.
    warm = triptych.ChatSettings(triptych.ChatEndpoint(url), budget=triptych.ChatBudget(max_calls=WARM))
    triptych.mine_chat(catalog, work / "warm.parquet", "loopback", warm, triptych.ChatMineOptions(seed=9))
    used = resource.getrusage(resource.RUSAGE_SELF)
    triptych.mine_chat(catalog, work / "triplets.parquet", "loopback", chat)
    now = resource.getrusage(resource.RUSAGE_SELF)
    time.sleep(1.5)  # the server writes its figures twice a second
    server.terminate()
    server.wait()
    facts = json.loads((work / "measured").read_text())
    own = (now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime) / facts["calls"]
    return [
        f"{facts['calls']} calls of {facts['bytes'] / facts['calls'] / 1024:.0f} KiB in {facts['seconds']:.2f} s",
        f"slots busy, from the first call to the last: {100 * facts['busy']:.1f} % of {SLOTS}",
        f"slots busy, from a tenth of the calls to nine tenths: {100 * facts['steady']:.1f} %",
        f"own processor time: {1000 * own:.1f} ms a call; the server's: {1000 * facts['cpu'] / facts['calls']:.1f} ms",
        f"load average {os.getloadavg()[0]:.1f}, processors to run on: {len(os.sched_getaffinity(0))}",
    ]


REASONING = json.dumps(
    {
        "shared": "noise",
        "candidates": [],
        "targets": [
            {
                "picture": number,
                "changes": [{"group": "noise", "old": "this", "new": "that"}],
                "shorthand": f"the {word} one",
                "sentence": f"i want the {word} one",
                "captions": [f"is {word}", "is noise"],
                "relative": f"the same, but {word}",
            }
            for number, word in ((1, "louder"), (2, "softer"))
        ],
    }
)
JUDGEMENT = json.dumps({"picks": [1, 1, 1, 1], "already_true": False, "also_fit": [], "certainty": 0.5})


async def serve(folder: Path) -> None:
    marks: list[tuple[float, int]] = []  # when a slot was taken (+1) or given back (-1)
    size = 0
    slots = asyncio.Semaphore(SLOTS)
    replies = {text: json.dumps(completion(text)).encode() for text in (REASONING, JUDGEMENT)}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal size
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                raw = await reader.readexactly(length)
                size += length
                async with slots:
                    marks.append((time.monotonic(), 1))
                    await asyncio.sleep(LATENCY)
                    marks.append((time.monotonic(), -1))
                answer = replies[JUDGEMENT if b'"name":"judgement"' in raw[-4096:].replace(b" ", b"") else REASONING]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=2**22)
    port = server.sockets[0].getsockname()[1]
    (folder / "url").write_text(f"http://127.0.0.1:{port}/v1")
    file, seen = folder / "measured", 0
    while True:
        await asyncio.sleep(0.5)
        if len(marks) != seen:
            seen = len(marks)
            used = resource.getrusage(resource.RUSAGE_SELF)
            written = file.with_name("measured.new")
            written.write_text(
                json.dumps(summary(marks[2 * WARM :]) | {"bytes": size, "cpu": used.ru_utime + used.ru_stime})
            )
            written.replace(file)


def summary(marks: list[tuple[float, int]]) -> dict[str, float]:
    ends = [moment for moment, step in marks if step < 0]
    if len(ends) < 20:
        return {"calls": len(ends), "seconds": 0.0, "busy": 0.0, "steady": 0.0}
    tenth = len(ends) // 10
    return {
        "calls": len(ends),
        "seconds": ends[-1] - marks[0][0],
        "busy": share(marks, marks[0][0], ends[-1]),
        "steady": share(marks, ends[tenth], ends[-tenth]),
    }


def share(marks: list[tuple[float, int]], first: float, last: float) -> float:
    active, area, before = 0, 0.0, first
    for moment, step in marks:
        if moment > first:
            area += active * (min(moment, last) - min(before, last))
            before = moment
        active += step
    return area / (SLOTS * (last - first))


if __name__ == "__main__":
    main()
