"""The mapping network from a vector to a pseudo-word, and what becomes of it at search time."""

import torch
from torch import Tensor, nn


class Phi(nn.Module):
    """Unit vectors `(n, dim)` of pictures (or, where it learns from texts, of texts) to pseudo-words `(n, width)`.

    Three linear layers, as in all of this family (Pic2Word, section 3.1; SEARLE, section 3.2; LinCIR, section 4).
    """

    def __init__(self, dim: int, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.dim = dim
        hidden = 4 * dim
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
        )

    def forward(self, vectors: Tensor) -> Tensor:
        words: Tensor = self.layers(vectors * self.dim**0.5)  # components near one
        return words


class InvertedQuery(nn.Module):
    """References `(n, dim)` and the modifications' token ids `(n, l)` to the vectors of the prompted sentences.

    The ids of the `prompt`, with SLOT for the pseudo-word, are put before those of the modification.
    """

    def __init__(self, phi: Phi, tower: nn.Module, prompt: list[int], frame: tuple[int, int]) -> None:
        super().__init__()
        self.phi = phi
        self.tower = tower
        self.register_buffer("prompt", torch.tensor([prompt], dtype=torch.int64), persistent=False)
        self._opening, self._closing = frame

    def forward(self, references: Tensor, ids: Tensor) -> Tensor:
        """Unit query vectors `(n, dim)`."""
        assert isinstance(self.prompt, Tensor)
        prompt = self.prompt.expand(ids.shape[0], -1)  # len() would fix the number of rows
        head, kept = (1 if self._opening else 0), ids.shape[1] - prompt.shape[1]
        ids = torch.cat([ids[:, :head], prompt, ids[:, head:kept]], dim=1)
        if self._opening:  # a long text may have lost what closes it; what stands behind the first does not matter
            ids = torch.cat([ids[:, :-1], torch.full_like(ids[:, -1:], self._closing)], dim=1)
        vectors: Tensor = self.tower(ids, self.phi(references))
        return vectors
