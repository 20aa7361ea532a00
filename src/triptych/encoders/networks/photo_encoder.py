"""The encoder of real photos: a pretrained trunk, a tuned copy of its last stages, and a sentence tower."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.encoders.networks.efficientnet import FEATURES, STAGES, EfficientNetLite0, stage
from triptych.encoders.networks.sentence import SentenceTower

_EARLY = (0, 1, 2, 4)  # early stages whose feature maps are used, besides the pixels
_EARLY_CHANNELS = 3 + sum(STAGES[number][3] for number in _EARLY)
_LAST_CHANNELS = STAGES[-1][3]


@dataclass(frozen=True)
class PhotoShape:
    """The sizes that decide the shapes of all weights."""

    trunk: str = "efficientnet-lite0"
    """The name of the trunk; there is only one."""
    tuned_from: int = 5
    """The first stage of the trunk that has a tuned copy. The trunk itself has the published weights."""
    size: int = 128
    """Side of the square picture, in pixels."""
    dim: int = 256
    """Length of the meaning, the part of a vector that pictures share with texts."""
    item_dim: int = 384
    """Length of the item part, the part of a picture's vector that identifies the item."""
    vocabulary: int = 9769
    """Entries of the tokenizer."""
    length: int = 64
    """The most tokens of a text that are read."""
    text_width: int = 384
    rank: int = 160
    """Length of a token's embedding."""
    text_layers: int = 3
    text_heads: int = 12

    @property
    def instance_dim(self) -> int:
        """The number of last components that are zero for texts: the item part and the constant."""
        return self.item_dim + 1


