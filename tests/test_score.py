"""Submission files: what is wrong with them, one clear line each, and the commands around them."""

import json

import pytest

from made_benchmarks import read, write, write_circo, write_cirr, write_fashioniq
from triptych.cli import main
from triptych.core.errors import DataError, UsageError
from triptych.evaluation.scoring import score


@pytest.fixture
def circo(tmp_path):
    """A folder and a submission of val that is right."""
    root = write_circo(tmp_path / "CIRCO")
    ids = [7 + 3 * number for number in range(50)]
    return root, write(tmp_path / "mine.json", {str(query): ids for query in range(4)})


@pytest.fixture
def cirr(tmp_path):
    """A folder and the two submission files of val, which are right."""
    root = write_cirr(tmp_path / "cirr")
    recall, subset = {"version": "rc2", "metric": "recall"}, {"version": "rc2", "metric": "recall_subset"}
    entries = read(root / "captions" / "cap.rc2.val.json")
    names = list(read(root / "image_splits" / "split.rc2.val.json"))
    for entry in entries:
        others = [name for name in names if name != entry["reference"]]
        recall[str(entry["pairid"])] = others
        subset[str(entry["pairid"])] = [name for name in others if name in entry["img_set"]["members"]][:3]
    folder = tmp_path / "files"
    write(folder / "val_pred_ranks_recall.json", recall)
    write(folder / "val_pred_ranks_recall_subset.json", subset)
    return root, folder


def run(*arguments):
    """The exit code of the program."""
    import sys

    before, sys.argv = sys.argv, ["triptych", *map(str, arguments)]
    try:
        main()
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = before


def test_the_command_prints_and_writes(circo, tmp_path, capsys):
    root, path = circo
    output = tmp_path / "result.json"
    assert run("score", "circo", "--root", root, "--split", "val", "--submission", path, "--output", output) == 0
    said = capsys.readouterr().out
    assert "circo · relative · val (4 queries, 60 pictures)" in said
    assert "mAP@10 addition" in said
    row = read(output)["rows"][0]
    assert row["method"] == "mine"
    assert f"{row['metrics']['mAP@5']:.2f}" in said
    assert read(output)["made_by"]["command"] == "score"


