"""Kaggle's Fashion Product Images as a benchmark: find a product in another colour, or with other attributes.

A protocol of this project, made from the table that comes with the pictures:

- A product line is a set of products that differ only in colour. Lines, not products, are divided into splits, so that
  no design is in two splits.
- Task "colourway": the reference's line in each of its other colours, for lines of at most 10 products.
- Task "attribute": one or two of gender, kind and colour change to a combination that exists in the reference's
  category and usage. The targets, at most 60, are all products with exactly that combination and usage.
- At most 3000 of the possible queries are taken, spread over the kinds of change as evenly as possible.

Every choice depends only on a hash of names, not on an order or a random state.
"""

import csv
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from triptych.benchmarks.datasets.fashion_products.phrasings import phrase
from triptych.benchmarks.datasets.fashion_products.words import COLOUR_WORDS, word_for
from triptych.benchmarks.task import Query, Task, Truth
from triptych.core.errors import DataError
from triptych.core.files import atomic
from triptych.core.text import hash_number

# Limits that are part of the protocol.
MOST_QUERIES = 3000  # queries of a task
LARGEST_LINE = 10  # products of a line, for the task "colourway"
MOST_TARGETS = 60  # targets of a query, for the task "attribute"
CHANGES = (
    ("gender",),
    ("kind",),
    ("colour",),
    ("colour", "gender"),
    ("colour", "kind"),
    ("gender", "kind"),
)

# The splits, each with the end of its range of hash values, from 0 to 1.
_SPLITS = (("pretrain", 0.375), ("unlabelled", 0.75), ("val", 0.85), ("test", 1.0))
_COLUMNS = ("id", "gender", "masterCategory", "articleType", "baseColour", "usage", "productDisplayName")
_UNKNOWN = frozenset({"", "NA"})
_SOURCE = "paramaggarwal/fashion-product-images-small"


@dataclass(frozen=True)
class Product:
    """A row of the table with its original values. `kind` is the articleType."""

    id: str
    gender: str
    category: str
    kind: str
    colour: str
    usage: str
    title: str

    @property
    def picture(self) -> str:
        """The picture's name, relative to images/."""
        return f"{self.id}.jpg"

    @property
    def line(self) -> str:
        """The product line: the title without colour words, the kind and the gender."""
        design = (word for word in _words(self.title) if word not in COLOUR_WORDS)
        return " ".join((*design, *_words(self.kind), *_words(self.gender)))


def load_products(root: Path) -> list[Product]:
    """Read the products that have a picture, sorted by picture name.

    Raises:
        DataError: `root` does not hold the data set.
    """
    return _products(root)[0]


def split_of(line: str) -> str:
    """The split of a product line: pretrain 3/8, unlabelled 3/8, val 1/10 and test 3/20 of all lines."""
    share = hash_number(line) / 2**64
    return next(name for name, end in _SPLITS if share < end)


def load_fashion_products(root: Path, split: str, task: str) -> Task:
    """Load a task over the whole gallery of a split.

    Args:
        root: the data set's folder.
        split: "val", "test", or "all" of the folder.
        task: "colourway" or "attribute".

    Raises:
        DataError: `root` does not hold the data set, or too little of it for a query.
    """
    products, missing = _products(root)
    gallery = [product for product in products if split in ("all", split_of(product.line))]
    possible = _TASKS[task](gallery, split)
    if not possible:
        raise DataError(f"{root}: too few products for one {task} query in the split {split}; give the whole dataset")
    queries = _sample(possible)
    return Task(
        benchmark="fashion-products",
        name=task,
        split=split,
        root=root / "images",
        gallery=tuple(product.picture for product in gallery),
        queries=tuple(sorted(queries, key=lambda query: query.id)),
        notes={
            "source": f"Kaggle {_SOURCE}",
            "products without a picture": missing,
            "possible queries": len(possible),
            "queries by change": dict(sorted(Counter(map(_changed, queries)).items())),
        },
    )


def prepare_fashion_products(root: Path | str, out: Path | str) -> dict[str, int]:
    """Write what training may use: pretrain.csv (image, caption), and lists of the pictures of the other splits.

    unlabelled.txt, val.txt and test.txt have only names relative to images/, so that no stage can read titles or
    attributes.

    Args:
        root: the data set's folder.
        out: the folder to write to.

    Returns:
        How many products each split has, and how many have no picture.

    Raises:
        DataError: `root` does not hold the data set.
    """
    root, out = Path(root), Path(out)
    products, missing = _products(root)
    splits: dict[str, list[Product]] = {name: [] for name, _ in _SPLITS}
    for product in products:
        splits[split_of(product.line)].append(product)
    with (
        atomic(out / "pretrain.csv") as temporary,
        temporary.open("w", encoding="utf-8", newline="") as table,
    ):
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(("image", "caption"))
        writer.writerows((product.picture, product.title) for product in splits["pretrain"])
    for name in ("unlabelled", "val", "test"):
        with atomic(out / f"{name}.txt") as temporary:
            temporary.write_text("".join(f"{product.picture}\n" for product in splits[name]), encoding="utf-8")
    return {**{name: len(members) for name, members in splits.items()}, "without a picture": missing}


