"""How each textual-inversion method trains its mapping network.

A method computes the loss of a step. All its random choices follow from the seed and the step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.composers.networks.inversion import MappingNetwork
from triptych.core.files import write_bytes
from triptych.core.progress import progress
from triptych.encoders.protocol import Encoder
from triptych.training.inversion.texts import Keywords, PictureConcepts, SlottedIds, mask
from triptych.training.loop import Learner, LoopOptions
from triptych.training.options import InversionOptions

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Reader:
    """A frozen text tower that reads texts with marks for pseudo-words."""

    ids: SlottedIds
    tower: nn.Module
    device: torch.device

    def __call__(self, texts: Sequence[str], words: Tensor) -> Tensor:
        """Unit vectors `(n, dim)` of `n` texts, with pseudo-words `(n, width)` in the place of their marks."""
        vectors: Tensor = self.tower(torch.from_numpy(self.ids(texts)).to(self.device), words)
        return vectors


class Method(Protocol):
    """How a mapping network is trained."""

    def loss(self, mapping: MappingNetwork, step: int) -> Tensor:
        """The loss of a step."""
        ...


class InversionLearner(Learner):
    """A mapping network and its method, for the training loop.

    Args:
        mapping: the network.
        method: gives the loss of each step.
        name: of the method, for messages.
        options: how to train.
    """

    def __init__(self, mapping: MappingNetwork, method: Method, name: str, options: InversionOptions) -> None:
        self.mapping, self.method, self.name = mapping, method, name
        self.module = mapping
        groups = [{"params": list(mapping.parameters()), "peak": _PEAK_RATE}]
        self.optimizer = torch.optim.AdamW(groups, lr=_PEAK_RATE, weight_decay=_WEIGHT_DECAY)
        every = _CHECKPOINT_STEPS
        self.loop = LoopOptions(options.steps, seed=options.seed, clip="none", checkpoint_every=every, keep_losses=None)

    def step(self, step: int) -> list[float]:
        """Compute the loss of a step, rounded to five decimals, as all losses are stored."""
        loss = self.method.loss(self.mapping, step)
        loss.backward()  # type: ignore[no-untyped-call]
        return [round(loss.item(), 5)]


class Pic2Word:
    """Pic2Word: the sentence "a photo of *" learns to match the picture from which its pseudo-word was made.

    Saito et al., *Pic2Word: Mapping Pictures to Words for Zero-shot Composed Image Retrieval*, CVPR 2023, section 3.1:
    symmetric InfoNCE within the batch at the encoder's own temperature, equation 2. `templates` are the sentences.
    """

    def __init__(
        self, reader: Reader, pictures: Tensor, scale: float, templates: Sequence[str], batch_size: int, seed: int
    ) -> None:
        self._reader, self._pictures, self._scale = reader, pictures, scale
        self._templates, self._batch_size, self._seed = templates, batch_size, seed

    def loss(self, mapping: MappingNetwork, step: int) -> Tensor:
        """The loss of a step."""
        random = np.random.default_rng([self._seed, step])
        pictures = self._pictures[torch.from_numpy(_rows(len(self._pictures), self._batch_size, random))]
        texts = _choices(self._templates, len(pictures), random)
        logits = self._scale * self._reader(texts, mapping(pictures)) @ pictures.T
        labels = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


class LinCIR:
    """LinCIR, from texts only: a text's vector, with noise, becomes a pseudo-word that replaces a part of the text.

    Gu et al., *Language-only Efficient Training of Zero-shot Composed Image Retrieval*, CVPR 2024, 4.1 and 4.2:
    self-masking projection with the mean squared error, and noise of Unif(0, 1) x N(0, 1), here per unit of length. As
    in the paper, every run of keywords is masked. Unlike in the paper, `keywords` decides what a keyword is, not a
    tagger, and a title, which consists of keywords, is masked only in part.
    """

    def __init__(
        self, reader: Reader, texts: Sequence[str], keywords: Keywords, encoder: Encoder, batch_size: int, seed: int
    ) -> None:
        self._reader, self._texts, self._keywords = reader, texts, keywords
        self._batch_size, self._seed = batch_size, seed
        self._vectors = torch.from_numpy(encoder.encode_texts(texts)).to(reader.device)

    def loss(self, mapping: MappingNetwork, step: int) -> Tensor:
        """The loss of a step."""
        random = np.random.default_rng([self._seed, step])
        rows = _rows(len(self._texts), self._batch_size, random)
        vectors = self._vectors[torch.from_numpy(rows)]
        noise = random.random((len(rows), 1)) * random.standard_normal(vectors.shape) / vectors.shape[1] ** 0.5
        noisy = F.normalize(vectors + torch.from_numpy(noise.astype(np.float32)).to(vectors.device), dim=-1)
        found = self._reader([mask(self._texts[row], self._keywords, random) for row in rows], mapping(noisy))
        return (found - vectors).square().sum(dim=-1).mean()


class Searle:
    """SEARLE: the mapping network learns pseudo-words that were found by optimisation for each picture.

    Baldrati et al., *Zero-Shot Composed Image Retrieval with Textual Inversion*, ICCV 2023, section 3.2: a contrastive
    distillation loss at temperature 0.25, and a regularisation by phrases about the picture's concepts with weight
    0.75. The paper takes its phrases from a GPT; here they are made of the vocabulary's words.
    """

    def __init__(self, phrases: "PhraseLoss", pictures: Tensor, words: Tensor, batch_size: int, seed: int) -> None:
        self._phrases, self._pictures, self._words = phrases, pictures, words
        self._batch_size, self._seed = batch_size, seed

    def loss(self, mapping: MappingNetwork, step: int) -> Tensor:
        """The loss of a step."""
        random = np.random.default_rng([self._seed, step])
        rows = _rows(len(self._pictures), self._batch_size, random)
        chosen = torch.from_numpy(rows)
        words = mapping(self._pictures[chosen])
        distilled = _distillation(F.normalize(self._words[chosen], dim=-1), F.normalize(words, dim=-1))
        return distilled + 0.75 * self._phrases(rows, words, random)


@dataclass(frozen=True)
class PhraseLoss:
    """One minus the cosine between phrases with pseudo-words and the same phrases with the concepts named."""

    reader: Reader
    encoder: Encoder
    concepts: PictureConcepts

    def __call__(self, rows: Rows, words: Tensor, random: np.random.Generator) -> Tensor:
        """Compute the mean over the phrases of some pictures, with their pseudo-words `(n, width)`."""
        plain, marked = self.concepts.phrases(rows.tolist(), random)
        named = torch.from_numpy(self.encoder.encode_texts(plain)).to(words.device)
        return 1 - (self.reader(marked, words) * named).sum(dim=-1).mean()


def invert_by_optimisation(
    phrases: PhraseLoss,
    pictures: Tensor,
    templates: Sequence[str],
    blocks: Path,
    *,
    width: int,
    steps: int,
    seed: int,
) -> Tensor:
    """Find a pseudo-word for each picture, `(n, width)`: optimisation-based textual inversion (SEARLE, section 3.1).

    AdamW minimises the cosine loss between the prompted word and the picture, plus half the regularisation by phrases.
    The words are exponential moving averages. The paper takes 350 steps, and its code a rate of 0.02 and a decay of
    0.99 from the first step on. Fewer steps need a higher rate and a lower decay. Finished blocks of pictures are
    stored in files `blocks` with a number, and are not computed again.
    """
    starts = range(0, len(pictures), _BLOCK)
    files = [blocks.with_name(f"{blocks.name}-{start:09d}.safetensors") for start in starts]
    waiting = [(start, file) for start, file in zip(starts, files, strict=True) if not file.exists()]
    ahead = progress(
        waiting, "pseudo-words", total=len(files), unit=f"x{_BLOCK} pictures", done=len(files) - len(waiting)
    )
    for start, file in ahead:
        rows = np.arange(start, min(start + _BLOCK, len(pictures)))
        random = np.random.default_rng([seed, start, 1])
        block = pictures[start : start + _BLOCK]
        words = torch.from_numpy(random.normal(0, 0.02, (len(rows), width)).astype(np.float32)).to(block.device)
        words.requires_grad_(True)
        averaged = words.detach().clone()
        optimizer = torch.optim.AdamW([words], lr=_WORD_RATE, weight_decay=0.01)
        for step in range(steps):
            found = phrases.reader(_choices(templates, len(rows), random), words)
            loss = 1 - (found * block).sum(dim=-1).mean()
            loss = loss + 0.5 * phrases(rows, words, random)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            decay = min(0.99, (1 + step) / (10 + step))
            averaged = decay * averaged + (1 - decay) * words.detach()
        write_bytes(file, save({"words": averaged.cpu().contiguous()}))
    return torch.cat([load_file(file)["words"] for file in files]).to(pictures.device)


def _distillation(known: Tensor, found: Tensor, temperature: float = 0.25) -> Tensor:
    """Contrastive loss by which each word matches its own word on the other side and no other (SEARLE, equation 4)."""
    same = torch.eye(len(known), dtype=torch.bool, device=known.device)
    labels = torch.arange(len(known), device=known.device)
    across = known @ found.T / temperature

    def side(crossing: Tensor, own: Tensor) -> Tensor:
        within = (own @ own.T / temperature).masked_fill(same, float("-inf"))
        return F.cross_entropy(torch.cat([crossing, within], dim=1), labels)

    return (side(across, known) + side(across.T, found)) / 2


def _rows(count: int, batch_size: int, random: np.random.Generator) -> Rows:
    return random.choice(count, min(batch_size, count), replace=False)


def _choices(of: Sequence[str], count: int, random: np.random.Generator) -> list[str]:
    return [of[place] for place in random.integers(len(of), size=count)]


_PEAK_RATE = 1e-3  # of AdamW, for the mapping network; no search for a better one is recorded
_CHECKPOINT_STEPS = 50  # steps between checkpoints
_WEIGHT_DECAY = 0.01  # AdamW's default
_BLOCK = 1024  # pictures whose words are optimised at once
_WORD_RATE = 0.05  # of AdamW, for pseudo-words: higher than the paper's 0.02, since there are fewer steps