def test_the_command_says_one_line_and_writes_nothing(circo, tmp_path, capsys):
    root, path = circo
    output = tmp_path / "result.json"
    path.write_text("{")
    assert run("score", "circo", "--root", root, "--split", "val", "--submission", path, "--output", output) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"triptych: {path}: not readable as JSON")
    assert said.err.count("\n") == 1
    assert not output.exists()
    assert run("score", "fashioniq", "--root", root, "--split", "val", "--submission", path) == 2
    assert run("score", "circo", "--root", root, "--split", "test1", "--submission", path) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"9": [1]}, "circo val has no query '9'; is the file for a split other than val?"),
        ({"00": [1]}, "circo val has no query '00'"),
        ({"2": None}, "query 2: not a list of picture ids"),
        ({"2": ["7", "10"]}, "query 2: '7' is not one of the picture ids, whole numbers"),
        ({"2": [7.0]}, "query 2: 7.0 is not one of"),
        ({"2": [True]}, "query 2: True is not one of"),
        ({"2": [-7]}, "query 2: -7 is not one of"),
        ({"2": [7, 10, 7]}, "query 2: the picture '000000000007' appears twice"),
        ({"2": [7, 8]}, "query 2: there is no picture '000000000008' in the gallery"),
        ({"2": [7, 10]}, "query 2: 2 pictures; the server expects 50"),
        ({"2": [7 + 3 * number for number in range(51)]}, "query 2: 51 pictures; the server expects 50"),
    ],
)
def test_what_is_wrong_with_a_circo_submission(circo, change, message):
    root, path = circo
    write(path, read(path) | change)
    with pytest.raises(DataError) as caught:
        score("circo", root=root, split="val", submission=path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_double_queries(circo):
    root, path = circo
    content = read(path)
    del content["1"], content["3"]
    write(path, content)
    with pytest.raises(DataError, match="2 of 4 queries are missing, first '1'; is the file for a split"):
        score("circo", root=root, split="val", submission=path)
    path.write_text(json.dumps(content)[:-1] + ', "2": []}')
    with pytest.raises(DataError, match="'2' appears twice"):
        score("circo", root=root, split="val", submission=path)
    write(path, [content])
    with pytest.raises(DataError, match="not an object of query ids and lists"):
        score("circo", root=root, split="val", submission=path)
    with pytest.raises(DataError, match=r"gone\.json: missing; give a submission file"):
        score("circo", root=root, split="val", submission=path.with_name("gone.json"))


def test_without_the_list_of_pictures_names_are_not_checked(circo):
    root, path = circo
    before = score("circo", root=root, split="val", submission=path)
    (root / "COCO2017_unlabeled" / "annotations" / "image_info_unlabeled2017.json").unlink()
    after = score("circo", root=root, split="val", submission=path)
    assert after.rows[0].metrics == before.rows[0].metrics
    assert (before.submission.names_checked, after.submission.names_checked) == (True, False)


def test_cirr_submissions_score_together_or_alone(cirr):
    root, folder = cirr
    both = score("cirr", root=root, split="val", submission=folder).rows[0].metrics
    recall = score("cirr", root=root, split="val", submission=folder / "val_pred_ranks_recall.json").rows[0]
    assert set(both) - set(recall.metrics) == {"R_subset@1", "R_subset@2", "R_subset@3", "Avg"}
    # By their place in the file: the target of a group's first query is the third of it, of the second the fourth.
    assert both["R_subset@3"] == 50
    assert both["R_subset@2"] == 0
    assert both["R@5"] == pytest.approx(100 / 3, abs=1e-3)
    assert both["R@50"] == 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "rc1"}, '"version" must be "rc2", not \'rc1\''),
        ({"version": None}, '"version" must be "rc2", not None'),
        ({"metric": "R@1"}, '"metric" must be "recall" or "recall_subset", not \'R@1\''),
        ({"metric": "recall"}, "query 0: 3 pictures; the server expects 18"),
        ({"12": ["x"]}, "cirr val has no query '12'"),
        ({"1": [1, 2, 3]}, "query 1: 1 is not one of the picture names"),
        ({"1": ["dev-0-2-img0"] * 3}, "query 1: the picture 'dev-0-2-img0' appears twice"),
        ({"1": ["dev-1-0-img0", "dev-0-2-img0", "dev-0-3-img0"]}, "no picture 'dev-1-0-img0' in its group"),
        ({"1": ["dev-0-1-img0", "dev-0-2-img0", "dev-0-3-img0"]}, "no picture 'dev-0-1-img0' in its group"),
        ({"1": ["dev-0-2-img0", "dev-0-3-img0"]}, "query 1: 2 pictures; the server expects 3"),
    ],
)
def test_what_is_wrong_with_a_cirr_submission(cirr, change, message):
    root, folder = cirr
    path = folder / "val_pred_ranks_recall_subset.json"
    write(path, read(path) | change)
    with pytest.raises(DataError) as caught:
        score("cirr", root=root, split="val", submission=path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_cirr_file_has_a_largest_size_and_a_folder_one_file_a_metric(cirr):
    root, folder = cirr
    recall = folder / "val_pred_ranks_recall.json"
    (folder / "val_pred_ranks_recall_subset.json").write_bytes(recall.read_bytes())
    with pytest.raises(DataError, match="both files are for the same metric"):
        score("cirr", root=root, split="val", submission=folder)
    recall.write_bytes(recall.read_bytes() + b" " * 5_000_000)
    with pytest.raises(DataError, match="the server accepts at most 5000000"):
        score("cirr", root=root, split="val", submission=recall)
    with pytest.raises(DataError, match=r"there is no val_pred_ranks_recall\.json or "):
        score("cirr", root=root, split="val", submission=root)


def test_benchmarks_without_submissions(tmp_path):
    with pytest.raises(UsageError, match="fashioniq has no submission server; these benchmarks have: cirr, circo"):
        score("fashioniq", root=write_fashioniq(tmp_path), split="val", submission=tmp_path)


@pytest.mark.slow
def test_an_evaluation_from_the_command_line(circo, tmp_path, capsys):
    root, _ = circo
    options = ("--root", root, "--split", "val", "--method", "picture", "--threads", 1)
    assert run("eval", "circo", *options, "--setting", "reference=removed", "--output", tmp_path / "r.json") == 0
    assert "mAP@5" in capsys.readouterr().out
    assert read(tmp_path / "r.json")["rows"][0]["protocol"]["reference"] == "removed"
    assert read(tmp_path / "r.json")["made_by"]["settings"]["settings"] == ["reference=removed"]
    assert run("eval", "circo", *options, "--setting", "reference=gone") == 2
    assert "reference is one of kept, removed" in capsys.readouterr().err
