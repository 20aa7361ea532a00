"""Fashion200k and LaSCo."""

import pytest

from made_benchmarks import evaluate, read, write, write_picture
from triptych.benchmarks.registry import load_tasks
from triptych.core.errors import DataError
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask

DESCRIBED = {
    "women/dresses/1/1_0.jpeg": "black lace dress",
    "women/dresses/1/1_1.jpeg": "black lace dress",
    "women/dresses/2/2_0.jpeg": "red lace dress",
    "women/dresses/2/2_1.jpeg": "red lace dress",
    "women/tops/3/3_0.jpeg": "red lace top",
}


@pytest.fixture
def fashion200k(tmp_path):
    for kind in ("dresses", "tops"):
        lines = [f"{name}\t0.9\t{text}\n" for name, text in DESCRIBED.items() if kind in name]
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{kind}_test_detect_all.txt").write_text("".join(lines))
    (tmp_path / "labels" / "dresses_train_detect_all.txt").write_text("women/dresses/9/9_0.jpeg\t0.9\told dress\n")
    lines = ["women/dresses/1/1_0.jpeg women/dresses/2/2_1.jpeg", "women/dresses/2/2_0.jpeg women/tops/3/3_0.jpeg"]
    (tmp_path / "test_queries.txt").write_text("\n".join(lines) + "\n")
    for seed, name in enumerate(DESCRIBED):
        write_picture(tmp_path / name, seed)
    return tmp_path


@pytest.fixture
def lasco(tmp_path):
    names = [f"COCO_val2014_{number:012d}.jpg" for number in range(6)]
    corpus = [{"id": number, "path": f"val/val2014/{name}"} for number, name in enumerate(names)]
    write(tmp_path / "lasco_val_corpus.json", corpus)
    queries = [
        {
            "qid": 1000 + number,
            "query-image": [number, f"val2014/{names[number]}"],
            "query-text": f"There are {number} dogs",
            "target-image": [number + 1, f"val2014/{names[number + 1]}"],
        }
        for number in range(3)
    ]
    write(tmp_path / "lasco_val.json", queries)
    for seed, name in enumerate(names):
        write_picture(tmp_path / "val2014" / name, seed)
    return tmp_path


def test_one_word_apart(fashion200k):
    (task,) = load_tasks("fashion200k", fashion200k, "test")
    assert task.gallery == tuple(sorted(DESCRIBED))
    assert [query.modification for query in task.queries] == ["replace black with red", "replace dress with top"]
    # Every picture with the target's description answers.
    assert task.queries[0].targets == {"women/dresses/2/2_0.jpeg", "women/dresses/2/2_1.jpeg"}
    (row,) = evaluate("fashion200k", root=fashion200k, split="test", methods=["picture"], threads=1).rows
    assert set(row.metrics) == {"R@1", "R@10", "R@50"}
    assert row.metrics["R@10"] == 100
    assert row.protocol["reference"] == "removed"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("test_queries.txt", "one\n", "test_queries.txt:1: not a source and a target picture"),
        ("test_queries.txt", "women/x.jpeg women/tops/3/3_0.jpeg\n", "'women/x.jpeg' is not in the test labels"),
        ("test_queries.txt", "women/dresses/1/1_0.jpeg women/dresses/1/1_1.jpeg\n", "the same description"),
        ("test_queries.txt", "\n", "no queries"),
        ("labels/tops_test_detect_all.txt", "women/tops/3/3_0.jpeg red\n", "tops_test_detect_all.txt:1: not a path"),
        ("labels/tops_test_detect_all.txt", "/etc/passwd\t1\tred\n", "leads outside"),
    ],
)
def test_wrong_fashion200k_files(fashion200k, file, content, message):
    (fashion200k / file).write_text(content)
    with pytest.raises(DataError) as caught:
        load_tasks("fashion200k", fashion200k, "test")
    assert message in str(caught.value)


def test_missing_fashion200k_files_are_named_with_their_source(fashion200k):
    (fashion200k / "test_queries.txt").unlink()
    with pytest.raises(DataError, match=r"test_queries\.txt: missing; .*google/tirg"):
        load_tasks("fashion200k", fashion200k, "test")
    (fashion200k / "labels").rename(fashion200k / "label")
    with pytest.raises(DataError, match=r"has no labels .*xthan/fashion-200k"):
        load_tasks("fashion200k", fashion200k, "test")


def test_lasco_ranks_over_its_corpus(lasco):
    (task,) = load_tasks("lasco", lasco, "val")
    assert (len(task.queries), len(task.gallery)) == (3, 6)
    query = task.queries[1]
    assert (query.id, query.reference, query.targets) == (
        "1001",
        "COCO_val2014_000000000001.jpg",
        {"COCO_val2014_000000000002.jpg"},
    )
    row = EncodedTask(task, load_encoder("wardrobe", threads=1))
    ranks = row.ranks(row.references, row.gallery)
    assert all(found[0] > 1 for found in ranks)  # the reference is first, where it is kept
    (result,) = evaluate("lasco", root=lasco, split="val", methods=["picture"], threads=1).rows
    assert set(result.metrics) == {f"R@{k}" for k in (1, 5, 10, 50, 100, 500, 1000)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query-image": [9, "val2014/other.jpg"]}, "'other.jpg' is not in the corpus"),
        ({"query-image": "val2014/other.jpg"}, '"query-image" must be a list'),
        ({"query-image": [9]}, '"query-image" must be an id and a path'),
        ({"target-image": [1, "val2014/COCO_val2014_000000000001.jpg"]}, "is its own target"),
        ({"query-text": None}, '"query-text" must be a string'),
    ],
)
def test_a_wrong_lasco_entry_is_named(lasco, change, message):
    path = lasco / "lasco_val.json"
    entries = read(path)
    entries[1] |= change
    write(path, entries)
    with pytest.raises(DataError) as caught:
        load_tasks("lasco", lasco, "val")
    assert str(caught.value).startswith(f"{path}: entry 2: ")
    assert message in str(caught.value)
