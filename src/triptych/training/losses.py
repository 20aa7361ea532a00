"""The contrastive loss of composers: InfoNCE over a bank of pictures, with options for the bank and its weights.

For query q with targets T, temperature τ and a bank of pictures with gallery vectors g:

    loss(q) = mean over t in T of -log( exp(q·g_t / τ) / Σ_j exp(q·g_j / τ) )

The sum runs over the bank without near-duplicates of the target. The other targets of q are in it, as in SupCon's L_out
(Khosla et al. 2020). The loss of a batch is the mean over its queries, weighted by the critic's confidence. The bank is
the whole catalog or a sample of it; its gallery vectors are computed in each step, with gradients.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from triptych.training.options import LossOptions

_ROUNDED = 1024  # the size of a bank is a multiple of this; see ContrastiveLoss.bank
_BANK = 3_250  # pictures that a step compares queries with; a larger catalog is sampled
DUPLICATE = 0.98  # cosine to the target from which a picture counts as its duplicate and is no negative; not tuned
_NEVER = -1e4  # stands for the logarithm of zero: finite, so that differences are defined

Rows = NDArray[np.int64]


class ContrastiveLoss:
    """The loss of `train` with its options."""

    def __init__(self, options: LossOptions) -> None:
        self.options = options

    def known(self, negatives: Rows) -> Rows:
        """Choose the known negatives that count, from rows `(n, l)`: the reference, then the critic's negatives."""
        return negatives if self.options.negatives == "bank+group" else negatives[:, :1]

    def bank(self, count: int, positives: Rows, known_negatives: Rows, random: np.random.Generator) -> Rows:
        """Choose the pictures that a step compares its queries with.

        Args:
            count: pictures of the catalog.
            positives, known_negatives: rows that must be among them.
            random: chooses the others.

        Returns:
            Ascending rows of the catalog.
        """
        own = np.concatenate([known_negatives.ravel(), positives.ravel()])
        if self.options.negatives == "batch":
            return np.unique(own)
        if count <= _BANK:
            return np.arange(count)
        chosen = np.zeros(count, bool)
        chosen[own] = True
        chosen[random.choice(count, _BANK, replace=False)] = True
        # Sizes are rounded: torch keeps some megabytes of prepared kernels for each size that it meets.
        surplus = -int(np.count_nonzero(chosen)) % _ROUNDED
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
        """Compute the loss of queries against the gallery vectors of a bank.

        Args:
            queries: unit vectors `(n, d)`.
            bank: unit vectors `(m, d)`.
            positives: rows `(n, k)` of the bank that are targets.
            known_negatives: rows `(n, l)` of the bank that are known negatives.
            similarity: cosines `(n, m)`, by the encoder, of each query's target and the bank.
            confidences: the weight of each triplet `(n,)`.
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
    """InfoNCE of queries against a bank; HN-NCE if `alpha` or `beta` is not the default.

    The bank holds the targets, unlabelled pictures as negatives, and the references.

    Args:
        queries: unit vectors `(n, d)`.
        bank: unit vectors `(m, d)`.
        targets: rows `(n, k)` of the bank, all positives; the loss is the mean over them.
        weights: the weight of each query `(n,)`, such as the critic's confidence.
        temperature: temperature of the softmax.
        ignored: booleans `(n, m)`: rows of the bank that are no negatives of a query.
        alpha, beta: weights of the target and of hard negatives; see `_log_softmax`.
    """
    logits = (queries @ bank.T / temperature).masked_fill(ignored, float("-inf"))
    losses = -_log_softmax(logits.float(), _mask(logits, targets), alpha, beta).gather(1, targets).mean(dim=1)
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
    """The loss in the other direction: each query's own target finds the queries that it answers, all positives.

    The arguments are those of `contrastive_loss`. A query that ignores a picture is no negative of that picture.
    """
    own = targets[:, 0]
    logits = (bank[own] @ queries.T / temperature).masked_fill(ignored[:, own].T, float("-inf")).float()
    positives = _mask(ignored, targets)[:, own].T
    losses = -_log_softmax(logits, positives, alpha, beta).masked_fill(~positives, 0).sum(dim=1)
    losses = losses / positives.sum(dim=1)
    return (losses * weights).sum() / weights.sum()


def soft_label_loss(cosines: Tensor, scores: Tensor, temperature: float, score_temperature: float) -> Tensor:
    """Compute the mean Kullback-Leibler divergence of the softmax of cosines from that of scores.

    Args:
        cosines: cosines of each query and its candidates `(n, k)`.
        scores: a verifier's scores `(n, k)`; minus infinity for padding.
        temperature: temperature of the cosines' softmax.
        score_temperature: temperature of the scores' softmax.
    """
    wanted = F.softmax(scores / score_temperature, dim=1)
    found = (cosines.float() / temperature).masked_fill(~scores.isfinite(), _NEVER)
    return F.kl_div(F.log_softmax(found, dim=1), wanted, reduction="batchmean")


def _mask(like: Tensor, targets: Tensor) -> Tensor:
    """A mask with the shape of `like` that marks the targets."""
    return torch.zeros_like(like, dtype=torch.bool).scatter_(1, targets, True)


def _log_softmax(logits: Tensor, positives: Tensor, alpha: float, beta: float) -> Tensor:
    """The log-softmax of each row, with weights as in HN-NCE if `alpha` is not 1 or `beta` is not 0.

    In the denominator, a target then counts `alpha`, and a negative in proportion to exp(`beta` · cosine /
    temperature), with a mean weight of 1 (Radenovic et al. 2023, "Filtering, Distillation, and Hard Negatives", arXiv
    2301.02280).
    """
    if (alpha, beta) == (1, 0):
        return F.log_softmax(logits, dim=1)
    negative = ~positives & logits.isfinite()
    hardness = (beta * logits).masked_fill(~negative, _NEVER)
    count = negative.sum(dim=1, keepdim=True).clamp(min=1)
    weights = hardness - hardness.logsumexp(dim=1, keepdim=True) + count.log()
    return logits - (logits + weights.masked_fill(positives, math.log(alpha))).logsumexp(dim=1, keepdim=True)
