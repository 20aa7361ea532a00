"""What is wrong with the answers on a world: `python bench/mistakes.py NAME ROOT ENCODER --composer DIR`.

NAME is `fashion-products` or `wardrobe`. Prints a Markdown table for each task, of the first answer and of the first
ten. Weights and prompts are chosen on val.
"""

import argparse
from pathlib import Path

from triptych.baselines import METHODS, baseline
from triptych.benchmarks.encoded import EncodedTask
from triptych.benchmarks.evaluate import chosen
from triptych.benchmarks.mistakes import ATTRIBUTES, count_mistakes, format_mistakes
from triptych.benchmarks.registry import BENCHMARKS, load_tasks
from triptych.benchmarks.truth import load_truth
from triptych.composers import TrainedComposer
from triptych.encoders import load_encoder
from triptych.tagging import load_vocabulary


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("name", choices=list(ATTRIBUTES))
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
        [EncodedTask(task, encoder, encoded) for task in load_tasks(given.name, given.root, split)]
        for split in ("val", given.split)
    )
    words = load_vocabulary(BENCHMARKS[given.name].vocabulary)
    truth = load_truth(given.name, given.root)
    rows = []
    for val, task in zip(tuning, tasks, strict=True):
        methods = {name: chosen(baseline(name, encoder, words), val)[0] for name in given.method}
        for folder in given.composer:
            composer = TrainedComposer(folder, given.threads)
            composer.attach(encoder)
            name = f"{composer.name} ({folder.name})" if composer.name in methods else composer.name
            methods[name] = chosen(composer, val)[0]
        rows += count_mistakes(task, methods, truth, ATTRIBUTES[given.name])
    print(format_mistakes(rows))


if __name__ == "__main__":
    main()
