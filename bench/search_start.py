"""How long one `triptych search` takes from a cold start, on a catalog of 10,000 pictures.

    python bench/search_start.py [RUNS]

The pictures are of the generated wardrobe; each of the catalog's vectors is a real one of the embedded encoder or a
blend of two, since drawing 10,000 pictures would take longer than all else here. Prints the median of RUNS whole
processes, and apart from it the time to import what a search imports, and to import torch, which it does not.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

import triptych
from triptych.catalog import Catalog, Entry
from triptych.encoders import unit

PICTURES = 10_000


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as folder:
        catalog, picture = big_catalog(Path(folder))
        asked = ["search", "--catalog", str(catalog), "--image", str(picture), "--text", "but in red"]
        program = [sys.executable, "-c", "from triptych.cli import main; main()"]
        searching = timed([*program, *asked], runs)
        imports = timed(
            [sys.executable, "-c", "import triptych.cli, triptych.searching, onnxruntime, tokenizers"], runs
        )
        bare = timed([sys.executable, "-c", "pass"], runs)
        torch = timed([sys.executable, "-c", "import torch"], runs)
    print(f"search of {PICTURES} pictures, whole process: {searching:.2f} s")
    print(f"  of which imports: {imports - bare:.2f} s; the interpreter itself: {bare:.2f} s")
    print(
        f"importing torch, which a search does not: {torch - bare:.2f} s, {(torch - bare) / searching:.1f} x a search"
    )


def big_catalog(folder: Path) -> tuple[Path, Path]:
    triptych.write_world(folder / "world", lines={"unlabelled": 30})
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
    return folder / "catalog", pictures / sorted(path.name for path in pictures.iterdir())[0]


def timed(command: list[str], runs: int) -> float:
    seconds = []
    for _ in range(runs + 1):
        started = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.monotonic() - started)
    return median(seconds[1:])


if __name__ == "__main__":
    main()
