"""The learner of composers: triplets, with all pictures of the catalog as negatives."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from triptych.composers.networks.combiner import Combiner, CombinerShape, QuerySide
from triptych.composers.networks.fusion import FusionTrunk
from triptych.core.environment import mixed_precision
from triptych.core.vectors import Vectors
from triptych.encoders.networks.clip_text import ClipTextTower
from triptych.encoders.networks.dual_encoder import DualEncoder
from triptych.encoders.networks.lora import add_lora
from triptych.encoders.networks.photo_encoder import PhotoEncoder
from triptych.encoders.protocol import Encoder
from triptych.training.data.patches import PatchReader
from triptych.training.data.soft_labels import SoftLabels
from triptych.training.data.triplets import NO_CHANGE, Batch, Numbers, TripletDataset
from triptych.training.loop import Learner, LoopOptions, warmup_linear
from triptych.training.losses import ContrastiveLoss, soft_label_loss
from triptych.training.options import TrainOptions
from triptych.training.processes import Replicas, gathered, own_part
from triptych.training.validation import BEST_BY, held_out_recall

_PEAK_RATE = 1e-3  # of AdamW; no search for a better one is recorded
_TEXT_SHARE = 0.3  # the text tower's share of the rate, since it is already trained; not tuned
_WEIGHT_DECAY = 0.05  # of AdamW; not tuned
_BLOCK = 256  # held-out triplets composed at once
_GALLERY_BLOCK = 2048  # pictures mapped to gallery vectors at once
_SOFT_LABELS = 64  # queries with a verifier's scores per step
_LONG = 256  # for longer vectors the network is smaller, which trains in a third of the time


def build_model(
    dim: int,
    data: TripletDataset,
    encoder: Encoder,
    own: DualEncoder | PhotoEncoder | ClipTextTower | None,
    options: TrainOptions,
) -> QuerySide:
    """Make a new, untrained composer for vectors of length `dim`.

    Args:
        dim: the length of the encoder's vectors.
        data: the triplets, whose words are its concepts.
        encoder: initialises the concepts.
        own: the weights of which the text tower is trained along: of an encoder of our own, or a CLIP's tower.
        options: the composer's parts.
    """
    torch.manual_seed(options.seed)
    words = () if "concepts" in options.without else data.concept_words
    expects = bool(words) and "target-concepts" not in options.without
    long = dim > _LONG
    size = {"out": max(dim, 2 * _LONG), "hidden": 512} if long else {"out": 2 * dim}
    shape = CombinerShape(dim=dim, words=tuple(map(len, words)), expects=expects, **size)
    trunk = None
    if isinstance(own, DualEncoder) and options.composer == "transformer":
        trunk = FusionTrunk.between(own.patches, own.shape, shape)
    combiner = Combiner(shape, trunk)
    if combiner.concepts is not None:
        combiner.concepts.start_from(*map(torch.from_numpy, _word_maps(encoder, words)))
    if own is None:
        return QuerySide(combiner, None)
    if isinstance(own, ClipTextTower):
        add_lora(own)
        return QuerySide(combiner, own)
    if isinstance(own, PhotoEncoder):
        # It was trained on far more sentences than triplets have. So only its last layer is trained, which is also
        # cheaper.
        own.text.requires_grad_(False)
        for part in (own.text.sentence.layers[-1], own.text.linear, own.text.read):
            part.requires_grad_(True)
    return QuerySide(combiner, own.text)


def _word_maps(encoder: Encoder, words: Sequence[Sequence[str]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A linear map from unit vectors to logits of each word, from the encoder: by its lexicon if it has one, else by
    similarity to the word's text."""
    parts = []
    for group in words:
        if encoder.lexicon and encoder.lexicon.knows_most(group):
            parts.append(encoder.lexicon.linear(group))
        else:
            parts.append((encoder.logit_scale * encoder.encode_texts(group), np.zeros(len(group), np.float32)))
    return np.concatenate([weight for weight, _ in parts]), np.concatenate([bias for _, bias in parts])


