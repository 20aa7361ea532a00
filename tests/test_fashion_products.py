import csv
import itertools
import os
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.benchmarks.datasets.fashion_products.benchmark import FASHION_PRODUCTS
from triptych.benchmarks.datasets.fashion_products.phrasings import TEST, VAL, phrase
from triptych.benchmarks.datasets.fashion_products.products import (
    CHANGES,
    load_fashion_products,
    load_products,
    prepare_fashion_products,
    split_of,
)
from triptych.benchmarks.datasets.fashion_products.words import with_article, word_for
from triptych.benchmarks.datasets.wardrobe.benchmark import WARDROBE
from triptych.benchmarks.registry import load_tasks, load_truth
from triptych.benchmarks.task import Query
from triptych.composers.baselines import PictureOnly
from triptych.core.errors import DataError
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.error_analysis import count_mistakes, format_mistakes, kind_of_answer, kinds_over

COLUMNS = "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName"
REAL = Path(os.environ.get("TRIPTYCH_DATA", Path(__file__).parents[1] / "../shared/data")) / "fashion-products"
real = pytest.mark.skipif(not (REAL / "styles.csv").is_file(), reason=f"no real photos in {REAL}")

# The made products: id, gender, articleType, baseColour, usage, title
ROWS = [
    (1, "Men", "Tshirts", "Blue", "Casual", "Acme Men's Blue Polo T-shirt"),
    (2, "Men", "Tshirts", "Red", "Casual", "ACME Men's Polo  Red T-Shirt"),
    (3, "Men", "Tshirts", "Red", "Casual", "Acme Men's Red/White Polo T-shirt"),
    (4, "Men", "Tshirts", "Off White", "Casual", "Acme Men's Off-White Polo T-shirt"),
    (5, "Women", "Tshirts", "Red", "Casual", "Acme Women's Red Polo T-shirt"),
    (6, "Women", "Shirts", "Red", "Casual", "Acme Women's Shirt, red, slim"),  # no quotes: overflows
    (7, "Men", "Tshirts", "Red", "Formal", "Other Formal Tee"),
    (8, "Women", "Tshirts", "Black", "Casual", "Acme Women's Black Polo T-shirt"),
    (9, "Men", "Tshirts", "NA", "Casual", "Acme Men's Polo T-shirt"),
]


@pytest.fixture
def made(tmp_path):
    root = tmp_path / "made"
    write(root, [*ROWS, (99, "Men", "Tshirts", "Green", "Casual", "Acme Men's Green Polo T-shirt")])
    (root / "images" / "99.jpg").unlink()
    return root


def write(root, rows):
    (root / "images").mkdir(parents=True)
    lines = [COLUMNS]
    for number, gender, kind, colour, usage, title in rows:
        lines.append(f"{number},{gender},Apparel,Topwear,{kind},{colour},Summer,2012,{usage},{title}")
        Image.new("RGB", (12, 16), "red").save(root / "images" / f"{number}.jpg")
    (root / "styles.csv").write_text("\n".join(lines) + "\n")


def test_table(made):
    products = {product.id: product for product in load_products(made)}
    assert sorted(products) == list("123456789")
    assert products["6"].title == "Acme Women's Shirt, red, slim"
    assert products["1"].picture == "1.jpg"
    assert products["1"].line == "acme mens polo t shirt tshirts men"
    assert {products[name].line for name in "12349"} == {products["1"].line}
    assert products["5"].line == "acme womens polo t shirt tshirts women"
    assert products["6"].line == "acme womens shirt slim shirts women"


def test_colourway(made):
    task = load_fashion_products(made, "all", "colourway")
    assert (task.benchmark, task.name, task.split) == ("fashion-products", "colourway", "all")
    assert task.root == made / "images"
    assert task.gallery == tuple(f"{number}.jpg" for number in range(1, 10))
    assert task.notes["products without a picture"] == 1
    found = {(query.reference, query.change["colour"]): query for query in task.queries}
    assert {key: sorted(query.targets) for key, query in found.items()} == {
        ("1.jpg", "red"): ["2.jpg", "3.jpg"],
        ("1.jpg", "off-white"): ["4.jpg"],
        ("2.jpg", "blue"): ["1.jpg"],
        ("2.jpg", "off-white"): ["4.jpg"],
        ("3.jpg", "blue"): ["1.jpg"],
        ("3.jpg", "off-white"): ["4.jpg"],
        ("4.jpg", "blue"): ["1.jpg"],
        ("4.jpg", "red"): ["2.jpg", "3.jpg"],
        ("5.jpg", "black"): ["8.jpg"],
        ("8.jpg", "red"): ["5.jpg"],
    }
    for query in task.queries:
        assert query.exclude == {query.reference}
        assert query.change["colour"] in query.modification
        assert query.candidates is None


