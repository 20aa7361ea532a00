"""How often the likeliest tag is the true one, and how sure it is, on data with known attributes: a reliability
diagram.

    python bench/tags.py CATALOG fashion-products ROOT [--vocabulary FILE] [--scale 3] [--by-similarity] [--bins]

*own*: words that the pictures show, at the encoder's own temperature. *calibrated*: the agent's tags, by what
`tag_pictures` learns of the catalog without labels. `ece` is the expected calibration error, in points: over ten bins
of equally many pictures, how far the mean probability of the likeliest word is from the share that is right (Guo et al.
2017). A true word that the agent merged into a broader one counts as that.

`--scale` multiplies the encoder's temperature scale, as if it had been trained with another. `--by-similarity` ignores
the words that the encoder can name, as if it only encoded whole texts.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from triptych.benchmarks.registry import load_truth
from triptych.catalog.catalog import Catalog
from triptych.encoders.registry import load_encoder
from triptych.tagging.tagger import GroupReport, Tagger, Tags
from triptych.tagging.tags import describe, tag_pictures
from triptych.tagging.vocabulary import Vocabulary, load_vocabulary

_BINS = 10
_CALLED = {"vest": "undershirt"}  # what a shop's word means here, where a plain one means something else


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("catalog", type=Path)
    asked.add_argument("benchmark")
    asked.add_argument("root", type=Path)
    asked.add_argument("--vocabulary", type=Path)
    asked.add_argument("--scale", type=float, default=1.0)
    asked.add_argument("--by-similarity", action="store_true")
    asked.add_argument("--bins", action="store_true")
    given = asked.parse_args()
    catalog = Catalog(given.catalog)
    encoder = load_encoder(catalog.encoder_name)
    encoder.logit_scale *= given.scale
    if given.by_similarity:
        encoder.__dict__["lexicon"] = None
    words = load_vocabulary(given.vocabulary)
    truth = load_truth(given.benchmark, given.root)
    started = perf_counter()
    found = tag_pictures(catalog.vectors, encoder, words)
    print(f"{len(catalog.names)} pictures, {perf_counter() - started:.1f} s")
    own = Tagger(encoder, found.vocabulary)(catalog.vectors)
    for report in found.reports:
        print(describe(report))
        true = [_meant(words, report, truth.get(name, {}).get(report.group)) for name in catalog.names]
        if not report.reason and any(true):
            _print_group(report, found.vocabulary, true, {"own": own, "calibrated": found.tags}, given.bins)


def _meant(words: Vocabulary, report: GroupReport, true: str | None) -> str:
    """The word of the tags that a true word counts as; empty where the vocabulary does not have it."""
    called = _CALLED.get(true, true) if true and report.group == "kind" else true
    word = words.find(report.group, called) if called else None
    if word is None:
        return ""
    word = report.merged.get(word, word)
    return word if word in report.words else words.family(report.group, word)


def _print_group(report: GroupReport, known: Vocabulary, true: list[str], ways: dict[str, Tags], bins: bool) -> None:
    rows = np.array([bool(word) for word in true])
    columns = np.array(known.groups[report.group])
    for name, tags in ways.items():
        values = tags[report.group][rows]
        right = columns[values.argmax(axis=1)] == np.array(true)[rows]
        sure = values.max(axis=1)
        parts = np.array_split(np.argsort(sure, kind="stable"), _BINS)
        error = sum(len(part) * abs(sure[part].mean() - right[part].mean()) for part in parts if len(part)) / len(sure)
        print(
            f"    {name:<11} {rows.sum():>6} pictures, {100 * right.mean():5.1f} % right, "
            f"sure {100 * sure.mean():5.1f} %, ece {100 * error:5.1f}"
        )
        if bins:
            print("      " + "  ".join(_reliability(sure[part], right[part]) for part in parts if len(part)))


def _reliability(sure: NDArray[np.float32], right: NDArray[np.bool_]) -> str:
    return f"{100 * sure.mean():.0f}:{100 * right.mean():.0f}"


if __name__ == "__main__":
    main()
