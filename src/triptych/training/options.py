"""How to train: the options of `train`, `finetune`, `pretrain`, `adapt-encoder` and `train-inversion`."""

import re
from dataclasses import dataclass
from pathlib import Path

from triptych.core.environment import PRECISIONS
from triptych.core.errors import UsageError
from triptych.core.limits import Limits, max_pixels_option
from triptych.core.options import as_paths, check_ranges, nested, option

COMPOSERS = ("combiner", "transformer")
NEGATIVES = ("bank", "batch", "bank+group")
WEIGHTINGS = ("confidence", "none")
PARTS = ("concepts", "kept-sum", "other-targets", "target-concepts", "text-tower")
"""The parts that `--without` leaves out, to measure what each contributes: words read from pictures, and with them the
target's concepts; the weighted sum beside the learnt vectors; further targets of a triplet; the prediction of the
target's words; training of the text tower."""
SCRATCH = "scratch"
"""The value of `pretrain --from` for an encoder with random initial weights."""
MARK = "*"
"""The mark that stands for the pseudo-word in a text."""

_TUNED = re.compile(r"frozen|full|last-[1-9][0-9]?")
_EPOCHS = "Passes over the triplets."
_BATCH = "Triplets a step."
_TEMPERATURE = "Temperature of the loss, between 0 and 1; a lower one gives hard negatives more weight."
_PATIENCE = "Stop after this many epochs without better recall on held-out triplets."
_SEED = "Seed of everything random."
_PRECISION = "Precision of training: auto (bfloat16 where it is fast), float32 or bfloat16."


@dataclass(frozen=True)
class LogOptions:
    """Where a training run logs its progress, beside the terminal."""

    json_lines: Path | None = option(
        None, "Also write losses, rate, ETA and recall, as JSON lines.", flag="--log-json", metavar="FILE"
    )
    tensorboard: Path | None = option(None, "Also write losses and recall for TensorBoard.", metavar="DIR")

    def __post_init__(self) -> None:
        as_paths(self, "json_lines", "tensorboard")


Log = LogOptions | Path | str | None
"""Where a run logs its progress; a path is a file of JSON lines."""


@dataclass(frozen=True)
class LossOptions:
    """The loss of `train`. The defaults are InfoNCE (van den Oord et al. 2018) over the whole catalog.

    Targets of a triplet that are not sampled in a step are left out of it; the others share the denominator.

    Raises:
        UsageError: a value is out of its range.
    """

    temperature: float = option(0.07, _TEMPERATURE, above=0)
    negatives: str = option(
        "bank",
        "bank (the catalog), batch (its pictures only), or bank+group (also the critic's negatives).",
        choices=NEGATIVES,
    )
    """`bank`: the catalog, or a sample of it with the batch's pictures. `batch`: only the batch's references and
    targets. `bank+group`: the bank, and the pictures that the critic judged to be wrong, each a negative of its own
    query however similar it is to the target."""
    hard_alpha: float = option(1.0, "HN-NCE: the weight of a target in the denominator.", metavar="A", above=0)
    """HN-NCE's α: the weight of a target beside the negatives."""
    hard_beta: float = option(0.0, "HN-NCE: extra weight of hard negatives; CoVR: 0.5.", metavar="B", min=0)
    """HN-NCE's β: a higher one gives hard negatives more weight. CoVR (Ventura et al. 2024) uses α 1, β 0.5."""
    symmetric: bool = option(False, "Also train in the other direction, from the target to its query.")
    """Also train targets to find their query among those of the batch, as in CLIP (Radford et al. 2021)."""
    false_negative_margin: float | None = option(
        None, "Ignore negatives that score higher than the best target by this cosine.", metavar="COSINE", min=0, max=2
    )
    """A negative that scores higher than the best target by more than this cosine probably is a target that was not
    found, and is ignored: false-negative elimination (Huynh et al. 2022), by the composer's own scores. Known negatives
    are never ignored: the reference and, with `bank+group`, the critic's negatives. None ignores no negative."""
    weighting: str = option(
        "confidence", "Weight of a triplet: confidence (the critic's), or none.", choices=WEIGHTINGS
    )
    """The weight of a triplet in the loss: the critic's `confidence`, or with `none` 1 for each."""

    def __post_init__(self) -> None:
        check_ranges(self)
        _check_temperature(self.temperature)


