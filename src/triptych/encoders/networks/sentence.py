"""A small sentence transformer in the layout of BERT, distilled from a larger one.

Layers as in BERT (Devlin et al., NAACL 2019), with the width of MiniLM (Wang et al., NeurIPS 2020); the mean over
tokens as in Sentence-BERT (Reimers and Gurevych, EMNLP 2019).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.encoders.protocol import SLOT

PADDING, OPENING, CLOSING = 0, 2, 3
"""Token ids: padding, and the start and end tokens of every text."""


class Layer(nn.Module):
    """Self-attention and a feed-forward network, each with a shortcut followed by a layer norm."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (
            read(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for read in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + mask
        heads = (scores.float().softmax(dim=-1).to(value.dtype) @ value).transpose(1, 2).flatten(2)
        x = self.attention_norm(x + self.out(heads))
        normed: Tensor = self.norm(x + self.down(F.gelu(self.up(x))))
        return normed


class SentenceTower(nn.Module):
    """Maps token ids `(n, l)` to the mean of the tokens' states `(n, width)`.

    Args:
        vocabulary: entries of the tokenizer.
        length: the most tokens of a text that are read.
        width: width of the layers.
        rank: length of a token's embedding, which a linear map extends to `width`; 0 for embeddings of length `width`.
        layers: number of layers.
        heads: attention heads of each layer.
    """

    def __init__(self, vocabulary: int, length: int, width: int, rank: int, layers: int, heads: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, rank or width, padding_idx=PADDING)
        self.widen = nn.Linear(rank, width) if rank else nn.Identity()
        self.positions = nn.Parameter(torch.zeros(length, width))
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(Layer(width, heads, 4 * width) for _ in range(layers))

    def forward(self, ids: Tensor, words: Tensor | None = None) -> Tensor:
        present = self.present(ids).unsqueeze(-1).float()
        states = self.states(ids, words).float()
        return (states * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)

    def present(self, ids: Tensor) -> Tensor:
        """A mask `(n, l)` of the tokens that belong to the text: no padding, and up to the first end token."""
        closes = (ids == CLOSING).long()
        return (ids != PADDING) & (closes.cumsum(dim=1) - closes == 0)

    def states(self, ids: Tensor, words: Tensor | None = None) -> Tensor:
        """The last layer's states `(n, l, width)`.

        At the id SLOT, the row's pseudo-word of `words` `(n, rank)` replaces the token's embedding.
        """
        hidden = self.tokens(ids.clamp(min=0))
        if words is not None:
            hidden = torch.where((ids == SLOT).unsqueeze(-1), words.unsqueeze(1), hidden)
        # Positions are looked up instead of sliced, so that an exported graph accepts any number of columns.
        positions = F.embedding(torch.arange(ids.shape[1], device=ids.device), self.positions)
        hidden = self.embedding_norm(self.widen(hidden) + positions)
        mask = torch.where(self.present(ids), 0.0, -1e4).to(hidden.dtype)[:, None, None, :]
        for layer in self.layers:
            hidden = layer(hidden, mask)
        states: Tensor = hidden
        return states


def bert_weights(published: Mapping[str, Tensor], layers: Sequence[int], length: int) -> dict[str, Tensor]:
    """Convert the given layers of a BERT in the Hugging Face layout to weights of a `SentenceTower` with rank 0."""
    weights = {
        "tokens.weight": published["embeddings.word_embeddings.weight"],
        "positions": published["embeddings.position_embeddings.weight"][:length]
        + published["embeddings.token_type_embeddings.weight"][0],
        "embedding_norm.weight": published["embeddings.LayerNorm.weight"],
        "embedding_norm.bias": published["embeddings.LayerNorm.bias"],
    }
    names = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "out": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm": "output.LayerNorm",
    }
    for place, layer in enumerate(layers):
        for ours, theirs in names.items():
            for part in ("weight", "bias"):
                weights[f"layers.{place}.{ours}.{part}"] = published[f"encoder.layer.{layer}.{theirs}.{part}"]
    return {name: tensor.float() for name, tensor in weights.items()}
