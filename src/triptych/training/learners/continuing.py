"""The learner of `pretrain --from`: a photo encoder is trained further on titled photos.

The outputs of frozen parts are computed once, for a few views of each photo. The loss has four parts:

1. Texts find photos and photos find texts (InfoNCE, as in CLIP). A text is a title or some of its terms, and every
   photo of the batch whose title contains these terms is a positive.
2. A photo and a term find the photos that have the term and otherwise similar titles, as in a composed query.
3. Each photo's terms are predicted one by one.
4. The vectors of words that no title contains stay where they were.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.encoders.networks.dual_encoder import WordHead
from triptych.encoders.networks.efficientnet import FEATURES
from triptych.encoders.networks.photo_encoder import PhotoEncoder
from triptych.encoders.protocol import Ids
from triptych.training.data.augmentation import augment
from triptych.training.data.titles import TitleTexts
from triptych.training.loop import Learner, LoopOptions, batch_rows

_HEADS_RATE, _PICTURE_RATE, _TEXT_RATE = 5e-4, 1e-4, 5e-5  # peak rates of AdamW; no search for better ones is recorded
_DECAY = 0.05  # weight decay of AdamW; not tuned
_BETAS = (0.9, 0.98)  # as for CLIP's vision transformers (Radford et al. 2021)
_COMPOSED, _NAMED, _HELD = 0.5, 0.05, 1.0  # weights of the second, third and fourth part of the loss; not tuned
_TITLES = 0.4  # share of texts that are whole titles; the others ask for some terms. Not tuned
_DROPPED = 0.1  # dropout of the heads' inputs, against memorising few photos; not tuned
_BLOCK = 64  # photos or texts computed at once


@dataclass(frozen=True)
class TunedParts:
    """The parts that are trained besides the heads: the last layers of the tuned copy and of the text tower."""

    stages: int
    """How many of the last stages of the tuned copy are trained."""
    layers: int
    """How many of the last layers of the sentence tower are trained."""
    embeddings: bool = False
    """Whether the sentence tower's embeddings are trained, too."""

    @classmethod
    def of(cls, model: PhotoEncoder, tune: str) -> "TunedParts":
        """The parts that `frozen`, `last-N` or `full` mean for an encoder."""
        stages, layers = len(model.picture.tuned), len(model.text.sentence.layers)
        if tune == "frozen":
            return cls(0, 0)
        if tune == "full":
            return cls(stages, layers, embeddings=True)
        count = int(tune.removeprefix("last-"))
        return cls(min(count, stages), min(count, layers))

    def bytes_of_a_view(self, places: int = 64) -> int:
        """Estimate the bytes of a photo's view, if the finest feature map has this many positions."""
        return 2 * (FEATURES + (307 * places if self.stages else 1344))


@dataclass(frozen=True)
class FrozenFeatures:
    """The frozen parts' outputs for photos `(views, n, …)`, in half precision. The first view is not augmented."""

    places: tuple[Tensor, ...]
    """The output of attention pooling; or the early feature maps, and the input of the first trained stage."""
    standard: Tensor
    """The trunk's own features, standardised."""


@torch.no_grad()
def frozen_features(model: PhotoEncoder, pixels: Tensor, tuned: TunedParts, views: int, seed: int) -> FrozenFeatures:
    """Compute the outputs of the frozen parts for some views of each photo, from bytes `(n, 3, size, size)`."""
    tower = model.picture.eval()
    whole: list[Tensor] = []
    for view in range(views):
        for start in range(0, len(pixels), _BLOCK):
            block = pixels[start : start + _BLOCK].to(tower.mean.device)
            random = torch.Generator().manual_seed((seed * 1009 + view) * 1_000_003 + start)
            pictures = augment(block, random) if view else block.float() / 127.5 - 1.0
            early, before, features = tower.untuned_maps(pictures)
            for stage in tower.tuned[: len(tower.tuned) - tuned.stages]:
                before = stage(before)
            places = (early, before) if tuned.stages else (tower.attended(early, before),)
            parts = (*places, tower.standardise(features))
            whole = whole or [_room(views, len(pixels), part) for part in parts]
            for kept, part in zip(whole, parts, strict=True):
                kept[view, start : start + len(block)] = part
    return FrozenFeatures(tuple(whole[:-1]), whole[-1])


def _room(views: int, count: int, part: Tensor) -> Tensor:
    return torch.empty(views, count, *part.shape[1:], dtype=torch.half, device=part.device)


