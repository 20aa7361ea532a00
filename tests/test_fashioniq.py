import os
from pathlib import Path

import numpy as np
import pytest

from made_benchmarks import CATEGORIES, evaluate, read, write, write_fashioniq
from triptych.benchmarks.registry import load_tasks
from triptych.composers.baselines import TextOnly, WeightedSum
from triptych.core.errors import DataError, UsageError
from triptych.core.images import open_picture
from triptych.core.vectors import unit
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.selection import best_weight

REAL = Path(os.environ.get("TRIPTYCH_DATA", "../shared/data")) / "fashioniq"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no FashionIQ captions in {REAL}; set TRIPTYCH_DATA")


@pytest.fixture
def root(tmp_path):
    return write_fashioniq(tmp_path / "fashion-iq")


@pytest.fixture(scope="module")
def engine():
    return load_encoder("wardrobe", threads=1)


@needs_real
def test_the_official_files():
    tasks = load_tasks("fashioniq", REAL, "val")
    assert [task.name for task in tasks] == list(CATEGORIES)
    assert [(len(task.queries), len(task.gallery)) for task in tasks] == [(2017, 3817), (2038, 6346), (1961, 5373)]
    first = tasks[0].queries[0]
    assert (first.reference, first.targets) == ("B005X4PL1G", {"B0084Y8XIU"})
    assert first.modification == "is shiny and silver with shorter sleeves and fit and flare"
    assert tasks[2].queries[0].modification == "is the same and appears to be exactly the same"
    assert tasks[0].file("B005X4PL1G") == REAL / "images" / "B005X4PL1G.jpg"
    union = load_tasks("fashioniq", REAL, "val", ["gallery=union", "captions=both-orders"])
    assert [len(task.gallery) for task in union] == [2628, 3089, 2902]
    assert union[0].queries[0].other_wordings == ("fit and flare and is shiny and silver with shorter sleeves",)


def test_rows_for_each_category_and_their_mean(root):
    result = evaluate("fashioniq", root=root, split="val", methods=["picture", "sum"], threads=1)
    rows = result.rows
    assert [(row.task, row.method) for row in rows] == [
        (task, method) for task in (*CATEGORIES, "mean") for method in ("picture", "sum")
    ]
    for row in rows:
        assert set(row.metrics) == {"R@10", "R@50"}
        assert row.protocol == {
            "prompt": "{text}",
            "picture": "encoder",
            "gallery": "original",
            "captions": "first-and-second",
            "reference": "kept",
        }
        assert row.unreadable == row.lost_queries == 0
    pictures = [row for row in rows if row.method == "picture"]
    *parts, mean = [row.metrics["R@10"] for row in pictures]
    assert mean == pytest.approx(sum(parts) / 3, abs=1e-3)
    assert (pictures[-1].queries, pictures[-1].gallery) == (18, 42)
    # val is what is measured, so that no weight is chosen on it.
    assert {(row.weight, row.weight_from) for row in rows if row.method == "sum"} == {(0.5, "default")}


def test_ranks_are_those_of_a_plain_search(root, engine):
    task = load_tasks("fashioniq", root, "val")[0]
    encoded = EncodedTask(task, engine)
    names = read(root / "image_splits" / "split.dress.val.json")
    files = [root / "images" / f"{name}.{'png' if name == names[-1] else 'jpg'}" for name in names]
    vectors = engine.encode_pictures(np.stack([engine.prepare(open_picture(file)) for file in files]))
    ranks = encoded.ranks(encoded.references, encoded.gallery)
    for query, found in zip(read(root / "captions" / "cap.dress.val.json"), ranks, strict=True):
        scores = vectors @ vectors[names.index(query["candidate"])]
        order = [names[place] for place in np.argsort(-scores, kind="stable")]
        assert order[0] == query["candidate"]  # the reference stays in the gallery
        assert found.tolist() == [order.index(query["target"]) + 1]
    removed = EncodedTask(load_tasks("fashioniq", root, "val", ["reference=removed"])[0], engine)
    assert [int(found[0]) + 1 for found in removed.ranks(removed.references, removed.gallery)] == [
        int(found[0]) for found in ranks
    ]


