"""The combiner: a small network over the vectors of a reference and a text."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.encoders.networks.clip_text import ClipTextTower
from triptych.encoders.networks.dual_encoder import TextTower
from triptych.encoders.networks.photo_encoder import PhotoTextTower

_LEAST = -9.0  # lower limit of a word's log-probability, against infinities
_LOGARITHM, _ROOT = 0.3, 3.0  # factors that scale log-probabilities and square roots of probabilities to about one
_TELL = 0.3  # the weight of the concepts' linear map in adapted picture vectors; not tuned


@dataclass(frozen=True)
class CombinerShape:
    """The sizes that decide the shapes of all weights."""

    dim: int
    """Length of the encoder's vectors."""
    words: tuple[int, ...] = ()
    """How many words each attribute group of the triplets has; empty if the triplets name no attributes."""
    out: int = 384
    """Length of query and gallery vectors, at least `dim`."""
    hidden: int = 1024
    dropout: float = 0.1
    expects: bool = False
    """Whether a query predicts the concepts of its target. It needs `words`."""

    @property
    def concept_dim(self) -> int:
        """Length of a picture's concepts: two numbers for each word."""
        return 2 * sum(self.words)

    @property
    def picture_dim(self) -> int:
        """Length of a picture's input to the networks: its vector and its concepts."""
        return self.dim + self.concept_dim

    @property
    def input_dim(self) -> int:
        """Length of the trunk's input: the reference's input, the text's vector, and the product of both vectors."""
        return self.picture_dim + 2 * self.dim


