"""What a new user finds: 300 product photos, each "but in COLOUR", and how many of the first five answers are right.

    python bench/newcomer.py [--products DIR] [--photos DIR] [--encoder NAME] [--composer DIR]

An answer is right if it has the reference's kind (articleType) and the requested colour (baseColour). References and
gallery are the larger photos without the pretraining split, on which the shipped encoder was trained; references are
not in the gallery. A query asks for a colour, other than the reference's, of which the gallery has at least five photos
of that kind, so all five answers can be right. Both are drawn by a hash.

Below that, the share over another 300 is printed, each of which asks for any colour that another photo of its kind has.
Many kinds have fewer than five photos of a colour, so the best share that is possible is printed beside it.
"""

import argparse
import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from triptych.benchmarks.datasets.fashion_products.products import Product, load_products, split_of
from triptych.benchmarks.datasets.fashion_products.words import word_for
from triptych.composers.baselines import DEFAULT_WEIGHT, TextOnly, WeightedSum
from triptych.composers.protocol import Composer
from triptych.composers.trained import TrainedComposer
from triptych.core.images import open_picture
from triptych.core.text import hash_number
from triptych.core.vectors import Vectors, nearest
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import DEFAULT, load_encoder

REFERENCES = 300
FIRST = 5
NO_COLOUR = {"", "NA", "Multi"}
DATA = Path(os.environ.get("TRIPTYCH_DATA", "../shared/data"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=Path, default=DATA / "fashion-products", help="holds styles.csv")
    parser.add_argument("--photos", type=Path, default=DATA / "fashion-products-224", help="holds larger photos")
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--composer", type=Path)
    options = parser.parse_args()
    encoder = load_encoder(options.encoder)
    composer: Composer = WeightedSum("sum", TextOnly(encoder), DEFAULT_WEIGHT)
    if options.composer:
        trained = TrainedComposer(options.composer)
        trained.attach(encoder)
        composer = trained
    products = [
        product
        for product in load_products(options.products)
        if split_of(product.line) != "pretrain" and (options.photos / "images" / product.picture).is_file()
    ]
    vectors = encode(products, encoder, options.photos)
    for title, questions in (
        ("five answers are there", questions_with_answers(products)),
        ("any colour of the kind", questions_of_any_colour(products)),
    ):
        print(f"{options.encoder}, {title}:")
        measure(products, vectors, questions, composer)


def questions_with_answers(products: list[Product]) -> dict[str, str]:
    """References by id, and the colour asked of each: one of which the gallery has five photos of the kind."""
    left = Counter((product.kind, product.colour) for product in products)

    def colours(reference: Product) -> list[str]:
        known = {colour for kind, colour in left if kind == reference.kind} - NO_COLOUR - {reference.colour}
        return sorted(colour for colour in known if left[reference.kind, colour] >= FIRST)

    drawn: list[Product] = []
    for product in in_order(products):
        left[product.kind, product.colour] -= 1  # it leaves the gallery; none drawn before may lose its answers
        if all(colours(one) for one in [*drawn, product] if one.kind == product.kind):
            drawn.append(product)
        else:
            left[product.kind, product.colour] += 1
        if len(drawn) == REFERENCES:
            break
    return {one.id: colours(one)[hash_number(one.id) % len(colours(one))] for one in drawn}


def questions_of_any_colour(products: list[Product]) -> dict[str, str]:
    """References by id, and the colour asked of each: one that another photo of its kind has."""
    colours: dict[str, set[str]] = defaultdict(set)
    for product in products:
        if product.colour not in NO_COLOUR:
            colours[product.kind].add(product.colour)
    drawn = {}
    for product in in_order(products):
        others = sorted(colours[product.kind] - {product.colour})
        if others and len(drawn) < REFERENCES:
            drawn[product.id] = others[hash_number(product.id) % len(others)]
    return drawn


def in_order(products: list[Product]) -> list[Product]:
    """Shuffled, always in the same way."""
    return sorted(products, key=lambda product: hash_number(f"newcomer {product.id}"))


def measure(products: list[Product], vectors: Vectors, questions: dict[str, str], composer: Composer) -> None:
    """Ask, and print the shares of the first five answers."""
    rows = [row for row, product in enumerate(products) if product.id in questions]
    others = [row for row, product in enumerate(products) if product.id not in questions]
    references, gallery = [products[row] for row in rows], [products[row] for row in others]
    wanted = [questions[product.id] for product in references]
    queries = composer.compose(vectors[rows], [f"but in {word_for('colour', colour)}" for colour in wanted])
    report(references, wanted, gallery, nearest(queries, composer.gallery(vectors[others]), FIRST)[0])


def encode(products: list[Product], encoder: Encoder, photos: Path) -> Vectors:
    """Vectors `(n, d)` of the products' photos."""
    parts = []
    for start in range(0, len(products), 64):
        pictures = [open_picture(photos / "images" / product.picture) for product in products[start : start + 64]]
        parts.append(encoder.encode_pictures(np.stack([encoder.prepare(picture) for picture in pictures])))
    return np.concatenate(parts)


def report(references: list[Product], wanted: list[str], gallery: list[Product], answers: np.ndarray) -> None:
    """Print the shares of the first five."""
    kinds, colours = np.array([one.kind for one in gallery]), np.array([one.colour for one in gallery])
    kind = kinds[answers] == np.array([one.kind for one in references])[:, None]
    colour = colours[answers] == np.array(wanted)[:, None]
    right = (kind & colour).mean(axis=1)
    possible = np.array(
        [((kinds == one.kind) & (colours == to)).sum() for one, to in zip(references, wanted, strict=True)]
    )
    best = np.minimum(possible, FIRST) / FIRST
    print(f"{len(references)} references over {len(gallery)} photos; of the first {FIRST} answers")
    print(f"right kind {100 * kind.mean():.1f} %, right colour {100 * colour.mean():.1f} %")
    print(f"right in both {100 * right.mean():.1f} % of at most {100 * best.mean():.1f} %")


if __name__ == "__main__":
    main()
