"""Options of evaluation commands."""

from dataclasses import dataclass
from pathlib import Path

from triptych.chat.settings import ChatSettings
from triptych.core.cluster import ClusterOptions
from triptych.core.errors import UsageError
from triptych.core.limits import Limits, max_pixels_option
from triptych.core.options import check_ranges, nested, option


@dataclass(frozen=True)
class EvaluateChatOptions:
    """A chat model in an evaluation: it turns requests into phrases, or verifies first answers.

    Raises:
        UsageError: a value is out of its range, or --rerank is not chat:MODEL.
    """

    compiler: str | None = option(None, "Chat model for --method compile.", flag="--compile-model", metavar="MODEL")
    rerank: str | None = option(
        None, "Chat model that verifies each method's first answers.", flag="--rerank", metavar="chat:MODEL"
    )
    top: int = option(50, "How many answers of each query the model verifies.", flag="--rerank-top", min=2)
    weight: float | None = option(
        None,
        "Weight of the model's grades against the original order; by default selected on the val split, or 1 on val.",
        flag="--rerank-weight",
        min=0,
        max=1,
    )
    chat: ChatSettings = nested(ChatSettings)

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.rerank is not None and not self.verifier:
            raise UsageError(f"--rerank {self.rerank}: write chat:MODEL, such as chat:qwen2.5-vl-7b-instruct")

    @property
    def verifier(self) -> str:
        """The model that verifies; empty if none does."""
        scheme, _, model = (self.rerank or "").partition(":")
        return model if scheme == "chat" else ""


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
    max_pixels: float = max_pixels_option()
    cluster: ClusterOptions = nested(ClusterOptions)
    """Whether workers of a Ray cluster encode the pictures. They see these at the same paths."""
    chat: EvaluateChatOptions | None = None
    """A chat model to use, if any. On the command line its flags are among the others."""

    def __post_init__(self) -> None:
        check_ranges(self)

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
