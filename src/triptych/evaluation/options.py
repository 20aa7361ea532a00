"""Options of evaluation commands."""

from dataclasses import dataclass
from pathlib import Path

from triptych.chat.settings import ChatSettings
from triptych.core.cluster import ClusterOptions
from triptych.core.errors import UsageError
from triptych.core.limits import Limits, max_pixels_option
from triptych.core.options import as_paths, check_ranges, nested, option


@dataclass(frozen=True)
class EvaluateChatOptions:
    """A chat model in an evaluation: its server, and the model that turns requests into phrases."""

    compiler: str | None = option(None, "Chat model for --method compile.", flag="--compile-model", metavar="MODEL")
    chat: ChatSettings = nested(ChatSettings)


SCORES = ("auto", "yes-no", "grades")
"""The kinds of scores that a chat model gives answers."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Which methods `evaluate` measures, on which queries, and the content of the result.

    Raises:
        UsageError: a value is out of its range.
    """

    methods: tuple[str, ...] = option(
        (),
        "picture, text, sum, signed-sum, slerp, caption-words, caption-words+picture, caption-edit, "
        "caption-edit+picture, or all of these; product, basic, joint or compile; may be repeated.",
        flag="--method",
    )
    split: str = option("test", "val, test, test1 (cirr), or all (the whole folder).")
    gallery: Path | None = option(None, "Pictures of your own queries.", metavar="DIR")
    weight: float | None = option(None, "Weight of the words; by default selected on the val split.", min=0, max=1)
    tune_root: Path | None = option(None, "Folder with the val split on which weights are selected.", metavar="DIR")
    vocabulary: Path | None = option(None, 'JSON: {"colour": ["red", "blue"], …}.', metavar="FILE")
    settings: tuple[str, ...] = option(
        (), "Setting of the protocol, such as gallery=union; may be repeated.", flag="--setting", metavar="NAME=VALUE"
    )
    submission: Path | None = option(
        None, "Write the submission for the server of cirr (a folder) or circo (a file).", metavar="FILE|DIR"
    )
    gap: bool = option(True, "Also measure picture only and words only, and the lead over them.")
    per_query: bool = option(False, "Store each query's metrics, for compare.")
    answers: int = option(0, "Store this many first answers of each query, for inspect.", min=0, max=1000)
    rerank: str | None = option(
        None, "Model that verifies each method's first answers.", metavar="chat:MODEL|hf:NAME_OR_DIR"
    )
    """`chat:MODEL`, a chat model at `chat`'s server, or `hf:`, a local Qwen3-VL-Reranker or other Qwen3-VL."""
    rerank_top: int = option(50, "How many answers of each query the model verifies.", min=2)
    rerank_weight: float | None = option(
        None,
        "Weight of the model's scores against the original order; by default selected on the val split, or 1 on val.",
        min=0,
        max=1,
    )
    rerank_scores: str = option(
        "auto",
        "Scores of a chat model: yes-no (log-probabilities), grades (written), or auto: yes-no if the server can.",
        choices=SCORES,
    )
    rerank_out: Path | None = option(None, "Write the scores, for train --soft-labels (.jsonl).", metavar="FILE")
    max_pixels: float = max_pixels_option()
    cluster: ClusterOptions = nested(ClusterOptions)
    """Whether workers of a Ray cluster encode the pictures. They see these at the same paths."""
    chat: EvaluateChatOptions | None = None
    """The server of a chat model, if any. On the command line its flags are among the others."""

    def __post_init__(self) -> None:
        check_ranges(self)
        as_paths(self, "rerank_out")
        scheme, _, model = (self.rerank or "").partition(":")
        if self.rerank is not None and (scheme not in ("chat", "hf") or not model):
            raise UsageError(
                f"--rerank {self.rerank}: write chat:MODEL, such as chat:qwen2.5-vl-7b-instruct, or hf:NAME_OR_DIR, "
                "such as hf:Qwen/Qwen3-VL-Reranker-2B"
            )
        if self.rerank is None and self.rerank_out is not None:
            raise UsageError("--rerank-out needs --rerank")

    @property
    def limits(self) -> Limits:
        """The largest picture that is accepted."""
        return Limits.of_millions(self.max_pixels)


SHOWN_QUERIES = ("all", "failed", "solved", "both-failed", "only-first", "only-second")
"""The values of `--show`."""


@dataclass(frozen=True)
class InspectOptions:
    """Which queries and which methods are on the page.

    Raises:
        UsageError: a value is out of its range, or `show` is unknown.
    """

    method: str | None = option(None, "Method of the first file; by default its first.")
    against: str | None = option(None, "Method of the second file, or a second method of the first.")
    show: str = option("all", f"Which queries: {', '.join(SHOWN_QUERIES)}.")
    cutoff: int = option(10, "A query counts as solved if a target is among this many answers.", min=1)
    top: int = option(6, "How many answers are shown.", min=1, max=50)
    count: int = option(100, "The most queries on the page, sampled at random.", min=1, max=2000)
    seed: int = option(0, "Equal seeds sample the same queries.", min=0)
    max_pixels: float = max_pixels_option()

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.show not in SHOWN_QUERIES:
            raise UsageError(f"--show {self.show}: not one of {', '.join(SHOWN_QUERIES)}")


@dataclass(frozen=True)
class CompareOptions:
    """Which methods `compare` compares, and how it tests a difference.

    Raises:
        UsageError: a value is out of its range.
    """

    method: str | None = option(None, "Method of the first file; all if not given.")
    against: str | None = option(None, "Method of the second file; the same if not given.")
    resamples: int = option(10_000, "Random draws for intervals and significance.", min=100)
    seed: int = option(0, "Equal seeds give equal results.", min=0)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class LeakageOptions:
    """Which pictures `leakage` counts as near-duplicates.

    Raises:
        UsageError: a value is out of its range.
    """

    threshold: float = option(0.95, "Least cosine of near-duplicates.", above=0, max=1)
    max_pixels: float = max_pixels_option()

    def __post_init__(self) -> None:
        check_ranges(self)
