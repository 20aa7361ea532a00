"""The ceiling that the built-in reasoner sets to composers: `python bench/reasoner_ceiling.py NAME ROOT ENCODER`.

The reasoner is given the change of each query, as oracles are. It ranks the gallery by the likelihoods from which it
draws its targets: that a picture shows the new words, and that all else stayed. Composers learn from such draws and
only read words, so this is about as far as they can come. Prints R@1, R@10 and mAP@10 of each task, in percent.

NAME is `fashion-products` or `wardrobe`. With `--oracle-groups kind`, or other groups of the vocabulary, the tags of
these groups are the true ones, where the vocabulary has a word for them. The gain is what wrong tags cost.
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
    """Tags `(n, words)` with probability 1 for the true word of each picture, where `words` has it."""
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
    asked.add_argument("--oracle-groups", nargs="*", default=[], metavar="GROUP", help="groups with true tags")
    asked.add_argument("--threads", type=int)
    given = asked.parse_args()
    words, encoded = load_vocabulary(find_benchmark(given.name).vocabulary), {}
    if unknown := set(given.oracle_groups) - words.groups.keys():
        asked.error(f"--oracle-groups {min(unknown)}: there is no such group; there are {', '.join(words.groups)}")
    encoder = load_encoder(given.encoder, threads=given.threads)
    truth = load_truth(given.name, given.root)
    for asked_task in load_tasks(given.name, given.root, given.split):
        task = EncodedTask(asked_task, encoder, encoded)
        pictures = task.gallery
        row_of = {name: row for row, name in enumerate(task.gallery_names)}
        tagged = tag_pictures(pictures, encoder, words)
        tags, vocabulary = dict(tagged.tags), tagged.vocabulary
        for group in given.oracle_groups:
            true = [truth[name][group] for name in task.gallery_names]
            tags[group] = with_truth(tags[group], true, vocabulary.groups[group])
        items = item_vectors(pictures, encoder)
        proposer = Proposer(items, tags, tuple(tags), width=len(pictures), seed=0, applies=vocabulary.applies)
        reasoner = TagsReasoner(tags, vocabulary, targets_each=1, seed=0)
        queries_of = defaultdict(list)
        for query in task.queries:
            plan = tuple(group for group in tags if group in (query.change or {}))
            queries_of[row_of[query.reference], plan].append(query)
        ranks = []
        for proposal in proposer.propose_for(queries_of):
            for query in queries_of[proposal.reference, proposal.plan]:
                change = query.change or {}
                # Words that the vocabulary lacks have no tags, so they count for nothing.
                known = [
                    Change(group, "", change[group])
                    for group in proposal.plan
                    if change[group] in vocabulary.groups[group]
                ]
                likelihood = reasoner.log_likelihood(proposal, known)
                order = proposal.candidates[np.argsort(-likelihood, kind="stable")].tolist()
                place = {row: rank for rank, row in enumerate(order, start=1)}
                ranks.append(np.array(sorted(place[row_of[target]] for target in query.targets)))
        assert len(ranks) == len(task.queries), "the change of a query is no plan of the proposer"
        found = summarise(ranks, recall=(1, 10), map_at=(10,))
        print(f"{asked_task.name}: " + ", ".join(f"{name} {value:.1f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
