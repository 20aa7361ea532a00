"""What is wrong with the answers on fashion-products: `python bench/mistakes.py ROOT ENCODER --composer DIR`.

Prints a Markdown table for each task, of the first answer and of the first ten. Weights and prompts are chosen on val.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from triptych.baselines import METHODS, WithPicture, baseline
from triptych.benchmarks.encoded import EncodedTask
from triptych.benchmarks.evaluate import best_prompt, best_weight
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
    for chosen_on, task in zip(tuning, tasks, strict=True):
        methods = {name: baseline(name, encoder, words) for name in given.method}
        for name, method in methods.items():
            if isinstance(method, WithPicture):
                methods[name] = replace(method, weight=best_weight(method, chosen_on))
        for folder in given.composer:
            composer = TrainedComposer(folder, given.threads)
            composer.attach(encoder)
            if len(composer.prompts) > 1:
                composer = composer.prompted(best_prompt(composer, chosen_on))
            methods[f"{composer.name} ({folder.name})" if composer.name in methods else composer.name] = composer
        rows += count_mistakes(task, methods, products_by_picture(given.root))
    print(format_mistakes(rows))


if __name__ == "__main__":
    main()
