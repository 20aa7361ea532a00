"""A benchmark of your own: a table of queries beside a folder of pictures.

    shop/val.csv        reference,text,target
    shop/images/        the gallery of every split

triptych eval custom_benchmark:SHOP --root shop --split val --method sum        (with PYTHONPATH=examples)
"""

import csv
import sys
from pathlib import Path

import triptych
from triptych import Benchmark, EvaluateOptions, MetricCutoffs, Query, Task


def load(root: Path, split: str, settings: object) -> list[Task]:
    """The one task of a split."""
    with (root / f"{split}.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    return [
        Task(
            benchmark="shop",
            name="all",
            split=split,
            root=root / "images",
            gallery=tuple(sorted(path.name for path in (root / "images").iterdir())),
            queries=tuple(
                Query(str(number), row["reference"], row["text"], targets=frozenset({row["target"]}))
                for number, row in enumerate(rows, start=1)
            ),
            measures=MetricCutoffs(recall=(1, 5), map_at=()),
        )
    ]


SHOP = Benchmark("shop", load, splits=("val", "test"), tune_split={"test": "val"})


def main(root: Path) -> None:
    print(triptych.evaluate(SHOP, EvaluateOptions(methods=("text", "sum"), split="test"), root=root))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
