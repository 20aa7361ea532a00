"""What a composer learns by: InfoNCE over a bank of pictures, with a choice of what is in it and what it counts."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from triptych.core.errors import UsageError

NEGATIVES = ("bank", "batch", "bank+group")
WEIGHTINGS = ("confidence", "none")
_BANK = 3_250  # negatives a step: the whole catalog up to this many pictures, a sample of it above
DUPLICATE = 0.98  # pictures this like the target are taken for the same, and are no negatives
_NEVER = -1e4  # a logarithm of nothing that can still be subtracted from itself

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Loss:
    """What `train` is told of the loss; the defaults are InfoNCE (van den Oord et al. 2018) over the whole catalog.

    Whatever is chosen, an answer is no negative of its query, be it drawn to count in the step or not.
    Raises UsageError for what makes no sense.
    """

    temperature: float = 0.07
    negatives: str = "bank"
    """`bank`: the catalog, or a sample of it with the batch's pictures. `batch`: the batch's references and targets
    alone. `bank+group`: the bank with the pictures of the batch's groups, which the critic knows to be wrong: each is a
    negative of its own query, however like the target it is."""
    hard_alpha: float = 1.0
    """HN-NCE's α: what an answer counts beside the negatives."""
    hard_beta: float = 0.0
    """HN-NCE's β: by how much a hard negative counts more than an easy one. CoVR (Ventura et al. 2024): α 1, β 0.5."""
    both_directions: bool = False
    """Also find a target's query among those of the batch, as CLIP finds a picture's text (Radford et al. 2021)."""
    margin: float | None = None
    """A negative that the query likes more than its best answer, by this cosine, is taken for an answer that nobody
    found, and left out: the elimination of false negatives (Huynh et al. 2022), by the composer's own judgement. What
    is known to be wrong stays: the reference, and with `bank+group` the group. None leaves none out."""
    weighting: str = "confidence"
    """What a triplet counts: the critic's `confidence`, or with `none` as much as any other."""

    def __post_init__(self) -> None:
        if not 0 < self.temperature < 1:
            raise UsageError("--temperature must be between 0 and 1")
        for option, value, known in (
            ("--negatives", self.negatives, NEGATIVES),
            ("--weighting", self.weighting, WEIGHTINGS),
        ):
            if value not in known:
                raise UsageError(f"{option} {value}: there are {', '.join(known)}")
        if not (0 < self.hard_alpha < math.inf and 0 <= self.hard_beta < math.inf):
            raise UsageError("--hard-alpha must be above 0, --hard-beta 0 or more")
        if self.margin is not None and not 0 <= self.margin <= 2:
            raise UsageError("--margin must be a difference of cosines, from 0 to 2")

    def known(self, wrong: Rows) -> Rows:
        """What counts as known to be wrong, of rows `(n, l)` that are the reference first, and then the group's."""
        return wrong if self.negatives == "bank+group" else wrong[:, :1]

    def bank(self, count: int, targets: Rows, wrong: Rows, random: np.random.Generator) -> Rows:
        """Which of `count` pictures a step compares its queries with, ascending; `targets` and `wrong` among them."""
        own = np.concatenate([wrong.ravel(), targets.ravel()])
        if self.negatives == "batch":
            return np.unique(own)
        if count <= _BANK:
            return np.arange(count)
        return np.unique(np.concatenate([random.choice(count, _BANK, replace=False), own]))

    def __call__(
        self, queries: Tensor, bank: Tensor, targets: Tensor, wrong: Tensor, likeness: Tensor, confidences: Tensor
    ) -> Tensor:
        """The loss of queries `(n, d)` against the gallery vectors `(m, d)` of a bank.

        `targets` `(n, k)` and `wrong` `(n, l)` are rows of the bank: the answers, and what is known to be none.
        `likeness` `(n, m)` are cosines, as encoded, of each query's target and the bank. `confidences` are `(n,)`.
        """
        ignored = likeness > DUPLICATE
        if self.margin is not None:
            with torch.no_grad():
                liked = queries @ bank.T
                bar = liked.gather(1, targets).amax(dim=1, keepdim=True) + self.margin
                ignored |= (liked > bar).scatter_(1, wrong, False)
        if self.negatives == "bank+group":
            ignored.scatter_(1, wrong, False)
        ignored.scatter_(1, targets, False)
        weights = confidences if self.weighting == "confidence" else torch.ones_like(confidences)
        given = (queries, bank, targets, weights, self.temperature, ignored)
        loss = contrastive_loss(*given, self.hard_alpha, self.hard_beta)
        if not self.both_directions:
            return loss
        return (loss + backward_loss(*given, self.hard_alpha, self.hard_beta)) / 2


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

    `targets` `(n, k)` are each query's rows of the bank, all equally right: the loss is the mean over them. `ignored`
    `(n, m)` marks rows that are no negative for a query. `weights` `(n,)` is the critic's confidence.
    """
    logits = (queries @ bank.T / temperature).masked_fill(ignored, float("-inf"))
    losses = -_log_shares(logits.float(), _right(logits, targets), alpha, beta).gather(1, targets).mean(dim=1)
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
    """The other direction: from each query's own target to the queries of the batch that it answers, all equally right.

    Takes what `contrastive_loss` takes; a query that ignores a picture is no negative of it.
    """
    own = targets[:, 0]
    logits = (bank[own] @ queries.T / temperature).masked_fill(ignored[:, own].T, float("-inf")).float()
    right = _right(ignored, targets)[:, own].T
    losses = -_log_shares(logits, right, alpha, beta).masked_fill(~right, 0).sum(dim=1) / right.sum(dim=1)
    return (losses * weights).sum() / weights.sum()


def _right(like: Tensor, targets: Tensor) -> Tensor:
    """Where the answers are, as a mask of the shape of `like`."""
    return torch.zeros_like(like, dtype=torch.bool).scatter_(1, targets, True)


def _log_shares(logits: Tensor, right: Tensor, alpha: float, beta: float) -> Tensor:
    """The logarithm of each column's share of its row, a softmax.

    Other than 1 and 0, `alpha` and `beta` weigh the terms below the fraction line, as in HN-NCE (Radenovic et al. 2023,
    "Filtering, Distillation, and Hard Negatives", arXiv 2301.02280): an answer counts `alpha`, and a negative in
    proportion to exp(`beta` · cosine / temperature), where the weights of a row's negatives are 1 in the mean.
    """
    if (alpha, beta) == (1, 0):
        return F.log_softmax(logits, dim=1)
    negative = ~right & logits.isfinite()
    hardness = (beta * logits).masked_fill(~negative, _NEVER)
    count = negative.sum(dim=1, keepdim=True).clamp(min=1)
    weights = hardness - hardness.logsumexp(dim=1, keepdim=True) + count.log()
    return logits - (logits + weights.masked_fill(right, math.log(alpha))).logsumexp(dim=1, keepdim=True)
