"""How well the agent's own belief answers the queries of a world: `python bench/belief.py NAME ROOT ENCODER`.

Told the change, as the oracles are, it ranks the gallery by what the embedded reasoner draws its answers from: that a
picture shows the new words, and that all else stayed. Composers learn from such draws and read words instead, so this
is about as far as they can come. Prints R@1, R@10 and mAP@10 of each task, in percent.

NAME is `fashion-products` or `wardrobe`. With `--known kind`, or other groups of the vocabulary, the agent is told the
truth of these, where the vocabulary has a word for it: what is gained is what wrong tags of it cost.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.benchmarks.registry import find_benchmark, load_tasks, load_truth, names_where
from triptych.encoders.protocol import item_vectors
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask
from triptych.metrics.measures import summarise
from triptych.mining.proposer import Proposer
from triptych.mining.reasoner import TagsReasoner
from triptych.tagging.tags import tag_pictures
from triptych.tagging.vocabulary import load_vocabulary
from triptych.triplets.file import Change


def with_truth(tags: NDArray[np.float32], true: Sequence[str], words: Sequence[str]) -> NDArray[np.float32]:
    """Tags `(n, words)` with certainty in place of what was believed of a picture whose true word there is."""
    known = {word: column for column, word in enumerate(words)}
    rows = [row for row, word in enumerate(true) if word in known]
    corrected = tags.copy()
    corrected[rows] = 0
    corrected[rows, [known[true[row]] for row in rows]] = 1
    return corrected


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("name", choices=names_where(lambda known: known.truth))
    asked.add_argument("root", type=Path)
    asked.add_argument("encoder")
    asked.add_argument("--split", default="val", choices=["val", "test"])
    asked.add_argument("--known", nargs="*", default=[], metavar="GROUP")
    asked.add_argument("--threads", type=int)
    given = asked.parse_args()
    words, encoded = load_vocabulary(find_benchmark(given.name).vocabulary), {}
    if unknown := set(given.known) - words.groups.keys():
        asked.error(f"--known {min(unknown)}: there is no such group; there are {', '.join(words.groups)}")
    encoder = load_encoder(given.encoder, threads=given.threads)
    truth = load_truth(given.name, given.root)
    for asked_task in load_tasks(given.name, given.root, given.split):
        task = EncodedTask(asked_task, encoder, encoded)
        pictures = task.gallery
        row_of = {name: row for row, name in enumerate(task.gallery_names)}
        tagged = tag_pictures(pictures, encoder, words)
        tags, seen = dict(tagged.tags), tagged.vocabulary
        for group in given.known:
            true = [truth[name][group] for name in task.gallery_names]
            tags[group] = with_truth(tags[group], true, seen.groups[group])
        items = item_vectors(pictures, encoder)
        proposer = Proposer(items, tags, tuple(tags), width=len(pictures), seed=0)
        reasoner = TagsReasoner(tags, seen, targets_each=1, seed=0)
        asked_about = defaultdict(list)
        for query in task.queries:
            plan = tuple(group for group in tags if group in (query.change or {}))
            asked_about[row_of[query.reference], plan].append(query)
        ranks = []
        for proposal in proposer.propose_for(asked_about):
            for query in asked_about[proposal.reference, proposal.plan]:
                change = query.change or {}
                # Of a word that it does not know, the agent believes nothing.
                known = [
                    Change(group, "", change[group]) for group in proposal.plan if change[group] in seen.groups[group]
                ]
                likelihood = reasoner.log_likelihood(proposal, known)
                order = proposal.candidates[np.argsort(-likelihood, kind="stable")].tolist()
                place = {row: rank for rank, row in enumerate(order, start=1)}
                ranks.append(np.array(sorted(place[row_of[target]] for target in query.targets)))
        assert len(ranks) == len(task.queries), "a query's change is no plan of the agent's"
        found = summarise(ranks, recall=(1, 10), map_at=(10,))
        print(f"{asked_task.name}: " + ", ".join(f"{name} {value:.1f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
