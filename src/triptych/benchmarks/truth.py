"""What is true of pictures, where it is known: to measure an agent by, which never sees it."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from triptych.benchmarks.fashion_products import Product, load_products
from triptych.benchmarks.words import word_for
from triptych.errors import DataError, UsageError

Truth = Mapping[str, dict[str, str]]
"""Picture to attribute to word, as the agent's vocabulary has it."""


def load_truth(name: str, root: Path) -> Truth:
    """The truth of a world: `wardrobe`, a folder that `triptych wardrobe` made, or `fashion-products`.

    Raises UsageError for another name, DataError where the folder does not hold it.
    """
    if name not in WORLDS:
        raise UsageError(f"the truth of {name!r} is not known; it is of {' and '.join(WORLDS)}")
    return WORLDS[name](root)


def _wardrobe(world: Path) -> Truth:
    path = world / "garments.csv"
    try:
        with path.open(encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); it is in the folder that `triptych wardrobe` made"
        ) from None
    if not rows or "image" not in rows[0]:
        raise DataError(f"{path}: no table of garments; it is in the folder that `triptych wardrobe` made")
    beside = ("image", "split", "line", "garment")
    return {row["image"]: {key: row[key] for key in row if key not in beside} for row in rows}


def _fashion_products(root: Path) -> Truth:
    def words(product: Product) -> dict[str, str]:
        named = {name: word_for(name, getattr(product, name)) for name in ("gender", "colour", "kind")}
        named["gender"] = named["gender"].replace("men and women", "unisex")
        return named | {"usage": product.usage.casefold()}

    return {product.picture: words(product) for product in load_products(root)}


WORLDS: Mapping[str, Callable[[Path], Truth]] = {"wardrobe": _wardrobe, "fashion-products": _fashion_products}
