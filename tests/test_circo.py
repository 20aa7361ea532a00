import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from made_benchmarks import evaluate, read, write, write_circo
from triptych.benchmarks.registry import load_tasks
from triptych.catalog.indexing import index
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, UsageError
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.scoring import score

REAL = Path(os.environ.get("TRIPTYCH_DATA", "../shared/data")) / "circo"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no CIRCO annotations in {REAL}; set TRIPTYCH_DATA")


@pytest.fixture
def root(tmp_path):
    return write_circo(tmp_path / "CIRCO")


def published_metrics(annotations, predictions):
    """What the paper defines (section 4) and src/evaluation.py of the data set computes, written out plainly."""
    metrics, aspects = defaultdict(list), defaultdict(list)
    for query in annotations:
        ranked, targets = predictions[str(query["id"])], query["gt_img_ids"]
        for k in (5, 10, 25, 50):
            precision, hits = 0.0, 0
            for place, picture in enumerate(ranked[:k], start=1):
                if picture in targets:
                    hits += 1
                    precision += hits / place
            average = precision / min(len(targets), k)
            metrics[f"mAP@{k}"].append(average)
            metrics[f"R@{k}"].append(query["target_img_id"] in ranked[:k])
            if k == 10:
                for aspect in query["semantic_aspects"]:
                    aspects[aspect].append(average)
    return ({name: 100 * float(np.mean(values)) for name, values in found.items()} for found in (metrics, aspects))


@needs_real
def test_the_example_submission_has_the_official_numbers():
    example = REAL / "submission_examples" / "submission_val.json"
    (row,) = score("circo", root=REAL, split="val", submission=example).rows
    metrics, aspects = published_metrics(read(REAL / "annotations" / "val.json"), read(example))
    assert row.metrics == pytest.approx(metrics, abs=1e-4)
    assert row.aspects == pytest.approx(aspects, abs=1e-4)
    assert len(row.aspects) == 9
    assert (row.queries, row.gallery) == (220, 123_403)
    shown = [round(row.metrics[f"mAP@{k}"], 2) for k in (5, 10, 25, 50)]
    assert [*shown, round(row.metrics["R@50"], 2)] == [0.49, 0.52, 0.54, 0.60, 3.64]


@needs_real
def test_a_submission_that_knows_the_answers_has_the_official_numbers(tmp_path):
    # The example hits little; this one names targets at changing places.
    annotations, example = (
        read(REAL / "annotations" / "val.json"),
        read(REAL / "submission_examples/submission_val.json"),
    )
    for query in annotations:
        targets = query["gt_img_ids"][query["id"] % 3 :]
        rest = [number for number in example[str(query["id"])] if number not in query["gt_img_ids"]]
        for place, target in enumerate(targets):
            rest.insert((query["id"] + 4 * place) % 40, target)
        example[str(query["id"])] = rest[:50] + [1, 2, 3, 4, 5, 6][: max(0, 50 - len(rest))]
    path = write(tmp_path / "better.json", example)
    (row,) = score("circo", root=REAL, split="val", submission=path).rows
    metrics, aspects = published_metrics(annotations, example)
    assert row.metrics == pytest.approx(metrics, abs=1e-4)
    assert row.aspects == pytest.approx(aspects, abs=1e-4)
    # The figures of docs/reference/benchmarks.md.
    shown = [round(row.metrics[f"mAP@{k}"], 2) for k in (5, 10, 25, 50)]
    assert [*shown, round(row.metrics["R@50"], 2)] == [4.45, 5.73, 9.15, 11.72, 33.64]


@needs_real
def test_the_official_test_split_is_valid():
    example = REAL / "submission_examples" / "submission_test.json"
    result = score("circo", root=REAL, split="test", submission=example)
    assert result.rows == []
    assert vars(result.submission) == {
        "files": ["mAP"],
        "queries": 800,
        "depth": {"mAP": 50},
        "references_among_answers": 10,
        "names_checked": False,
    }


@needs_real
def test_the_pictures_are_asked_for():
    with pytest.raises(DataError, match=r"image_info_unlabeled2017\.json: missing; .*cocodataset\.org"):
        load_tasks("circo", REAL, "val")


def test_ranks_are_those_of_a_plain_search(root):
    (row,) = evaluate("circo", root=root, split="val", methods=["picture"], threads=1).rows
    task = EncodedTask(load_tasks("circo", root, "val")[0], load_encoder("wardrobe", threads=1))
    annotations = read(root / "annotations" / "val.json")
    predictions = {}
    for query in annotations:
        scores = task.gallery @ task.gallery[task.gallery_names.index(f"{query['reference_img_id']:012d}")]
        predictions[str(query["id"])] = [int(task.gallery_names[place]) for place in np.argsort(-scores)[:50]]
        assert predictions[str(query["id"])][0] == query["reference_img_id"]  # it stays, as in most published code
    metrics, aspects = published_metrics(annotations, predictions)
    assert row.metrics == pytest.approx(metrics, abs=1e-3)
    assert row.aspects == pytest.approx(aspects, abs=1e-3)
    assert list(row.metrics)[:4] == ["mAP@5", "mAP@10", "mAP@25", "mAP@50"]
    assert row.protocol["reference"] == "kept"