def test_captions_are_joined_as_chosen(root, engine):
    def queries(*settings):
        return load_tasks("fashioniq", root, "val", settings)[1].queries

    # SEARLE's code strips these ends: a full stop, a question mark, a comma, a space.
    first, second = "is redder than 2 and has 2 buttons", "has 2 buttons and is redder than 2"
    assert queries()[2].modification == first
    assert queries("captions=second-and-first")[2].modification == second
    both = queries("captions=both-orders", "prompt=a photo that {text}")[2]
    assert (both.modification, both.other_wordings) == (f"a photo that {first}", (f"a photo that {second}",))
    task = EncodedTask(load_tasks("fashioniq", root, "val", ["captions=both-orders"])[1], engine)
    expected = unit(engine.encode_texts([first]) + engine.encode_texts([second]))
    np.testing.assert_allclose(task.compose(TextOnly(engine))[2:3], expected, atol=1e-6)
    # A weight is chosen on the same query vectors that are measured.
    weight = best_weight(WeightedSum("sum", TextOnly(engine)), task)
    assert 0 < weight < 1


def test_a_union_gallery_holds_what_the_captions_name(root):
    task = load_tasks("fashioniq", root, "val", ["gallery=union"])[0]
    assert task.gallery == tuple(f"BDRESS{number:02}" for number in range(9))


def test_withdrawn_pictures_are_counted(root, capfd):
    (root / "images" / "BSHIRT00.jpg").unlink()
    (root / "images" / "BSHIRT12.jpg").unlink()
    rows = evaluate("fashioniq", root=root, split="val", methods=["picture"], threads=1).rows
    shirt, mean = rows[1], rows[3]
    assert (shirt.unreadable, shirt.lost_queries, shirt.queries, shirt.gallery) == (2, 1, 5, 12)
    assert (mean.unreadable, mean.lost_queries) == (2, 1)
    assert "shirt: 2 pictures cannot be read; 1 queries need them and are left out" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "BSHIRT01"}, "'BSHIRT01' is not in the image split"),
        ({"candidate": "unknown"}, "'unknown' is not in the image split"),
        ({"target": "BDRESS01"}, "'BDRESS01' is its own target"),
        ({"target": 3}, '"target" must be a string'),
        ({"captions": ["one"]}, '"captions" must have two'),
        ({"captions": ["one", 2]}, '"captions" must be a list of strings'),
        ({"captions": "one"}, '"captions" must be a list'),
    ],
)
def test_a_wrong_entry_is_named(root, change, message):
    path = root / "captions" / "cap.dress.val.json"
    entries = read(path)
    entries[1] |= change
    write(path, entries)
    with pytest.raises(DataError) as caught:
        load_tasks("fashioniq", root, "val")
    assert str(caught.value).startswith(f"{path}: entry 2: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["[", "{}", "[]", "[1]", '[{"target": "a", "target": "b"}]'])
def test_spoilt_captions(root, content):
    path = root / "captions" / "cap.toptee.val.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"cap\.toptee\.val\.json"):
        load_tasks("fashioniq", root, "val")


def test_what_is_missing_is_named_with_its_source(root):
    (root / "image_splits" / "split.shirt.val.json").rename(root / "elsewhere.json")
    with pytest.raises(DataError, match=r"split\.shirt\.val\.json: missing; .*XiaoxiaoGuo/fashion-iq"):
        load_tasks("fashioniq", root, "val")
    (root / "elsewhere.json").rename(root / "image_splits" / "split.shirt.val.json")
    (root / "images").rename(root / "photos")
    with pytest.raises(DataError, match=r"no such folder; .*hongwang600/fashion-iq-metadata"):
        evaluate("fashioniq", root=root, split="val", methods=["picture"], threads=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["gallery=both"], "gallery is one of original, union"),
        (["galery=union"], r"fashioniq has the settings prompt=.*gallery=original\|union"),
        (["gallery"], "fashioniq has the settings"),
        (["gallery=union", "gallery=union"], "given twice"),
        (["prompt=a photo"], r"prompt must contain \{text\}"),
    ],
)
def test_settings_that_make_no_sense(root, settings, message):
    with pytest.raises(UsageError, match=message):
        load_tasks("fashioniq", root, "val", settings)


def test_benchmarks_without_settings(tmp_path):
    with pytest.raises(UsageError, match="wardrobe has no settings"):
        load_tasks("wardrobe", tmp_path, "val", ["gallery=union"])
