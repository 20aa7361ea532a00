"""Make the packed training data: product photos of the pretrain split, home photos without annotations, drawn garments.

    python prepare.py OUT FASHION_PRODUCTS FASHION_PRODUCTS_224 CLOSET

The second folder of product photos holds some of them larger.
"""

import csv
import io
import json
import re
import sys
from pathlib import Path
from random import Random

import numpy as np
from packed import pack, smaller, thing_mask, truth_table
from PIL import Image

from triptych.benchmarks.datasets.fashion_products.products import Product, load_products, split_of
from triptych.benchmarks.datasets.fashion_products.words import word_for
from triptych.benchmarks.datasets.wardrobe.drawing import draw
from triptych.benchmarks.datasets.wardrobe.garments import Garment
from triptych.benchmarks.datasets.wardrobe.lines import design

# What a kind of the product table is besides (1), and what it may be (-1).
WIDER = {
    "t-shirt": {"top": -1, "polo shirt": -1, "long-sleeve top": -1},
    "top": {"blouse": -1, "t-shirt": -1, "tank top": -1, "shirt": -1, "long-sleeve top": -1, "tunic": -1},
    "shirt": {"blouse": -1, "top": -1},
    "tunic": {"top": -1, "dress": -1, "kurta": -1},
    "kurta": {"tunic": -1},
    "kurti": {"tunic": -1, "kurta": -1},
    "casual shoes": {"shoes": 1, "sneakers": -1, "boots": -1},
    "sports shoes": {"shoes": 1, "sneakers": 1},
    "formal shoes": {"shoes": 1, "boots": -1},
    "heels": {"shoes": -1, "sandals": -1, "boots": -1},
    "flats": {"shoes": -1, "sandals": -1},
    "sandals": {"shoes": -1, "flats": -1},
    "flip flops": {"shoes": -1, "sandals": -1},
    "sports sandals": {"sandals": 1, "shoes": -1},
    "baby booties": {"shoes": 1},
    "track pants": {"joggers": 1, "trousers": -1},
    "lounge pants": {"trousers": -1, "joggers": -1},
    "capri pants": {"trousers": -1},
    "jeans": {"trousers": -1},
    "leggings": {"trousers": -1},
    "jeggings": {"leggings": -1, "jeans": -1, "trousers": -1},
    "lounge shorts": {"shorts": 1},
    "sweatshirt": {"hoodie": -1, "sweater": -1, "jacket": -1, "long-sleeve top": -1},
    "sweater": {"cardigan": -1, "long-sleeve top": -1},
    "jacket": {"outerwear": 1, "coat": -1, "blazer": -1, "hoodie": -1},
    "rain jacket": {"outerwear": 1, "jacket": 1},
    "blazer": {"jacket": -1, "suit": -1},
    "cap": {"hat": 1},
    "hat": {},
    "dress": {},
    "vest": {"tank top": 1, "undershirt": 1},
    "camisole": {"tank top": -1, "top": -1},
    "handbag": {"bag": 1},
    "clutch": {"bag": -1, "handbag": -1},
    "backpack": {"bag": 1},
    "laptop bag": {"bag": 1},
    "duffel bag": {"bag": 1},
    "messenger bag": {"bag": 1},
    "rucksack": {"bag": 1, "backpack": 1},
    "briefs": {"underwear": 1},
    "trunks": {"underwear": 1},
    "boxer shorts": {"underwear": 1},
    "bra": {"underwear": 1},
    "nightdress": {"pyjamas": -1, "dress": -1},
    "night suit": {"pyjamas": 1},
}
# What the coarse kinds of the home photos are (1) and may be (-1), and their sleeves.
COARSE = {
    "T-Shirt": ({"t-shirt": 1, "top": -1, "polo shirt": -1}, "short sleeves"),
    "Longsleeve": (
        {"long-sleeve top": 1, "sweater": -1, "sweatshirt": -1, "cardigan": -1, "top": -1, "t-shirt": -1, "blouse": -1},
        "long sleeves",
    ),
    "Pants": (
        {
            "trousers": 1,
            "jeans": -1,
            "joggers": -1,
            "leggings": -1,
            "track pants": -1,
            "capri pants": -1,
            "lounge pants": -1,
            "jeggings": -1,
        },
        None,
    ),
    "Shoes": (
        {
            "shoes": 1,
            "sneakers": -1,
            "boots": -1,
            "sandals": -1,
            "heels": -1,
            "flats": -1,
            "flip flops": -1,
            "casual shoes": -1,
            "sports shoes": -1,
            "formal shoes": -1,
            "sports sandals": -1,
        },
        None,
    ),
    "Shirt": ({"shirt": 1, "blouse": -1, "top": -1}, None),
    "Dress": ({"dress": 1, "tunic": -1, "nightdress": -1}, None),
    "Outwear": (
        {
            "outerwear": 1,
            "jacket": -1,
            "coat": -1,
            "blazer": -1,
            "hoodie": -1,
            "vest": -1,
            "cardigan": -1,
            "rain jacket": -1,
            "waistcoat": -1,
        },
        None,
    ),
    "Shorts": ({"shorts": 1, "lounge shorts": -1, "boxer shorts": -1}, None),
    "Skirt": ({"skirt": 1}, None),
    "Hat": ({"hat": 1, "cap": -1}, None),
    "Undershirt": ({"tank top": 1, "undershirt": 1, "top": -1, "vest": -1, "camisole": -1}, "no sleeves"),
    "Blazer": ({"blazer": 1, "jacket": -1, "suit": -1}, "long sleeves"),
    "Polo": ({"polo shirt": 1, "t-shirt": -1, "shirt": -1}, None),
    "Hoodie": ({"hoodie": 1, "sweatshirt": -1, "jacket": -1, "outerwear": -1}, "long sleeves"),
    "Body": ({"bodysuit": 1, "romper": -1}, None),
    "Top": ({"top": 1, "blouse": -1, "tank top": -1, "t-shirt": -1, "long-sleeve top": -1}, None),
    "Blouse": ({"blouse": 1, "shirt": -1, "top": -1}, None),
}
_TITLES = {
    "pattern": {
        "striped": r"\bstripe[ds]?\b|\bstriper\b",
        "checked": r"\bcheck(s|ed|ered)?\b|\bplaid\b",
        "printed": r"\bprint(s|ed)?\b|\bgraphic\b",
        "floral": r"\bfloral\b|\bflower",
        "dotted": r"\bdot(s|ted)?\b|\bpolka\b",
        "plain": r"\bsolid\b|\bplain\b",
        "denim": r"\bdenim\b|\bjeans\b",
        "camouflage": r"\bcamo",
        "knit": r"\bknit",
        "melange": r"\bmelange\b",
        "embroidered": r"\bembroider",
    },
    "sleeve": {
        "long sleeves": r"\b(full|long)[- ]?sleeve",
        "short sleeves": r"\b(half|short)[- ]?sleeve",
        "no sleeves": r"\bsleeveless\b|\btank\b",
        "three-quarter sleeves": r"3/4|three[- ]quarter",
    },
    "material": {
        "leather": r"\bleather\b",
        "cotton": r"\bcotton\b",
        "silk": r"\bsilk\b",
        "suede": r"\bsuede\b",
        "canvas": r"\bcanvas\b",
        "wool": r"\bwool",
        "linen": r"\blinen\b",
    },
}


