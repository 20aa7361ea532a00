import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from made_benchmarks import evaluate
from triptych.composers.baselines import METHODS
from triptych.core.errors import DataError, MismatchError, UsageError
from triptych.core.images import open_picture
from triptych.core.vectors import nearest
from triptych.encoders.registry import load_encoder


@pytest.fixture
def measure(wardrobe_world, tiny_encoder, vocabulary_file):
    """Evaluate on the wardrobe's test split."""

    def run(benchmark="wardrobe", **options):
        settings = {
            "root": wardrobe_world,
            "encoder": str(tiny_encoder),
            "vocabulary": vocabulary_file,
            "threads": 1,
        }
        return evaluate(str(benchmark), **settings | options)

    return run


@pytest.fixture
def own(wardrobe_world: Path, tmp_path: Path) -> tuple[Path, Path, list[dict]]:
    """Twenty queries of one's own over a folder of pictures of one's own."""
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    for name in (wardrobe_world / "test.txt").read_text("utf-8").splitlines():
        shutil.copy(wardrobe_world / "images" / name, gallery)
    lines = (wardrobe_world / "queries.test.jsonl").read_text("utf-8").splitlines()[:20]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines), "utf-8")
    return tmp_path / "mine.jsonl", gallery, [json.loads(line) for line in lines]


def test_every_method_has_a_row_as_documented(measure, tiny_composer, tiny_encoder, tmp_path):
    output = tmp_path / "out" / "result.json"
    result = measure(methods=["all"], composers=[tiny_composer], output=output)
    assert json.loads(output.read_text("utf-8")) == result.as_json()
    assert [row.method for row in result.rows] == [*METHODS, "combiner"]
    for row in result.rows:
        assert (row.benchmark, row.task, row.split) == ("wardrobe", "edits", "test")
        assert row.encoder == str(tiny_encoder.resolve())
        assert set(row.metrics) == {"R@1", "R@5", "R@10", "R@50", "mAP@10"}
        assert all(0 <= value <= 100 for value in row.metrics.values())
        assert row.metrics["R@1"] <= row.metrics["R@5"] <= row.metrics["R@10"] <= row.metrics["R@50"]
        assert row.queries >= 50
        assert row.gallery >= 50
        assert row.unreadable == 0
        assert (row.weight is not None) == (
            row.method in {"sum", "signed-sum", "slerp", "caption-words+picture", "caption-edit+picture"}
        )
    assert result.made_by["program"] == "triptych"
    assert result.made_by["settings"]["split"] == "test"
    assert result.made_by["encoder_fingerprint"] == load_encoder(str(tiny_encoder)).fingerprint


def test_words_beat_the_picture_alone(measure):
    picture, text = measure(methods=["picture", "text"]).rows
    assert text.metrics["R@1"] > picture.metrics["R@1"]


def test_a_method_asked_for_twice_is_measured_once(measure):
    assert len(measure(methods=["text", "all", "text"]).rows) == len(METHODS)


def test_a_weight_is_chosen_on_val_or_given(measure):
    (tuned,) = measure(methods=["sum"]).rows
    assert tuned.weight_from == "val"
    assert 0 < tuned.weight < 1
    (given,) = measure(methods=["sum"], weight=tuned.weight).rows
    assert given.weight_from == "given"
    assert given.metrics == tuned.metrics
    # The weight that is chosen on a split is the best on it.
    best = measure(methods=["sum"], split="val").rows[0]
    for weight in (0.1, 0.5, 0.9):
        (row,) = measure(methods=["sum"], split="val", weight=weight).rows
        assert row.metrics["R@10"] <= best.metrics["R@10"]


