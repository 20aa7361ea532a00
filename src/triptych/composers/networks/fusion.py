"""The fusion transformer: the trunk of a combiner that reads picture and text token by token."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.composers.networks.combiner import CombinerShape
from triptych.encoders.networks.dual_encoder import EncoderShape, PatchTower


@dataclass(frozen=True)
class FusionShape:
    """The sizes that decide the shapes of the trunk's weights."""

    reads: int
    """Length of the pooled input, the combiner's `CombinerShape.input_dim`."""
    answers: int
    """Length of the output features: the combiner's `CombinerShape.hidden`."""
    positions: int
    """Positions of a picture; one token each."""
    channels: int
    """Channels of a position."""
    text_width: int
    """Length of a text token's state."""
    width: int = 256
    layers: int = 2
    heads: int = 4
    dropout: float = 0.1


class FusionTrunk(nn.Module):
    """Self-attention over a query token, a picture's positions and a text's tokens. The output is the query token's.

    It follows the fusion in CASE (Levy et al., AAAI 2024) and TransAgg (Liu et al., BMVC 2023), which also attend over
    positions and tokens. Here the query token is initialised from the vectors of both inputs.
    """

    def __init__(self, shape: FusionShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.ask = nn.Linear(shape.reads, width)
        self.see = nn.Sequential(nn.LayerNorm(shape.channels), nn.Linear(shape.channels, width))
        self.hear = nn.Linear(shape.text_width, width)
        self.kinds = nn.Parameter(torch.randn(3, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(shape.positions, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, shape.heads, 2 * width, dropout=shape.dropout, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, shape.layers, enable_nested_tensor=False)
        self.answer = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, shape.answers), nn.GELU(), nn.Dropout(shape.dropout)
        )

    @classmethod
    def between(cls, patches: PatchTower, towers: EncoderShape, combiner: CombinerShape) -> Self:
        """Make a trunk for the outputs of these towers and a combiner of this shape."""
        with torch.inference_mode():
            positions, channels = patches(torch.zeros(1, 3, towers.size, towers.size)).shape[1:]
        return cls(FusionShape(combiner.input_dim, combiner.hidden, positions, channels, towers.text_width))

    def forward(self, both: Tensor, patches: Tensor, states: Tensor, absent: Tensor) -> Tensor:
        """Compute features `(n, answers)`.

        Args:
            both: the combiner's input `(n, reads)`.
            patches: `(n, positions, channels)` of the references.
            states: `(n, l, text_width)` of the text's tokens.
            absent: a mask `(n, l)` of the tokens that are padding.
        """
        query = self.ask(both).unsqueeze(1) + self.kinds[0]
        picture = self.see(patches.float()) + self.positions + self.kinds[1]
        text = self.hear(states) + self.kinds[2]
        padding = F.pad(absent, (1 + self.shape.positions, 0), value=False)
        hidden = self.layers(torch.cat([query, picture, text], dim=1), src_key_padding_mask=padding)
        features: Tensor = self.answer(hidden[:, 0])
        return features
