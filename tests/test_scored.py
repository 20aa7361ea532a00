"""Methods that score a picture by both inputs apart, ranks by scores, and what one input alone solves."""

import numpy as np
import pytest

from made_benchmarks import evaluate, write_cirr
from planted import Squares
from triptych.composers.scored import Basic, Product
from triptych.core.errors import FailureError, UsageError
from triptych.core.vectors import unit
from triptych.evaluation.answers import Reordered, ScoreAnswers, VectorAnswers
from triptych.evaluation.results.row import ResultRow, Shortcuts
from triptych.metrics.ranking import ranks_of_targets
from triptych.metrics.scored import best_by_scores, ranks_by_scores

RANDOM = np.random.default_rng(0)


def lists(*rows):
    return [np.array(each, np.int64) for each in rows]


def test_ranks_by_scores_are_those_by_vectors():
    queries, gallery = unit(RANDOM.normal(size=(40, 6))), unit(RANDOM.normal(size=(70, 6)))
    gallery[30:50] = gallery[:20]  # ties
    targets = [np.sort(RANDOM.choice(60, 3, replace=False)) for _ in range(40)]
    excluded = [np.setdiff1d(RANDOM.choice(70, 5, replace=False), each) for each in targets]
    candidates = [None if n % 2 else np.union1d(each, np.arange(25)) for n, each in enumerate(targets)]
    wanted = ranks_of_targets(queries, gallery, targets, excluded, candidates)
    exact = np.round(queries.astype(float) * 2**26) / 2**26 @ (np.round(gallery.astype(float) * 2**26) / 2**26).T
    found = ranks_by_scores(lambda start, stop: exact[start:stop], targets, excluded, candidates, block=7)
    assert [each.tolist() for each in found] == [each.tolist() for each in wanted]
    with pytest.raises(FailureError, match="not finite"):
        ranks_by_scores(lambda start, stop: exact[start:stop] * np.nan, targets, excluded, candidates)


def test_a_tie_counts_against_a_method_that_scores():
    scores = np.array([[1.0, 1.0, 1.0, 0.5]])
    none = lists([])
    assert ranks_by_scores(lambda start, stop: scores, lists([1]), none, [None])[0].tolist() == [3]
    assert best_by_scores(scores[0], 2, none[0]).tolist() == [0, 1]
    assert best_by_scores(scores[0], 2, lists([0])[0], lists([0, 2, 3])[0]).tolist() == [2, 3]


def test_a_new_order_of_the_first_moves_these_alone():
    gallery = np.eye(6, dtype=np.float32)
    queries = unit(np.array([[6.0, 5, 4, 3, 2, 1]]))
    before = VectorAnswers(queries, gallery)
    assert before.best(3, lists([1]), [None])[0].tolist() == [0, 2, 3]
    after = Reordered(before, lists([2, 1, 0]))
    none = lists([])
    assert after.best(4, none, [None])[0].tolist() == [2, 1, 0, 3]
    assert after.ranks(lists([0, 2, 4]), none, [None])[0].tolist() == [1, 3, 5]
    # What is excluded, or no candidate, takes no place among the first either.
    assert after.ranks(lists([0, 4]), lists([1]), [None])[0].tolist() == [2, 4]
    assert after.ranks(lists([0]), none, lists([0, 1, 5]))[0].tolist() == [2]


def test_the_product_wants_both_and_takes_no_negative_for_one():
    encoder = Squares()
    gallery = unit(np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [-1, -1, 0]]))
    scores = Product(encoder).scorer(gallery)(unit(np.array([[1.0, 0, 0]])), unit(np.array([[0.0, 1, 0]])))
    np.testing.assert_allclose(scores, [[0, 0, 0.5, 0]], atol=1e-6)
    answers = ScoreAnswers(Product(encoder).scorer(gallery), gallery[:1], gallery[1:2])
    assert answers.ranks(lists([2]), lists([]), [None])[0].tolist() == [1]


def test_basic_is_what_its_steps_say():
    encoder = Squares()
    method = Basic(encoder, contrast=0.3, components=5, harris=0.2)
    gallery = unit(RANDOM.normal(size=(50, 26)))
    references, texts = unit(RANDOM.normal(size=(2, 26))), encoder.encode_texts(["a red cap", "at night"])
    found = method.scorer(gallery)(references, texts)

    from triptych.composers.basic_words import STYLES, SUBJECTS

    things, styles = (encoder.encode_texts(words).astype(float) for words in (SUBJECTS, STYLES))
    middle = things.mean(0)
    things, styles = things - middle, styles - middle
    spread = 0.7 * things.T @ things / (len(things) - 1) - 0.3 * styles.T @ styles / (len(styles) - 1)
    values, vectors = np.linalg.eigh(spread)
    best = vectors[:, np.argsort(values)[-5:]]
    pictures = gallery - gallery.mean(0)
    near = (references - gallery.mean(0)) @ best @ best.T @ pictures.T
    said = (texts - middle) @ pictures.T
    low, low_said = (pictures @ pictures.T).min(), (things @ pictures.T).min()
    near, said = (np.maximum((each - least) / abs(low), 0) for each, least in ((near, low), (said, low_said)))
    np.testing.assert_allclose(found, near * said - 0.2 * (near + said) ** 2, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    root = write_cirr(tmp_path_factory.mktemp("scored"))
    methods = ["picture", "text", "sum", "product", "basic"]
    return root, evaluate(
        "cirr", root=root, split="val", methods=methods, encoder=Squares(), per_query=True, settings=["reference=kept"]
    )


def test_scored_methods_are_rows_of_the_same_table(measured):
    _, result = measured
    rows = {row.method: row for row in result.rows}
    assert set(rows) == {"picture", "text", "sum", "product", "basic"}
    assert set(rows["basic"].metrics) == set(rows["sum"].metrics)
    assert "product" in str(result)


def test_the_shares_of_shortcuts_are_of_the_queries(measured):
    _, result = measured
    rows = {row.method: row for row in result.rows}
    picture, text = (np.array(rows[name].per_query["R@10"]) > 0 for name in ("picture", "text"))
    found = rows["sum"].shortcuts
    assert isinstance(found, Shortcuts)
    assert found.cutoff == 10
    expected = [picture & ~text, text & ~picture, picture & text, ~(picture | text)]
    shares = [found.picture_only, found.text_only, found.either, found.neither]
    np.testing.assert_allclose(shares, [100 * each.mean() for each in expected], atol=1e-3)
    assert found.queries == expected[3].sum()
    hard = np.array(rows["sum"].per_query["R@10"])[expected[3]]
    assert found.recall is not None
    assert found.recall == pytest.approx(100 * hard.mean(), abs=1e-3)
    assert found.interval[0] <= found.recall <= found.interval[1]
    assert rows["picture"].shortcuts.recall == 0
    assert "shortcuts: the share of queries that one input alone solves" in str(result)
    assert ResultRow.from_json(rows["sum"].as_json()) == rows["sum"]


def test_a_submission_of_a_scored_method(measured, tmp_path):
    root, _ = measured
    evaluate("cirr", root=root, split="val", methods=["product"], encoder=Squares(), submission=tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "val_pred_ranks_recall.json",
        "val_pred_ranks_recall_subset.json",
    ]


def test_an_unknown_method_names_those_there_are(measured):
    root, _ = measured
    with pytest.raises(UsageError, match=r"use picture, text.*product, basic, joint"):
        evaluate("cirr", root=root, split="val", methods=["magic"], encoder=Squares())
    with pytest.raises(UsageError, match="squares does not read picture and words together"):
        evaluate("cirr", root=root, split="val", methods=["joint"], encoder=Squares())
