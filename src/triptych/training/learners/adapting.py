"""The learner of `adapt-encoder`: a second picture tower, by instance discrimination (SimCLR, Chen et al. 2020)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from triptych.core.environment import mixed_precision
from triptych.encoders.networks.dual_encoder import DualEncoder, EncoderShape, PictureTower
from triptych.training.data.augmentation import augment, recolour
from triptych.training.loop import Learner, LoopOptions, batch_rows, weight_groups
from triptych.training.options import AdaptOptions

LENGTH = 128
"""Length of the part of a vector that identifies the item; not tuned."""
_PEAK_RATE = 5e-4  # of AdamW; no search for a better one is recorded
_TEMPERATURE = 0.1  # the best one in SimCLR (Chen et al. 2020, table 5)
_CHECKPOINT_STEPS = 50  # steps between checkpoints


def with_second_tower(base: DualEncoder) -> DualEncoder:
    """The encoder with a second tower for items, which starts as a copy of the first, trained with captions."""
    model = DualEncoder(EncoderShape(**{**vars(base.shape), "identity": LENGTH}))
    model.load_state_dict(base.state_dict(), strict=False)
    assert model.identity is not None
    model.identity.layers.load_state_dict(base.picture.layers.state_dict())
    return model


class AdaptingLearner(Learner):
    """Makes two views of one picture alike and different from all other pictures of the batch. One view is recoloured.

    Args:
        tower: the tower to train.
        pixels: bytes `(n, 3, size, size)` of the pictures.
        options: how to train.
        device: the tower's device.
    """

    name = "adapt-encoder"

    def __init__(self, tower: PictureTower, pixels: Tensor, options: AdaptOptions, device: torch.device) -> None:
        self.tower = tower.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.module = self.tower
        self.optimizer = torch.optim.AdamW(weight_groups(self.tower, _PEAK_RATE), lr=_PEAK_RATE)
        self.pixels = pixels
        self.loop = LoopOptions(options.steps, seed=options.seed, checkpoint_every=_CHECKPOINT_STEPS)
        self.batch_size = min(options.batch_size, len(pixels))
        self.seed = options.seed
        self.device = device

    def step(self, step: int) -> list[float]:
        """Compute the loss by which each view finds the other view of its picture among all views."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        pixels = self.pixels[batch_rows(len(self.pixels), self.batch_size, step, self.seed)].to(self.device)
        views = torch.cat([augment(pixels, random), recolour(augment(pixels, random), random)])
        with mixed_precision(self.device):
            vectors = self.tower(views.contiguous(memory_format=torch.channels_last))
        logits = vectors @ vectors.T / _TEMPERATURE
        logits.fill_diagonal_(float("-inf"))
        other = torch.arange(2 * self.batch_size, device=self.device).roll(self.batch_size)
        loss = F.cross_entropy(logits, other)
        loss.backward()  # type: ignore[no-untyped-call]
        return [loss.item()]