def from_title(title: str) -> dict[str, dict[str, int]]:
    """Patterns, sleeves and materials that a title names; where it names one, the others are not there."""
    known = {}
    for group, words in _TITLES.items():
        named = {word: 1 for word, saying in words.items() if re.search(saying, title.casefold())}
        if named:
            known[group] = named
    return known


def product_facts(product: Product) -> dict[str, dict[str, int]]:
    kind = word_for("kind", product.kind)
    known = from_title(product.title)
    known["kind"] = {kind: 1, **WIDER.get(kind, {})}
    if kind == "t-shirt" and re.search(r"\bpolo\b", product.title.casefold()):
        known["kind"] = {"t-shirt": 1, "polo shirt": 1, "top": -1}
    if product.colour not in ("", "NA"):
        known["colour"] = {word_for("colour", product.colour): 1}
    if product.gender:
        known["gender"] = {word_for("gender", product.gender): 1}
    if product.usage not in ("", "NA"):
        known["use"] = {product.usage.casefold(): 1}
    return known


def home_facts(row: dict[str, str]) -> dict[str, dict[str, int]]:
    kinds, sleeve = COARSE[row["label"]]
    known = {"kind": dict(kinds)}
    if sleeve:
        known["sleeve"] = {sleeve: 1}
    return known


