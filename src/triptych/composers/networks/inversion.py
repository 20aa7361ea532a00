"""The mapping network from a vector to a pseudo-word, and the query side of a composer that uses it."""

from torch import Tensor, nn


class MappingNetwork(nn.Module):
    """Maps unit vectors `(n, dim)` of pictures (or of texts, if it learns from texts) to pseudo-words `(n, width)`.

    Three linear layers, as in all methods of this family (Pic2Word, section 3.1; SEARLE, section 3.2; LinCIR, section
    4).
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
        words: Tensor = self.layers(vectors * self.dim**0.5)  # scaled to components of about one
        return words


class InvertedQuery(nn.Module):
    """Maps references `(n, dim)` and token ids `(n, l)`, with SLOT for the reference, to the texts' vectors."""

    def __init__(self, phi: MappingNetwork, tower: nn.Module) -> None:
        super().__init__()
        self.phi = phi
        self.tower = tower

    def forward(self, references: Tensor, ids: Tensor) -> Tensor:
        """Unit query vectors `(n, dim)`."""
        vectors: Tensor = self.tower(ids, self.phi(references))
        return vectors
