import json

import pytest
from PIL import Image

from triptych.benchmarks.datasets.queries import load_queries
from triptych.benchmarks.datasets.wardrobe.benchmark import load_wardrobe
from triptych.benchmarks.registry import load_tasks
from triptych.core.errors import DataError, UsageError

GOOD = {"reference": "a.jpg", "modification": "in red", "targets": ["b.jpg"]}


@pytest.fixture
def gallery(tmp_path):
    folder = tmp_path / "gallery"
    for name in ("a.jpg", "b.jpg", "c.jpg", "more/d.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), "red").save(folder / name)
    return folder


def write(path, *lines):
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_queries_of_a_folder(tmp_path, gallery):
    full = {
        "reference": "more/d.jpg",
        "modification": "bigger",
        "targets": ["c.jpg", "b.jpg", "c.jpg"],
        "candidates": ["c.jpg", "a.jpg", "b.jpg", "more/d.jpg", "a.jpg"],
        "exclude": ["a.jpg"],
        "change": {"size": "big"},
        "author": "me",
    }
    task = load_queries(write(tmp_path / "mine.jsonl", GOOD, "", "  ", full), gallery)
    assert (task.benchmark, task.name, task.split) == ("queries", "mine", "all")
    assert task.root == gallery
    assert task.gallery == ("a.jpg", "b.jpg", "c.jpg", "more/d.jpg")
    plain, closed = task.queries
    assert (plain.id, plain.reference, plain.modification) == ("1", "a.jpg", "in red")
    assert (plain.targets, plain.candidates, plain.exclude, plain.change) == (
        {"b.jpg"},
        None,
        {"a.jpg"},
        None,
    )
    assert closed.id == "4"
    assert closed.targets == {"b.jpg", "c.jpg"}
    assert closed.candidates == ("c.jpg", "a.jpg", "b.jpg", "more/d.jpg")
    assert closed.exclude == {"a.jpg", "more/d.jpg"}
    assert closed.change == {"size": "big"}


def test_a_reference_may_stand_outside_a_listed_gallery(tmp_path, gallery):
    listed = tmp_path / "some.txt"
    listed.write_text("b.jpg\nc.jpg\n")
    queries = write(tmp_path / "q.jsonl", {**GOOD, "exclude": ["more/d.jpg"]})
    task = load_queries(queries, listed, gallery)
    assert task.gallery == ("b.jpg", "c.jpg")
    assert task.root == gallery
    with pytest.raises(DataError, match=r"'a\.jpg' is not in the gallery"):
        load_queries(write(queries, {**GOOD, "reference": "c.jpg", "targets": ["a.jpg"]}), listed, gallery)


def test_a_byte_order_mark_is_ignored(tmp_path, gallery):
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n")
    assert len(load_queries(path, gallery).queries) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('["a.jpg"]', "not a JSON object"),
        ({"modification": "x", "targets": ["b.jpg"]}, '"reference" is missing'),
        ({"reference": "a.jpg", "targets": ["b.jpg"]}, '"modification" is missing'),
        ({"reference": "a.jpg", "modification": "x"}, '"targets" is missing'),
        ({**GOOD, "reference": 3}, '"reference" must be a string'),
        ({**GOOD, "modification": " "}, '"modification" must be a string'),
        ({**GOOD, "targets": "b.jpg"}, '"targets" must be a list'),
        ({**GOOD, "targets": [1]}, '"targets" must be a list'),
        ({**GOOD, "targets": []}, '"targets" is empty'),
        ({**GOOD, "candidates": {"b.jpg": 1}}, '"candidates" must be a list'),
        ({**GOOD, "exclude": "c.jpg"}, '"exclude" must be a list'),
        ({**GOOD, "change": ["red"]}, '"change" must be an object'),
        ({**GOOD, "change": {"colour": 1}}, '"change" must be an object'),
        ({**GOOD, "reference": "z.jpg"}, "no picture 'z.jpg'"),
        ({**GOOD, "reference": ""}, '"reference" must be a string'),
        ({**GOOD, "reference": "more"}, "no picture 'more'"),
        ({**GOOD, "exclude": ["z.jpg"]}, "no picture 'z.jpg'"),
        ({**GOOD, "targets": ["z.jpg"]}, "the target 'z.jpg' is not in the gallery"),
        ({**GOOD, "candidates": ["b.jpg", "z.jpg"]}, "the candidate 'z.jpg' is not in the gallery"),
        ({**GOOD, "candidates": ["c.jpg"]}, "'b.jpg' is not among the candidates"),
        ({**GOOD, "candidates": []}, "'b.jpg' is not among the candidates"),
        ({**GOOD, "targets": ["b.jpg", "a.jpg"]}, "'a.jpg' is among its own targets"),
        ({**GOOD, "exclude": ["b.jpg"]}, "'b.jpg' is also in \"exclude\""),
    ],
)
def test_a_wrong_line_is_named(tmp_path, gallery, line, message):
    path = write(tmp_path / "q.jsonl", GOOD, "", line)
    with pytest.raises(DataError) as caught:
        load_queries(path, gallery)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_queries(tmp_path, gallery):
    with pytest.raises(DataError, match="no queries"):
        load_queries(write(tmp_path / "q.jsonl", "", " "), gallery)
    with pytest.raises(DataError, match="not a readable queries file"):
        load_queries(tmp_path / "none.jsonl", gallery)
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a readable queries file"):
        load_queries(tmp_path / "binary.jsonl", gallery)


def test_wardrobe(tmp_path, gallery):
    gallery.rename(tmp_path / "images")
    (tmp_path / "val.txt").write_text("a.jpg\nb.jpg\nc.jpg\n")
    write(tmp_path / "queries.val.jsonl", {**GOOD, "change": {"colour": "red"}})
    task = load_wardrobe(tmp_path, "val")
    assert (task.benchmark, task.name, task.split) == ("wardrobe", "edits", "val")
    assert task.root == tmp_path / "images"
    assert task.gallery == ("a.jpg", "b.jpg", "c.jpg")
    assert task.queries[0].change == {"colour": "red"}
    assert load_tasks("wardrobe", tmp_path, "val") == [task]
    with pytest.raises(UsageError, match=r"test\.txt"):
        load_wardrobe(tmp_path, "test")


def test_unknown_benchmarks_and_splits(tmp_path):
    with pytest.raises(UsageError, match="no such benchmark; there are fashion-products, closet, wardrobe"):
        load_tasks("nonsense", tmp_path, "val")
    with pytest.raises(UsageError, match="wardrobe has no split 'train'; choose one of val, test"):
        load_tasks("wardrobe", tmp_path, "train")