class ComposerLearner(Learner):
    """A combiner or transformer, with the text tower if it is trained along.

    Args:
        model: the model to train.
        data: the triplets.
        pictures: the catalog's vectors `(n, d)`.
        patches: reads the references' patches.
        options: how to train.
        device: where to train.
    """

    name = "train"

    def __init__(
        self,
        model: QuerySide,
        data: TripletDataset,
        pictures: Vectors,
        patches: PatchReader,
        options: TrainOptions,
        device: torch.device,
    ) -> None:
        self.model = model.to(device)
        self.module = self.model
        self.replicas = Replicas(self.model)
        groups: list[dict[str, Any]] = [{"params": list(model.combiner.parameters()), "peak": _PEAK_RATE}]
        if model.text is not None:
            learns = [weight for weight in model.text.parameters() if weight.requires_grad]
            groups.append({"params": learns, "peak": _PEAK_RATE * _TEXT_SHARE})
        self.optimizer = torch.optim.AdamW(groups, lr=_PEAK_RATE, weight_decay=_WEIGHT_DECAY)
        self.data, self.patches = data, patches
        self.pictures = torch.tensor(pictures, device=device)
        self.words = torch.from_numpy(data.words).to(device)
        self.loss, self.soft, self.precision = ContrastiveLoss(options.loss), options.soft, options.precision
        self.batch_size, self.seed = min(options.batch_size, len(data.training)), options.seed
        each = max(1, min(len(data.training) // self.batch_size, options.max_steps // options.epochs))
        self.loop = LoopOptions(
            options.epochs * each, each, options.seed, warmup_linear, checkpoint_every=None, best_by=BEST_BY
        )

    def step(self, step: int) -> list[float]:
        """Compute the loss by which each query finds its targets in the catalog and predicts what changes."""
        batch, random = self.data.batch(step, self.batch_size, self.seed), np.random.default_rng([self.seed, step])
        given = (self.model, self.pictures, self.patches, batch, random, self.loss, self.precision)

        def compute() -> Tensor:
            loss = composer_loss(*given)
            return loss if self.data.soft is None else loss + self.soft.weight * self._soft_loss(self.data.soft, step)

        loss = self.replicas(compute)
        loss.backward()  # type: ignore[no-untyped-call]
        return [loss.item()]

    def _soft_loss(self, labels: SoftLabels, step: int) -> Tensor:
        """Compute the loss on the soft labels of some queries."""
        random = np.random.default_rng([self.seed, step, 3])
        some = labels.some(random.permutation(len(labels.references))[:_SOFT_LABELS])
        given = (self.model, self.pictures, self.patches, some, self.precision)
        cosines, scores = candidate_cosines(*given)
        return soft_label_loss(cosines, scores, self.loss.options.temperature, self.soft.temperature)

    def validate(self) -> dict[str, float]:
        """Recall of held-out targets among the whole catalog, in percent."""
        first = np.array([self.data.wordings[row][0] for row in self.data.held_out])
        return held_out_recall(self.queries(self.data.held_out, first), self.gallery(), self.data)

    def queries(self, rows: Numbers, wordings: Numbers) -> Vectors:
        """Learnt query vectors `(n, e)` of triplets, each in one wording."""
        self.model.eval()
        queries = []
        with torch.inference_mode():
            for start in range(0, len(rows), _BLOCK):
                some = slice(start, start + _BLOCK)
                references = self.data.references[rows[some]]
                vectors = self.pictures[torch.from_numpy(references)]
                words = _trim(self.words[torch.from_numpy(wordings[some])])
                queries.append(self.model(vectors, words, *self.patches(references)).cpu().numpy())
        return np.concatenate(queries)

    def gallery(self) -> Vectors:
        """Learnt gallery vectors `(n, e)` of the whole catalog."""
        self.model.eval()
        with torch.inference_mode():
            blocks = torch.split(self.pictures, _GALLERY_BLOCK)  # all at once would need hundreds of megabytes
            vectors: Vectors = torch.cat([self.model.combiner.gallery(some).cpu() for some in blocks]).numpy()
        return vectors


def composer_loss(
    model: QuerySide,
    pictures: Tensor,
    patches: PatchReader,
    batch: Batch,
    random: np.random.Generator,
    loss: ContrastiveLoss,
    precision: str = "auto",
) -> Tensor:
    """The contrastive loss of a batch, plus the cross-entropy of predicted changes if the model predicts them.

    Each of several processes computes some of the queries and some of the bank; the loss is over all of them.
    """
    negatives = loss.known(batch.known_negatives)
    bank_rows = loss.bank(len(pictures), batch.positives, negatives, random)
    bank = pictures[torch.from_numpy(bank_rows)]
    positives, known = (
        torch.from_numpy(np.searchsorted(bank_rows, rows)).to(bank.device) for rows in (batch.positives, negatives)
    )
    similarity = pictures[torch.from_numpy(batch.positives[:, 0])] @ bank.T
    # Targets that were not drawn for this step are not negatives either, like duplicates of a target.
    present = np.isin(batch.targets, bank_rows)
    queries_of, rows = np.nonzero(present)[0], np.searchsorted(bank_rows, batch.targets[present])
    similarity[torch.from_numpy(queries_of), torch.from_numpy(rows)] = 1.0
    words = _trim(torch.from_numpy(batch.words).to(bank.device))
    count, own = len(batch.references), own_part(len(batch.references))
    some = batch.references[own]
    with mixed_precision(bank.device, precision):
        references = pictures[torch.from_numpy(some)]
        queries, read = model.read(references, words[own], *patches(some))
        gallery = model.combiner.gallery(bank[own_part(len(bank))])
    queries, gallery = gathered(queries, count), gathered(gallery, len(bank))
    read = [gathered(group, count) for group in read]
    weights = torch.from_numpy(batch.confidences).to(bank.device)
    contrastive = loss(queries, gallery, positives, known, similarity, weights)
    changes = torch.from_numpy(batch.changes).to(bank.device)
    # If the batch's triplets name no change, the mean below would be over nothing.
    if not read or bool((changes == NO_CHANGE).all()):
        return contrastive
    misread = [
        F.cross_entropy(group, new, ignore_index=NO_CHANGE)
        for group, new in zip(read, changes.unbind(dim=1), strict=True)
        if bool((new != NO_CHANGE).any())
    ]
    return contrastive + torch.stack(misread).sum()


def candidate_cosines(
    model: QuerySide, pictures: Tensor, patches: PatchReader, labels: SoftLabels, precision: str = "auto"
) -> tuple[Tensor, Tensor]:
    """Compute the cosines `(n, k)` of queries and their candidates; also returns the candidates' scores `(n, k)`.

    Each of several processes computes some of the queries and some of the candidates.
    """
    bank_rows, places = np.unique(labels.candidates, return_inverse=True)
    bank = pictures[torch.from_numpy(bank_rows)]
    words = _trim(torch.from_numpy(labels.words).to(bank.device))
    count, own = len(labels.references), own_part(len(labels.references))
    some = labels.references[own]
    with mixed_precision(bank.device, precision):
        queries = model(pictures[torch.from_numpy(some)], words[own], *patches(some))
        gallery = model.combiner.gallery(bank[own_part(len(bank))])
    queries, gallery = gathered(queries, count), gathered(gallery, len(bank))
    candidates = gallery[torch.from_numpy(places.reshape(labels.candidates.shape)).to(bank.device)]
    return torch.einsum("nd,nkd->nk", queries, candidates), torch.from_numpy(labels.scores).to(bank.device)


def _trim(words: Tensor) -> Tensor:
    """Remove the last columns of token ids if they are 0 in all texts. Vectors are returned unchanged."""
    if words.is_floating_point():
        return words
    used = (words != 0).any(dim=0).nonzero()
    return words[:, : int(used.max()) + 1]
