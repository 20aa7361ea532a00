"""Everything that is trained, and what it sees in home photos once it is half trained."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from training_data import Photos

from triptych.encoders.networks.photo_encoder import PhotoEncoder, PhotoShape


@dataclass(frozen=True)
class Settings:
    """What a run is given."""

    steps: int
    seed: int
    products: bool
    batch: int = 1024
    dim: int = 256
    paste: float = 0.5
    compose: float = 0.5
    words: float = 0.05
    distil: float = 2.0
    titles: float = 0.3
    pseudo: float = 0.5
    """After this share of the steps home photos get the colours and patterns that are seen in them."""
    rate: float = 1e-3
    tuned_rate: float = 3e-4
    text_rate: float = 1.5e-4


class Learner(nn.Module):
    """Everything that is trained."""

    def __init__(self, settings: Settings, trunk: dict[str, Tensor], student: dict[str, Tensor], values: int) -> None:
        super().__init__()
        shape = PhotoShape(vocabulary=len(student["tokens.weight"]), dim=settings.dim)
        self.encoder = PhotoEncoder(shape)
        self.picture, self.text = self.encoder.picture, self.encoder.text
        self.picture.trunk.load_state_dict(trunk)
        for offset, layers in enumerate(self.picture.tuned):
            layers.load_state_dict(self.picture.trunk.stages[shape.tuned_from + offset].state_dict())
        self.text.sentence.load_state_dict(student)
        self.words = nn.Linear(settings.dim, values)
        self.log_scale_composed = nn.Parameter(torch.tensor(3.0))
        self.picture.trunk.requires_grad_(False)

    def meanings(self, pixels: Tensor) -> Tensor:
        """Unit vectors of pictures."""
        early, tuned, features = self.picture.maps(pixels)
        return self.picture.meaning(self.picture.pooled(early, tuned), self.picture.standardise(features))


@torch.no_grad()
def look(learner: Learner, photos: Photos, rows: Tensor, truth: Tensor) -> Tensor:
    """The facts of pictures; where none is known, the colour, pattern and sleeve that the encoder is sure of."""
    odds = []
    for block in rows.split(256):
        pixels = photos.pixels[block].float() / 127.5 - 1
        mean = (learner.meanings(pixels) + learner.meanings(pixels.flip(-1))) / 2
        odds.append(learner.words(F.normalize(mean, dim=-1) * mean.shape[1] ** 0.5).float())
    chances = torch.cat(odds).sigmoid()
    seen = truth[rows].clone()
    for group, least in (("colour", 0.4), ("pattern", 0.7), ("sleeve", 0.8)):
        column = torch.tensor(
            [at for at, value in enumerate(photos.values) if value.startswith(f"{group}=")], device=rows.device
        )
        best, place = chances[:, column].max(dim=1)
        sure = (best > least) & (seen[:, column] == -1).all(dim=1)
        row = torch.where(chances[:, column] > 0.15, -1, 0).to(seen.dtype)  # what it may be is not held against it
        row.scatter_(1, place[:, None], 1)
        seen[:, column] = torch.where(sure[:, None], row, seen[:, column])
    return seen