def test_lines_of_more_than_ten_are_left_out(tmp_path):
    many = [
        (number, "Men", "Tshirts", colour, "Casual", f"Acme {colour} Tee")
        for number, colour in enumerate(["Red", "Blue"] * 5 + ["Green"])
    ]
    few = [
        (number + 50, "Men", "Tshirts", colour, "Casual", f"Apex {colour} Tee")
        for number, colour in enumerate(["Red", "Blue"] * 5)
    ]
    write(tmp_path / "made", many + few)
    task = load_fashion_products(tmp_path / "made", "all", "colourway")
    assert {query.reference for query in task.queries} == {f"{number}.jpg" for number in range(50, 60)}


def test_attribute(made):
    task = load_fashion_products(made, "all", "attribute")
    by_look = defaultdict(set)
    look_of = {}
    for number, gender, kind, colour, usage, _ in ROWS:
        look_of[f"{number}.jpg"] = (gender, kind, colour, usage)
        by_look[gender, kind, colour, usage].add(f"{number}.jpg")
    found = {(query.reference, tuple(query.change)) for query in task.queries}
    assert len(found) == len(task.queries)
    for query in task.queries:
        gender, kind, colour, usage = look_of[query.reference]
        words = {
            "gender": word_for("gender", gender),
            "kind": word_for("kind", kind),
            "colour": word_for("colour", colour),
        }
        assert all(words[name] != word for name, word in query.change.items())
        (answer,) = {look_of[target] for target in query.targets}
        assert query.targets == by_look[answer]
        assert answer[3] == usage
        reached = {"gender": answer[0], "kind": answer[1], "colour": answer[2]}
        assert {name: word_for(name, value) for name, value in reached.items()} == {**words, **query.change}
        assert query.exclude == {query.reference}
    # What is reachable at all: from 1 (men, t-shirt, blue) no woman's blue one; from 7 (formal) nothing.
    changes = {reference: {change for other, change in found if other == reference} for reference, _ in found}
    assert changes["1.jpg"] == {("colour",), ("colour", "gender")}
    assert changes["2.jpg"] == {("gender",), ("colour",), ("colour", "gender"), ("gender", "kind")}
    assert changes["6.jpg"] == {("kind",), ("colour", "kind"), ("gender", "kind")}
    assert "7.jpg" not in changes
    assert "9.jpg" not in changes


def test_the_order_of_the_table_does_not_matter(made):
    before = load_tasks("fashion-products", made, "all")
    header, *rows = (made / "styles.csv").read_text().splitlines()
    (made / "styles.csv").write_text("\n".join([header, *reversed(rows)]))
    assert load_tasks("fashion-products", made, "all") == before


def test_splits():
    shares = Counter(split_of(f"line {number}") for number in range(8000))
    assert shares["pretrain"] / 8000 == pytest.approx(0.375, abs=0.02)
    assert shares["unlabelled"] / 8000 == pytest.approx(0.375, abs=0.02)
    assert shares["val"] / 8000 == pytest.approx(0.1, abs=0.02)
    assert shares["test"] / 8000 == pytest.approx(0.15, abs=0.02)
    # A published split may never move.
    expected = ["unlabelled", "test", "pretrain", *["unlabelled"] * 3, *["pretrain"] * 2]
    assert [split_of(f"line {number}") for number in range(8)] == expected
    assert split_of("line 14") == "val"


