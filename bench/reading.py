"""Which changes a composer reads from words: `python bench/reading.py WORLD COMPOSER TRIPLETS`, of a wardrobe.

Asks the wardrobe's queries in their own wordings and in the agent's, of each style. Prints how often all changes are
predicted correctly, in percent, for one change and for two, and how many of the texts fill the text tower's length: the
end of longer ones is lost. TRIPLETS are those that the composer learnt from.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from triptych.benchmarks.datasets.wardrobe.garments import VOCABULARY
from triptych.benchmarks.registry import load_tasks, load_truth
from triptych.benchmarks.task import Query
from triptych.composers.networks.combiner import Combiner, CombinerShape, QuerySide
from triptych.encoders.native import NativeEncoder, load_model
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask
from triptych.mining.wording.wordings import Wordings
from triptych.tagging.vocabulary import load_vocabulary
from triptych.training.data.triplets import words_by_group
from triptych.triplets.file import Change, read_triplets

STYLES = ("shorthand", "sentence", "captions", "relative")


def shares(queries: Sequence[Query], read: Sequence[torch.Tensor], words: Mapping[str, Sequence[str]]) -> str:
    """How often all groups are read rightly, of one change and of two."""
    right: dict[int, list[bool]] = {1: [], 2: []}
    for row, query in enumerate(queries):
        said = query.change or {}
        expected = [1 + known.index(said[group]) if group in said else 0 for group, known in words.items()]
        right[len(said)].append(all(int(group[row].argmax()) == new for group, new in zip(read, expected, strict=True)))
    return "  ".join(f"{count} changed: {100 * np.mean(rows):5.1f}" for count, rows in right.items() if rows)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("world", type=Path)
    asked.add_argument("composer", type=Path)
    asked.add_argument("triplets", type=Path)
    asked.add_argument("--split", default="val", choices=["val", "test"])
    given = asked.parse_args()
    config = json.loads((given.composer / "config.json").read_text(encoding="utf-8"))
    encoder = load_encoder(config["encoder"]["name"])
    assert isinstance(encoder, NativeEncoder), "only a text tower of ours learns along"
    model = QuerySide(Combiner(CombinerShape(**config["architecture"])), load_model(encoder.folder).text).eval()
    model.load_state_dict(load_file(given.composer / "model.safetensors"))
    (task,) = load_tasks("wardrobe", given.world, given.split)
    truth, vocabulary = load_truth("wardrobe", given.world), load_vocabulary(VOCABULARY)
    accepted = (triplet for triplet in read_triplets(given.triplets)[0] if triplet.accepted)
    words = words_by_group(change for triplet in accepted for change in triplet.changes)
    encoded = EncodedTask(task, encoder, {})
    row_of = {name: row for row, name in enumerate(encoded.gallery_names)}
    references = torch.from_numpy(encoded.gallery[[row_of[query.reference] for query in task.queries]])
    random, wordings = np.random.default_rng(0), Wordings(vocabulary, most=1_000_000)
    worded: dict[str, list[str]] = {"asked": [query.modification for query in task.queries]}
    for query in task.queries:
        changes = [Change(group, truth[query.reference][group], new) for group, new in (query.change or {}).items()]
        said = {one.style: one.text for one in wordings.of(changes, random)}
        for style in STYLES:  # a rare pair of words has no text in some
            worded.setdefault(style, []).append(said.get(style, next(iter(said.values()))))
    for style, texts in worded.items():
        ids = torch.from_numpy(encoder.token_ids(texts))
        with torch.inference_mode():
            _, read = model.read(references, ids)
        full = 100 * float((ids[:, -1] != 0).float().mean())
        print(f"{style:<10} {shares(task.queries, read, words)}  full: {full:5.1f}")


if __name__ == "__main__":
    main()
