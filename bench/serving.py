"""Search over HTTP on 35,000 pictures: latency and throughput at 1, 8 and 64 clients, cold starts, and memory.

    python bench/serving.py [--catalog DIR] [--encoder DIR] [--composer DIR] [--queries N] [--threads N]

Every query uploads a picture and says some words, so its time holds the upload, the decoding, the encoding of picture
and words, and the search. Without --catalog, one is made: of the real photos in TRIPTYCH_DATA/fashion-products if they
are there, else of the generated wardrobe, whose vectors are blended until there are 35,000 of them.

"Outside" is the share of a request's time, as its client sees it, that went neither into decoding and encoding nor into
finding neighbours (both as the service's Server-Timing header tells): HTTP, forms, JSON, threads, and waiting. It is
told for one client only: with more, most of a request's time is waiting for the others'. The clients run on the same
processor cores as the service, and so may other programs: "processor ms" is what a request took of the service's own
time, and does not depend on them.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from threading import Thread
from typing import IO
from uuid import uuid4

import numpy as np

import triptych
from triptych.catalog import Catalog, Entry
from triptych.encoders import unit

PICTURES = 35_000
WORDS = (
    "but in red",
    "in blue",
    "with stripes",
    "without sleeves",
    "the same in black",
    "for women",
    "plain",
    "as a dress",
)
PROGRAM = [sys.executable, "-c", "from triptych.cli import main; main()"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalog", type=Path)
    parser.add_argument("--encoder")
    parser.add_argument("--composer", type=Path)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        catalog = options.catalog or make_catalog(Path(folder))
        measure(catalog, options.encoder, options.composer, options.queries, options.threads)


def make_catalog(folder: Path) -> Path:
    photos = Path(os.environ.get("TRIPTYCH_DATA", "../shared/data")) / "fashion-products"
    if photos.exists():
        triptych.index(photos / "images", folder / "catalog", metadata=photos / "styles.csv", threads=1)
        return folder / "catalog"
    triptych.write_world(folder / "world", lines={"unlabelled": 60})
    triptych.index(folder / "world" / "images", folder / "catalog", metadata=folder / "world" / "garments.csv")
    opened = Catalog(folder / "catalog")
    random = np.random.default_rng(0)
    pairs = random.integers(len(opened.names), size=(PICTURES - len(opened.names), 2))
    blends = unit(opened.vectors[pairs[:, 0]] + opened.vectors[pairs[:, 1]])
    opened.append([Entry(f"copy/{n:05d}.jpg", 1, 1, f"{n:064x}", "ok") for n in range(len(pairs))], blends)
    opened.compact({})
    return folder / "catalog"


def measure(catalog: Path, encoder: str | None, composer: Path | None, count: int, threads: int) -> None:
    opened = Catalog(catalog)
    names = [name for name in opened.names if opened.path(name).exists()]
    pictures = [opened.path(name).read_bytes() for name in names[:: max(1, len(names) // 200)]]
    asked = ["--catalog", str(catalog), "--threads", str(threads)]
    asked += ["--encoder", encoder] if encoder else []
    asked += ["--composer", str(composer)] if composer else []
    by = "composer" if composer else "weighted sum"
    print(
        f"{len(opened.names):,} vectors of {opened.dim}; encoder {Path(opened.encoder_name).name}; {by}; "
        f"{threads} threads"
    )
    print(f"cores this ran on: {len(os.sched_getaffinity(0))}; load of the machine: {os.getloadavg()[0]:.1f}")
    searching = ["search", *asked, "--image", str(opened.path(names[0])), "--text", WORDS[0]]
    starts = [cold(searching) for _ in range(6)][1:]
    wall, processor, peak = (median(values) for values in zip(*starts, strict=True))
    print(f"cold `triptych search`, whole process: {wall:.2f} s ({processor:.2f} s of processor), peak {peak:.0f} MiB")
    serving = [first_answer(asked, pictures[0]) for _ in range(6)][1:]
    wall, processor, peak = (median(values) for values in zip(*serving, strict=True))
    print(
        f"cold `triptych serve`, to its first answer: {wall:.2f} s ({processor:.2f} s of processor), "
        f"peak {peak:.0f} MiB"
    )
    with subprocess.Popen([*PROGRAM, "serve", *asked, "--port", "0"], stderr=subprocess.PIPE, text=True) as service:
        address = read_address(service)
        asyncio.run(load(address, pictures, 1, count // 10))
        print("clients   p50 ms   p95 ms   p99 ms   requests/s   processor ms   outside")
        for clients in (1, 8, 64):
            started, before = time.monotonic(), processor_seconds(service.pid)
            results = asyncio.run(load(address, pictures, clients, count))
            seconds = time.monotonic() - started
            spent = (processor_seconds(service.pid) - before) / count * 1000
            times = np.array([taken for taken, _ in results]) * 1000
            p50, p95, p99 = np.percentile(times, [50, 95, 99])
            inside = np.array([stages for _, stages in results])
            outside = f"{np.median(1 - inside / times):.1%}" if clients == 1 else "-"
            print(f"{clients:7}{p50:9.1f}{p95:9.1f}{p99:9.1f}{count / seconds:13.1f}{spent:15.1f}{outside:>10}")
            if clients == 1:
                alone = f"at 1 client, p50 of encoding and finding: {np.median(inside):.1f} ms"
        print(alone)
        plainly = in_python(catalog, encoder, composer, pictures, threads)
        print(f"the same questions in Python, without HTTP: {plainly:.1f} processor ms")
        print(f"resident after all that: {memory(service.pid, 'VmRSS'):.0f} MiB")
        service.terminate()


def in_python(catalog: Path, encoder: str | None, composer: Path | None, pictures: list[bytes], threads: int) -> float:
    """Processor milliseconds of one question, asked one by one: what of a request is not the service's."""
    with triptych.open_catalog(catalog, encoder=encoder, composer=composer, threads=threads) as library:
        library.load()
        started = time.process_time()
        for picture, words in zip(pictures, cycle(WORDS), strict=False):
            library.search(image=picture, text=words, k=25)
        return (time.process_time() - started) / len(pictures) * 1000


