"""How often the likeliest tag is the true one, by each way of asking, where the truth is known.

    python bench/tags.py CATALOG wardrobe WORLD
    python bench/tags.py CATALOG fashion-products ROOT

*alone*: each word's text by itself. *together*: in titles of several groups. *agreed*: the same, with the say of each
picture's neighbours. *named*: as `Tagger` and the agent do it with an encoder that can name words.
"""

import sys
from pathlib import Path

import numpy as np

from triptych.benchmarks.registry import find_benchmark, load_truth
from triptych.catalog.catalog import Catalog
from triptych.encoders.registry import load_encoder
from triptych.tagging.tagger import Tagger, Tags, is_shown
from triptych.tagging.tags import smooth_tags
from triptych.tagging.vocabulary import Vocabulary, load_vocabulary


def main() -> None:
    folder, name, root = sys.argv[1:]
    catalog = Catalog(Path(folder))
    encoder = load_encoder(catalog.encoder_name)
    vocabulary = load_vocabulary(find_benchmark(name).vocabulary)
    truth = load_truth(name, Path(root))
    words = {group: np.array([truth[picture][group] for picture in catalog.names]) for group in vocabulary.groups}
    placing = load_encoder(catalog.encoder_name)
    placing.__dict__["lexicon"] = None  # as one that places whole texts only
    together = Tagger(placing, vocabulary)(catalog.vectors)
    ways = {
        "alone": _alone(catalog, vocabulary),
        "together": together,
        "agreed": smooth_tags(together, catalog.vectors),
        "named": Tagger(encoder, vocabulary)(catalog.vectors),
    }
    print(f"{name}: {len(catalog.names)} pictures, % right{'':<8}" + "".join(f"{way:>10}" for way in ways))
    for group, known in vocabulary.groups.items():
        # What the vocabulary has no word for, no tag can get right.
        rows = np.isin(words[group], known)
        right = [
            np.mean(np.array(known)[tags[group].argmax(axis=1)][rows] == words[group][rows]) for tags in ways.values()
        ]
        print(f"  {group:<12} {rows.sum():>6} pictures{'':<14}" + "".join(f"{100 * share:>10.1f}" for share in right))
    for group in vocabulary.groups:
        lacking = words[group] == ""
        if lacking.any():
            share = 100 * is_shown(ways["named"][group])[lacking].mean()
            print(f"  {group:<12} {lacking.sum():>6} pictures have none; {share:.1f} % of them are tagged all the same")


def _alone(catalog: Catalog, vocabulary: Vocabulary) -> Tags:
    encoder = load_encoder(catalog.encoder_name)
    return {
        group: catalog.vectors @ encoder.encode_texts([vocabulary.phrases[group][word] for word in words]).T
        for group, words in vocabulary.groups.items()
    }


if __name__ == "__main__":
    main()
