"""Seconds of index, mine, train and search at n, 4n and 16n pictures, with the exponent of each, and a log-log picture.

    python bench/growth.py RUN [--pictures 150] [--times 1 4 16] [--threads 1] [--page docs/figures]

RUN is a new folder for what is made. `--pictures` is n: photos of TRIPTYCH_DATA/fashion-products, or of --photos. Each
stage is a process of its own with the default options (`train` for two epochs). The exponent is the slope of the
logarithm of processor time, which other programs on the machine hardly change, over that of n: of whole processes, and
of what they take beyond a start of the program, for which `search` at the smallest n stands.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

PHOTOS = Path(os.environ.get("TRIPTYCH_DATA", "../shared/data")) / "fashion-products" / "images"
PROGRAM = (sys.executable, "-c", "from triptych.cli import main; main()")
MEASURE = Path(__file__).with_name("measure.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pictures", type=int, default=150, help="n")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 16], help="of n")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--page", type=Path, help="a folder for growth.png")
    options = parser.parse_args()
    counts = [options.pictures * times for times in options.times]
    photos = sorted(options.photos.glob("*.jpg"))[: counts[-1]]
    if len(photos) < counts[-1]:
        raise SystemExit(f"{options.photos}: has {len(photos)} .jpg; give --photos, or fewer --pictures")
    options.run.mkdir(parents=True)
    stages = {count: measured(options.run / str(count), photos[:count], options.threads) for count in counts}
    seconds = {
        name: [stages[count].get(name, {}).get("processor_s", float("nan")) for count in counts]
        for name in stages[counts[-1]]
    }
    print(f"| stage | {' | '.join(f'{count:,}' for count in counts)} | exponent | beyond a start |")
    print("|---|" + "--:|" * (len(counts) + 2))
    start = seconds["search"][0]
    for name, times in seconds.items():
        beyond = [max(time - start, 1e-3) for time in times]
        ends = f"{slope(counts, times):.2f} | {slope(counts, beyond):.2f}" if name != "search" else "– | –"
        shown = [f"{time:.1f} s" if np.isfinite(time) else "–" for time in times]
        print(f"| {name} | {' | '.join(shown)} | {ends} |")
    if options.page:
        options.page.mkdir(parents=True, exist_ok=True)
        draw(options.page / "growth.png", counts, seconds)


def measured(folder: Path, photos: Sequence[Path], threads: int) -> dict[str, dict[str, float]]:
    """Run every stage on copies of some photos. Returns what `measure.py` wrote of each; a failed one is reported."""
    (folder / "photos").mkdir(parents=True)
    for photo in photos:
        shutil.copyfile(photo, folder / "photos" / photo.name)
    catalog, triplets, log = folder / "catalog", folder / "triplets.parquet", folder / "log.jsonl"
    with_threads = ["--threads", threads]
    asked = ["--image", folder / "photos" / photos[0].name, "--text", "but in red"]
    stages: dict[str, list[object]] = {
        "index": ["index", folder / "photos", "--catalog", catalog, *with_threads],
        "mine": ["mine", "--catalog", catalog, "--out", triplets, *with_threads],
        "train": ["train", triplets, "--catalog", catalog, "--out", folder / "composer", "--epochs", 2, *with_threads],
        "search": ["search", "--catalog", catalog, *asked, *with_threads],
    }
    for name, words in stages.items():
        command = [sys.executable, MEASURE, log, name, *PROGRAM, *words]
        done = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True)
        if done.returncode:
            print(f"{name} of {len(photos)}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
    lines = log.read_text("utf-8").splitlines()
    return {record["stage"]: record for record in map(json.loads, lines)}


def slope(counts: Sequence[int], times: Sequence[float]) -> float:
    known = [place for place, time in enumerate(times) if np.isfinite(time)]
    if len(known) < 2:
        return float("nan")
    return float(
        np.polyfit(np.log([counts[place] for place in known]), np.log([times[place] for place in known]), 1)[0]
    )


def draw(path: Path, counts: Sequence[int], seconds: Mapping[str, Sequence[float]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.6), dpi=120, layout="constrained")
    axes = figure.subplots()
    for name, times in seconds.items():
        axes.loglog(counts, times, marker="o", label=name)
    axes.set(xlabel="pictures", ylabel="seconds of processor time, whole process", xticks=counts)
    axes.set_xticklabels([f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.legend(frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    main()
