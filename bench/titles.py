"""How far words get through an encoder's text tower: `python bench/titles.py ROOT ENCODER`.

On fashion-products, val: searches with the reference's own title, as if a picture had been turned into words without
any error, and the modification; also with the agent's tags as title, and with the words alone. Prints R@10 and mAP@10
of each, and of its sum with the picture at the best weight.
"""

import sys
from pathlib import Path

from triptych.benchmarks.datasets.fashion_products.products import load_products
from triptych.benchmarks.registry import load_tasks
from triptych.composers.baselines import TextOnly, WeightedSum
from triptych.composers.captions import CaptionEdit
from triptych.composers.protocol import Composer
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.selection import tuned
from triptych.tagging.vocabulary import load_vocabulary


class Titles(TextOnly):
    """The texts it is given, whatever is asked of it."""

    def __init__(self, encoder, texts):
        super().__init__(encoder)
        self.texts = texts

    def compose(self, references, modifications, changes=None):
        return super().compose(references, self.texts)


class WithoutChanges(CaptionEdit):
    """A caption with the modification behind it, by one who is not told what changes."""

    def compose(self, references, modifications, changes=None):
        return super().compose(references, modifications)


def main() -> None:
    root, encoder = Path(sys.argv[1]), load_encoder(sys.argv[2])
    encoded: dict = {}
    title_of = {product.picture: product.title for product in load_products(root)}
    for each in load_tasks("fashion-products", root, "val"):
        task = EncodedTask(each, encoder, encoded)
        titles = [title_of[query.reference] for query in task.queries]
        words = [query.modification for query in task.queries]
        ways: dict[str, Composer] = {
            "words": TextOnly(encoder),
            "title": Titles(encoder, titles),
            "title and words": Titles(encoder, [f"{title} {said}" for title, said in zip(titles, words, strict=True)]),
            "words and title": Titles(encoder, [f"{said} {title}" for title, said in zip(titles, words, strict=True)]),
            "tags and words": WithoutChanges(encoder, load_vocabulary()),
        }
        for name, way in ways.items():
            alone = task.row(way, encoder).metrics
            fused, facts = tuned(WeightedSum(name, way), task)
            both = task.row(fused, encoder).metrics
            print(
                f"{each.name}  {name:16}  R@10 {alone['R@10']:.1f}  mAP@10 {alone['mAP@10']:.1f}  "
                f"with the picture ({facts['weight']})  R@10 {both['R@10']:.1f}  mAP@10 {both['mAP@10']:.1f}"
            )


if __name__ == "__main__":
    main()
