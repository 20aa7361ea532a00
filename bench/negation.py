""" "Not blue": how many of the first ten answers still show what a request excludes.

    python bench/negation.py NAME ROOT ENCODER [--composer DIR …] [--split val] [--group colour] [--queries 500]

NAME is `closet`, `wardrobe` or `fashion-products`. Each query is a reference of the gallery and one of eight wordings
that only exclude the reference's own word; the agent uses none of them. Prints, for the weighted sum, the signed sum
and each composer, the share of the first ten answers that still show the excluded word. Answers unrelated to the
reference would seldom show it. So the share that agree with the reference in every other attribute is printed, too,
both in percent, and both for answers drawn at random.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.benchmarks.registry import load_tasks, load_truth, names_where
from triptych.composers.protocol import attach_encoder
from triptych.composers.registry import load_composer
from triptych.core.vectors import Vectors, nearest
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask

FIRST = 10
PHRASINGS = (
    "avoid {0}",
    "please skip the {0} ones",
    "{0} is what I do not want",
    "leave {0} out",
    "I am tired of {0}",
    "minus the {0}",
    "get rid of the {0}",
    "similar, yet never {0}",
)


def questions(
    names: Sequence[str], truth: Mapping[str, Mapping[str, str]], group: str, count: int
) -> list[tuple[int, str]]:
    """Rows of references with the question about each: words that at least two pictures show and some do not."""
    words = [truth[name].get(group, "") for name in names]
    usable = [row for row, word in enumerate(words) if word and 2 <= words.count(word) < len(words)]
    chosen = np.random.default_rng(0).permutation(usable)[:count].tolist()
    return [(row, PHRASINGS[place % len(PHRASINGS)].format(words[row])) for place, row in enumerate(chosen)]


def shares(
    answers: NDArray[np.int64], references: Sequence[int], labels: Sequence[Mapping[str, str]], group: str
) -> tuple[float, float]:
    """The percentages of answers `(n, k)` that show the excluded word, and that agree in all other attributes."""
    still, alike = [], []
    for row, found in zip(references, answers, strict=True):
        reference = labels[row]
        others = [name for name in reference if name != group]
        for answer in found:
            still.append(labels[answer].get(group) == reference[group])
            alike.append(all(labels[answer].get(name) == reference[name] for name in others))
    return 100 * float(np.mean(still)), 100 * float(np.mean(alike))


def first_answers(queries: Vectors, gallery: Vectors, references: Sequence[int]) -> NDArray[np.int64]:
    """The nearest pictures `(n, FIRST)` of each query, without its reference."""
    found, _ = nearest(queries, gallery, FIRST + 1)
    rows = [[row for row in one.tolist() if row != own][:FIRST] for one, own in zip(found, references, strict=True)]
    return np.array(rows, np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=names_where(lambda known: known.truth))
    parser.add_argument("root", type=Path)
    parser.add_argument("encoder")
    parser.add_argument("--composer", type=Path, nargs="*", default=[])
    parser.add_argument("--split", default="val", choices=["val", "test"])
    parser.add_argument("--group", default="colour")
    parser.add_argument("--queries", type=int, default=500)
    given = parser.parse_args()
    encoder = load_encoder(given.encoder)
    task = EncodedTask(load_tasks(given.name, given.root, given.split)[0], encoder)
    truth = load_truth(given.name, given.root)
    labels = [truth[name] for name in task.gallery_names]
    if not any(given.group in one for one in labels):
        parser.error(f"--group {given.group}: there is no such group; there are {', '.join(sorted(labels[0]))}")
    asked = questions(task.gallery_names, truth, given.group, given.queries)
    references, texts = [row for row, _ in asked], [text for _, text in asked]
    methods = {str(name): load_composer(name) for name in ("sum", "signed-sum", *given.composer)}
    for method in methods.values():
        attach_encoder(method, encoder)
    found = {"random": np.random.default_rng(1).integers(len(labels), size=(len(references), FIRST))}
    for name, method in methods.items():
        queries = method.compose(task.gallery[references], texts)
        found[name] = first_answers(queries, method.gallery(task.gallery), references)
    print(
        f"{given.name}, {given.split}, {given.group}: {len(asked)} queries over {len(labels)} pictures, first {FIRST}"
    )
    for name, answers in found.items():
        still, alike = shares(answers, references, labels, given.group)
        print(f"{name}: {still:.1f} still show it, {alike:.1f} agree in all else")


if __name__ == "__main__":
    main()