def test_a_submission_scores_what_the_evaluation_says(root, tmp_path):
    options = {"root": root, "split": "val", "methods": ["picture"], "threads": 1}
    (row,) = evaluate("circo", submission=tmp_path / "mine.json", **options).rows
    result = score("circo", root=root, split="val", submission=tmp_path / "mine.json")
    assert result.rows[0].metrics == row.metrics
    assert result.rows[0].aspects == row.aspects
    assert result.submission.names_checked
    assert result.submission.references_among_answers == 4
    removed = evaluate("circo", settings=["reference=removed"], submission=tmp_path / "other.json", **options).rows
    assert removed[0].metrics["mAP@50"] > row.metrics["mAP@50"]
    assert all(len(set(ids)) == 50 for ids in read(tmp_path / "other.json").values())


def test_a_submission_of_the_hidden_split(root, tmp_path):
    options = {"root": root, "split": "test", "methods": ["text"], "threads": 1}
    assert evaluate("circo", submission=tmp_path, **options).rows == []
    written = read(tmp_path / "submission_test.json")
    assert set(written) == {"0", "1"}
    assert all(len(ids) == len(set(ids)) == 50 for ids in written.values())
    assert {type(number) for ids in written.values() for number in ids} == {int}


def test_the_shared_concept_is_used_as_chosen(root):
    def text(*settings):
        return load_tasks("circo", root, "val", settings)[0].queries[1].modification

    assert text() == "has 1 dogs"
    assert text("shared_concept=magiclens") == "find a park but has 1 dogs"
    assert text("shared_concept=megapairs") == "Find a picture that also a park, but has 1 dogs."
    assert text("shared_concept=magiclens", "prompt=please {text}") == "please find a park but has 1 dogs"
    with pytest.raises(UsageError, match="shared_concept is one of unused, magiclens, megapairs"):
        text("shared_concept=used")


def test_a_single_target_that_cannot_be_read_is_not_found(root, capfd):
    entries = read(root / "annotations" / "val.json")
    lost = entries[3]["target_img_id"]
    (root / "COCO2017_unlabeled" / "unlabeled2017" / f"{lost:012d}.jpg").unlink()
    (row,) = evaluate("circo", root=root, split="val", methods=["picture"], threads=1).rows
    assert (row.unreadable, row.lost_queries, row.gallery) == (1, 0, 59)
    assert row.metrics["R@50"] <= 75
    assert "skipped '000000000046': no such file" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 7}, "the id 7 is out of order; expected 1"),
        ({"gt_img_ids": [10]}, '"gt_img_ids" must contain "target_img_id"'),
        ({"gt_img_ids": [40, 40]}, "no picture twice"),
        ({"gt_img_ids": [40, "43"]}, "\"gt_img_ids\" is '43'"),
        ({"gt_img_ids": [40, 10]}, "10 is its own target"),
        ({"reference_img_id": 8}, "COCO's list has no picture 8"),
        ({"relative_caption": 1}, '"relative_caption" must be a string'),
        ({"semantic_aspects": "addition"}, '"semantic_aspects" must be a list'),
    ],
)
def test_a_wrong_entry_is_named(root, change, message):
    path = root / "annotations" / "val.json"
    entries = read(path)
    entries[1] |= change
    write(path, entries)
    with pytest.raises(DataError) as caught:
        load_tasks("circo", root, "val")
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_list_that_names_a_picture_twice(root):
    path = root / "COCO2017_unlabeled" / "annotations" / "image_info_unlabeled2017.json"
    content = read(path)
    content["images"].append(content["images"][0])
    write(path, content)
    with pytest.raises(DataError, match="a picture twice"):
        load_tasks("circo", root, "val")


def test_a_catalog_of_the_pictures_saves_encoding_them(root, tmp_path, capfd):
    folder = root / "COCO2017_unlabeled" / "unlabeled2017"
    index(folder, tmp_path / "catalog", encoder="wardrobe", runtime=Runtime(threads=1))
    options = {"root": root, "split": "val", "methods": ["picture", "text"], "threads": 1}
    expected = evaluate("circo", **options).rows
    capfd.readouterr()
    assert evaluate("circo", catalog=tmp_path / "catalog", **options).rows == expected
    assert "encode" not in capfd.readouterr().err
    # Padded pictures are other pictures.
    evaluate("circo", catalog=tmp_path / "catalog", settings=["picture=padded"], **options)
    assert "encode relative" in capfd.readouterr().err
    index(
        root.parent / "CIRCO" / "COCO2017_unlabeled",
        tmp_path / "above",
        encoder="wardrobe",
        runtime=Runtime(threads=1),
    )
    capfd.readouterr()
    assert evaluate("circo", catalog=tmp_path / "above", **options).rows == expected
    assert "encode" not in capfd.readouterr().err
    other = write_circo(tmp_path / "other")
    with pytest.raises(UsageError, match="which does not contain"):
        evaluate("circo", catalog=tmp_path / "catalog", **options | {"root": other})