def test_prepare_shows_titles_of_pretrain_only(tmp_path):
    rows = [(number, "Men", "Tshirts", "Red", "Casual", f"Tee, number {number}") for number in range(60)]
    write(tmp_path / "made", rows)
    out = tmp_path / "new" / "prepared"
    counts = prepare_fashion_products(tmp_path / "made", out)
    with (out / "pretrain.csv").open(newline="", encoding="utf-8") as table:
        captions = {row["image"]: row["caption"] for row in csv.DictReader(table)}
    listed = {name: (out / f"{name}.txt").read_text().split() for name in ("unlabelled", "val", "test")}
    assert counts == {
        "pretrain": len(captions),
        **{name: len(names) for name, names in listed.items()},
        "without a picture": 0,
    }
    assert sorted([*captions, *itertools.chain(*listed.values())]) == sorted(f"{row[0]}.jpg" for row in rows)
    assert all(caption == f"Tee, number {image.removesuffix('.jpg')}" for image, caption in captions.items())
    lines = {product.picture: product.line for product in load_products(tmp_path / "made")}
    assert all(split_of(lines[image]) == "pretrain" for image in captions)
    assert all(split_of(lines[image]) == name for name, images in listed.items() for image in images)
    assert sorted(os.listdir(out)) == ["pretrain.csv", "test.txt", "unlabelled.txt", "val.txt"]


def test_a_folder_that_is_not_the_dataset(tmp_path, made):
    with pytest.raises(DataError, match=r"styles\.csv.*paramaggarwal/fashion-product-images-small"):
        load_products(tmp_path)
    (tmp_path / "styles.csv").write_text(COLUMNS + "\n")
    with pytest.raises(DataError, match=r"images.*no such folder"):
        load_products(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="too few products for one colourway query"):
        load_fashion_products(tmp_path, "val", "colourway")
    (tmp_path / "styles.csv").write_text("id,title\n")
    with pytest.raises(DataError, match="no column gender, masterCategory"):
        load_products(tmp_path)
    (tmp_path / "styles.csv").write_text(f"{COLUMNS}\n1,Men\n")
    with pytest.raises(DataError, match=r"styles\.csv:2: 2 fields, not 10"):
        load_products(tmp_path)
    row = "1,Men,Apparel,Topwear,Tshirts,Red,Summer,2012,Casual,Tee\n"
    (tmp_path / "styles.csv").write_text(f"{COLUMNS}\n{row}{row}")
    with pytest.raises(DataError, match=r"styles\.csv:3: the id 1 appears twice"):
        load_products(tmp_path)


def test_phrasings_are_apart():
    training = {
        "in {colour}",
        "the same in {colour}",
        "but {colour}",
        "change the colour to {colour}",
        "{colour} instead",
        "make it {colour}",
        "i want it in {colour}",
        "for {gender}",
        "a {kind}",
        "{a_kind}",
        "as a {kind} instead",
        "as {a_kind} instead",
    }
    val, test = (set(itertools.chain(*ways.values())) for ways in (VAL, TEST))
    assert not val & test
    assert not training & (val | test)
    for ways in (VAL, TEST):
        assert set(ways) == {frozenset(change) for change in CHANGES}
        assert all(len(set(templates)) == len(templates) >= 8 for templates in ways.values())
        for change, templates in ways.items():
            for template in templates:
                said = {name.split("_")[-1] for name in re.findall(r"\{(\w+)\}", template)}
                said |= {"colour"} if "{a_colour_kind}" in template else set()
                assert said == change


def test_phrase_says_the_change():
    change = {"colour": "orange", "kind": "shirt"}
    said = {phrase("test", change, f"query {number}") for number in range(100)}
    assert len(said) == len(TEST[frozenset(change)])
    assert all("orange" in text and "shirt" in text and "a orange" not in text for text in said)
    assert phrase("all", change, "query 1") == phrase("test", change, "query 1")


def test_words():
    assert word_for("kind", "Tshirts") == "t-shirt"
    assert word_for("kind", "Casual Shoes") == "casual shoes"
    assert word_for("kind", "Things Unheard Of") == "things unheard of"
    assert word_for("colour", "Navy Blue") == "navy blue"
    assert word_for("gender", "Men") == "men"
    assert with_article("umbrella") == "an umbrella"
    assert with_article("dress", "orange") == "an orange dress"
    assert with_article("jeans", "orange") == "orange jeans"


@real
def test_real_words_are_distinct():
    products = load_products(REAL)
    for name in ("gender", "kind", "colour"):
        values = {getattr(product, name) for product in products}
        assert len({word_for(name, value) for value in values}) == len(values)


