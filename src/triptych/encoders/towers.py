"""The small dual encoder that `pretrain` trains: a residual network for pictures, a transformer for texts.

Sized for a CPU: 64 pixels a side and about five million parameters, where a CLIP tower has a hundred.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.encoders.protocol import SLOT


@dataclass(frozen=True)
class Architecture:
    """Everything that decides the shape of the weights."""

    size: int = 64
    """Side of the square picture, in pixels."""
    width: int = 64
    """Channels of the first stage; the second has twice, the third four times as many."""
    depths: tuple[int, int, int] = (1, 2, 2)
    """Residual blocks per stage."""
    vocabulary: int = 4096
    """Entries of the tokenizer."""
    length: int = 24
    """Tokens read of a text."""
    text_width: int = 192
    text_layers: int = 2
    dim: int = 256
    """Length of the shared vector."""


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.second_norm.weight)  # each block starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(inner)))


def _halve(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class PictureTower(nn.Module):
    """Pixels `(n, 3, size, size)` in [-1, 1] to unit vectors `(n, dim)`."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        width = shape.width
        layers: list[nn.Module] = [_halve(3, width // 2)]
        channels = width // 2
        for stage, depth in enumerate(shape.depths):
            layers.append(_halve(channels, width << stage))
            channels = width << stage
            layers.extend(Residual(channels) for _ in range(depth))
        self.layers = nn.Sequential(*layers)
        self.project = nn.Linear(channels, shape.dim)

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.layers(pixels).mean(dim=(2, 3))
        return F.normalize(self.project(features).float(), dim=-1)


class TextTower(nn.Module):
    """Token ids `(n, l)`, zero where there is none, to unit vectors `(n, dim)`.

    Where an id is SLOT, the text has no token but the row's own pseudo-word, an embedding of `words` `(n, text_width)`.
    """

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        width = shape.text_width
        self.tokens = nn.Embedding(shape.vocabulary, width, padding_idx=0)
        self.positions = nn.Parameter(torch.randn(shape.length, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, nhead=4, dim_feedforward=2 * width, dropout=0.1, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, shape.text_layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, shape.dim)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, ids: Tensor, words: Tensor | None = None) -> Tensor:
        absent = ids == 0
        hidden = self.tokens(ids) if words is None else _with_words(self.tokens, ids, words)
        hidden = hidden + self.positions[: ids.shape[1]]
        hidden = self.norm(self.layers(hidden, src_key_padding_mask=absent))
        present = (~absent).unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)
        return F.normalize(self.project(mean).float(), dim=-1)


def _with_words(tokens: nn.Embedding, ids: Tensor, words: Tensor) -> Tensor:
    """Token embeddings `(n, l, width)`, with `words` `(n, width)` in the slots."""
    return torch.where((ids == SLOT).unsqueeze(-1), words.unsqueeze(1), tokens(ids.clamp(min=0)))


class DualEncoder(nn.Module):
    """Both towers and the temperature they are trained with."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.shape = shape
        self.picture = PictureTower(shape)
        self.text = TextTower(shape)
        # CLIP's starting temperature of 0.07 and its cap of 100 (Radford et al. 2021, section 2.5).
        self.log_scale = nn.Parameter(torch.tensor(2.659))

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp().clamp(max=100.0)
