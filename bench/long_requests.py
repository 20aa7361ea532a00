"""R@10 of long requests on the wardrobe's val queries: cut, in parts, and in parts without words that are not
understood.

triptych wardrobe --out world
python bench/long_requests.py world
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from triptych.benchmarks.registry import load_benchmark
from triptych.composers.baselines import WeightedSum
from triptych.core.vectors import Vectors, unit
from triptych.encoders.native import NativeEncoder
from triptych.encoders.reading import mean_by_owner, parts_of_texts
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask

BEFORE = (
    "hello, i am looking for something that my sister could wear to the wedding of our cousin in june, if possible "
)
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "after a long sentence": lambda text: BEFORE + text,
    "before a long sentence": lambda text: f"{text}, {BEFORE}",
    "said twice": lambda text: f"{text}, that is to say {text}",
    "said three times": lambda text: f"{text}. i mean {text}. in short: {text}",
}


class Everything(frozenset[str]):
    """A reader to which every word is understood."""

    def __contains__(self, word: object) -> bool:
        return True


def cut(encoder: NativeEncoder, texts: Sequence[str]) -> Vectors:
    """Encode texts with a tower that stops at its greatest length."""
    return encoder._encode_ids(encoder.token_ids(texts))


def in_parts(encoder: NativeEncoder, texts: Sequence[str]) -> Vectors:
    """Encode texts with every word, and average the vectors of the parts."""
    parts, owners = parts_of_texts(texts, encoder.readings(texts, learnt=Everything()))
    return unit(mean_by_owner(cut(encoder, parts), owners, len(texts)))


def main() -> None:
    """Print a line for each form of the requests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", type=Path)
    parser.add_argument("--encoder", default="wardrobe")
    asked = parser.parse_args()
    encoder = load_encoder(asked.encoder, threads=1)
    assert isinstance(encoder, NativeEncoder), "an encoder of our own"
    task = EncodedTask(load_benchmark("wardrobe", asked.world, None, "val", ())[0], encoder)
    print(
        f"{asked.encoder}, {len(task.queries)} queries, {len(task.gallery_names)} pictures, weighted sum at 0.5, R@10"
    )
    for name, form in FORMS.items():
        texts = [form(query.modification) for query in task.queries]
        long = np.mean([reading.tokens > reading.limit for reading in encoder.readings(texts)])
        hits = []
        for vectors in (cut(encoder, texts), in_parts(encoder, texts), encoder.encode_texts(texts)):
            ranks = task.ranks(WeightedSum.blend(task.references, vectors, 0.5), task.gallery)
            hits.append(100 * np.mean([min(found) <= 10 for found in ranks]))
        said = ", ".join(
            f"{how} {value:.1f}" for how, value in zip(("cut", "in parts", "as read now"), hits, strict=True)
        )
        print(f"{name:<24} {long:4.0%} too long: {said}", flush=True)


if __name__ == "__main__":
    main()