class PhotoTower(nn.Module):
    """Maps pixels `(n, 3, size, size)` in [-1, 1] to unit vectors `(n, dim + item_dim + 1)`.

    A vector has three parts, whose scales are in `parts`: the meaning, the item part, and a constant. The constant
    raises the similarity of any two pictures relative to that of a text and a picture, so that picture and text have
    equal influence in an even sum.

    The meaning has two sources. The first is a tuned copy of the trunk's last stages. Its features and the early
    stages' feature maps are pooled by attention, which favours the object over the background. The second is a linear
    map of the trunk's own features, which keeps the meaning useful for things that the copy was not tuned on. A gate
    weighs the first source. The item part is a fixed projection of the trunk's own features. Components with a large
    variance have less weight in it (a partial whitening, as of descriptors for instance retrieval: Jégou and Chum, ECCV
    2012).
    """

    def __init__(self, shape: PhotoShape, heads: int = 4, inner: int = 256) -> None:
        super().__init__()
        self.tuned_from = shape.tuned_from
        self.trunk = EfficientNetLite0()
        self.tuned = nn.ModuleList(stage(number) for number in range(shape.tuned_from, len(STAGES)))
        self.narrow = nn.Conv2d(_LAST_CHANNELS, 128, 1)
        self.values = nn.Conv2d(_EARLY_CHANNELS + 128, inner, 1)
        self.attention = nn.Conv2d(_EARLY_CHANNELS + 128, heads, 1)
        self.read = nn.Sequential(nn.Linear(heads * inner + _LAST_CHANNELS, 512), nn.GELU(), nn.Linear(512, shape.dim))
        self.plain = nn.Linear(FEATURES, shape.dim)
        self.gate = nn.Linear(FEATURES, 1)
        self.early_mean: Tensor
        self.early_scale: Tensor
        self.mean: Tensor
        self.scale: Tensor
        self.item_directions: Tensor
        self.item_mean: Tensor
        self.item_scale: Tensor
        self.parts: Tensor
        self.register_buffer("early_mean", torch.zeros(_EARLY_CHANNELS))
        self.register_buffer("early_scale", torch.ones(_EARLY_CHANNELS))
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(FEATURES))
        self.register_buffer("item_directions", torch.zeros(shape.item_dim, FEATURES))
        self.register_buffer("item_mean", torch.zeros(shape.item_dim))
        self.register_buffer("item_scale", torch.ones(shape.item_dim))
        self.register_buffer("parts", torch.tensor([0.5, 0.5, 0.0]).sqrt())
        with torch.no_grad():  # attention starts as a mean over all positions
            for parameter in (*self.attention.parameters(), self.gate.weight):
                parameter.zero_()
        nn.init.constant_(self.gate.bias, 1.0)

    def forward(self, pixels: Tensor) -> Tensor:
        early, tuned, features = self.maps(pixels)
        standard = self.standardise(features)
        meaning, item = self.meaning(self.pooled(early, tuned), standard), self.item(standard)
        constant = torch.ones_like(item[:, :1])
        return torch.cat([meaning * self.parts[0], item * self.parts[1], constant * self.parts[2]], dim=1)

    def maps(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The early maps `(n, 195, h, w)`, the tuned copy's last map `(n, 320, h / 2, w / 2)`, and the trunk's own
        features `(n, 1280)`. Height h and width w are a sixteenth of the picture's."""
        early, tuned, features = self.untuned_maps(pixels)
        for layers in self.tuned:
            tuned = layers(tuned)
        return early, tuned, features

    def untuned_maps(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Like `maps`, but with the input of the tuned copy, a map `(n, 112, h, w)`, instead of its last map."""
        maps = self.trunk.maps(pixels)
        fine = [pixels, *(maps[number] for number in _EARLY)]
        early = [F.avg_pool2d(values, side) for values, side in zip(fine[:-1], (16, 8, 4, 2), strict=True)]
        return torch.cat([*early, fine[-1]], dim=1), maps[self.tuned_from - 1], self.trunk.features(maps[-1])

    def standardise(self, features: Tensor) -> Tensor:
        """The trunk's features, standardised by mean and standard deviation over the training pictures."""
        return (features - self.mean) / self.scale

    def pooled(self, early: Tensor, tuned: Tensor) -> Tensor:
        """The first source of the meaning `(n, dim)`, from feature maps."""
        read: Tensor = self.read(self.attended(early, tuned))
        return read

    def attended(self, early: Tensor, tuned: Tensor) -> Tensor:
        """The maps pooled by attention, and the mean of the tuned copy's map, `(n, 1344)`: the input of `read`."""
        early = (early - self.early_mean[:, None, None]) / self.early_scale[:, None, None]
        narrow = F.interpolate(self.narrow(tuned), size=early.shape[-2:], mode="nearest")
        places = torch.cat([early, narrow], dim=1)
        attention = self.attention(places).flatten(2).float().softmax(dim=-1).to(places.dtype)
        pooled = (attention @ F.gelu(self.values(places)).flatten(2).transpose(1, 2)).flatten(1)
        return torch.cat([pooled, tuned.mean(dim=(2, 3))], dim=1)

    def meaning(self, pooled: Tensor, standard: Tensor) -> Tensor:
        """Unit vectors `(n, dim)` from both sources."""
        return F.normalize((pooled * torch.sigmoid(self.gate(standard)) + self.plain(standard)).float(), dim=-1)

    def item(self, standard: Tensor) -> Tensor:
        """The item part: unit vectors `(n, item_dim)`."""
        plain = F.normalize((standard @ self.item_directions.T).float(), dim=-1)
        return F.normalize((plain - self.item_mean) / self.item_scale, dim=-1)


class PhotoTextTower(nn.Module):
    """Maps token ids `(n, l)` to unit vectors `(n, dim + item_dim + 1)`. The item part and the constant are zero."""

    def __init__(self, shape: PhotoShape) -> None:
        super().__init__()
        self.sentence = SentenceTower(
            shape.vocabulary, shape.length, shape.text_width, shape.rank, shape.text_layers, shape.text_heads
        )
        self.silent = shape.instance_dim
        self.linear = nn.Linear(shape.text_width, shape.dim)
        last = nn.Linear(512, shape.dim)
        nn.init.zeros_(last.weight)
        self.read = nn.Sequential(nn.Linear(shape.text_width, 512), nn.GELU(), last)

    def forward(self, ids: Tensor, words: Tensor | None = None) -> Tensor:
        return F.pad(self.meaning(self.sentence(ids, words)), (0, self.silent))

    def meaning(self, sentence: Tensor) -> Tensor:
        """Unit vectors `(n, dim)` from the sentence tower's output `(n, text_width)`."""
        unit = F.normalize(sentence.float(), dim=-1) * sentence.shape[-1] ** 0.5
        return F.normalize((self.linear(unit) + self.read(unit)).float(), dim=-1)


class PhotoEncoder(nn.Module):
    """Both towers, and their trained temperature."""

    def __init__(self, shape: PhotoShape) -> None:
        super().__init__()
        self.shape = shape
        self.picture = PhotoTower(shape)
        self.text = PhotoTextTower(shape)
        self.log_scale = nn.Parameter(torch.tensor(3.0))

    @property
    def scale(self) -> Tensor:
        """1 / temperature for whole vectors, whose cosines of text and picture are smaller than those of meanings."""
        return self.log_scale.exp() / self.picture.parts[0]

    @property
    def full_picture(self) -> nn.Module:
        """The module that maps pixels to the vectors that a catalog stores."""
        return self.picture