class Sentences:
    """The sentence tower's output for texts, computed once if the tower is frozen."""

    def __init__(self, model: PhotoEncoder, ids: Ids, tuned: TunedParts) -> None:
        self._tower = model.text.sentence
        self._ids = torch.from_numpy(ids).to(self._tower.positions.device)
        self._known = None if tuned.layers else self._all()

    def __call__(self, rows: Tensor) -> Tensor:
        """The output for some rows of the texts, `(n, text_width)`."""
        return self._tower(self._cut(rows)) if self._known is None else self._known[rows]

    def _cut(self, rows: Tensor) -> Tensor:
        ids = self._ids[rows]
        return ids[:, : int((ids != 0).sum(dim=1).max())]

    @torch.no_grad()
    def _all(self) -> Tensor:
        order = (self._ids != 0).sum(dim=1).argsort()
        made = torch.empty(len(self._ids), self._tower.positions.shape[1], device=self._ids.device)
        for rows in torch.split(order, _BLOCK):
            made[rows] = self._tower.eval()(self._cut(rows))
        return made


class ContinuingLearner(Learner):
    """Trains a photo encoder further.

    Args:
        model: the encoder.
        tuned: the parts that are trained besides its heads.
        views: the outputs of the frozen parts for the photos.
        texts: texts about the photos.
        ids: the texts' token ids, followed by those of words whose vectors must stay.
        loop: options of the training loop.
        batch_size: photos of a step.
    """

    name = "pretrain"

    def __init__(
        self,
        model: PhotoEncoder,
        tuned: TunedParts,
        views: FrozenFeatures,
        texts: TitleTexts,
        ids: Ids,
        loop: LoopOptions,
        batch_size: int,
    ) -> None:
        self.model, self.tuned, self.views, self.texts = model, tuned, views, texts
        self.loop, self.batch_size = loop, batch_size
        self.device = model.log_scale.device
        self.said = torch.from_numpy(texts.said).float().to(self.device)
        self.asked = torch.from_numpy(texts.asked).float().to(self.device)
        self.title_of = torch.from_numpy(texts.title_of).to(self.device)
        self.single = torch.from_numpy(texts.single).to(self.device)
        self.words = WordHead(model.shape.dim, self.said.mean(dim=0).cpu()).to(self.device)
        self.sentences = Sentences(model, ids, tuned)
        self.held = torch.arange(len(texts.texts), len(ids), device=self.device)
        with torch.no_grad():
            self.before = model.text.meaning(self.sentences(self.held)) if len(self.held) else None
        self.module = nn.ModuleDict({"encoder": model, "words": self.words})
        self.optimizer = torch.optim.AdamW(self._groups(), betas=_BETAS)

    def _groups(self) -> list[dict[str, object]]:
        """The trained weights with their rates. All others get `requires_grad` off."""
        picture, text = self.model.picture, self.model.text
        self.model.requires_grad_(False)
        heads: list[nn.Module] = [picture.read, picture.plain, picture.gate, text.linear, text.read, self.words]
        stages: list[nn.Module] = list(picture.tuned)[len(picture.tuned) - self.tuned.stages :]
        if self.tuned.stages:
            stages += [picture.narrow, picture.values, picture.attention]
        layers: list[nn.Module] = list(text.sentence.layers)[len(text.sentence.layers) - self.tuned.layers :]
        if self.tuned.embeddings:
            layers = [text.sentence]
        groups = []
        for modules, rate in ((heads, _HEADS_RATE), (stages, _PICTURE_RATE), (layers, _TEXT_RATE)):
            weights = [weight for module in modules for weight in module.requires_grad_(True).parameters()]
            for chosen, decay in (
                ([weight for weight in weights if weight.ndim > 1], _DECAY),
                ([weight for weight in weights if weight.ndim <= 1], 0.0),
            ):
                if chosen:
                    groups.append({"params": chosen, "weight_decay": decay, "peak": rate})
        self.model.log_scale.requires_grad_(True)
        groups.append({"params": [self.model.log_scale], "weight_decay": 0.0, "peak": _HEADS_RATE})
        return groups

    def meanings(self, view: Tensor | int, rows: Tensor, *, dropped: float = 0.0) -> Tensor:
        """Unit vectors `(n, dim)` of photos' meanings, from the frozen outputs for one view of each."""
        tower = self.model.picture
        standard = self.views.standard[view, rows].float()
        places = [part[view, rows].float() for part in self.views.places]
        if self.tuned.stages:
            early, late = places
            for stage in tower.tuned[len(tower.tuned) - self.tuned.stages :]:
                late = stage(late)
            attended = tower.attended(early, late)
        else:
            (attended,) = places
        attended, plain = (F.dropout(part, dropped) if dropped else part for part in (attended, standard))
        return tower.meaning(tower.read(attended), plain)

    def step(self, step: int) -> list[float]:
        """Compute the loss of a step, the sum of the four parts."""
        random = np.random.default_rng([self.loop.seed, 11, step])
        rows = batch_rows(len(self.texts.title_of), self.batch_size, step, self.loop.seed).to(self.device)
        view = self._drawn(random.integers(len(self.views.standard), size=len(rows)))
        meaning = self.meanings(view, rows, dropped=_DROPPED)
        said, text_rows = self.said[rows], self._texts(rows, random)
        asked = self.asked[text_rows]
        same_title = self.title_of[rows][None, :] == text_rows[:, None]
        right = torch.where(
            asked.sum(dim=1, keepdim=True) > 0, asked @ said.T == asked.sum(dim=1, keepdim=True), same_title
        )
        scale = self.model.log_scale.exp().clamp(max=100)
        logits = scale * self.model.text.meaning(self.sentences(text_rows)) @ meaning.T
        loss = (soft_loss(logits, right) + soft_loss(logits.T, right.T)) / 2
        if self.texts.terms:
            loss = loss + _COMPOSED * self._composed(rows, view, meaning, scale, random)
            loss = loss + _NAMED * self.words.loss(meaning, said)
        if self.before is not None:
            chosen = self._drawn(random.choice(len(self.held), min(128, len(self.held)), replace=False))
            now = self.model.text.meaning(self.sentences(self.held[chosen]))
            loss = loss + _HELD * (1 - (now * self.before[chosen]).sum(dim=1)).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return [loss.item()]

    def _drawn(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def _texts(self, rows: Tensor, random: np.random.Generator) -> Tensor:
        """A text for each photo: its title, or one that asks for some of its terms."""
        chosen = self.title_of[rows].clone()
        for place, row in enumerate(rows.tolist()):
            sets = self.texts.sets_of[row]
            if len(sets) and random.random() >= _TITLES:
                chosen[place] = int(random.choice(sets))
        return chosen

    def _composed(
        self, rows: Tensor, view: Tensor, meaning: Tensor, scale: Tensor, random: np.random.Generator
    ) -> Tensor:
        """Compute the loss of queries, each a photo and a term of a similar photo.

        Positives are the photos that have the term and are at least as similar.
        """
        said = self.said[rows]
        shared = said @ said.T
        alike = shared / (said.sum(dim=1)[:, None] + said.sum(dim=1)[None, :] - shared).clamp(min=1)
        alike = alike.masked_fill((said @ (1 - said).T).T == 0, -1.0)  # it has no term that this photo lacks
        best, other = (alike + 0.05 * self._drawn(random.random(alike.shape)).float()).max(dim=1)
        asks = self._drawn(random.random(said.shape)).float() * said[other] * (1 - said)
        term = asks.argmax(dim=1)
        usable = (best > 0) & (asks.amax(dim=1) > 0)
        right = (said[:, term].T > 0) & (shared >= shared.gather(1, other[:, None]))
        frame = self._drawn(random.integers(self.single.shape[1], size=len(rows)))
        text = self.model.text.meaning(self.sentences(self.single[term, frame]))
        first, second = self.model.picture.parts[0], self.model.picture.parts[1]
        item = self.model.picture.item(self.views.standard[view, rows].float())
        # Scores as in search, which adds picture and words, without the term that is equal for all photos.
        scores = (text + first * meaning) @ meaning.T + second**2 / first * item @ item.T
        own = torch.eye(len(rows), dtype=torch.bool, device=self.device)
        logits = (scale * scores).masked_fill(own, -1e4)
        return soft_loss(logits, right & usable[:, None] & ~own)


def soft_loss(logits: Tensor, right: Tensor) -> Tensor:
    """Cross-entropy with several right answers, averaged over the rows that have one."""
    counts = right.float()
    answers = counts.sum(dim=1)
    losses = -(counts * logits.log_softmax(dim=1)).sum(dim=1) / answers.clamp(min=1)
    return losses[answers > 0].mean() if bool((answers > 0).any()) else logits.sum() * 0
