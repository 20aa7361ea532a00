"""What is true of pictures, where it is known: for measurements of an agent that never sees it."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from triptych.benchmarks.fashion_products import Product, load_products
from triptych.benchmarks.words import word_for

Truth = Mapping[str, Mapping[str, str]]
"""Picture to attribute to word."""


def wardrobe(world: Path) -> Truth:
    with (world / "garments.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    return {
        row["image"]: {key: row[key] for key in row if key not in ("image", "split", "line", "garment")} for row in rows
    }


def fashion_products(root: Path) -> Truth:
    def words(product: Product) -> dict[str, str]:
        named = {name: word_for(name, getattr(product, name)) for name in ("gender", "colour", "kind")}
        # As the agent's vocabulary has it.
        named["gender"] = named["gender"].replace("men and women", "unisex")
        return named | {"usage": product.usage.casefold()}

    return {product.picture: words(product) for product in load_products(root)}


WORLDS: Mapping[str, Callable[[Path], Truth]] = {"wardrobe": wardrobe, "fashion-products": fashion_products}
