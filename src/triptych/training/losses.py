"""What a composer learns by: InfoNCE over a bank of pictures, with a choice of what is in it and what it counts."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from triptych.training.options import LossOptions

_ROUNDED = 1024  # the size of a step's negatives is a multiple of this
_BANK = 3_250  # negatives a step: the whole catalog up to this many pictures, a sample of it above
DUPLICATE = 0.98  # pictures this similar to the target are taken for the same, and are no negatives
_NEVER = -1e4  # a logarithm of nothing that can still be subtracted from itself

Rows = NDArray[np.int64]


class ContrastiveLoss:
    """The loss of `train`, by its options."""

    def __init__(self, options: LossOptions) -> None:
        self.options = options

    def known(self, negatives: Rows) -> Rows:
        """What counts as a known negative, of rows `(n, l)` that are the reference first, and then the group's."""
        return negatives if self.options.negatives == "bank+group" else negatives[:, :1]

    def bank(self, count: int, positives: Rows, known_negatives: Rows, random: np.random.Generator) -> Rows:
        """Which of `count` pictures a step compares its queries with, ascending; those given are among them."""
        own = np.concatenate([known_negatives.ravel(), positives.ravel()])
        if self.options.negatives == "batch":
            return np.unique(own)
        if count <= _BANK:
            return np.arange(count)
        chosen = np.zeros(count, bool)
        chosen[own] = True
        chosen[random.choice(count, _BANK, replace=False)] = True
        # Few sizes: libraries keep what they have prepared for each size that they meet, some megabytes every time.
        surplus = -np.count_nonzero(chosen) % _ROUNDED
        others = np.flatnonzero(~chosen)
        chosen[random.choice(others, min(surplus, len(others)), replace=False)] = True
        return np.flatnonzero(chosen)

    def __call__(
        self,
        queries: Tensor,
        bank: Tensor,
        positives: Tensor,
        known_negatives: Tensor,
        similarity: Tensor,
        confidences: Tensor,
    ) -> Tensor:
        """The loss of queries against the gallery vectors of a bank.

        Args:
            queries: unit vectors `(n, d)`.
            bank: unit vectors `(m, d)`.
            positives: rows `(n, k)` of the bank that are targets.
            known_negatives: rows `(n, l)` of the bank that are known to be none.
            similarity: cosines `(n, m)`, as encoded, of each query's target and the bank.
            confidences: what each triplet counts `(n,)`.
        """
        options = self.options
        ignored = similarity > DUPLICATE
        if options.false_negative_margin is not None:
            with torch.no_grad():
                cosines = queries @ bank.T
                limit = cosines.gather(1, positives).amax(dim=1, keepdim=True) + options.false_negative_margin
                ignored |= (cosines > limit).scatter_(1, known_negatives, False)
        if options.negatives == "bank+group":
            ignored.scatter_(1, known_negatives, False)
        ignored.scatter_(1, positives, False)
        weights = confidences if options.weighting == "confidence" else torch.ones_like(confidences)
        given = (queries, bank, positives, weights, options.temperature, ignored)
        loss = contrastive_loss(*given, options.hard_alpha, options.hard_beta)
        if not options.symmetric:
            return loss
        return (loss + backward_loss(*given, options.hard_alpha, options.hard_beta)) / 2


def contrastive_loss(
    queries: Tensor,
    bank: Tensor,
    targets: Tensor,
    weights: Tensor,
    temperature: float,
    ignored: Tensor,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> Tensor:
    """InfoNCE of queries `(n, d)` against a bank `(m, d)` that holds the targets, unlabelled pictures as negatives, and
    the references themselves; HN-NCE with an `alpha` or `beta` of its own.

    `targets` `(n, k)` are each query's rows of the bank, all equally good: the loss is the mean over them. `ignored`
    `(n, m)` marks rows that are no negative for a query. `weights` `(n,)` is the critic's confidence.
    """
    logits = (queries @ bank.T / temperature).masked_fill(ignored, float("-inf"))
    losses = -_log_shares(logits.float(), _mask(logits, targets), alpha, beta).gather(1, targets).mean(dim=1)
    return (losses * weights).sum() / weights.sum()


def backward_loss(
    queries: Tensor,
    bank: Tensor,
    targets: Tensor,
    weights: Tensor,
    temperature: float,
    ignored: Tensor,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> Tensor:
    """The other direction: from each query's own target to the queries of the batch that it answers, all equally good.

    Takes what `contrastive_loss` takes; a query that ignores a picture is no negative of it.
    """
    own = targets[:, 0]
    logits = (bank[own] @ queries.T / temperature).masked_fill(ignored[:, own].T, float("-inf")).float()
    positives = _mask(ignored, targets)[:, own].T
    losses = -_log_shares(logits, positives, alpha, beta).masked_fill(~positives, 0).sum(dim=1)
    losses = losses / positives.sum(dim=1)
    return (losses * weights).sum() / weights.sum()


def _mask(like: Tensor, targets: Tensor) -> Tensor:
    """Where the targets are, as a mask of the shape of `like`."""
    return torch.zeros_like(like, dtype=torch.bool).scatter_(1, targets, True)


def _log_shares(logits: Tensor, positives: Tensor, alpha: float, beta: float) -> Tensor:
    """The logarithm of each column's share of its row, a softmax.

    Other than 1 and 0, `alpha` and `beta` weigh the terms below the fraction line, as in HN-NCE (Radenovic et al. 2023,
    "Filtering, Distillation, and Hard Negatives", arXiv 2301.02280): a target counts `alpha`, and a negative in
    proportion to exp(`beta` · cosine / temperature), where the weights of a row's negatives are 1 in the mean.
    """
    if (alpha, beta) == (1, 0):
        return F.log_softmax(logits, dim=1)
    negative = ~positives & logits.isfinite()
    hardness = (beta * logits).masked_fill(~negative, _NEVER)
    count = negative.sum(dim=1, keepdim=True).clamp(min=1)
    weights = hardness - hardness.logsumexp(dim=1, keepdim=True) + count.log()
    return logits - (logits + weights.masked_fill(positives, math.log(alpha))).logsumexp(dim=1, keepdim=True)
