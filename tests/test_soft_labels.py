"""A composer takes over the order that a verifier gave candidates."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import triptych
from triptych.catalog.catalog import Catalog
from triptych.composers.trained import TrainedComposer
from triptych.core.environment import Runtime
from triptych.core.errors import DataError
from triptych.core.vectors import nearest
from triptych.training.composer import train
from triptych.training.data.soft_labels import SoftLabel, SoftLabels, write_soft_labels
from triptych.training.options import SoftLabelOptions, TrainOptions

WISH = "something quite different please"


def encode(texts: list[str]) -> Any:
    return np.array([[len(text)] for text in texts])


@pytest.fixture(scope="module")
def labels(tiny_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[SoftLabel]]:
    """For 40 references six candidates at random, of which the verifier likes one."""
    names = Catalog(tiny_catalog).names
    random = np.random.default_rng(0)
    made = []
    for _ in range(40):
        reference, *others = random.choice(len(names), 7, replace=False)
        made.append(SoftLabel(names[reference], WISH, tuple(names[row] for row in others), (1.0, *[0.0] * 5)))
    path = tmp_path_factory.mktemp("soft") / "soft.jsonl"
    write_soft_labels(path, made)
    return path, made


def agreement(folder: Path, catalog: Path, labels: list[SoftLabel]) -> float:
    """The share of labels whose best candidate the composer puts first among them."""
    opened = Catalog(catalog)
    composer = TrainedComposer(folder)
    composer.attach(opened.encoder(None))
    gallery = composer.gallery(opened.vectors)
    queries = composer.compose(
        opened.vectors[[opened.row_of[label.reference] for label in labels]], [WISH] * len(labels)
    )
    first = [
        nearest(query[None], gallery[[opened.row_of[name] for name in label.candidates]], 1)[0][0, 0]
        for query, label in zip(queries, labels, strict=True)
    ]
    return float(np.mean(np.array(first) == 0))


def test_soft_labels_teach_a_composer(tiny_triplets, tiny_catalog, tiny_composer, labels, tmp_path):
    path, made = labels
    options = TrainOptions(
        epochs=4, most_steps=40, soft=SoftLabelOptions(labels=path, weight=4.0), without=("kept-sum",)
    )
    train(tiny_triplets, tiny_catalog, tmp_path / "out", options, runtime=Runtime(1))
    assert agreement(tmp_path / "out", tiny_catalog, made) > agreement(tiny_composer, tiny_catalog, made) + 0.3
    note = json.loads((tmp_path / "out" / "config.json").read_text())["made_by"]["settings"]
    assert len(note["soft"]["labels"]) == 64  # a hash, so that a run goes on only with the same scores


def test_labels_become_rows_and_what_the_catalog_lacks_is_told(tmp_path, capsys):
    path = tmp_path / "soft.jsonl"
    write_soft_labels(
        path,
        [
            SoftLabel("a", "in red", ("b", "x", "c"), (0.5, 0.9, 0.25)),
            SoftLabel("b", "in blue", ("a", "c", "d"), (0.1, 0.2, 0.3)),
            SoftLabel("x", "in blue", ("a", "c"), (0.1, 0.2)),
        ],
    )
    found = SoftLabels.read(path, ["deep/a.png", "b.png", "c.png", "d.png"], encode)
    assert found.references.tolist() == [0, 1]
    assert found.words.tolist() == [[6], [7]]
    assert found.candidates.tolist() == [[1, 2, 2], [0, 2, 3]]
    np.testing.assert_allclose(found.scores, [[0.5, 0.25, -np.inf], [0.1, 0.2, 0.3]])
    assert "lacks the pictures of 1 candidates; of 1 queries, with these, too little is left" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[1]",
        "no",
        '{"reference": "a", "modification": "b", "candidates": ["a"], "scores": [1, 2]}',
        '{"reference": "a", "modification": "b", "candidates": ["a", "b"], "scores": [1, NaN]}',
    ],
)
def test_a_line_that_is_no_label_is_named(tmp_path, line):
    path = tmp_path / "soft.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=r"soft.jsonl:1: no soft label"):
        SoftLabels.read(path, ["a", "b"], encode)


def test_scores_of_other_pictures_are_refused(tmp_path, labels):
    with pytest.raises(DataError, match="no query has two candidates in the catalog"):
        SoftLabels.read(labels[0], ["a", "b"], encode)
    assert triptych.SoftLabelOptions(labels=str(labels[0])).labels == labels[0]
