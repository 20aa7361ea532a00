"""The text intermediary with another source of captions: `python bench/captions.py ROOT ENCODER`.

On fashion-products, with an encoder that can name words: captions by the similarity of pictures and titles, as an
encoder without named words would make them. Prints R@10 and mAP@10 on test, with the weights that are best on val.
"""

import sys
from pathlib import Path

from triptych.benchmarks.registry import load_tasks
from triptych.composers.baselines import baseline
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.selection import tuned
from triptych.tagging.vocabulary import load_vocabulary


def main() -> None:
    root, name = Path(sys.argv[1]), sys.argv[2]
    encoder = load_encoder(name)
    encoder.__dict__["lexicon"] = None  # as one that places whole texts only
    encoded: dict = {}
    tuning, tasks = (
        [EncodedTask(task, encoder, encoded) for task in load_tasks("fashion-products", root, split)]
        for split in ("val", "test")
    )
    for val, task in zip(tuning, tasks, strict=True):
        for method in (baseline(each, encoder, load_vocabulary()) for each in ("caption-edit", "caption-edit+picture")):
            method, facts = tuned(method, val)
            found = task.row(method, encoder).metrics
            weight = facts.get("weight", "")
            print(f"{task.task.name}  {method.name} {weight}  R@10 {found['R@10']:.1f}  mAP@10 {found['mAP@10']:.1f}")


if __name__ == "__main__":
    main()
