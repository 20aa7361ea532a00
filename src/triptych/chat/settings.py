"""Options about a chat model. The command line makes its flags from these fields."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from triptych.core.environment import require_extra
from triptych.core.errors import UsageError
from triptych.core.options import check_ranges, nested, option

REASONING, JUDGEMENT = "reasoning", "judgement"
"""The steps of a dialogue, as the ledger names them: they may have servers and prices of their own."""


@dataclass(frozen=True)
class ChatEndpoint:
    """The endpoint of a chat model, and the limits of requests to it.

    The key is read from TRIPTYCH_API_KEY or OPENAI_API_KEY and stored nowhere.

    Raises:
        UsageError: a value is out of its range, or the address contains a secret.
    """

    base_url: str = option(
        "", "Where the model is served, such as http://localhost:8000/v1; its key is TRIPTYCH_API_KEY.", metavar="URL"
    )
    concurrency: int = option(32, "Most calls at once to a server; fewer are made while it is overloaded.", min=1)
    attempts: int = option(6, "How often a call is tried before its reference is left for the next run.", min=1)
    backoff: float = option(1.0, "Seconds before the second attempt; doubled for each further one.", min=0)
    max_backoff: float = option(60.0, "Longest wait between two attempts, in seconds.", min=0)
    connect_timeout: float = option(10.0, "Seconds to wait for a connection.", above=0)
    read_timeout: float = option(
        120.0, "Seconds to wait without receiving data; a whole call may take twice this.", above=0
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.base_url:
            _check_url("--base-url", self.base_url, "TRIPTYCH_API_KEY")


@dataclass(frozen=True)
class ChatRequest:
    """What a chat model is shown and asked for.

    Raises:
        UsageError: a value is out of its range.
    """

    prompts: Path | None = option(
        None, "Folder with prompts of your own: reason.md, judge.md, repair.md.", metavar="DIR"
    )
    picture_size: int = option(336, "Pictures are sent with at most this many pixels on a side.", min=1)
    picture_quality: int = option(85, "JPEG quality of the pictures sent.", min=1, max=95)
    one_image: bool = option(
        False, "Send all pictures side by side in one image, for models that take one picture a message."
    )
    schema: bool = option(True, "Ask the server to restrict replies to a JSON schema.")
    max_tokens: int = option(1500, "Longest reply, in tokens.", min=1)
    temperature: float | None = option(None, "Sampling temperature; the server's own if not given.", min=0)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class ChatBudget:
    """What a run may cost. Calls and cost are counted over all runs into one output file, minutes over this run alone.

    Raises:
        UsageError: a value is out of its range.
    """

    max_calls: int | None = option(None, "Stop after this many calls.", min=0)
    max_cost: float | None = option(None, "Stop before this much money is spent.", min=0)
    max_minutes: float | None = option(None, "Start nothing new after this many minutes.", min=0)
    price_in: float = option(0.0, "Price of a million tokens read.", min=0)
    price_out: float = option(0.0, "Price of a million tokens written.", min=0)

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def limited(self) -> bool:
        """Whether any limit is set."""
        return (self.max_calls, self.max_cost, self.max_minutes) != (None, None, None)


@dataclass(frozen=True)
class ChatJudge:
    """The models that judge, if another model than the reasoning one is to judge.

    The key of a judge with an address of its own is read from TRIPTYCH_JUDGE_API_KEY alone and stored nowhere.

    Raises:
        UsageError: a value is out of its range, or an option is given without a model.
    """

    models: str | None = option(
        None,
        "Model that judges, if not the reasoning one; several, separated by commas, vote.",
        flag="--judge",
        metavar="MODEL",
    )
    base_url: str | None = option(
        None,
        "Where the judge is served, if elsewhere; its key is TRIPTYCH_JUDGE_API_KEY.",
        flag="--judge-base-url",
        metavar="URL",
    )
    price_in: float | None = option(
        None, "Price of a million tokens that the judge reads, if different.", flag="--judge-price-in", min=0
    )
    price_out: float | None = option(
        None, "Price of a million tokens that the judge writes, if different.", flag="--judge-price-out", min=0
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.models is not None and not self.names:
            raise UsageError("--judge: names no model")
        if self.models is None and (self.base_url or self.price_in or self.price_out):
            raise UsageError("--judge-base-url and --judge-price-in/-out go with --judge MODEL")
        if self.base_url:
            _check_url("--judge-base-url", self.base_url, "TRIPTYCH_JUDGE_API_KEY")

    @property
    def names(self) -> list[str]:
        """The names of the models; empty if no judge is given."""
        return _model_names(self.models or "")


@dataclass(frozen=True)
class ChatBatch:
    """Files for a batch service, instead of a server that answers at once."""

    out: Path | None = option(
        None, "Write the requests as an OpenAI Batch file, and send nothing.", flag="--batch-out", metavar="FILE"
    )
    results: Path | None = option(
        None, "Read a Batch file's results, and send nothing.", flag="--batch-in", metavar="FILE"
    )
    resend: bool = option(
        False, "Also send requests of an earlier batch file that have no result yet.", flag="--batch-resend"
    )

    @property
    def used(self) -> bool:
        """Whether a batch file is given."""
        return bool(self.out or self.results)


@dataclass(frozen=True)
class ChatSettings:
    """How to reach a chat model, what to show it, and what it may cost.

    Raises:
        UsageError: the parts contradict each other.
    """

    endpoint: ChatEndpoint = nested(ChatEndpoint)
    request: ChatRequest = nested(ChatRequest)
    budget: ChatBudget = nested(ChatBudget)
    judge: ChatJudge = nested(ChatJudge)
    batch: ChatBatch = nested(ChatBatch)
    dry_run: bool = option(False, "Only estimate calls, tokens and cost.")

    def __post_init__(self) -> None:
        if self.judge.base_url and self.batch.used:
            raise UsageError(
                "--judge-base-url cannot be used with batch files: all requests of a file go to one server"
            )
        if self.budget.max_cost is not None and not any(map(sum, (self.prices(REASONING), self.prices(JUDGEMENT)))):
            raise UsageError("--max-cost needs the prices of tokens; give --price-in and --price-out")
        if self.batch.used and self.budget.limited:
            raise UsageError("--max-calls, --max-cost and --max-minutes cannot be used with batch files; use --limit")
        if self.dry_run and self.batch.used:
            raise UsageError("--dry-run cannot be used with --batch-out or --batch-in")
        if not (self.dry_run or self.batch.used or self.endpoint.base_url):
            raise UsageError("a chat model needs --base-url, such as http://localhost:8000/v1")

    def judges(self, model: str) -> list[str]:
        """The models that judge what `model` reasons; `model` itself if no other is named."""
        return self.judge.names or _model_names(model)

    def prices(self, step: str) -> tuple[float, float]:
        """The prices of a million tokens, read and written, in a step of the dialogue."""
        read, written = self.budget.price_in, self.budget.price_out
        if step != JUDGEMENT:
            return read, written
        judge = self.judge
        return (
            read if judge.price_in is None else judge.price_in,
            written if judge.price_out is None else judge.price_out,
        )

    def cost(self, step: str, tokens_in: int, tokens_out: int) -> float:
        """The cost of a call with these numbers of tokens."""
        read, written = self.prices(step)
        return (tokens_in * read + tokens_out * written) / 1e6


def _model_names(listed: str) -> list[str]:
    named = [name.strip().removeprefix("chat:") for name in listed.split(",")]
    return [name for name in named if name]


def _check_url(flag: str, url: str, variable: str) -> None:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise UsageError(f"{flag}: not an http:// or https:// address")
    if "@" in parts.netloc or parts.query or parts.fragment:
        # The address is written into the output's note, so it must not contain a secret.
        raise UsageError(f"{flag} must not contain a key or a query; put the key into {variable}")


def require_chat_libraries() -> None:
    """Check that the extra `chat` is installed.

    Raises:
        UsageError: it is not.
    """
    require_extra("chat", "a chat model")
