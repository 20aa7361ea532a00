import os
from pathlib import Path

import numpy as np
import pytest

from made_benchmarks import evaluate, read, write, write_cirr
from triptych.benchmarks.datasets.cirr import SUBMISSION
from triptych.benchmarks.registry import load_tasks
from triptych.benchmarks.submissions import read_submission, write_submission
from triptych.core.errors import DataError, UsageError
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.scoring import score

REAL = Path(os.environ.get("TRIPTYCH_DATA", "../shared/data")) / "cirr"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no CIRR annotations in {REAL}; set TRIPTYCH_DATA")
RECALL, SUBSET = "test1_pred_ranks_recall.json", "test1_pred_ranks_recall_subset.json"


@pytest.fixture
def root(tmp_path):
    return write_cirr(write_cirr(tmp_path / "cirr"), "test1", groups=2)


@needs_real
def test_the_official_files():
    (val,) = load_tasks("cirr", REAL, "val")
    assert (len(val.queries), len(val.gallery)) == (4181, 2297)
    first = val.queries[0]
    assert (first.id, first.reference, first.targets) == ("12060", "dev-244-0-img0", {"dev-1028-1-img1"})
    assert first.modification == "show three bottles of soft drink"
    assert set(first.group) == {
        "dev-430-3-img0",
        "dev-63-0-img1",
        "dev-1028-1-img1",
        "dev-1028-2-img1",
        "dev-1028-2-img0",
    }
    assert val.file("dev-244-0-img0") == REAL / "img_raw" / "dev" / "dev-244-0-img0.png"
    (test1,) = load_tasks("cirr", REAL, "test1")
    assert (len(test1.queries), len(test1.gallery), test1.public) == (4148, 2315, False)
    assert test1.queries[0].modification == "remove all but one dog and add a woman hugging it"


@needs_real
def test_the_example_submissions_are_valid_and_round_trip(tmp_path):
    result = score("cirr", root=REAL, split="test1", submission=REAL / "demo_files")
    assert result.rows == []
    assert result.submission.depth == {"recall": 50, "recall_subset": 3}
    (task,) = load_tasks("cirr", REAL, "test1")
    for file, name in zip(SUBMISSION.files, (RECALL, SUBSET), strict=True):
        answers = read_submission(SUBMISSION, task, REAL / "demo_files" / name)[file]
        write_submission(SUBMISSION, file, tmp_path / name, answers)
        assert (tmp_path / name).read_bytes() == (REAL / "demo_files" / name).read_bytes().rstrip()


@needs_real
def test_planted_rankings_of_the_official_val_queries_have_the_official_numbers(tmp_path):
    """The target at a place that follows from the query's number; recall as the server counts it."""
    entries = read(REAL / "captions" / "cap.rc2.val.json")
    names = sorted(read(REAL / "image_splits" / "split.rc2.val.json"))
    places = {str(entry["pairid"]): (entry["pairid"] * entry["pairid"] % 67, entry["pairid"] % 5) for entry in entries}
    for metric, kept in (("recall", 50), ("recall_subset", 3)):
        content = {"version": "rc2", "metric": metric}
        for entry in entries:
            query, target = str(entry["pairid"]), entry["target_hard"]
            pool = names[:70] if metric == "recall" else entry["img_set"]["members"]
            order = [name for name in pool if name not in (target, entry["reference"])]
            order.insert(places[query][metric == "recall_subset"], target)
            content[query] = order[:kept]
        write(tmp_path / f"val_pred_ranks_{metric}.json", content)
    (row,) = score("cirr", root=REAL, split="val", submission=tmp_path).rows
    expected = {f"R@{k}": np.mean([place < k for place, _ in places.values()]) for k in (1, 5, 10, 50)}
    expected |= {f"R_subset@{k}": np.mean([place < k for _, place in places.values()]) for k in (1, 2, 3)}
    expected["Avg"] = (expected["R@5"] + expected["R_subset@1"]) / 2
    assert row.metrics == pytest.approx({name: 100 * value for name, value in expected.items()}, abs=1e-3)
    shown = [round(row.metrics[name], 2) for name in ("R@1", "R@5", "R@10", "R@50", "R_subset@1")]
    assert shown == [1.58, 7.7, 13.75, 75.58, 19.49]  # the figures of docs/reference/benchmarks.md