def drawn_facts(garment: Garment) -> dict[str, dict[str, int]]:
    known = {"kind": {garment.kind: 1, **WIDER.get(garment.kind, {})}, "colour": {garment.colour: 1}}
    if garment.kind == "hoodie":
        known["kind"] = {"hoodie": 1, "sweatshirt": -1}
    if garment.pattern:
        known["pattern"] = {garment.pattern: 1}
    if garment.sleeve:
        sleeves = {"sleeveless": "no sleeves", "short-sleeved": "short sleeves", "long-sleeved": "long sleeves"}
        known["sleeve"] = {sleeves[garment.sleeve]: 1}
    return known


def drawn_garments(lines: int, size: int) -> tuple[list[Garment], list[bytes]]:
    """Garments of the wardrobe world, and their pictures."""
    garments, jpegs = [], []
    for line in range(lines):
        for number, garment in enumerate(design(line, Random(f"line {line}"))):
            out = io.BytesIO()
            draw(garment, number, size).save(out, "JPEG", quality=88)
            garments.append(garment)
            jpegs.append(out.getvalue())
    return garments, jpegs


def main() -> None:
    out, products_root, large_root, closet = map(Path, sys.argv[1:5])
    out.mkdir(parents=True, exist_ok=True)
    products = [product for product in load_products(products_root) if split_of(product.line) == "pretrain"]
    with (closet / "labels.csv").open() as file:
        homes = [row for row in csv.DictReader(file) if row["label"] in COARSE]
    drawn, drawings = drawn_garments(700, 128)
    facts = {
        "products": [product_facts(product) for product in products],
        "homes": [home_facts(row) for row in homes],
        "drawn": [drawn_facts(row) for row in drawn],
    }
    values = sorted(
        {f"{group}={word}" for each in facts.values() for one in each for group, words in one.items() for word in words}
    )
    truth = {name: truth_table(each, values) for name, each in facts.items()}

    jpegs, masks = [], []
    for product in products:
        path = products_root / "images" / product.picture
        jpegs.append(path.read_bytes())
        with Image.open(path) as picture:
            mask = np.asarray(Image.fromarray(thing_mask(picture)).resize((60, 80), Image.Resampling.NEAREST))
        masks.append(np.packbits(mask.ravel()))
    lines = {line: number for number, line in enumerate(sorted({product.line for product in products}))}
    pack(
        out / "products.npz",
        jpegs,
        truth=truth["products"],
        masks=np.stack(masks),
        line=np.array([lines[product.line] for product in products]),
    )
    places = [(row, large_root / "images" / product.picture) for row, product in enumerate(products)]
    places = [(row, path) for row, path in places if path.is_file()]
    pack(
        out / "products_large.npz",
        [smaller(path, 192, 85) for _, path in places],
        row=np.array([row for row, _ in places]),
    )
    pack(
        out / "homes.npz",
        [smaller(closet / "photos" / row["image"], 192, 82) for row in homes],
        truth=truth["homes"],
        sender=np.array([int(row["sender"]) for row in homes]),
    )
    pack(out / "drawn.npz", drawings, truth=truth["drawn"])
    (out / "known.json").write_text(json.dumps({"values": values, "titles": [product.title for product in products]}))
    print({name: table.shape for name, table in truth.items()}, "large", len(places), "lines", len(lines))


if __name__ == "__main__":
    main()