@real
@pytest.mark.parametrize(("split", "items"), [("val", 3595), ("test", 5393)])
def test_real_tasks(split, items):
    products = {product.picture: product for product in load_products(REAL)}
    for task in load_tasks("fashion-products", REAL, split):
        assert len(task.gallery) == items
        assert len(task.queries) == 3000
        assert len({query.id for query in task.queries}) == 3000
        gallery = set(task.gallery)
        for query in task.queries:
            reference = products[query.reference]
            assert query.reference in gallery
            assert query.targets <= gallery - query.exclude
            for target in query.targets:
                product = products[target]
                assert product.category == reference.category
                same = {"gender", "kind", "colour"} - set(query.change)
                assert all(getattr(product, name) == getattr(reference, name) for name in same)
                assert all(word_for(name, getattr(product, name)) == word for name, word in query.change.items())
    by_change = task.notes["queries by change"]
    assert by_change == {"+".join(change): 500 for change in CHANGES}


def test_what_is_wrong_with_an_answer(made):
    truth = load_truth("fashion-products", made)
    attributes = FASHION_PRODUCTS.attributes
    query = Query("q", "1.jpg", "in red", frozenset({"2.jpg"}), change={"colour": "red"})
    said = {name: kind_of_answer(query, f"{name}.jpg", truth, attributes) for name in "2345678"}
    assert said == {
        "2": "target",
        "3": "another line",
        "4": "colour",
        "5": "gender",
        "6": "kind",
        "7": "another line",
        "8": "several",
    }
    to_shirt = Query("q", "1.jpg", "a shirt", frozenset({"6.jpg"}), change={"kind": "shirt"})
    assert kind_of_answer(to_shirt, "2.jpg", truth, attributes) == "colour and kind"
    others = {"women's": truth["6.jpg"], "men's": truth["6.jpg"] | {"gender": "men"}}
    said = {name: kind_of_answer(to_shirt, name, truth | others, attributes) for name in others}
    assert said == {"women's": "several", "men's": "colour"}


def test_what_is_wrong_with_an_answer_of_the_wardrobe():
    attributes = WARDROBE.attributes
    reference = dict.fromkeys(attributes, "") | {"kind": "shirt", "colour": "red", "pattern": "plain"}
    truth = {
        "reference": reference,
        "target": reference | {"colour": "blue"},
        "other line": reference | {"colour": "blue"},
        "print": reference | {"colour": "blue", "print": "star"},
        "unchanged": reference,
        "two": reference | {"pattern": "striped"},
        "kind": reference | {"colour": "blue", "kind": "dress", "length": "long"},
    }
    query = Query("q", "reference", "in blue", frozenset({"target"}), change={"colour": "blue"})
    assert {name: kind_of_answer(query, name, truth, attributes) for name in truth if name != "reference"} == {
        "target": "target",
        "other line": "another line",
        "print": "print",
        "unchanged": "colour",
        "two": "several",
        "kind": "kind",
    }


def test_shares_of_answers_add_up(made):
    class Alike:
        """All pictures are alike."""

        name, fingerprint, dim, logit_scale = "one hot", "one hot", 2, 1.0

        def prepare(self, picture):
            return np.zeros((3, 1, 1), np.float32)

        def encode_pictures(self, pixels):
            return np.tile(np.array([[1.0, 0.0]], np.float32), (len(pixels), 1))

        def encode_texts(self, texts):
            return np.tile(np.array([[0.0, 1.0]], np.float32), (len(texts), 1))

    task = EncodedTask(load_fashion_products(made, "all", "colourway"), Alike())
    attributes = FASHION_PRODUCTS.attributes
    rows = count_mistakes(task, {"picture": PictureOnly()}, load_truth("fashion-products", made), attributes)
    assert [(row["method"], row["depth"]) for row in rows] == [("picture", 1), ("picture", 10)]
    for row in rows:
        assert tuple(row["shares"]) == kinds_over(attributes)
        assert sum(row["shares"].values()) == pytest.approx(100, abs=0.5)
    assert "| picture | " in format_mistakes(rows)
    assert "first 10 answers" in format_mistakes(rows)
