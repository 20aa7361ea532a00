"""Whether readers can distinguish the agent's modifications from people's captions.

`python bench/wordings.py draw TRIPLETS ... --data DATA --out SHEET.csv` draws modifications of accepted triplets and as
many official captions of FashionIQ and CIRR, mixes them by the seed, and writes the sheet for readers (`number` and
`text`). The authors are in `SHEET-key.csv`. Triplet files have equal shares.

`python bench/wordings.py score SHEET.csv VERDICTS.csv ...` scores readers: files with the columns `number` and
`verdict` (`person` or `program`). It prints the percentage of right verdicts, with a 95 % interval of resampled texts,
in all, for each source and each reader. Half is chance.
"""

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from triptych.core.files import atomic
from triptych.triplets.file import read_triplets

_RESAMPLED = 10_000
Row = dict[str, str]


def captions_of(data: Path) -> dict[str, list[str]]:
    """The official captions of FashionIQ (val, each of a pair by itself) and CIRR (val)."""
    fashioniq = [
        caption.strip()
        for file in sorted((data / "fashioniq" / "captions").glob("cap.*.val.json"))
        for query in json.loads(file.read_text(encoding="utf-8"))
        for caption in query["captions"]
    ]
    file = data / "cirr" / "captions" / "cap.rc2.val.json"
    cirr = [query["caption"].strip() for query in json.loads(file.read_text(encoding="utf-8"))]
    return {"fashioniq": [text for text in fashioniq if text], "cirr": [text for text in cirr if text]}


def modifications_of(file: Path) -> dict[str, list[str]]:
    """The modifications of a file's accepted triplets, by style: one of each style of each triplet."""
    found: dict[str, list[str]] = {}
    for triplet in read_triplets(file)[0]:
        if triplet.accepted:
            for style, text in {one.style: one.text for one in triplet.modifications}.items():
                found.setdefault(style, []).append(text)
    return found


def draw(files: Sequence[Path], data: Path, count: int, seed: int, styles: Sequence[str]) -> list[Row]:
    """`count` modifications and as many captions, mixed; no text twice."""
    random = np.random.default_rng(seed)
    pools = [pool for file in files for style, pool in sorted(modifications_of(file).items()) if style in styles]
    rows = [{"text": text, "who": "program", "source": "agent"} for text in _each(pools, count, random)]
    official = captions_of(data)
    for source, pool in official.items():
        share = _each([pool], count // len(official), random)
        rows += [{"text": text, "who": "person", "source": source} for text in share]
    mixed = [rows[place] for place in random.permutation(len(rows))]
    return [{"number": str(number), **row} for number, row in enumerate(mixed, 1)]


def _each(pools: Sequence[Sequence[str]], count: int, random: np.random.Generator) -> list[str]:
    """`count` distinct texts, in turn of each pool."""
    orders = [[pool[place] for place in random.permutation(len(pool))] for pool in pools]
    drawn: dict[str, str] = {}
    while len(drawn) < count and any(orders):
        for order in orders:
            while order and (text := order.pop()):
                if text.casefold() not in drawn:
                    drawn[text.casefold()] = text
                    break
    return list(drawn.values())[:count]


def write_rows(path: Path, rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> None:
    """Write columns of rows as CSV, atomically."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def key_of(sheet: Path) -> Path:
    """The file that says who wrote the texts of a sheet."""
    return sheet.with_name(f"{sheet.stem}-key.csv")


def score(
    key: Sequence[Row], verdicts: Sequence[Sequence[Row]], seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """Percent told apart, and its interval: of all, of each source, and of each reader.

    Raises ValueError for a verdict that is neither word, or of no text of the sheet.
    """
    who = {row["number"]: row for row in key}
    right: list[tuple[str, str, str, bool]] = []
    for reader, given in enumerate(verdicts, 1):
        for row in given:
            if row["verdict"] not in ("person", "program") or row["number"] not in who:
                raise ValueError(f"reader {reader}: {row['number']}: {row['verdict']!r} is no verdict on this sheet")
            known = who[row["number"]]
            right.append((row["number"], known["source"], f"reader {reader}", row["verdict"] == known["who"]))
    names = dict.fromkeys(["all", *(one[1] for one in right), *(one[2] for one in right)])
    chosen = {name: [one for one in right if name in ("all", one[1], one[2])] for name in names}
    return {name: _interval(rows, seed) for name, rows in chosen.items()}


def _interval(rows: Sequence[tuple[str, str, str, bool]], seed: int) -> tuple[float, float, float]:
    """The percentage that is right; texts are resampled with all of their verdicts."""
    by_text: dict[str, list[bool]] = {}
    for number, _, _, right in rows:
        by_text.setdefault(number, []).append(right)
    means = np.array([np.mean(found) for found in by_text.values()])
    random = np.random.default_rng(seed)
    drawn = means[random.integers(len(means), size=(_RESAMPLED, len(means)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return round(100 * float(means.mean()), 1), round(100 * float(low), 1), round(100 * float(high), 1)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = asked.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("triplets", type=Path, nargs="+")
    drawing.add_argument("--data", type=Path, required=True, help="folder with fashioniq and cirr")
    drawing.add_argument("--out", type=Path, required=True)
    drawing.add_argument("--count", type=int, default=200, help="modifications, and captions")
    drawing.add_argument("--seed", type=int, default=0)
    drawing.add_argument("--styles", nargs="+", default=["shorthand", "sentence", "captions", "relative"])
    scoring = commands.add_parser("score")
    scoring.add_argument("sheet", type=Path)
    scoring.add_argument("verdicts", type=Path, nargs="+")
    given = asked.parse_args()
    if given.command == "draw":
        rows = draw(given.triplets, given.data, given.count, given.seed, given.styles)
        write_rows(given.out, rows, ["number", "text"])
        write_rows(key_of(given.out), rows, ["number", "who", "source"])
        print(f"{given.out}: {len(rows)} texts; who wrote them: {key_of(given.out)}")
    else:
        verdicts = [read_rows(file) for file in given.verdicts]
        for name, (share, low, high) in score(read_rows(key_of(given.sheet)), verdicts).items():
            print(f"{name:<12} told apart: {share:5.1f} %  ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()
