"""EfficientNet-Lite0, the trunk of the photo encoder.

EfficientNet (Tan and Le, ICML 2019) without squeeze-and-excitation and with ReLU6, as TensorFlow's "EfficientNet-Lite"
defines it. Batch norms are folded into the convolutions before them, so the trunk computes the same in training.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Kernel, stride, expansion, channels and repeats of each stage.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM_CHANNELS = 32  # of Lite0, as published
FEATURES = 1280  # of Lite0, as published


class Convolution(nn.Module):
    """A convolution with TensorFlow's "same" padding, which adds an odd pixel at the end, and optionally ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups)
        self.kernel, self.stride, self.relu = kernel, stride, relu

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel > 1:
            rows, columns = (
                max((-(-side // self.stride) - 1) * self.stride + self.kernel - side, 0) for side in x.shape[-2:]
            )
            x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        x = self.conv(x)
        return F.relu6(x) if self.relu else x


class Block(nn.Module):
    """An inverted bottleneck: expansion, depthwise convolution and projection, with a shortcut if the shapes fit."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.widen = Convolution(inputs, inner, 1) if expansion > 1 else nn.Identity()
        self.filter = Convolution(inner, inner, kernel, stride=stride, groups=inner)
        self.narrow = Convolution(inner, outputs, 1, relu=False)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.narrow(self.filter(self.widen(x)))
        return x + inner if self.shortcut else inner


def stage(number: int) -> nn.Sequential:
    """One stage of the network, 0 to 6."""
    kernel, stride, expansion, outputs, repeats = STAGES[number]
    inputs = STAGES[number - 1][3] if number else STEM_CHANNELS
    return nn.Sequential(
        Block(inputs, outputs, kernel, stride, expansion),
        *(Block(outputs, outputs, kernel, 1, expansion) for _ in range(repeats - 1)),
    )


class EfficientNetLite0(nn.Module):
    """Maps pixels `(n, 3, h, w)` in [-1, 1] to features `(n, 1280)`: the network without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM_CHANNELS, 3, stride=2)
        self.stages = nn.ModuleList(stage(number) for number in range(len(STAGES)))
        self.head = Convolution(STAGES[-1][3], FEATURES, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.features(self.maps(pixels)[-1])

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """The output of each stage, `(n, channels, h, w)`."""
        x = self.stem(pixels)
        maps = []
        for layers in self.stages:
            x = layers(x)
            maps.append(x)
        return maps

    def features(self, last: Tensor) -> Tensor:
        """The features `(n, 1280)` from the last stage's map."""
        features: Tensor = self.head(last).mean(dim=(2, 3))
        return features


def published_weights(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert the weights of a published file in the layout of `efficientnet_lite_pytorch` to `EfficientNetLite0`.

    In that layout each convolution is followed by a batch norm, which is folded into it.
    """
    weights: dict[str, Tensor] = {}

    def fold(ours: str, conv: str, norm: str) -> None:
        factor = published[f"{norm}.weight"] / torch.sqrt(published[f"{norm}.running_var"] + 1e-3)
        weights[f"{ours}.conv.weight"] = published[f"{conv}.weight"] * factor[:, None, None, None]
        weights[f"{ours}.conv.bias"] = published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * factor

    fold("stem", "_conv_stem", "_bn0")
    fold("head", "_conv_head", "_bn1")
    block = 0
    for number, (_, _, expansion, _, repeats) in enumerate(STAGES):
        for index in range(repeats):
            ours, theirs = f"stages.{number}.{index}", f"_blocks.{block}"
            if expansion > 1:
                fold(f"{ours}.widen", f"{theirs}._expand_conv", f"{theirs}._bn0")
            fold(f"{ours}.filter", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
            fold(f"{ours}.narrow", f"{theirs}._project_conv", f"{theirs}._bn2")
            block += 1
    return weights
