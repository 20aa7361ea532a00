"""The learner of `finetune`: an encoder, trained end to end on triplets, with a mixture that makes the query."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from triptych.composers.networks.mixture import Mixture
from triptych.core.environment import mixed_precision
from triptych.core.progress import progress
from triptych.core.vectors import Vectors
from triptych.training.data.pixels import Bytes
from triptych.training.data.triplets import Batch, TripletDataset
from triptych.training.grad_cache import Encode, backward
from triptych.training.loop import Learner, LoopOptions
from triptych.training.losses import DUPLICATE, contrastive_loss
from triptych.training.options import FinetuneOptions
from triptych.training.processes import Replicas
from triptych.training.trainable import TrainableEncoder
from triptych.training.validation import BEST_BY, held_out_recall

_HEAD_RATE = 1e-3  # peak rate of the mixture; the towers' rate is TrainableEncoder.rate. Not tuned
_WEIGHT_DECAY = 0.05  # of AdamW; not tuned
_CHECKPOINT_STEPS = 100  # steps between checkpoints
_FURTHER = 256  # random pictures of the catalog that each batch gets as further negatives; not tuned
_BLOCK = 256  # pictures or texts encoded at once, without gradients


class FinetuningLearner(Learner):
    """Both towers of an encoder and the mixture, over pictures in memory.

    Args:
        encoder: the towers.
        data: the triplets, as rows of the pictures.
        pixels: bytes `(n, 3, h, w)` of the pictures.
        before: their vectors `(n, d)` by the original encoder.
        options: how to train.
        device: where to train.
    """

    name = "finetune"

    def __init__(
        self,
        encoder: TrainableEncoder,
        data: TripletDataset,
        pixels: Bytes,
        before: Vectors,
        options: FinetuneOptions,
        device: torch.device,
    ) -> None:
        self.encoder, self.head = encoder, Mixture(before.shape[1]).to(device)
        encoder.model.to(device)
        tuned = [weight for weight in encoder.model.parameters() if weight.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": list(self.head.parameters()), "peak": _HEAD_RATE},
            {"params": tuned, "peak": encoder.rate},
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=_WEIGHT_DECAY)
        self.module = torch.nn.ParameterList([*self.head.parameters(), *tuned])
        self.replicas = Replicas(self.module)
        self.data, self.pixels, self.before = data, pixels, torch.from_numpy(before).to(device)
        self.options, self.device = options, device
        self.batch_size = min(options.batch_size, len(data.training))
        self.batches = len(data.training) // self.batch_size
        self.accumulate = min(options.accumulate, self.batches)
        self.epoch_steps = each = self.batches // self.accumulate
        self.loop = LoopOptions(
            options.epochs * each, each, options.seed, clip="group", checkpoint_every=_CHECKPOINT_STEPS, best_by=BEST_BY
        )

    @property
    def trained_weights(self) -> int:
        """How many parameters are trained."""
        return sum(weight.numel() for weight in self.module.parameters())

    def train(self) -> None:
        """Switch to training mode, with fixed batch-norm statistics: no picture's vector may depend on others."""
        self.head.train()
        for module in self.encoder.model.train().modules():
            if isinstance(module, _BatchNorm):
                module.eval()

    def step(self, step: int) -> list[float]:
        """Add the mean gradient of `accumulate` batches."""
        epoch, position = divmod(step, self.epoch_steps)
        losses = []
        for part in range(self.accumulate):
            number = epoch * self.batches + position * self.accumulate + part
            encoded, loss_of = self._problem(self.data.batch(number, self.batch_size, self.options.seed), number)
            seed = (self.options.seed * 1_000_003 + number) * 10_000 % 2**63
            chunk = self.options.chunk_size
            losses.append(backward(encoded, loss_of, seed=seed, chunk=chunk, replicas=self.replicas))
        for weight in self.module.parameters():
            if weight.grad is not None:
                weight.grad /= self.accumulate
        return losses

    def _problem(self, batch: Batch, number: int) -> tuple[list[tuple[Encode, Tensor]], Callable[..., Tensor]]:
        """The inputs of a batch and the loss of their vectors, for `grad_cache.backward`.

        Each triplet has one of its targets, drawn at random. Negatives are all other pictures of the batch, including
        references, and some further pictures, but not the triplet's other targets and near-duplicates of the target.
        """
        random = np.random.default_rng([self.options.seed, number, 3])
        drawn = random.integers(batch.targets.shape[1], size=len(batch.targets))
        targets = batch.targets[np.arange(len(drawn)), drawn]
        further = random.choice(len(self.pixels), min(_FURTHER, len(self.pixels)), replace=False)
        bank = np.unique(np.concatenate([batch.references, targets, further]))
        places = torch.from_numpy(np.searchsorted(bank, targets)).to(self.device)[:, None]
        references = torch.from_numpy(np.searchsorted(bank, batch.references)).to(self.device)
        before = self.before[torch.from_numpy(bank)]
        ignored = self.before[torch.from_numpy(targets)] @ before.T > DUPLICATE
        same = (batch.targets[:, :, None] == bank).any(axis=1)
        ignored |= torch.from_numpy(same).to(self.device)
        ignored.scatter_(1, places, False)
        weights = torch.from_numpy(batch.confidences).to(self.device)
        ids = torch.from_numpy(self.encoder.token_ids(batch.words.tolist()))

        def loss_of(pictures: Tensor, texts: Tensor) -> Tensor:
            queries = self.head(pictures[references], texts)
            loss = contrastive_loss(queries, pictures, places, weights, self.options.temperature, ignored)
            return loss + self.options.distill * (1 - (pictures * before).sum(dim=-1)).mean()

        pixels = torch.from_numpy(self.pixels[bank])
        return [(self._encode_pictures, pixels), (self._encode_texts, ids)], loss_of

    def _encode_pictures(self, pixels: Tensor) -> Tensor:
        with mixed_precision(self.device, self.options.precision):
            return self.encoder.pictures(pixels.to(self.device))

    def _encode_texts(self, ids: Tensor) -> Tensor:
        with mixed_precision(self.device, self.options.precision):
            return self.encoder.texts(ids.to(self.device))

    def vectors(self) -> Vectors:
        """Vectors `(n, d)` of all pictures."""
        self.encoder.model.eval()
        blocks = range(0, len(self.pixels), _BLOCK)
        with torch.inference_mode():
            parts = [
                self._encode_pictures(torch.from_numpy(self.pixels[start : start + _BLOCK])).cpu()
                for start in progress(blocks, "encode", total=len(blocks), unit="block")
            ]
        return torch.cat(parts).numpy()

    def validate(self) -> dict[str, float]:
        """Recall of held-out targets among all pictures, in percent."""
        data, gallery = self.data, self.vectors()
        self.head.eval()
        words = data.words[[data.wordings[row][0] for row in data.held_out]].tolist()
        with torch.inference_mode():
            texts = [
                self._encode_texts(torch.from_numpy(self.encoder.token_ids(words[start : start + _BLOCK])))
                for start in range(0, len(words), _BLOCK)
            ]
            references = torch.from_numpy(gallery[data.references[data.held_out]]).to(self.device)
            queries: Vectors = self.head(references, torch.cat(texts)).cpu().numpy()
        return held_out_recall(queries, gallery, data)