def test_a_weight_may_be_chosen_elsewhere(measure, wardrobe_world, own, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("images", "queries.test.jsonl", "test.txt"):
        (bare / name).symlink_to(wardrobe_world / name)
    (chosen,) = measure(root=bare, tune_root=wardrobe_world, methods=["sum"]).rows
    assert chosen == measure(methods=["sum"]).rows[0]
    # Without a validation split it is one half, and methods without a weight do not need one.
    (half,) = measure(root=bare, methods=["sum"]).rows
    assert (half.weight, half.weight_from) == (0.5, "default")
    assert measure(root=bare, methods=["text"]).rows == measure(methods=["text"]).rows


def test_own_queries_are_measured_as_a_search_would(measure, own, tiny_encoder):
    path, gallery, queries = own
    (row,) = measure(path, gallery=gallery, root=None, methods=["picture"]).rows
    assert (row.benchmark, row.task, row.split) == ("queries", "mine", "all")
    engine = load_encoder(str(tiny_encoder), threads=1)
    names = sorted(picture.name for picture in gallery.iterdir())
    vectors = engine.encode_pictures(np.stack([engine.prepare(open_picture(gallery / name)) for name in names]))
    hits = 0
    for query in queries:
        reference = names.index(query["reference"])
        allowed = np.arange(len(names)) != reference
        rows, _ = nearest(vectors[reference : reference + 1], vectors, 5, allowed=allowed)
        hits += any(names[row] in query["targets"] for row in rows[0])
    assert row.metrics["R@5"] == pytest.approx(100 * hits / len(queries), abs=1e-3)
    assert (row.queries, row.gallery) == (20, len(names))


def test_the_reference_is_never_an_answer(measure, own):
    path, gallery, queries = own
    # Its copy is the best answer to a search by the picture; the reference, were it one, would tie with it.
    shutil.copy(gallery / queries[0]["reference"], gallery / "copy.jpg")
    path.write_text(json.dumps({**queries[0], "targets": ["copy.jpg"], "candidates": None}))
    (row,) = measure(path, gallery=gallery, root=None, methods=["picture"]).rows
    assert row.metrics["R@1"] == 100


def test_pictures_that_cannot_be_read_are_counted(measure, own, capfd):
    path, gallery, queries = own
    spoilt = queries[0]["reference"]
    (gallery / spoilt).write_bytes(b"spoilt")
    lost = sum(query["reference"] == spoilt or set(query["targets"]) <= {spoilt} for query in queries)
    (row,) = measure(path, gallery=gallery, root=None, methods=["text"]).rows
    assert row.unreadable == 1
    assert row.queries == 20 - lost < 20
    assert row.gallery == len(list(gallery.iterdir())) - 1
    assert f"skipped '{spoilt}'" in capfd.readouterr().err


def test_no_query_left_is_an_error(measure, own):
    path, gallery, queries = own
    path.write_text(json.dumps(queries[0]))
    (gallery / queries[0]["reference"]).write_bytes(b"spoilt")
    with pytest.raises(DataError, match="none of the 1 queries"):
        measure(path, gallery=gallery, root=None, methods=["text"])


def test_the_encoder_is_that_of_the_composer(measure, tiny_composer, tiny_encoder):
    (row,) = measure(encoder=None, composers=[tiny_composer]).rows
    assert row.encoder == str(tiny_encoder.resolve())


def test_a_composer_brings_its_own_encoder(measure, tiny_composer, tiny_encoder, tmp_path):
    other = shutil.copytree(tiny_encoder, tmp_path / "other")
    with (other / "tokenizer.json").open("a") as file:
        file.write("\n")
    sum_, composed = measure(encoder=str(other), methods=["sum"], composers=[tiny_composer], weight=0.5).rows
    assert sum_.encoder == str(other)
    assert composed.encoder == str(tiny_encoder.resolve())
    (alone,) = measure(encoder=None, composers=[tiny_composer]).rows
    assert composed.metrics == alone.metrics


def test_a_composer_whose_encoder_changed_is_refused(measure, tiny_composer, tiny_encoder, tmp_path):
    composer = shutil.copytree(tiny_composer, tmp_path / "composer")
    config = json.loads((composer / "config.json").read_text())
    config["encoder"]["fingerprint"] = "0" * 64
    (composer / "config.json").write_text(json.dumps(config))
    with pytest.raises(MismatchError):
        measure(encoder=str(tiny_encoder), composers=[composer])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["magic"]}, "no such method"),
        ({}, "give a --method"),
        ({"methods": ["text"], "benchmark": "unknown"}, "there is no such benchmark"),
        ({"methods": ["text"], "split": "train"}, "no split 'train'"),
        ({"methods": ["text"], "root": None}, "needs --root"),
        ({"methods": ["text"], "benchmark": "mine.jsonl"}, "need --gallery"),
    ],
)
def test_what_makes_no_sense(measure, options, message):
    with pytest.raises(UsageError, match=message):
        measure(**options)
