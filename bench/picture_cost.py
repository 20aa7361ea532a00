"""Time and peak memory of each costly picture file of tests/test_picture_cost.py, one process each, as a table.

    python bench/picture_cost.py [--without-guard] [--limit SECONDS]

`--without-guard` shows what the files would cost a decoder; a run beyond the limit is stopped.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from PIL import Image

from test_picture_cost import COSTLY, encode, tiled

_READ = """
import sys
from pathlib import Path
from triptych.core import images
from triptych.core.errors import PictureError
if sys.argv[2] == "without":
    images.check_cost = lambda data, limits: None
try:
    print(images.open_picture(Path(sys.argv[1]).read_bytes()).size)
except PictureError as error:
    print(error)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def large_scans(size: int = 260_000, side: int = 4000) -> bytes:
    """A progressive JPEG of that many bytes, whose last scan is repeated."""
    whole = encode(Image.new("RGB", (side, side)), "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * ((size - len(whole)) // len(last)) + whole[-2:]


def measure(file: Path, guard: str, limit: float) -> str:
    """Answer, seconds and peak memory of one process that opens the file."""
    command = [sys.executable, "-c", _READ, str(file), guard]
    started = perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=True)
    except subprocess.TimeoutExpired:
        return f"stopped | {limit:.0f} s | unknown"
    outcome, peak = done.stdout.splitlines()
    return f"{outcome} | {perf_counter() - started:.1f} s | {int(peak) // 1024} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-guard", action="store_true")
    parser.add_argument("--limit", type=float, default=60.0)
    options = parser.parse_args()
    files = {name: content for name, (content, _) in COSTLY.items()}
    files |= {"jpeg-scans-large": large_scans(), "tiff-tiles-434": tiled(16, 46_336)[:434]}
    print("| file | bytes | answer | seconds with Python's start | peak memory |\n|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
            line = measure(Path(folder) / name, "without" if options.without_guard else "with", options.limit)
            print(f"| {name} | {len(content)} | {line} |", flush=True)


if __name__ == "__main__":
    main()
