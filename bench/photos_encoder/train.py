"""Teach pictures and texts to meet.

    python train.py DATA OUT [--without-products] [--seed 1] [--steps 440] [--size 160] [--batch 1024]

Photos of closet's test senders are left out. Writes OUT.safetensors. 180 seconds of one H200.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from batches import Batch, Batches, ahead
from classes import CLOTHES, Bank, class_names, fit_statistics, trunk_features
from learner import Learner, Settings, look
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from training_data import Photos, Texts
from views import views

from triptych.encoders.networks.efficientnet import EfficientNetLite0


def soft_loss(logits: Tensor, right: Tensor, unknown: Tensor) -> Tensor:
    """Cross-entropy where several answers may be right and some do not count, over the rows that have an answer."""
    logits = logits.masked_fill(unknown & ~right, -1e4)
    right = right.float()
    answers = right.sum(dim=1)
    losses = -(right * logits.log_softmax(dim=1)).sum(dim=1) / answers.clamp(min=1)
    return losses[answers > 0].mean() if (answers > 0).any() else logits.sum() * 0


class Training:
    """One run: batches, the learner and its optimizer, and what its losses compare with."""

    def __init__(self, settings: Settings, batches: Batches, learner: Learner, bank: Bank, taught: Tensor) -> None:
        self.settings, self.batches, self.learner, self.bank, self.taught = settings, batches, learner, bank, taught
        self.texts, self.random, self.device = batches.texts, batches.random, batches.device
        self.unclear = torch.tensor([name in CLOTHES for name in class_names()], device=self.device)
        self.floors = torch.from_numpy(batches.rows_of[1]).to(self.device)
        weights = [(name, weight) for name, weight in learner.named_parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [
                {
                    "params": [weight],
                    "lr": self._rate_of(name),
                    "peak": self._rate_of(name),
                    "weight_decay": 0.05 if weight.ndim > 1 else 0.0,
                }
                for name, weight in weights
            ],
            betas=(0.9, 0.98),
        )

    def _rate_of(self, name: str) -> float:
        if ".text.sentence" in name or name.startswith("text.sentence"):
            return self.settings.text_rate
        return self.settings.tuned_rate if ".tuned." in name else self.settings.rate

    def run(self) -> None:
        """All steps."""
        steps = self.settings.steps
        made = ahead(self.batches.make, self.device)
        for step in range(steps):
            pace = min(1, (step + 1) / 50) * (0.5 * (1 + np.cos(np.pi * step / steps)) * 0.98 + 0.02)
            for group in self.optimizer.param_groups:
                group["lr"] = group["peak"] * pace
            if step == int(self.settings.pseudo * steps):
                self.batches.learn_of_homes(look(self.learner, self.batches.photos, self.floors, self.batches.truth))
            loss = self.loss(next(made))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.learner.parameters(), 1.0)
            self.optimizer.step()
            if step % 100 == 0 or step + 1 == steps:
                print(f"step {step} loss {loss.item():.3f}", flush=True)

    def loss(self, batch: Batch) -> Tensor:
        """Of one batch, with half as many classes of ImageNet and texts of no picture beside it."""
        settings, learner, texts, count = self.settings, self.learner, self.texts, len(batch.rows)
        classes = torch.randint(len(self.unclear), (count // 2,), device=self.device)
        of_class = texts.anchors + classes.cpu().numpy() * 12 + self.random.integers(0, 12, len(classes))
        general = self.random.integers(0, texts.wishes, count // 2)  # general texts come first
        text_rows = np.concatenate([batch.text_rows, batch.wish_rows, of_class.astype(np.int64), general])
        pixels = views(self.batches.photos, batch.rows, settings.paste, self.floors)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            early, tuned, features = learner.picture.maps(pixels)
            places = learner.picture.pooled(early, tuned)
            sentence = learner.text.sentence(texts.block(text_rows))
        standard, places = learner.picture.standardise(features.float()), places.float()
        dropped = (torch.rand(count, 1, device=self.device) > 0.2).float()
        meaning = learner.picture.meaning(places * dropped, standard)
        item = learner.picture.item(standard)
        anchors = self._made_up(classes, places)
        said = learner.text.meaning(sentence[: 2 * count + len(classes)])
        of_pictures, of_changes, of_anchors = said.split([count, count, len(classes)])
        loss = self._matching(batch, meaning, of_pictures, anchors, of_anchors, classes)
        full = torch.cat([meaning, item], dim=1) * 0.5**0.5
        query = F.normalize(F.pad(of_changes, (0, item.shape[1])) + full, dim=-1)
        composed = learner.log_scale_composed.exp().clamp(max=100) * query @ full.T
        loss = loss + settings.compose * soft_loss(composed, batch.answer, batch.skip)
        odds = learner.words(meaning * settings.dim**0.5)
        per_value = F.binary_cross_entropy_with_logits(odds, (batch.truth == 1).float(), reduction="none")
        loss = loss + settings.words * (per_value * (batch.truth != -1)).sum() / count
        all_rows = torch.from_numpy(text_rows).to(self.device)
        cosine = (F.normalize(sentence.float(), dim=-1) * self.taught[all_rows].float()).sum(dim=-1)
        return loss + settings.distil * (1 - cosine).mean()

    def _made_up(self, classes: Tensor, places: Tensor) -> Tensor:
        """Meanings of pictures that nobody took, of these classes of ImageNet."""
        each = torch.randint(self.bank.features.shape[1], (len(classes),), device=self.device)
        made_up = self.bank.features[classes, each].float()
        strange = places.detach()[torch.randint(len(places), (len(classes),), device=self.device)]
        return self.learner.picture.meaning(strange, self.learner.picture.standardise(made_up))

    def _matching(
        self, batch: Batch, meaning: Tensor, of_pictures: Tensor, anchors: Tensor, of_anchors: Tensor, classes: Tensor
    ) -> Tensor:
        """Texts find their pictures and classes, and these their texts."""
        count = len(meaning)
        scale = self.learner.encoder.log_scale.exp().clamp(max=100)
        logits = scale * torch.cat([of_pictures, of_anchors]) @ torch.cat([meaning, anchors]).T
        right = torch.block_diag(batch.right.float(), (classes[:, None] == classes[None, :]).float()).bool()
        unknown = torch.zeros_like(right)
        corner = self.unclear[classes]
        unknown[:count, :count] = batch.unknown
        unknown[count:, :count] = corner[:, None]
        unknown[:count, count:] = corner[None, :]
        return (soft_loss(logits, right, unknown) + soft_loss(logits.T, right.T, unknown.T)) / 2


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--without-products", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=440)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=Settings.batch)
    given = parser.parse_args()
    settings = Settings(given.steps, given.seed, not given.without_products, given.batch)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    photos = Photos(given.data, given.size, device)
    texts = Texts(given.data, photos, device)
    taught = torch.load(given.data / "teacher.pt").to(device)
    trunk = {name: tensor.float() for name, tensor in load_file(given.data / "trunk.safetensors").items()}
    weight, bias = trunk.pop("classes.weight").to(device), trunk.pop("classes.bias").to(device)
    student = {name: tensor.float() for name, tensor in load_file(given.data / "student.safetensors").items()}
    frozen = EfficientNetLite0().to(device).eval()
    frozen.load_state_dict(trunk)
    features = trunk_features(frozen, photos.pixels)
    torch.manual_seed(0)
    bank = Bank(features, weight, bias, 16)
    torch.manual_seed(settings.seed)
    learner = Learner(settings, trunk, student, len(photos.values)).to(device, memory_format=torch.channels_last)
    torch.manual_seed(settings.seed)
    batches = Batches(settings, photos, texts, np.random.default_rng(settings.seed))
    learnt = torch.from_numpy(np.sort(np.concatenate(batches.rows_of))).to(device)
    some = learnt[torch.randperm(len(learnt), device=device)[:2048]]
    fit_statistics(learner.picture, photos.pixels[some], features[learnt], bank)
    Training(settings, batches, learner, bank, taught).run()
    weights = {name: tensor.float().cpu().contiguous() for name, tensor in learner.encoder.state_dict().items()}
    weights |= {f"words.{name}": tensor.float().cpu() for name, tensor in learner.words.state_dict().items()}
    save_file(weights, given.out.with_suffix(".safetensors"), metadata={"values": json.dumps(photos.values)})


if __name__ == "__main__":
    main()
