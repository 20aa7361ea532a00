"""The small dual encoder that `pretrain` trains from scratch: a residual network for pictures, a transformer for texts.

It is sized for CPUs: pictures of 64 pixels a side and about five million parameters. A CLIP tower has a hundred
million.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.encoders.protocol import SLOT


@dataclass(frozen=True)
class EncoderShape:
    """The sizes that decide the shapes of all weights."""

    size: int = 64
    """Side of the square picture, in pixels."""
    width: int = 64
    """Channels of the first stage; the second has twice, the third four times as many."""
    depths: tuple[int, int, int] = (1, 2, 2)
    """Residual blocks per stage."""
    vocabulary: int = 4096
    """Entries of the tokenizer."""
    length: int = 24
    """The most tokens of a text that are read."""
    text_width: int = 192
    text_layers: int = 2
    dim: int = 256
    """Length of the vector that pictures and texts share."""
    identity: int = 0
    """Length of the item part of a picture's vector; 0 before `adapt-encoder`."""


class Residual(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.second_norm.weight)  # so each block starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(inner)))


def _halve(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class PictureTower(nn.Module):
    """Maps pixels `(n, 3, size, size)` in [-1, 1] to unit vectors `(n, dim)`."""

    def __init__(self, shape: EncoderShape, dim: int) -> None:
        super().__init__()
        width = shape.width
        layers: list[nn.Module] = [_halve(3, width // 2)]
        channels = width // 2
        for stage, depth in enumerate(shape.depths):
            layers.append(_halve(channels, width << stage))
            channels = width << stage
            layers.extend(Residual(channels) for _ in range(depth))
        self.layers = nn.Sequential(*layers)
        self.project = nn.Linear(channels, dim)

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.layers(pixels).mean(dim=(2, 3))
        return F.normalize(self.project(features).float(), dim=-1)


class PatchTower(nn.Module):
    """Maps pixels to the towers' features before pooling, `(n, positions, channels)`, in half precision."""

    def __init__(self, *towers: PictureTower) -> None:
        super().__init__()
        self.towers = nn.ModuleList(tower.layers for tower in towers)

    def forward(self, pixels: Tensor) -> Tensor:
        features = torch.cat([layers(pixels) for layers in self.towers], dim=1)
        return features.flatten(2).transpose(1, 2).half()


class TextTower(nn.Module):
    """Maps token ids `(n, l)`, zero for padding, to unit vectors `(n, dim + identity)`.

    A text does not identify an item, so its last `identity` components are zero. At the id SLOT, the row's pseudo-word,
    an embedding of `words` `(n, text_width)`, replaces the token's embedding.
    """

    def __init__(self, shape: EncoderShape) -> None:
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
        self.silent = shape.identity
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, ids: Tensor, words: Tensor | None = None) -> Tensor:
        return self.pool(ids, self.states(ids, words))

    def states(self, ids: Tensor, words: Tensor | None = None) -> Tensor:
        """The last layer's states `(n, l, text_width)`. The states of padding are undefined."""
        hidden = self.tokens(ids) if words is None else _with_words(self.tokens, ids, words)
        hidden = hidden + self.positions[: ids.shape[1]]
        states: Tensor = self.norm(self.layers(hidden, src_key_padding_mask=ids == 0))
        return states

    def pool(self, ids: Tensor, states: Tensor) -> Tensor:
        """Unit vectors of texts from their `states`."""
        present = (ids != 0).unsqueeze(-1).to(states.dtype)
        mean = (states * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)
        return F.pad(F.normalize(self.project(mean).float(), dim=-1), (0, self.silent))


class JointPictureTower(nn.Module):
    """Maps pixels to unit vectors `(n, dim + identity)`: the part shared with texts, and the part that identifies the
    item."""

    def __init__(self, shared: PictureTower, identity: PictureTower) -> None:
        super().__init__()
        self.shared = shared
        self.identity = identity

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.cat([self.shared(pixels), self.identity(pixels)], dim=-1) * HALF


HALF = 0.5**0.5
"""The scale of both parts of a vector, so that the whole vector has length one."""


def _with_words(tokens: nn.Embedding, ids: Tensor, words: Tensor) -> Tensor:
    """Token embeddings `(n, l, width)`, with `words` `(n, width)` in the slots."""
    return torch.where((ids == SLOT).unsqueeze(-1), words.unsqueeze(1), tokens(ids.clamp(min=0)))


class DualEncoder(nn.Module):
    """Both towers, and their trained temperature."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.picture = PictureTower(shape, shape.dim)
        self.identity = PictureTower(shape, shape.identity) if shape.identity else None
        self.text = TextTower(shape)
        # CLIP's initial temperature of 0.07 and upper limit of 100 (Radford et al. 2021, section 2.5).
        self.log_scale = nn.Parameter(torch.tensor(2.659))

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp().clamp(max=100.0)

    @property
    def full_picture(self) -> nn.Module:
        """The module that maps pixels to the vectors that a catalog stores."""
        return self.picture if self.identity is None else JointPictureTower(self.picture, self.identity)

    @property
    def patches(self) -> PatchTower:
        """The module that maps pixels to the same towers' features at each position."""
        return PatchTower(self.picture) if self.identity is None else PatchTower(self.picture, self.identity)


class WordHead(nn.Module):
    """Maps unit vectors `(n, dim)` of pictures to log-odds that a caption contains each term.

    `share` `(terms,)` is the share of captions that contain each term. It determines the initial biases.
    """

    def __init__(self, dim: int, share: Tensor) -> None:
        super().__init__()
        self._scale = dim**0.5  # scales to components of about one
        self.read = nn.Linear(dim, len(share))
        nn.init.zeros_(self.read.weight)
        with torch.no_grad():
            self.read.bias.copy_(torch.logit(share, eps=1e-4))

    def loss(self, vectors: Tensor, said: Tensor) -> Tensor:
        """The binary cross-entropy, summed over terms, given a mask of the captions' terms `(n, terms)`."""
        odds = self.read(vectors.float() * self._scale)
        return F.binary_cross_entropy_with_logits(odds, said.float(), reduction="sum") / len(said)

    def linear(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The linear map from unit vectors to log-odds, as `(weight, bias)`."""
        weight, bias = self.read.weight.detach().float().cpu(), self.read.bias.detach().float().cpu()
        return (weight * self._scale).numpy(), bias.numpy()
