"""The time and memory of `triptych search` and `triptych serve` from a cold start to their first answer.

    python bench/search_start.py [RUNS] [--catalog DIR] [--composer DIR]

Without --catalog, one of 10,000 pictures is made of the drawn wardrobe. Each of its vectors is a real one of the
built-in encoder or a blend of two, since drawing 10,000 pictures would take longer than everything else here. Prints
medians of RUNS whole processes, after one that does not count, with their processor seconds, which other programs do
not change, and their peak memory. The time to import what a search imports, and the time to import torch, which a
search does not need, are printed separately.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from itertools import repeat
from pathlib import Path
from statistics import median

import numpy as np

import triptych
from http_load import load, search_request
from serving import PROGRAM, Service
from triptych.catalog.catalog import Catalog
from triptych.catalog.entry import Entry
from triptych.core.vectors import unit

PICTURES = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="?", type=int, default=7)
    parser.add_argument("--catalog", type=Path)
    parser.add_argument("--composer", type=Path)
    options = parser.parse_args()
    runs = options.runs
    with tempfile.TemporaryDirectory() as folder:
        catalog = options.catalog or big_catalog(Path(folder))
        opened = Catalog(catalog)
        picture = next(path for path in map(opened.path, opened.names) if path.exists())
        asked = ["--catalog", str(catalog)]
        asked += ["--composer", str(options.composer)] if options.composer else []
        searched = ["search", *asked, "--image", str(picture), "--text", "but in red"]
        searching = [cold(searched) for _ in range(runs + 1)][1:]
        serving = [first_answer(asked, picture.read_bytes()) for _ in range(runs + 1)][1:]
        imports = timed(
            [sys.executable, "-c", "import triptych.cli, triptych.retrieval.searching, onnxruntime, tokenizers"], runs
        )
        bare = timed([sys.executable, "-c", "pass"], runs)
        torch = timed([sys.executable, "-c", "import torch"], runs)
    print(f"{len(opened.names):,} pictures; {'composer' if options.composer else 'weighted sum'}")
    for what, results in (("search, whole process", searching), ("serve, to its first answer", serving)):
        wall, processor, memory = (median(values) for values in zip(*results, strict=True))
        print(f"{what}: {wall:.2f} s ({processor:.2f} s of processor), peak {memory:.0f} MiB")
    wall = median(seconds for seconds, _, _ in searching)
    print(f"  of a search, imports: {imports - bare:.2f} s; the interpreter itself: {bare:.2f} s")
    print(f"importing torch, which neither does: {torch - bare:.2f} s, {(torch - bare) / wall:.1f} x a search")


def cold(command: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds of processor and peak MiB of a whole process."""
    started = time.monotonic()
    process = subprocess.Popen([*PROGRAM, *command], stdout=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def first_answer(asked: list[str], picture: bytes) -> tuple[float, float, float]:
    """Seconds from starting a service to its first answer, its seconds of processor and its peak MiB until then."""
    started = time.monotonic()
    with Service([*PROGRAM, "serve", *asked]) as service:
        load(service.address, repeat(search_request(picture, "but in red")), clients=1, seconds=0)
        return time.monotonic() - started, service.processor_seconds(), service.peak()


def big_catalog(folder: Path) -> Path:
    triptych.write_wardrobe(folder / "world", lines={"unlabelled": 30})
    pictures = folder / "world" / "images"
    triptych.index(pictures, folder / "catalog")
    opened = Catalog(folder / "catalog")
    random = np.random.default_rng(0)
    pairs = random.integers(len(opened.names), size=(PICTURES - len(opened.names), 2))
    blends = unit(opened.vectors[pairs[:, 0]] + opened.vectors[pairs[:, 1]])
    entries = [Entry(f"copy/{number:05d}.jpg", 1, 1, f"{number:064x}", "ok") for number in range(len(pairs))]
    opened.append(entries, blends)
    opened.compact({})
    assert len(opened.names) == PICTURES
    return folder / "catalog"


def timed(command: list[str], runs: int) -> float:
    seconds = []
    for _ in range(runs + 1):
        started = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.monotonic() - started)
    return median(seconds[1:])


if __name__ == "__main__":
    main()