class ConceptHead(nn.Module):
    """Maps picture vectors `(n, dim)` to concepts `(n, 2 * sum(words))`; the words of each group form a softmax.

    Concepts are the log-probabilities of the words and the square roots of the probabilities, scaled to be near one.
    The agent uses the same numbers: it adds log-probabilities of wanted words, and compares attributes that must not
    change by products of square roots (the Bhattacharyya coefficient).

    The head is initialised from the encoder's knowledge of the words, and trained with the rest. So the attributes of a
    picture are directly available, and a query can ask for any word except one.
    """

    def __init__(self, dim: int, words: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = list(words)
        self.classify = nn.Linear(dim, sum(words))
        nn.init.zeros_(self.classify.bias)

    def start_from(self, weight: Tensor, bias: Tensor) -> None:
        """Initialise with a linear map, `(sum(words), dim)` and `(sum(words),)`, from unit vectors to logits."""
        with torch.no_grad():
            self.classify.weight.copy_(weight)
            self.classify.bias.copy_(bias)

    def forward(self, vectors: Tensor) -> Tensor:
        logits = self.classify(vectors).float().split(self.sizes, dim=-1)
        words = torch.cat([F.log_softmax(group, dim=-1).clamp(min=_LEAST) for group in logits], dim=-1)
        return torch.cat([_LOGARITHM * words, _ROOT * torch.exp(words / 2)], dim=-1)


class TargetConcepts(nn.Module):
    """Predicts the concepts of a query's target: those of the reference, except for what the modification changes.

    For each group, the query's features predict whether the attribute is unchanged, or which word replaces it. This is
    learnt from the changes that the agent names, since targets alone teach little about rare words. An unchanged group
    adds the square roots of the reference's probabilities to the query, and a changed one the new word. `ask` learns
    their weights.
    """

    def __init__(self, hidden: int, words: tuple[int, ...], out: int) -> None:
        super().__init__()
        self.words = list(words)
        self.read = nn.Linear(hidden, sum(words) + len(words))
        self.ask = nn.Linear(2 * sum(words), out, bias=False)
        nn.init.zeros_(self.ask.weight)

    def changes(self, features: Tensor) -> list[Tensor]:
        """The logits of each group `(n, 1 + words)`: that it is unchanged, and that each word is the new one."""
        return list(torch.split(self.read(features).float(), [1 + count for count in self.words], dim=-1))

    def forward(self, changes: Sequence[Tensor], concepts: Tensor) -> Tensor:
        """Compute the vector `(n, out)` to add to a query from the changes and the reference's concepts."""
        likely = [group.softmax(dim=-1) for group in changes]
        roots = torch.split(concepts[:, sum(self.words) :], self.words, dim=-1)
        new = torch.cat([group[:, 1:] for group in likely], dim=-1)
        kept = torch.cat([group[:, :1] * root for group, root in zip(likely, roots, strict=True)], dim=-1)
        asked: Tensor = self.ask(torch.cat([_ROOT * new, kept], dim=-1))
        return asked


class Combiner(nn.Module):
    """Maps reference and text vectors `(n, dim)` to query vectors `(n, out)`.

    It is gated like CLIP4Cir's Combiner (Baldrati et al., CVPR Workshops 2022, section 3.2): a learnt mixture of both
    inputs plus a correction. In addition, references and gallery go through `adapt`, which starts as the identity and
    learns what distinguishes items, from the vector and its concepts. With concepts, a query also predicts the concepts
    of its target.

    The `trunk` maps both inputs `(n, shape.input_dim)` to features `(n, hidden)`, which determine mixture and
    correction. It has two layers, or is a network that reads `more` of reference and text than their vectors.
    """

    def __init__(self, shape: CombinerShape, trunk: nn.Module | None = None) -> None:
        super().__init__()
        self.shape = shape
        dim, hidden = shape.dim, shape.hidden
        self.concepts = ConceptHead(dim, shape.words) if shape.words else None
        self.keep = _widening(dim, shape.out)
        self.translate = _widening(dim, shape.out)
        self.tell = nn.Linear(shape.concept_dim, shape.out, bias=False) if shape.words else None
        self.expect = TargetConcepts(hidden, shape.words, shape.out) if shape.words and shape.expects else None
        self.refine = nn.Sequential(
            nn.Linear(shape.picture_dim, hidden), nn.GELU(), nn.Dropout(0.1), nn.Linear(hidden, shape.out)
        )
        self.trunk = _two_layers(shape) if trunk is None else trunk
        self.correct = nn.Linear(hidden, shape.out)
        self.gate = nn.Linear(hidden, 2)
        for last in (self.tell, self.refine[-1], self.correct, self.gate):
            if isinstance(last, nn.Linear):
                for values in last.parameters():
                    nn.init.zeros_(values)

    def picture_features(self, vectors: Tensor) -> Tensor:
        """The networks' input for a picture: its vector, scaled to components of about one, and its concepts."""
        scaled = vectors * self.shape.dim**0.5
        return scaled if self.concepts is None else torch.cat([scaled, self.concepts(vectors)], dim=-1)

    def adapt(self, vectors: Tensor) -> Tensor:
        """Map picture vectors to the space of the queries, without normalisation."""
        features = self.picture_features(vectors)
        adapted: Tensor = self.keep(vectors) + self.refine(features)
        return adapted if self.tell is None else adapted + _TELL * self.tell(features[:, self.shape.dim :])

    def gallery(self, vectors: Tensor) -> Tensor:
        """Gallery vectors `(m, out)`."""
        return F.normalize(self.adapt(vectors).float(), dim=-1)

    def forward(self, references: Tensor, texts: Tensor, *more: Tensor) -> Tensor:
        """Unit query vectors."""
        return self.read(references, texts, *more)[0]

    def read(self, references: Tensor, texts: Tensor, *more: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Unit query vectors, and the logits of `TargetConcepts.changes`, which are empty without that part."""
        root = self.shape.dim**0.5
        features = self.picture_features(references)
        inner = self.trunk(torch.cat([features, texts * root, references * texts * root**2], dim=-1), *more)
        shares = torch.sigmoid(self.gate(inner)) * 2
        mixed = shares[:, :1] * self.adapt(references) + shares[:, 1:] * self.translate(texts) + self.correct(inner)
        changes: list[Tensor] = []
        if self.expect is not None:
            changes = self.expect.changes(inner)
            mixed = mixed + self.expect(changes, features[:, self.shape.dim :])
        return F.normalize(mixed.float(), dim=-1), changes


def _two_layers(shape: CombinerShape) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(shape.input_dim, shape.hidden),
        nn.GELU(),
        nn.Dropout(shape.dropout),
        nn.Linear(shape.hidden, shape.hidden),
        nn.GELU(),
        nn.Dropout(shape.dropout),
    )


def _widening(dim: int, out: int) -> nn.Linear:
    """A linear map that is initialised as the identity, with zeros for additional components."""
    linear = nn.Linear(dim, out, bias=False)
    nn.init.eye_(linear.weight)
    return linear


class QuerySide(nn.Module):
    """Maps references and words to query vectors.

    Words are token ids `(n, l)` if a text tower is trained with the combiner, else text vectors `(n, dim)`. If
    `patches` of the references are given, the combiner's trunk reads them and the single tokens.
    """

    def __init__(self, combiner: Combiner, text: TextTower | PhotoTextTower | ClipTextTower | None) -> None:
        super().__init__()
        self.combiner = combiner
        self.text = text

    def forward(self, references: Tensor, words: Tensor, patches: Tensor | None = None) -> Tensor:
        """Unit query vectors `(n, out)`."""
        return self.read(references, words, patches)[0]

    def read(self, references: Tensor, words: Tensor, patches: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Unit query vectors, and the predicted changes."""
        if patches is None:
            return self.combiner.read(references, words if self.text is None else self.text(words))
        assert isinstance(self.text, TextTower), "a trunk that reads patches needs an encoder that pretrain made"
        states = self.text.states(words)
        return self.combiner.read(references, self.text.pool(words, states), patches, states, words == 0)


class GallerySide(nn.Module):
    """`Combiner.gallery` as a module, for export."""

    def __init__(self, combiner: Combiner) -> None:
        super().__init__()
        self.combiner = combiner

    def forward(self, vectors: Tensor) -> Tensor:
        """Gallery vectors `(m, out)`."""
        return self.combiner.gallery(vectors)