def test_ranks_are_those_of_a_plain_search(root):
    (row,) = evaluate("cirr", root=root, split="val", methods=["picture"], threads=1).rows
    engine = load_encoder("wardrobe", threads=1)
    task = EncodedTask(load_tasks("cirr", root, "val")[0], engine)
    names, hits = task.gallery_names, {"R@1": 0, "R@5": 0, "R_subset@1": 0, "R_subset@2": 0}
    entries = read(root / "captions" / "cap.rc2.val.json")
    for entry in entries:
        scores = task.gallery @ task.gallery[names.index(entry["reference"])]
        order = [names[place] for place in np.argsort(-scores) if names[place] != entry["reference"]]
        within = [name for name in order if name in entry["img_set"]["members"]]
        for metric in hits:
            ranked, k = within if "subset" in metric else order, int(metric[-1])
            hits[metric] += entry["target_hard"] in ranked[:k]
    for metric, count in hits.items():
        assert row.metrics[metric] == pytest.approx(100 * count / len(entries), abs=1e-3)
    assert list(row.metrics) == [*(f"R@{k}" for k in (1, 5, 10, 50)), *(f"R_subset@{k}" for k in (1, 2, 3)), "Avg"]
    assert row.metrics["Avg"] == pytest.approx((row.metrics["R@5"] + row.metrics["R_subset@1"]) / 2, abs=1e-3)
    assert row.protocol["reference"] == "removed"


def test_the_reference_is_removed_unless_it_is_kept(root):
    (removed,) = evaluate("cirr", root=root, split="val", methods=["picture"], threads=1).rows
    options = {"root": root, "split": "val", "methods": ["picture"], "threads": 1}
    (kept,) = evaluate("cirr", settings=["reference=kept"], **options).rows
    assert kept.metrics["R@1"] == 0  # a search by the picture finds the picture
    assert kept.metrics["R_subset@3"] == removed.metrics["R_subset@3"]
    assert kept.protocol == removed.protocol | {"reference": "kept"}


def test_a_submission_scores_what_the_evaluation_says(root, tmp_path):
    options = {"root": root, "split": "val", "methods": ["picture"], "threads": 1}
    (row,) = evaluate("cirr", submission=tmp_path / "mine", **options).rows
    result = score("cirr", root=root, split="val", submission=tmp_path / "mine", output=tmp_path / "result.json")
    assert read(tmp_path / "result.json") == result.as_json()
    scored = result.rows[0]
    assert scored.metrics == row.metrics
    assert (scored.method, scored.queries, scored.gallery) == ("mine", 6, 18)
    one = score("cirr", root=root, split="val", submission=tmp_path / "mine" / "val_pred_ranks_recall_subset.json")
    assert set(one.rows[0].metrics) == {"R_subset@1", "R_subset@2", "R_subset@3"}


def test_submissions_of_the_hidden_split(root, tmp_path):
    options = {"root": root, "split": "test1", "methods": ["sum"], "threads": 1}
    result = evaluate("cirr", submission=tmp_path, **options)
    assert (result.rows, result.submission) == ([], [str(tmp_path / RECALL), str(tmp_path / SUBSET)])
    recall, subset = read(tmp_path / RECALL), read(tmp_path / SUBSET)
    assert (recall.pop("version"), recall.pop("metric")) == ("rc2", "recall")
    assert (subset.pop("version"), subset.pop("metric")) == ("rc2", "recall_subset")
    assert set(recall) == set(subset) == {"100", "101", "110", "111"}
    for entry in read(root / "captions" / "cap.rc2.test1.json"):
        names, group = recall[str(entry["pairid"])], subset[str(entry["pairid"])]
        assert len(set(names)) == 11  # all but the reference; of the real ones, 50
        assert entry["reference"] not in [*names, *group]
        assert group == [name for name in names if name in entry["img_set"]["members"]][:3]
    assert score("cirr", root=root, split="test1", submission=tmp_path).rows == []


