"""What is wrong with the answers on fashion-products: `python bench/mistakes.py ROOT ENCODER --composer DIR`.

Prints a Markdown table for each task, of the first answer and of the first ten. Weights and prompts are chosen on val.
"""

import argparse
from pathlib import Path

from triptych.baselines import METHODS, baseline
from triptych.benchmarks.encoded import EncodedTask
from triptych.benchmarks.evaluate import chosen
from triptych.benchmarks.mistakes import count_mistakes, format_mistakes, products_by_picture
from triptych.benchmarks.registry import load_tasks
from triptych.composers import TrainedComposer
from triptych.encoders import load_encoder
from triptych.tagging import load_vocabulary


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("root", type=Path)
    asked.add_argument("encoder")
    asked.add_argument("--split", default="val", choices=["val", "test"])
    asked.add_argument("--method", nargs="*", default=list(METHODS))
    asked.add_argument("--composer", nargs="*", type=Path, default=[])
    asked.add_argument("--threads", type=int)
    given = asked.parse_args()
    encoder = load_encoder(given.encoder, threads=given.threads)
    encoded: dict = {}
    tuning, tasks = (
        [EncodedTask(task, encoder, encoded) for task in load_tasks("fashion-products", given.root, split)]
        for split in ("val", given.split)
    )
    words = load_vocabulary()
    rows = []
    for val, task in zip(tuning, tasks, strict=True):
        methods = {name: chosen(baseline(name, encoder, words), val)[0] for name in given.method}
        for folder in given.composer:
            composer = TrainedComposer(folder, given.threads)
            composer.attach(encoder)
            name = f"{composer.name} ({folder.name})" if composer.name in methods else composer.name
            methods[name] = chosen(composer, val)[0]
        rows += count_mistakes(task, methods, products_by_picture(given.root))
    print(format_mistakes(rows))


if __name__ == "__main__":
    main()
