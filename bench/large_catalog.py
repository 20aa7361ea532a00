"""Search over more vectors than should lie in memory: recall, memory and time of `--store disk` on clustered vectors.

    python bench/large_catalog.py RUN [--vectors 1000000] [--dim 512] [--queries 200] [--seed 0]

RUN is a folder for the index, which is made once: 2 bytes a number for the vectors, and 1/8 byte for the codes; 11.5 GB
for 10 million of 512. Vectors are drawn around centres, as pictures of a catalog lie: 200 to a centre, at a cosine of
about 0.8 from it. Queries are new ones of the same kind. Each is answered exactly, piece by piece, and by the store;
printed are the share of the exactly nearest ten that were found, the time of a query alone, and the memory of a process
of its own that opens the index and asks: what is its own, and what it has mapped of the files, which the system takes
back when others need it.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from triptych.core.vectors import Vectors, nearest_in_pieces, unit
from triptych.retrieval.stores.disk import DiskStore
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.names import Names
from triptych.retrieval.stores.protocol import SearchTerms

PIECE = 50_000
PER_CENTRE = 200
SPREAD = 0.75  # of the noise, whose length is that of the centre before scaling: a cosine of 0.8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ask", action="store_true", help="what the process of its own does")
    options = parser.parse_args()
    given = (options.vectors, options.dim, options.seed)
    if options.ask:
        print(json.dumps(asked(options.run, *given, options.queries)))
        return
    options.run.mkdir(parents=True, exist_ok=True)
    started = perf_counter()
    DiskStore(gallery_of(options.vectors), lambda: pieces(*given), options.run / "index", options.dim)
    building = perf_counter() - started
    command = [sys.executable, __file__, *sys.argv[1:], "--ask"]
    facts = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    right = exact(options.run, *given, options.queries)
    recall = np.mean([np.isin(ten, found).mean() for ten, found in zip(right, facts["found"], strict=True)])
    disk = sum(file.stat().st_size for file in (options.run / "index").iterdir())
    print(f"{options.vectors:,} vectors of {options.dim}; {options.queries} queries; seed {options.seed}")
    print(f"recall@10 {recall:.4f}; a query {facts['p50']:.1f} ms (p50), {facts['p95']:.1f} ms (p95), one thread")
    print(f"of processor time {facts['own_p50']:.1f} ms (p50); 64 at once {facts['at_once']:.1f} ms")
    print(f"memory of its own {facts['own']:.0f} MiB, mapped of files {facts['mapped']:.0f} MiB")
    print(f"of them for names, hashes and the interpreter {facts['before']:.0f} MiB; on disk {disk / 2**30:.2f} GiB")
    print(f"opened, or made, in {building:.0f} s")


def pieces(count: int, dim: int, seed: int) -> Iterator[tuple[np.ndarray, Vectors]]:
    """The vectors, the same whenever they are asked for."""
    for start in range(0, count, PIECE):
        rows = np.arange(start, min(count, start + PIECE))
        yield rows, drawn(centres_of(count, dim, seed), np.random.default_rng([seed, start]), len(rows))


@cache
def centres_of(count: int, dim: int, seed: int) -> Vectors:
    return unit(np.random.default_rng([seed, 1 << 40]).standard_normal((max(1, count // PER_CENTRE), dim), np.float32))


def drawn(centres: Vectors, random: np.random.Generator, count: int) -> Vectors:
    noise = unit(random.standard_normal((count, centres.shape[1]), np.float32))
    return unit(centres[random.integers(len(centres), size=count)] + SPREAD * noise)


def queries_of(count: int, dim: int, seed: int, queries: int) -> Vectors:
    return drawn(centres_of(count, dim, seed), np.random.default_rng([seed, 1 << 41]), queries)


def gallery_of(count: int) -> Gallery:
    numbers = pc.utf8_lpad(pa.array(np.arange(count)).cast(pa.string()), 9, "0")
    names = pa.chunked_array([pc.binary_join_element_wise(numbers, ".jpg", "")])
    return Gallery(Names(names), np.zeros(count, "S64"), pa.table({"name": names}), np.ones(count, bool))


def asked(run: Path, count: int, dim: int, seed: int, queries: int) -> dict[str, object]:
    """Open the index, and ask it one query at a time."""
    import faiss

    faiss.omp_set_num_threads(1)
    questions = queries_of(count, dim, seed, queries)
    gallery = gallery_of(count)
    before, _ = memory()
    store = DiskStore(gallery, lambda: iter(()), run / "index", dim)
    times, found = [], []
    for query in questions:
        started, processor = perf_counter(), process_time()
        (hits,) = store.search(query[None], [SearchTerms(k=10)])
        times.append((1000 * (perf_counter() - started), 1000 * (process_time() - processor)))
        found.append([int(hit.name[:9]) for hit in hits])
    own, mapped = memory()
    (p50, own_p50), (p95, _) = np.percentile(times, [50, 95], axis=0)
    at_once = []
    for start in range(0, len(questions) - 63, 64):
        processor = process_time()
        store.search(questions[start : start + 64], [SearchTerms(k=10)] * 64)
        at_once.append(1000 * (process_time() - processor))
    facts = {"p50": p50, "p95": p95, "own_p50": own_p50, "at_once": float(np.median(at_once or [np.nan]))}
    return facts | {"found": found, "own": own, "mapped": mapped, "before": before}


def memory() -> tuple[float, float]:
    """MiB of this process's own, and of files that it has mapped."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines())
    return tuple(int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))  # type: ignore[return-value]


def exact(run: Path, count: int, dim: int, seed: int, queries: int) -> np.ndarray:
    """The exactly nearest ten of each query, by full precision. They are kept in RUN for the next time."""
    file = run / f"exact-{count}-{dim}-{seed}-{queries}.npy"
    if not file.exists():
        questions = queries_of(count, dim, seed, queries)
        rows, _ = nearest_in_pieces(questions, pieces(count, dim, seed), 10)
        np.save(file, rows)
    found: np.ndarray = np.load(file)
    return found


if __name__ == "__main__":
    main()
