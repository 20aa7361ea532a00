"""The combiner: a small network over the vectors of a reference and a text, and the loss it learns by."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Architecture:
    """Everything that decides the shape of the weights."""

    dim: int
    """Length of the encoder's vectors."""
    hidden: int = 1024
    dropout: float = 0.3


class Combiner(nn.Module):
    """Reference and text vectors `(n, dim)` to query vectors `(n, dim)`.

    Gated as in CLIP4Cir's Combiner (Baldrati et al., CVPR Workshops 2022, section 3.2): a learned mixture of both
    inputs plus a correction. What is new is `adapt`, one linear map applied to references and gallery alike, which
    starts as the identity: it learns which directions tell one item from another.
    """

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.shape = shape
        dim, hidden = shape.dim, shape.hidden
        self.adapt = nn.Linear(dim, dim, bias=False)
        nn.init.eye_(self.adapt.weight)
        self.translate = nn.Linear(dim, dim, bias=False)
        nn.init.eye_(self.translate.weight)
        self.trunk = nn.Sequential(
            nn.Linear(3 * dim, hidden),
            nn.GELU(),
            nn.Dropout(shape.dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(shape.dropout),
        )
        self.correct = nn.Linear(hidden, dim)
        self.gate = nn.Linear(hidden, 2)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def gallery(self, vectors: Tensor) -> Tensor:
        """Gallery vectors where queries are compared with them."""
        return F.normalize(self.adapt(vectors), dim=-1)

    def forward(self, references: Tensor, texts: Tensor) -> Tensor:
        """Unit query vectors."""
        inner = self.trunk(torch.cat([references, texts, references * texts * self.shape.dim**0.5], dim=-1))
        shares = torch.sigmoid(self.gate(inner)) * 2
        mixed = shares[:, :1] * self.adapt(references) + shares[:, 1:] * self.translate(texts) + self.correct(inner)
        return F.normalize(mixed, dim=-1)


class QuerySide(nn.Module):
    """References and words to query vectors.

    Words are token ids `(n, l)` where a text tower is trained along with the combiner, else text vectors `(n, dim)`.
    """

    def __init__(self, combiner: Combiner, text: nn.Module | None) -> None:
        super().__init__()
        self.combiner = combiner
        self.text = text

    def forward(self, references: Tensor, words: Tensor) -> Tensor:
        """Unit query vectors `(n, dim)`."""
        texts: Tensor = words if self.text is None else self.text(words)
        query: Tensor = self.combiner(references, texts)
        return query


class GallerySide(nn.Module):
    """`Combiner.gallery` as a module of its own, to export."""

    def __init__(self, combiner: Combiner) -> None:
        super().__init__()
        self.combiner = combiner

    def forward(self, vectors: Tensor) -> Tensor:
        """Gallery vectors `(m, dim)`."""
        return self.combiner.gallery(vectors)


def contrastive_loss(
    queries: Tensor, bank: Tensor, target_rows: Tensor, weights: Tensor, temperature: float, ignored: Tensor
) -> Tensor:
    """InfoNCE of queries `(n, d)` against a bank `(m, d)` that holds the targets, all unlabelled pictures and the
    references themselves.

    `ignored` `(n, m)` marks bank rows that are no negative for a query. `weights` `(n,)` is the critic's confidence.
    """
    logits = (queries @ bank.T / temperature).masked_fill(ignored, float("-inf"))
    losses = F.cross_entropy(logits, target_rows, reduction="none")
    return (losses * weights).sum() / weights.sum()