@dataclass(frozen=True)
class SoftLabelOptions:
    """Training on the scores of a verifier, beside the triplets.

    The loss is the Kullback-Leibler divergence of the composer's softmax over each query's candidates from that of the
    scores (Hinton et al. 2015, *Distilling the Knowledge in a Neural Network*, arXiv 1503.02531).

    Raises:
        UsageError: a value is out of its range.
    """

    labels: Path | None = option(
        None,
        "Also train on a verifier's scores: a file that eval --rerank-out wrote.",
        flag="--soft-labels",
        metavar="FILE",
    )
    weight: float = option(
        1.0, "Weight of the loss on soft labels beside the loss on triplets.", flag="--soft-weight", above=0
    )
    temperature: float = option(
        0.1,
        "Temperature of the scores' softmax; a lower one gives the best candidates more weight.",
        flag="--soft-temperature",
        above=0,
    )

    def __post_init__(self) -> None:
        as_paths(self, "labels")
        check_ranges(self)


@dataclass(frozen=True)
class TrainOptions:
    """How `train` makes a composer from triplets.

    Raises:
        UsageError: a value is out of its range, or options contradict each other.
    """

    composer: str = option(
        "combiner", "combiner, or transformer, which reads the reference's picture.", metavar="NAME", choices=COMPOSERS
    )
    """`combiner` reads the vectors of reference and text. `transformer` reads the patches of the reference's picture
    and the tokens of the text; it needs an encoder that `pretrain` made."""
    epochs: int = option(9, _EPOCHS, min=1)
    max_steps: int = option(600, "Greatest number of steps, over all epochs.", metavar="COUNT", min=1)
    batch_size: int = option(256, _BATCH, min=2)
    loss: LossOptions = nested(LossOptions)
    soft: SoftLabelOptions = nested(SoftLabelOptions)
    without: tuple[str, ...] = option(
        (), f"Leave out {', '.join(PARTS[:-1])} or {PARTS[-1]}; may be repeated.", metavar="PART", choices=PARTS
    )
    tune_text: bool = option(
        False, "Also train the end of photos-1's text tower, or a CLIP's by LoRA on a CPU; takes several times as long."
    )
    """The text towers of small encoders that `pretrain` made, and on a GPU those of CLIPs, are trained in any case."""
    patience: int | None = option(None, _PATIENCE, metavar="EPOCHS", min=1)
    precision: str = option("auto", _PRECISION, choices=PRECISIONS)
    seed: int = option(0, _SEED, min=0)

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.composer == "transformer" and "text-tower" in self.without:
            raise UsageError(
                "--without text-tower: a transformer reads the tower's tokens, so the tower must be trained"
            )


@dataclass(frozen=True)
class FinetuneOptions:
    """How `finetune` trains an encoder on triplets.

    Raises:
        UsageError: a value is out of its range.
    """

    tune: str | None = option(
        None, "Which weights are trained: full (own encoders), lora (hf:), last-N or frozen.", metavar="WHAT"
    )
    """`full` or `frozen` for encoders that `pretrain` made, by default full. `lora`, `last-N`, `full` or `frozen` for
    encoders in the Hugging Face layout, by default lora."""
    epochs: int = option(3, _EPOCHS, min=1)
    batch_size: int = option(256, _BATCH, min=2)
    accumulate: int = option(1, "Batches per step whose gradients are averaged; each has its own negatives.", min=1)
    chunk_size: int | None = option(
        None, "Pictures or texts in memory at a time; the loss is still over the whole batch.", metavar="COUNT", min=1
    )
    temperature: float = option(0.07, _TEMPERATURE, above=0)
    distill: float = option(5.0, "Weight of the loss that keeps pictures' vectors close to the original ones.", min=0)
    """The weight, beside the contrastive loss, of one minus the cosine between a picture's new and original vector."""
    patience: int | None = option(None, _PATIENCE, metavar="EPOCHS", min=1)
    precision: str = option("auto", _PRECISION, choices=PRECISIONS)
    seed: int = option(0, _SEED, min=0)

    def __post_init__(self) -> None:
        check_ranges(self)
        _check_temperature(self.temperature)


