"""A composer takes over the order that a verifier gave candidates."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import triptych
from triptych.catalog.catalog import Catalog
from triptych.composers.networks.combiner import Combiner, CombinerShape, QuerySide
from triptych.composers.trained import TrainedComposer
from triptych.core.environment import Runtime
from triptych.core.errors import DataError
from triptych.core.vectors import nearest
from triptych.training.composer import train
from triptych.training.data.patches import no_patches
from triptych.training.data.soft_labels import SoftLabel, SoftLabels, write_soft_labels
from triptych.training.learners.composer import candidate_cosines
from triptych.training.losses import soft_label_loss
from triptych.training.options import SoftLabelOptions, TrainOptions

WISH = "something quite different please"


def encode(texts: list[str]) -> Any:
    return np.array([[len(text)] for text in texts])


@pytest.fixture
def labels(tiny_catalog: Path, tmp_path: Path) -> tuple[Path, list[SoftLabel]]:
    """For 40 references six candidates at random, of which the verifier likes one."""
    names = Catalog(tiny_catalog).names
    random = np.random.default_rng(0)
    made = []
    for _ in range(40):
        reference, *others = random.choice(len(names), 7, replace=False)
        made.append(SoftLabel(names[reference], WISH, tuple(names[row] for row in others), (1.0, *[0.0] * 5)))
    path = tmp_path / "soft.jsonl"
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


def test_the_loss_makes_a_network_agree_with_the_scores():
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    pictures = torch.nn.functional.normalize(torch.randn(40, 16), dim=-1)
    rows = np.stack([random.choice(40, 7, replace=False) for _ in range(24)])
    scores = np.zeros((24, 6), np.float32)
    scores[:, 0] = 1.0
    scores[12:, 5] = -np.inf  # fewer candidates
    words = random.normal(size=(24, 16)).astype(np.float32)
    labels = SoftLabels(rows[:, 0], words, rows[:, 1:], scores)
    model = QuerySide(Combiner(CombinerShape(dim=16, words=(), expects=False, out=32)), None)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    def loss(which: np.ndarray) -> torch.Tensor:
        cosines, wanted = candidate_cosines(model, pictures, no_patches, labels.some(which), "float32")
        assert cosines.shape == wanted.shape == (len(which), 6)
        return soft_label_loss(cosines, wanted, 0.07, 0.1)

    before = loss(np.arange(24)).item()
    for _ in range(30):
        optimizer.zero_grad()
        loss(random.permutation(24)[:16]).backward()
        optimizer.step()
    model.eval()
    cosines, _ = candidate_cosines(model, pictures, no_patches, labels, "float32")
    assert loss(np.arange(24)).item() < before / 3
    allowed = cosines.masked_fill(~torch.from_numpy(scores).isfinite(), -2)
    assert float((allowed.argmax(dim=1) == 0).float().mean()) > 0.9


@pytest.mark.slow
def test_soft_labels_teach_a_composer(tiny_triplets, tiny_catalog, tiny_composer, labels, tmp_path):
    path, made = labels
    soft = SoftLabelOptions(labels=path, weight=4.0)
    options = TrainOptions(epochs=2, max_steps=30, batch_size=64, soft=soft, without=("kept-sum",))
    train(tiny_triplets, tiny_catalog, tmp_path / "out", options, runtime=Runtime(1))
    assert agreement(tmp_path / "out", tiny_catalog, made) > agreement(tiny_composer, tiny_catalog, made) + 0.2
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
    assert "lacks 1 candidates, which are left out; 1 queries are left out" in capsys.readouterr().err


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
    with pytest.raises(DataError, match=r"soft.jsonl:1: not a soft label"):
        SoftLabels.read(path, ["a", "b"], encode)


def test_scores_of_other_pictures_are_refused(tmp_path):
    path = tmp_path / "soft.jsonl"
    write_soft_labels(path, [SoftLabel("x", "in red", ("y", "z"), (0.5, 0.9))])
    with pytest.raises(DataError, match="no query has two candidates in the catalog"):
        SoftLabels.read(path, ["a", "b"], encode)
    assert triptych.SoftLabelOptions(labels=str(path)).labels == path