def _colourways(gallery: Sequence[Product], split: str) -> list[Query]:
    lines: dict[str, list[Product]] = defaultdict(list)
    for product in gallery:
        lines[product.line].append(product)
    queries = []
    for members in lines.values():
        if len(members) > LARGEST_LINE:
            continue
        by_colour: dict[str, list[Product]] = defaultdict(list)
        for product in members:
            if product.colour not in _UNKNOWN:
                by_colour[product.colour].append(product)
        for reference in chain.from_iterable(by_colour.values()):
            for colour, targets in by_colour.items():
                if colour != reference.colour:
                    queries.append(_query(split, reference, targets, {"colour": colour}))
    return queries


class _Look(NamedTuple):
    gender: str
    kind: str
    colour: str
    usage: str
    category: str

    def without(self, change: Collection[str]) -> tuple[str, ...]:
        """The values that are unchanged when `change` changes."""
        return tuple("" if name in change else value for name, value in self._asdict().items())


def _attributes(gallery: Sequence[Product], split: str) -> list[Query]:
    looks: dict[_Look, list[Product]] = defaultdict(list)
    for product in gallery:
        look = _Look(product.gender, product.kind, product.colour, product.usage, product.category)
        if not _UNKNOWN & set(look):
            looks[look].append(product)
    # Kinds in two categories are left out: products of the other category would be right, but not be counted.
    shared = Counter(look.without(("category",)) for look in looks)

    neighbours: dict[tuple[str, ...], list[_Look]] = defaultdict(list)
    for look, members in sorted(looks.items()):
        if len(members) <= MOST_TARGETS and shared[look.without(("category",))] == 1:
            for change in CHANGES:
                neighbours[look.without(change)].append(look)

    queries = []
    for look, references in looks.items():
        for change in CHANGES:
            others = [
                other
                for other in neighbours[look.without(change)]
                if all(getattr(other, name) != getattr(look, name) for name in change)
            ]
            for reference in references if others else ():
                chosen = others[hash_number(f"{reference.id}/{'+'.join(change)}") % len(others)]
                values = {name: getattr(chosen, name) for name in change}
                queries.append(_query(split, reference, looks[chosen], values))
    return queries


_TASKS: dict[str, Callable[[Sequence[Product], str], list[Query]]] = {
    "colourway": _colourways,
    "attribute": _attributes,
}


def _query(split: str, reference: Product, targets: Iterable[Product], values: Mapping[str, str]) -> Query:
    change = {name: word_for(name, value) for name, value in values.items()}
    name = "/".join((reference.id, *(f"{what}={word.replace(' ', '-')}" for what, word in change.items())))
    return Query(
        id=name,
        reference=reference.picture,
        modification=phrase(split, change, name),
        targets=frozenset(product.picture for product in targets),
        exclude=frozenset({reference.picture}),
        change=change,
    )


def _changed(query: Query) -> str:
    return "+".join(query.change or ())


def _sample(queries: Iterable[Query]) -> list[Query]:
    """Select at most MOST_QUERIES queries, in turn from the kinds of change."""
    taken: Counter[str] = Counter()
    turns = []
    for query in sorted(queries, key=lambda query: hash_number(query.id)):
        turns.append((taken[_changed(query)], query))
        taken[_changed(query)] += 1
    turns.sort(key=lambda turn: turn[0])
    return [query for _, query in turns[:MOST_QUERIES]]


def _products(root: Path) -> tuple[list[Product], int]:
    """Read the products with a picture, sorted by picture name. Also returns how many have none."""
    table = _read_table(root / "styles.csv")
    try:
        pictures = set(os.listdir(root / "images"))
    except OSError:
        raise DataError(f"{root / 'images'}: no such folder; get Kaggle's {_SOURCE}") from None
    products = sorted((row for row in table if row.picture in pictures), key=lambda row: row.picture)
    return products, len(table) - len(products)


def _read_table(path: Path) -> list[Product]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as content:
            reader = csv.reader(content)
            header = next(reader, [])
            if lacking := [column for column in _COLUMNS if column not in header]:
                raise DataError(f"{path}: no column {', '.join(lacking)}; get Kaggle's {_SOURCE}")
            places = [header.index(column) for column in _COLUMNS]
            products: dict[str, Product] = {}
            for row in filter(None, reader):
                if len(row) < len(header):
                    raise DataError(f"{path}:{reader.line_num}: {len(row)} fields, not {len(header)}; correct the row")
                # In the original, a few titles have commas without quotes. The title is the last column.
                row[len(header) - 1 :] = [",".join(row[len(header) - 1 :])]
                product = Product(*(row[place].strip() for place in places))
                if products.setdefault(product.id, product) is not product:
                    raise DataError(f"{path}:{reader.line_num}: the id {product.id} appears twice; remove one row")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; it comes with Kaggle's {_SOURCE}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: not a readable table ({error}); get Kaggle's {_SOURCE}") from None
    return list(products.values())


def _words(text: str) -> list[str]:
    """Casefolded words without punctuation: "Men's T-shirt" becomes mens, t and shirt."""
    return re.findall(r"\w+", re.sub(r"['’]", "", text.casefold()))


def read_truth(root: Path) -> Truth:
    """The true attributes of each product's picture, from the table.

    Raises:
        DataError: `root` does not hold the data set.
    """

    def words(product: Product) -> dict[str, str]:
        named = {name: word_for(name, getattr(product, name)) for name in ("gender", "colour", "kind")}
        named["gender"] = named["gender"].replace("men and women", "unisex")
        return named | {"usage": product.usage.casefold()}

    return {product.picture: words(product) for product in load_products(root)}
