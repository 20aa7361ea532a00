"""Losses by hand, and what each choice makes of a composer's training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.training import losses
from triptych.training.composer import train
from triptych.training.losses import ContrastiveLoss, backward_loss, contrastive_loss, soft_label_loss
from triptych.training.options import LossOptions, TrainOptions

NONE = torch.zeros(2, 3, dtype=torch.bool)
# Cosines of two queries with three pictures, as logits at temperature one half.
QUERIES = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
BANK = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])


def loss_by(**options) -> ContrastiveLoss:
    return ContrastiveLoss(LossOptions(**options))


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_the_loss_by_hand():
    ignored = NONE.clone()
    ignored[0, 2] = True
    loss = contrastive_loss(QUERIES, BANK, torch.tensor([[0], [2]]), torch.tensor([1.0, 0.25]), 0.5, ignored)
    # Cosines 1, 0 and 0.6 (ignored), the first of them the target's; then 0, 1 and 0.8, where it is the last.
    first = -math.log(math.exp(2) / (math.exp(2) + 1))
    second = -math.log(math.exp(1.6) / (1 + math.exp(2) + math.exp(1.6)))
    assert loss.item() == pytest.approx((first + 0.25 * second) / 1.25, rel=1e-5)


def test_the_loss_of_soft_labels_by_hand():
    scores = torch.tensor([[0.9, 0.1, 0.5], [1.0, 0.0, -math.inf]])
    cosines = torch.tensor([[0.2, 0.4, 0.0], [0.3, 0.3, 0.9]])
    wanted = [[math.exp(x / 0.5) for x in row] for row in ([0.9, 0.1, 0.5], [1.0, 0.0])]
    found = [[math.exp(x / 0.1) for x in row] for row in ([0.2, 0.4, 0.0], [0.3, 0.3])]
    by_hand = [
        sum(p / sum(ps) * math.log(p / sum(ps) / (q / sum(qs))) for p, q in zip(ps, qs, strict=True))
        for ps, qs in zip(wanted, found, strict=True)
    ]
    loss = soft_label_loss(cosines, scores, 0.1, 0.5)
    assert loss.item() == pytest.approx(sum(by_hand) / 2, rel=1e-5)
    assert soft_label_loss(scores[:1] / 5, scores[:1], 0.1, 0.5).item() == pytest.approx(0, abs=1e-6)


def test_an_ignored_picture_does_not_matter():
    queries, bank = unit(3, 4), unit(6, 4, seed=1)
    ignored = torch.zeros(3, 6, dtype=torch.bool)
    ignored[:, 5] = True
    arguments = (torch.tensor([[0, 1], [1, 1], [2, 4]]), torch.ones(3), 0.1)
    for hard in ((1.0, 0.0), (1.0, 0.5)):
        with_copy = contrastive_loss(queries, bank, *arguments, ignored, *hard)
        without = contrastive_loss(queries, bank[:5], *arguments, ignored[:, :5], *hard)
        torch.testing.assert_close(with_copy, without)
        seen = contrastive_loss(queries, bank, *arguments, torch.zeros_like(ignored), *hard)
        assert seen > with_copy


def test_hard_negatives_by_hand():
    loss = contrastive_loss(QUERIES, BANK, torch.tensor([[0], [1]]), torch.tensor([1.0, 0.0]), 0.5, NONE, 2.0, 0.5)
    # The negatives of the first query have logits 0 and 1.2: weights by exp(β · logit), 1 in the mean.
    easy, hard = (2 * math.exp(0.5 * logit) / (1 + math.exp(0.6)) for logit in (0, 1.2))
    below = 2.0 * math.exp(2) + easy + hard * math.exp(1.2)
    assert loss.item() == pytest.approx(-math.log(math.exp(2) / below), rel=1e-5)


def test_hard_negatives_without_hardness_are_infonce():
    queries, bank, targets = unit(4, 8), unit(9, 8, seed=1), torch.tensor([[0, 1], [2, 2], [3, 4], [5, 6]])
    given = (queries, bank, targets, torch.ones(4), 0.1, torch.zeros(4, 9, dtype=torch.bool))
    for loss in (contrastive_loss, backward_loss):
        torch.testing.assert_close(loss(*given), loss(*given, 1.0, 1e-9), rtol=1e-5, atol=1e-6)


def test_backwards_by_hand():
    # Both queries answer with picture 0; the third wants picture 2, which the second would answer with, too.
    queries = torch.cat([QUERIES, torch.tensor([[0.8, 0.6]])])
    targets = torch.tensor([[0, 0], [0, 2], [2, 2]])
    loss = backward_loss(
        queries, BANK, targets, torch.tensor([1.0, 0.0, 3.0]), 0.5, torch.zeros(3, 3, dtype=torch.bool)
    )
    of_first, of_third = ([math.exp(2 * cosine) for cosine in row] for row in ((1, 0, 0.8), (0.6, 0.8, 0.96)))
    first = -sum(math.log(of_first[place] / sum(of_first)) for place in (0, 1)) / 2
    third = -sum(math.log(of_third[place] / sum(of_third)) for place in (1, 2)) / 2
    assert loss.item() == pytest.approx((first + 3 * third) / 4, rel=1e-5)


@pytest.mark.parametrize("hard_beta", [0.0, 0.5])
def test_a_batch_that_agrees_has_nothing_to_learn_backwards(hard_beta):
    queries = unit(3, 2).requires_grad_()
    targets, ignored = torch.zeros(3, 1, dtype=torch.int64), torch.zeros(3, 3, dtype=torch.bool)
    loss = backward_loss(queries, BANK, targets, torch.ones(3), 0.5, ignored, 1.0, hard_beta)
    loss.backward()
    assert loss.isfinite()
    assert queries.grad is not None
    assert queries.grad.isfinite().all()


def test_what_is_in_a_bank(monkeypatch):
    monkeypatch.setattr(losses, "_BANK", 5)
    positives, negatives = np.array([[90, 91]]), np.array([[80, 70, 71]])

    def bank(choice: str, count: int = 100) -> set[int]:
        loss = loss_by(negatives=choice)
        rows = loss.bank(count, positives, loss.known(negatives), np.random.default_rng(0))
        assert rows.tolist() == sorted(set(rows.tolist()))
        return set(rows.tolist())

    assert bank("batch") == {80, 90, 91}
    assert bank("bank") > {80, 90, 91}
    assert bank("bank+group") == bank("bank") | {70, 71}
    assert bank("bank", 4) == {0, 1, 2, 3}


def test_who_is_a_negative():
    """Pictures: the target, its duplicate, one liked more, the reference, another answer, one of the group like it."""
    query = torch.tensor([[1.0, 0.0]])
    cosines = torch.tensor([0.5, 0.5, 0.9, 0.95, 0.2, 0.3])
    bank = torch.stack([cosines, (1 - cosines**2).sqrt()], dim=1)
    similarity = torch.tensor([[1.0, 0.99, 0.5, 0.5, 0.99, 0.99]])

    def negatives(**options) -> set[int]:
        loss = loss_by(temperature=0.5, **options)
        known = torch.from_numpy(loss.known(np.array([[3, 5]])))
        leaf = bank.clone().requires_grad_()
        loss(query, leaf, torch.tensor([[0, 4]]), known, similarity, torch.ones(1)).backward()
        assert leaf.grad is not None
        # What the loss pushes away from the query.
        return set(torch.nonzero(leaf.grad[:, 0] > 0).flatten().tolist()) - {0, 4}

    assert negatives() == {2, 3}
    assert negatives(negatives="bank+group") == {2, 3, 5}
    assert negatives(false_negative_margin=0.3) == {3}
    assert negatives(false_negative_margin=0.5) == {2, 3}


def test_what_a_triplet_counts():
    given = (unit(2, 4), unit(5, 4, seed=1), torch.tensor([[0], [1]]), torch.tensor([[2], [3]]), torch.zeros(2, 5))
    surely, unsurely = torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.2])
    assert loss_by()(*given, surely) != loss_by()(*given, unsurely)
    assert loss_by(weighting="none")(*given, surely) == loss_by(weighting="none")(*given, unsurely)
    forwards, both = loss_by()(*given, surely), loss_by(symmetric=True)(*given, surely)
    backwards = backward_loss(given[0], given[1], given[2], surely, 0.07, torch.zeros(2, 5, dtype=torch.bool))
    torch.testing.assert_close(both, (forwards + backwards) / 2)


@pytest.mark.slow
def test_a_composer_learns_by_all_of_it(tiny_triplets, tiny_catalog, tmp_path):
    loss = LossOptions(
        negatives="bank+group", hard_beta=0.5, symmetric=True, false_negative_margin=0.2, weighting="none"
    )
    options = TrainOptions(epochs=3, batch_size=64, loss=loss)
    result = train(tiny_triplets, tiny_catalog, tmp_path / "out", options, runtime=Runtime(threads=1))
    assert result.held_out_recall["R@10"] > result.held_out_sum_recall["R@10"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 1.0}, "--temperature"),
        ({"negatives": "all"}, "--negatives all: choose one of bank, batch, bank"),
        ({"weighting": "rank"}, "--weighting rank"),
        ({"hard_alpha": 0.0}, "--hard-alpha"),
        ({"hard_beta": float("nan")}, "--hard-beta"),
        ({"false_negative_margin": -0.1}, "--false-negative-margin"),
    ],
)
def test_losses_that_make_no_sense(options, message):
    with pytest.raises(UsageError, match=message):
        replace(LossOptions(), **options)
