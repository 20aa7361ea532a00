"""What each method of the family learns its mapping network by.

A method is made once, and gives the loss of a step; everything random in it follows from (seed, step).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.composers.networks.inversion import Phi
from triptych.core.files import atomic
from triptych.core.progress import progress
from triptych.encoders.protocol import Encoder
from triptych.training.inversion.texts import Concepts, Keywords, SlottedIds, mask


@dataclass(frozen=True)
class Reader:
    """A frozen text tower that reads texts with marks in them."""

    ids: SlottedIds
    tower: nn.Module
    device: torch.device

    def __call__(self, texts: Sequence[str], words: Tensor) -> Tensor:
        """Unit vectors `(n, dim)` of as many texts, the pseudo-words `(n, width)` in the place of their marks."""
        vectors: Tensor = self.tower(torch.from_numpy(self.ids(texts)).to(self.device), words)
        return vectors


class Method(Protocol):
    """How a mapping network learns."""

    def loss(self, phi: Phi, step: int) -> Tensor:
        """The loss of a step."""
        ...


class Pic2Word:
    """The sentence "a photo of *" is to match the picture that its pseudo-word was made of.

    Saito et al., *Pic2Word: Mapping Pictures to Words for Zero-shot Composed Image Retrieval*, CVPR 2023, section 3.1:
    symmetric InfoNCE within the batch at the encoder's own temperature, equation 2. `templates` are the sentences.
    """

    def __init__(
        self, reader: Reader, pictures: Tensor, scale: float, templates: Sequence[str], batch: int, seed: int
    ) -> None:
        self._reader, self._pictures, self._scale = reader, pictures, scale
        self._templates, self._batch, self._seed = templates, batch, seed

    def loss(self, phi: Phi, step: int) -> Tensor:
        """The loss of a step."""
        random = np.random.default_rng([self._seed, step])
        pictures = self._pictures[torch.from_numpy(_rows(len(self._pictures), self._batch, random))]
        texts = _choices(self._templates, len(pictures), random)
        logits = self._scale * self._reader(texts, phi(pictures)) @ pictures.T
        labels = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


class LinCIR:
    """Language only: a text's vector, with noise, becomes a pseudo-word that is to replace part of that very text.

    Gu et al., *Language-only Efficient Training of Zero-shot Composed Image Retrieval*, CVPR 2024, 4.1 and 4.2:
    self-masking projection with the mean squared error, and noise of Unif(0, 1) x N(0, 1), here per unit of length. As
    in the paper every run of keywords is masked, but what is a keyword is told by `keywords`, not by a tagger; and of a
    title, which has nothing else, part is left.
    """

    def __init__(
        self, reader: Reader, texts: Sequence[str], keywords: Keywords, encoder: Encoder, batch: int, seed: int
    ) -> None:
        self._reader, self._texts, self._keywords, self._batch, self._seed = reader, texts, keywords, batch, seed
        self._vectors = torch.from_numpy(encoder.encode_texts(texts)).to(reader.device)

    def loss(self, phi: Phi, step: int) -> Tensor:
        """The loss of a step."""
        random = np.random.default_rng([self._seed, step])
        rows = _rows(len(self._texts), self._batch, random)
        vectors = self._vectors[torch.from_numpy(rows)]
        noise = random.random((len(rows), 1)) * random.standard_normal(vectors.shape) / vectors.shape[1] ** 0.5
        seen = F.normalize(vectors + torch.from_numpy(noise.astype(np.float32)).to(vectors.device), dim=-1)
        found = self._reader([mask(self._texts[row], self._keywords, random) for row in rows], phi(seen))
        return (found - vectors).square().sum(dim=-1).mean()


class Searle:
    """The mapping network is taught the pseudo-words that were found by optimisation, one picture at a time.

    Baldrati et al., *Zero-Shot Composed Image Retrieval with Textual Inversion*, ICCV 2023, section 3.2: a contrastive
    distillation loss at temperature 0.25, and the regularisation by phrases about the picture's concepts, by 0.75. The
    paper has its phrases from a GPT; these are of the vocabulary's words.
    """

    def __init__(
        self,
        reader: Reader,
        encoder: Encoder,
        pictures: Tensor,
        words: Tensor,
        concepts: Concepts,
        batch: int,
        seed: int,
    ) -> None:
        self._reader, self._encoder, self._concepts = reader, encoder, concepts
        self._pictures, self._words, self._batch, self._seed = pictures, words, batch, seed

    def loss(self, phi: Phi, step: int) -> Tensor:
        """The loss of a step."""
        random = np.random.default_rng([self._seed, step])
        rows = _rows(len(self._pictures), self._batch, random)
        chosen = torch.from_numpy(rows)
        words = phi(self._pictures[chosen])
        distilled = _distillation(F.normalize(self._words[chosen], dim=-1), F.normalize(words, dim=-1))
        return distilled + 0.75 * phrase_loss(self._reader, self._encoder, self._concepts, rows, words, random)


def invert_by_optimisation(
    reader: Reader,
    encoder: Encoder,
    pictures: Tensor,
    concepts: Concepts,
    templates: Sequence[str],
    blocks: Path,
    *,
    width: int,
    steps: int,
    seed: int,
) -> Tensor:
    """A pseudo-word for each picture `(n, width)`: optimisation-based textual inversion (SEARLE, section 3.1).

    AdamW on the cosine loss between the prompted word and the picture, and half the regularisation by phrases; the
    words are exponential moving averages. The paper takes 350 steps, and its code a rate of 0.02 and a decay of 0.99
    from the first step on; fewer steps want a higher rate and a shorter memory. Blocks of pictures that are
    done lie beside each other as `blocks` with a number, and are not done again.
    """
    starts = range(0, len(pictures), _BLOCK)
    files = [blocks.with_name(f"{blocks.name}-{start:09d}.safetensors") for start in starts]
    waiting = [(start, file) for start, file in zip(starts, files, strict=True) if not file.exists()]
    ahead = progress(waiting, "invert", total=len(files), unit=f"x{_BLOCK} pictures", done=len(files) - len(waiting))
    for start, file in ahead:
        rows = np.arange(start, min(start + _BLOCK, len(pictures)))
        random = np.random.default_rng([seed, start, 1])
        block = pictures[start : start + _BLOCK]
        words = torch.from_numpy(random.normal(0, 0.02, (len(rows), width)).astype(np.float32)).to(block.device)
        words.requires_grad_(True)
        averaged = words.detach().clone()
        optimizer = torch.optim.AdamW([words], lr=_WORD_RATE, weight_decay=0.01)
        for step in range(steps):
            found = reader(_choices(templates, len(rows), random), words)
            loss = 1 - (found * block).sum(dim=-1).mean()
            loss = loss + 0.5 * phrase_loss(reader, encoder, concepts, rows, words, random)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            decay = min(0.99, (1 + step) / (10 + step))
            averaged = decay * averaged + (1 - decay) * words.detach()
        with atomic(file) as temporary:
            save_file({"words": averaged.cpu().contiguous()}, temporary)
    return torch.cat([load_file(file)["words"] for file in files]).to(pictures.device)


def phrase_loss(
    reader: Reader,
    encoder: Encoder,
    concepts: Concepts,
    rows: "np.ndarray[Any, np.dtype[np.int64]]",
    words: Tensor,
    random: np.random.Generator,
) -> Tensor:
    """How far phrases with pseudo-words are from the same phrases with the concepts named: one less their cosine."""
    plain, marked = concepts.phrases(rows.tolist(), random)
    named = torch.from_numpy(encoder.encode_texts(plain)).to(words.device)
    return 1 - (reader(marked, words) * named).sum(dim=-1).mean()


def _distillation(known: Tensor, found: Tensor, temperature: float = 0.25) -> Tensor:
    """Each word is to match its own of the other side, and no other of either (SEARLE, equation 4)."""
    same = torch.eye(len(known), dtype=torch.bool, device=known.device)
    labels = torch.arange(len(known), device=known.device)
    across = known @ found.T / temperature

    def side(crossing: Tensor, own: Tensor) -> Tensor:
        within = (own @ own.T / temperature).masked_fill(same, float("-inf"))
        return F.cross_entropy(torch.cat([crossing, within], dim=1), labels)

    return (side(across, known) + side(across.T, found)) / 2


def _rows(count: int, batch: int, random: np.random.Generator) -> "np.ndarray[Any, np.dtype[np.int64]]":
    return random.choice(count, min(batch, count), replace=False)


def _choices(of: Sequence[str], count: int, random: np.random.Generator) -> list[str]:
    return [of[place] for place in random.integers(len(of), size=count)]


_BLOCK = 1024  # pictures whose words are looked for at once
_WORD_RATE = 0.05