@dataclass(frozen=True)
class PretrainOptions:
    """How `pretrain` trains an encoder on picture-caption pairs.

    Raises:
        UsageError: a value is out of its range, or options contradict each other.
    """

    start: str = option(
        "photos",
        "Encoder to start from: photos, a folder that such a run wrote, or scratch.",
        flag="--from",
        metavar="NAME",
    )
    """`photos`, an encoder of photos and sentences; a folder that `pretrain` wrote from one; or `scratch`, for a small
    encoder with random initial weights, suitable for drawings."""
    tune: str | None = option(
        None, "Which weights are trained: frozen (only the heads), last-N or full.", metavar="WHAT"
    )
    """`frozen`, the default: small heads on the towers' outputs, which are computed once. `last-N`: also the last N
    stages of the tuned copy of the picture tower and the last N layers of the text tower. `full`: all of both, except
    the published trunk, which distinguishes items."""
    size: int | None = option(
        None, "With --from scratch: side of its pictures in pixels, a multiple of 16; by default 64.", min=32
    )
    width: int | None = option(None, "With --from scratch: channels of the first stage; by default 64.", min=2)
    epochs: int | None = option(None, "Passes over the pairs; by default 30, or 50 from scratch.", min=1)
    batch_size: int = option(256, "Pairs per step.", min=2)
    max_pixels: float = max_pixels_option()
    seed: int = option(0, _SEED, min=0)

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.size is not None and self.size % 16:
            raise UsageError(f"--size {self.size}: must be a multiple of 16")
        if self.start == SCRATCH and self.tune is not None:
            raise UsageError("--tune needs a pretrained encoder (--from); from scratch all weights are trained")
        if self.start != SCRATCH and not (self.size is None and self.width is None):
            raise UsageError(f"--size and --width need --from scratch; --from {self.start} has its own sizes")
        if self.tune is not None and not _TUNED.fullmatch(self.tune):
            raise UsageError(f"--tune {self.tune}: write frozen, last-N (such as last-1) or full")

    @property
    def limits(self) -> Limits:
        """The largest picture that is accepted."""
        return Limits.of_millions(self.max_pixels)


@dataclass(frozen=True)
class AdaptOptions:
    """How `adapt-encoder` trains an encoder to distinguish items.

    Raises:
        UsageError: a value is out of its range.
    """

    steps: int = option(300, "Steps of training.", min=1)
    batch_size: int = option(256, "Pictures per step.", min=2)
    max_pixels: float = max_pixels_option()
    seed: int = option(0, _SEED, min=0)

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def limits(self) -> Limits:
        """The largest picture that is accepted."""
        return Limits.of_millions(self.max_pixels)


@dataclass(frozen=True)
class InversionOptions:
    """How `train-inversion` makes a composer by textual inversion.

    Raises:
        UsageError: a value is out of its range.
    """

    prompt: str | None = option(
        None, 'Text before the words, such as "a photo of * that"; otherwise eval chooses.', metavar="TEXT"
    )
    """The prompt, with `*` for the pseudo-word. Without one the composer stores several, the paper's and bare
    pseudo-words, and `eval` chooses among them on validation queries. Elsewhere the default is the paper's for CLIP,
    and for encoders that `pretrain` made the best one on our validation queries."""
    captions: Path | None = option(
        None, "For lincir: CSV (image,caption) with texts to train on, instead of drawn titles.", metavar="CSV"
    )
    vocabulary: Path | None = option(None, 'JSON: {"colour": ["red", "blue"], …}.', metavar="FILE")
    limit: int | None = option(None, "Train on this many pictures; by default on all.", metavar="COUNT", min=2)
    steps: int = option(400, "Training steps of the mapping network.", min=1)
    batch_size: int = option(256, "Pictures or texts per step.", min=2)
    word_steps: int = option(100, "For searle: optimisation steps to find a picture's pseudo-word.", min=1)
    seed: int = option(0, _SEED, min=0)

    def __post_init__(self) -> None:
        as_paths(self, "captions", "vocabulary")
        check_ranges(self)
        if self.prompt is not None and MARK not in self.prompt:
            raise UsageError(f"--prompt {self.prompt!r}: must contain {MARK}, which stands for the pseudo-word")


def _check_temperature(temperature: float) -> None:
    if temperature >= 1:
        raise UsageError("--temperature must be between 0 and 1")
