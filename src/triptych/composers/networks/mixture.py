"""The head of a fine-tuned encoder: a mixture of picture and words."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Mixture(nn.Module):
    """Maps reference and text vectors `(n, dim)` to query vectors `(n, dim)`: a weighted sum plus a correction.

    The weights are learnt for each query, as in CLIP4Cir's Combiner (Baldrati et al., CVPR Workshops 2022, section
    3.2). It starts as the even sum. The gallery stays in the encoder's space.
    """

    def __init__(self, dim: int, hidden: int = 512, dropout: float = 0.1) -> None:
        super().__init__()
        self.dim, self.hidden = dim, hidden
        self.trunk = nn.Sequential(nn.Linear(3 * dim, hidden), nn.GELU(), nn.Dropout(dropout))
        self.gate = nn.Linear(hidden, 2)
        self.correct = nn.Linear(hidden, dim)
        for last in (self.gate, self.correct):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, references: Tensor, texts: Tensor) -> Tensor:
        """Unit query vectors."""
        root = self.dim**0.5  # scales to components of about one
        inner = self.trunk(torch.cat([references * root, texts * root, references * texts * root**2], dim=-1))
        shares = torch.sigmoid(self.gate(inner)) * 2
        mixed = shares[:, :1] * references + shares[:, 1:] * texts + self.correct(inner)
        return F.normalize(mixed.float(), dim=-1)


class SameSpace(nn.Module):
    """The gallery side of a mixture, which leaves the encoder's vectors unchanged."""

    def forward(self, vectors: Tensor) -> Tensor:
        """The vectors unchanged, since they have unit length."""
        return F.normalize(vectors, dim=-1)