def cold(command: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds of processor and peak MiB of a whole process."""
    started = time.monotonic()
    process = subprocess.Popen([*PROGRAM, *command], stdout=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def first_answer(asked: list[str], picture: bytes) -> tuple[float, float, float]:
    """Seconds from starting a service to its first answer, its seconds of processor and its peak MiB until then."""
    started = time.monotonic()
    with subprocess.Popen([*PROGRAM, "serve", *asked, "--port", "0"], stderr=subprocess.PIPE, text=True) as service:
        asyncio.run(load(read_address(service), [picture], 1, 1))
        told = time.monotonic() - started, processor_seconds(service.pid), memory(service.pid, "VmHWM")
        service.terminate()
    return told


def read_address(service: "subprocess.Popen[str]") -> tuple[str, int]:
    assert service.stderr is not None
    for line in service.stderr:
        if found := re.search(r" at http://(\S+):(\d+)", line):
            # Its log must be read, or it would wait for a reader.
            Thread(target=drain, args=[service.stderr], daemon=True).start()
            return found.group(1), int(found.group(2))
    raise SystemExit("the service did not start")


def drain(log: IO[str]) -> None:
    with suppress(ValueError):  # closed, at the end
        log.readlines()


async def load(address: tuple[str, int], pictures: list[bytes], clients: int, count: int) -> list[tuple[float, float]]:
    """Each request's seconds as its client saw them, and the service's own milliseconds of encoding and finding."""
    requests = list(islice(zip(cycle(pictures), cycle(WORDS), strict=False), count))
    results: list[tuple[float, float]] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection(*address)
        while requests:
            message = request(*requests.pop())
            started = time.perf_counter()
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head).group(1))  # type: ignore[union-attr]
            await reader.readexactly(length)
            taken = time.perf_counter() - started
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(head.decode())
            results.append((taken, sum(float(found) for found in re.findall(rb"dur=([\d.]+)", head))))
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return results


def request(picture: bytes, words: str) -> bytes:
    boundary = uuid4().hex
    part = f"--{boundary}\r\nContent-Disposition: form-data; name="
    body = f'{part}"text"\r\n\r\n{words}\r\n{part}"picture"; filename="p"\r\n\r\n'.encode()
    body += picture + f"\r\n--{boundary}--\r\n".encode()
    head = (
        f"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary={boundary}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int, what: str) -> float:
    """MiB: VmRSS for what is resident now, VmHWM for the most there was."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(rf"{what}:\s+(\d+)", status).group(1)) / 1024  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