def test_a_hidden_split_needs_a_submission_of_one_method_with_all_pictures(root, tmp_path):
    options = {"root": root, "split": "test1", "threads": 1}
    with pytest.raises(UsageError, match="targets of test1 are not public; give --submission"):
        evaluate("cirr", methods=["text"], **options)
    with pytest.raises(UsageError, match="one method"):
        evaluate("cirr", methods=["text", "picture"], submission=tmp_path, **options)
    with pytest.raises(UsageError, match="there are 2 files to write; give a folder"):
        evaluate("cirr", methods=["text"], submission=tmp_path / "one.json", **options)
    with pytest.raises(UsageError, match="fashioniq has no submission server"):
        evaluate("fashioniq", root=root, split="val", methods=["text"], submission=tmp_path, threads=1)
    (root / "img_raw" / "test1" / "test1-1-5-img0.png").unlink()
    with pytest.raises(DataError, match="1 pictures cannot be read; a submission needs all"):
        evaluate("cirr", methods=["text"], submission=tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()


def test_a_weight_for_test1_is_chosen_on_val(root, tmp_path, capfd):
    options = {"root": root, "split": "test1", "methods": ["sum"], "threads": 1}
    evaluate("cirr", submission=tmp_path, **options)
    assert "the weight is 0.5" not in capfd.readouterr().err
    (root / "img_raw" / "dev").rename(root / "elsewhere")
    evaluate("cirr", submission=tmp_path, **options)
    assert "the weight is 0.5" in capfd.readouterr().err
    (root / "captions" / "cap.rc2.val.json").unlink()
    evaluate("cirr", submission=tmp_path, **options)
    assert "there is no validation split, so the weight is 0.5" in capfd.readouterr().err


def test_annotations_may_lie_in_a_folder_of_their_own(root):
    expected = load_tasks("cirr", root, "val")[0]
    outer = root.parent / "outer"
    (outer / "cirr").mkdir(parents=True)
    for name in ("captions", "image_splits"):
        (root / name).rename(outer / "cirr" / name)
    (root / "img_raw" / "dev").rename(outer / "dev")
    moved = load_tasks("cirr", outer, "val")[0]
    assert moved.queries == expected.queries
    assert moved.file(moved.gallery[0]) == outer / "dev" / f"{moved.gallery[0]}.png"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": "dev-9-9-img9"}, "'dev-9-9-img9' is not in the image split"),
        ({"target_hard": "dev-0-1-img0"}, "'dev-0-1-img0' is its own target"),
        ({"target_hard": "dev-1-1-img0"}, "not in its own group"),
        ({"pairid": "1"}, "\"pairid\" is '1', which is not a whole number"),
        ({"pairid": 0}, "the pairid 0 appears twice"),
        ({"img_set": []}, "img_set: not an object"),
        ({"img_set": {"members": ["dev-0-1-img0", 4]}}, '"members" must be a list of strings'),
        ({"caption": None}, '"caption" must be a string'),
    ],
)
def test_a_wrong_entry_is_named(root, change, message):
    path = root / "captions" / "cap.rc2.val.json"
    entries = read(path)
    entries[1] |= change
    write(path, entries)
    with pytest.raises(DataError) as caught:
        load_tasks("cirr", root, "val")
    assert str(caught.value).startswith(f"{path}: entry 2")
    assert message in str(caught.value)


def test_paths_stay_inside(root):
    path = root / "image_splits" / "split.rc2.val.json"
    write(path, {"dev-0-0-img0": "../../etc/passwd"})
    with pytest.raises(DataError, match="leads outside"):
        load_tasks("cirr", root, "val")
    write(path, ["dev-0-0-img0"])
    with pytest.raises(DataError, match="not an object of names and paths"):
        load_tasks("cirr", root, "val")
