"""The catalogs and the queries with true answers that do_no_harm.py measures on.

| catalog | pictures to mine and train on | true labels of them | test |
|---|---|---|---|
| products-500, -2500, -all | of fashion-products' unlabelled split | kind, colour, gender | test split, both tasks |
| closet | not annotated, without test's senders; and val's | kind, colour, pattern, of val's | test split |
| wardrobe | the drawn world of `triptych demo --world wardrobe` | kind, colour, pattern | test split |
| domains | all 1,660 pictures in four styles | kind, style | another style of the same kind, over the same pictures |

Mining and training read no label. The tests of fashion-products, closet and the wardrobe are on other pictures.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import triptych
from triptych.benchmarks.datasets.closet.benchmark import load_photos
from triptych.benchmarks.datasets.fashion_products.products import load_products, split_of
from triptych.benchmarks.registry import load_tasks, load_truth
from triptych.benchmarks.task import Query, Task
from triptych.composers.truth import TruthQueries
from triptych.core.text import hash_number
from triptych.demonstration.worlds import LINES

TRUTH_QUERIES = 100
"""How many queries with known answers an owner gives."""
STYLES = ("as a {}", "the same, as a {}", "a {} of one", "what it looks like as a {}")

Labels = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class World:
    """Pictures to index, what is true of them or of some, and the queries to test on."""

    name: str
    root: Path
    """What the pictures' names start from."""
    pictures: Sequence[str]
    labels: Labels
    columns: tuple[str, ...]
    """The labels that queries are made of."""
    tests: Callable[[Collection[str]], list[Task]]
    """Makes the tests, without queries of the given references."""
    elsewhere: bool = True
    """Whether the tests are on other pictures."""

    @property
    def labelled(self) -> list[str]:
        """The pictures that have every label of `columns`, sorted."""
        return sorted(name for name in self.pictures if all(self._values(name)))

    def _values(self, name: str) -> list[str]:
        return [self.labels.get(name, {}).get(column, "") for column in self.columns]

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the list of pictures and the table of labels, as `index` takes them."""
        names, table = folder / "pictures.txt", folder / "labels.csv"
        folder.mkdir(parents=True, exist_ok=True)
        names.write_text("".join(f"{name}\n" for name in self.pictures), encoding="utf-8")
        with table.open("w", encoding="utf-8", newline="") as content:
            writer = csv.writer(content)
            writer.writerow(("image", *self.columns))
            writer.writerows((name, *self._values(name)) for name in self.pictures)
        return names, table

    def queries(self, catalog: Path) -> tuple[TruthQueries, Task]:
        """The queries that an owner gives, and a larger task of the same kind with other references.

        Both are made by `--validate-by` of the labels' columns; where some pictures have no label, only those that have
        are ranked.
        """
        made = triptych.truth_queries(catalog, ",".join(self.columns))
        known = self.labelled
        closed = frozenset(known) if len(known) < len(self.pictures) else None
        given = tuple(replace(query, candidates=closed) for query in made.queries[:TRUTH_QUERIES])
        used = {query.reference for query in given}
        others = [query for query in made.queries[TRUTH_QUERIES:] if query.reference not in used]
        larger = Task(
            benchmark=self.name,
            name="own catalog",
            split="all",
            root=self.root,
            gallery=tuple(known),
            queries=tuple(
                Query(str(number), query.reference, query.text, query.targets, exclude=frozenset({query.reference}))
                for number, query in enumerate(others)
            ),
        )
        return TruthQueries(given, made.source), larger


def find_world(name: str, data: Path, out: Path) -> World:
    """The catalog of this name, from the data sets in `data`; what has to be drawn is drawn into `out`."""
    kind, _, count = name.partition("-")
    if kind == "products":
        return products(name, data / "fashion-products", None if count == "all" else int(count))
    return {"closet": closet, "wardrobe": wardrobe, "domains": domains}[kind](data, out)


def products(name: str, root: Path, count: int | None) -> World:
    """So many of the unlabelled split; a smaller one is a part of a larger one."""
    unlabelled = [product.picture for product in load_products(root) if split_of(product.line) == "unlabelled"]
    chosen = sorted(unlabelled, key=lambda picture: hash_number(f"do no harm {picture}"))[:count]
    labels = {
        picture: {column: word for column, word in words.items() if word not in ("", "NA", "na")}
        for picture, words in load_truth("fashion-products", root).items()
    }
    columns = ("kind", "colour", "gender")
    return World(
        name, root / "images", sorted(chosen), labels, columns, lambda _: load_tasks("fashion-products", root, "test")
    )


def closet(data: Path, _: Path) -> World:
    """Home photos without those of test's senders."""
    root = data / "closet"
    photos = load_photos(root)
    test = {photo.sender for photo in photos if photo.split == "test"}
    with (root / "labels.csv").open(encoding="utf-8-sig", newline="") as table:
        unlabelled = [row["image"] for row in csv.DictReader(table) if row["sender"] not in test]
    val = [photo.image for photo in photos if photo.split == "val"]
    return World(
        "closet",
        root / "photos",
        sorted({*unlabelled, *val}),
        {image: words for image, words in load_truth("closet", root).items() if image in val},
        ("kind", "colour", "pattern"),
        lambda _: load_tasks("closet", root, "test"),
    )


def wardrobe(_: Path, out: Path) -> World:
    """The drawn world of the demo, seed 0."""
    root = out / "world"
    if not (root / "world.json").exists():
        triptych.write_wardrobe(root, lines=LINES, workers=1)
    names = (root / "unlabelled.txt").read_text(encoding="utf-8").split()
    return World(
        "wardrobe",
        root / "images",
        names,
        load_truth("wardrobe", root),
        ("kind", "colour", "pattern"),
        lambda _: load_tasks("wardrobe", root, "test"),
    )


def domains(data: Path, _: Path) -> World:
    """Pictures of seven kinds of things in four styles."""
    root = data / "domains"
    with (root / "pictures.csv").open(encoding="utf-8", newline="") as table:
        rows = {row["image"]: {"kind": row["kind"], "style": row["style"]} for row in csv.DictReader(table)}
    return World(
        "domains",
        root / "pictures",
        sorted(rows),
        rows,
        ("kind", "style"),
        lambda used: [_styles(root / "pictures", rows, used)],
        elsewhere=False,
    )


def _styles(root: Path, rows: Labels, used: Collection[str]) -> Task:
    """For each picture that is not used one query for another style of its kind."""
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, row in rows.items():
        alike[row["kind"], row["style"]].append(name)
    queries = []
    for name, row in sorted(rows.items()):
        others = sorted(style for kind, style in alike if kind == row["kind"] and style != row["style"])
        if name in used or not others:
            continue
        draw = hash_number(f"do no harm {name}")
        wanted = others[draw % len(others)]
        text = STYLES[(draw >> 32) % len(STYLES)].format(wanted)
        targets = frozenset(alike[row["kind"], wanted])
        queries.append(Query(name, name, text, targets, exclude=frozenset({name})))
    return Task("domains", "style", "all", root, tuple(sorted(rows)), tuple(queries))
