"""The kinds of wrong answers on a data set: `python bench/mistakes.py NAME ROOT ENCODER --composer DIR`.

NAME is `fashion-products` or `wardrobe`. Prints a Markdown table for each task, of the first answer and of the first
ten. Weights and prompts are selected on val.
"""

import argparse
from pathlib import Path

from triptych.benchmarks.registry import find_benchmark, load_tasks, load_truth, names_where
from triptych.composers.baselines import METHODS, baseline
from triptych.composers.trained import TrainedComposer
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.error_analysis import count_mistakes, format_mistakes
from triptych.evaluation.selection import tuned
from triptych.tagging.vocabulary import load_vocabulary


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("name", choices=names_where(lambda known: known.attributes))
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
    words = load_vocabulary(find_benchmark(given.name).vocabulary)
    truth = load_truth(given.name, given.root)
    rows = []
    for val, task in zip(tuning, tasks, strict=True):
        methods = {name: tuned(baseline(name, encoder, words), val)[0] for name in given.method}
        for folder in given.composer:
            composer = TrainedComposer(folder, given.threads)
            composer.attach(encoder)
            name = f"{composer.name} ({folder.name})" if composer.name in methods else composer.name
            methods[name] = tuned(composer, val)[0]
        rows += count_mistakes(task, methods, truth, find_benchmark(given.name).attributes)
    print(format_mistakes(rows))


if __name__ == "__main__":
    main()
