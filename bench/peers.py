"""Compare this program with tools for the same task, on one machine and in turns (A B A B), with the spread of ratios.

    python bench/peers.py --setup PEERS             # once: a scratch environment with the peers
    PEERS/bin/python bench/peers.py ROW … [--rounds 5] [--threads 1] [--vectors 100000] [--pictures 500]

PEERS is a folder for the environment, which extends the present one by the peers. Rows:

    index-clip   `index` of JPEGs with CLIP ViT-B/32 (random weights, real sizes), and sentence-transformers' `encode`
                 of the same files by its defaults; vectors must agree to a cosine of 0.9995
    index-own    `index` with the default encoder, and only its graph on prepared pixels
    search       one query over --vectors vectors of 512: exact, and by `--store disk`; FAISS flat and HNSW, LanceDB
    search-64    64 queries in one call, as the service answers them; FAISS from 64 threads, and FAISS in one call
    neighbours   the 50 nearest of 2,000 pictures among --vectors: `core.vectors.nearest`, and FAISS flat
    metrics-cirr, metrics-circo
                 metrics of CIRR's and CIRCO's sizes, and SEARLE's validation written anew
    overhead     one composed query on an open catalog of --vectors pictures: its parts, and what is left
    start        `triptych search` from a cold start, and `python -c pass`

A line has the medians of wall and processor time, and for both the ratio of this program to the peer: median, lowest
and highest over the rounds. On a machine with other work, use processor time. `bench/evaluate.py` measures the memory
of the metrics, `bench/peer_training.py` compares an epoch with CLIP4Cir's loop, `bench/peer_database.py` a query with
pgvector; `bench/growth.py` shows how each stage grows. Photos are those of
TRIPTYCH_DATA/fashion-products, or of --photos.
"""

import argparse
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

from peer_rows import metrics, overhead, pictures, searching

PEERS = ("faiss-cpu", "lancedb", "sentence-transformers", "tensorboard")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], metavar="ROW")
    parser.add_argument("--setup", type=Path, metavar="PEERS")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--photos", type=Path, default=pictures.PHOTOS)
    options = parser.parse_args()
    if options.setup:
        setup(options.setup)
    if options.rows:
        print("| what | wall | processor | ratio of wall | ratio of processor |\n|---|--:|--:|--:|--:|")
    for row in options.rows:
        with tempfile.TemporaryDirectory(prefix="triptych-peers-") as folder:
            for line in ROWS[row](options, Path(folder)):
                print(line, flush=True)


def setup(folder: Path) -> None:
    """Make a virtual environment that extends this one."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    inside = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    here = [*map(str, sys.path[1:]), str(Path(__file__).resolve().parents[1] / "src")]
    (Path(inside.strip()) / "outer.pth").write_text(
        "\n".join(path for path in here if "packages" in path or "src" in path)
    )
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)


ROWS: dict[str, Callable[[argparse.Namespace, Path], Iterator[str]]] = {
    "index-clip": pictures.index_clip,
    "index-own": pictures.index_own,
    "search": searching.search,
    "search-64": searching.search_64,
    "neighbours": searching.neighbours,
    "metrics-cirr": metrics.cirr,
    "metrics-circo": metrics.circo,
    "overhead": overhead.overhead,
    "start": pictures.start,
}

if __name__ == "__main__":
    main()
