"""What a user chooses about a chat model. The command line makes its options from these fields."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from triptych.core.environment import require_extra
from triptych.core.errors import UsageError

REASONING, JUDGEMENT = "reasoning", "judgement"
"""The steps of a dialogue, as the ledger names them: they may have servers and prices of their own."""


def _option(default: Any, help: str, metavar: str | None = None) -> Any:
    return field(default=default, metadata={"help": help, "metavar": metavar})


@dataclass(frozen=True)
class ChatSettings:
    """How to reach a chat model, what to show it, and what it may cost.

    Calls and cost are counted over all runs into one output file, minutes over this run alone. Prices are in money
    for a million tokens. The key is read from TRIPTYCH_API_KEY or OPENAI_API_KEY, that of a judge with an address of
    its own from TRIPTYCH_JUDGE_API_KEY alone; both are kept nowhere. Raises UsageError for what makes no sense.
    """

    base_url: str = _option(
        "", "Where the model is served, such as http://localhost:8000/v1; its key is TRIPTYCH_API_KEY.", "URL"
    )
    judge: str | None = _option(
        None, "Model that judges, if another than the one that reasons; several, with commas between, vote.", "MODEL"
    )
    judge_base_url: str | None = _option(
        None, "Where the judge is served, if elsewhere; its key is TRIPTYCH_JUDGE_API_KEY.", "URL"
    )
    prompts: Path | None = _option(None, "Folder with prompts of your own: reason.md, judge.md, repair.md.", "DIR")
    picture_side: int = _option(336, "Pictures are sent with at most this many pixels on a side.")
    picture_quality: int = _option(85, "JPEG quality of the pictures sent.")
    sheet: bool = _option(False, "Send one side-by-side sheet, for models that take one picture a message.")
    schema: bool = _option(True, "Ask the server to hold the model to a JSON schema.")
    max_tokens: int = _option(1500, "Longest reply, in tokens.")
    temperature: float | None = _option(None, "Sampling temperature; the server's own if not given.")
    concurrency: int = _option(32, "Most calls at once to a server; its answers decide how many there are.")
    attempts: int = _option(6, "How often a call is tried before its reference is left for the next run.")
    backoff: float = _option(1.0, "Seconds before the second attempt; doubled for each further one.")
    backoff_most: float = _option(60.0, "Longest wait between two attempts, in seconds.")
    connect_timeout: float = _option(10.0, "Seconds to wait for a connection.")
    read_timeout: float = _option(120.0, "Seconds of silence to bear; a whole call may take twice this.")
    max_calls: int | None = _option(None, "Stop after this many calls.")
    max_cost: float | None = _option(None, "Stop before this much money is spent.")
    max_minutes: float | None = _option(None, "Stop taking up work after this many minutes.")
    price_in: float = _option(0.0, "Price of a million tokens read.")
    price_out: float = _option(0.0, "Price of a million tokens written.")
    judge_price_in: float | None = _option(None, "Price of a million tokens that the judge reads, if another.")
    judge_price_out: float | None = _option(None, "Price of a million tokens that the judge writes, if another.")
    dry_run: bool = _option(False, "Only say how many calls, tokens and how much money it would take.")
    batch_out: Path | None = _option(
        None, "Write what is to be asked as an OpenAI Batch file, and send nothing.", "FILE"
    )
    batch_again: bool = _option(False, "Ask also what an earlier batch file holds and no result came for.")
    batch_in: Path | None = _option(None, "Take in a Batch file's results, and send nothing.", "FILE")

    def __post_init__(self) -> None:
        for name in ("picture_side", "picture_quality", "max_tokens", "concurrency", "attempts"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be at least 1")
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, float) and not 0 <= value < float("inf"):
                raise UsageError(f"--{item.name.replace('_', '-')} must not be negative")
        if min(self.connect_timeout, self.read_timeout) <= 0 or self.picture_quality > 95:
            raise UsageError("--connect-timeout and --read-timeout must be above 0, --picture-quality at most 95")
        if self.max_calls is not None and self.max_calls < 0:
            raise UsageError("--max-calls must not be negative")
        if self.judge is not None and not self.judges(""):
            raise UsageError("--judge: names no model")
        if self.judge is None and (self.judge_base_url or self.judge_price_in or self.judge_price_out):
            raise UsageError("--judge-base-url and --judge-price-in/-out go with --judge MODEL")
        if self.judge_base_url and (self.batch_out or self.batch_in):
            raise UsageError("--judge-base-url does not go with batch files: all lines of one are for the same server")
        if self.max_cost is not None and not any(map(sum, (self.prices(REASONING), self.prices(JUDGEMENT)))):
            raise UsageError("--max-cost needs to know what tokens cost; give --price-in and --price-out")
        if (self.batch_out or self.batch_in) and (self.max_calls, self.max_cost, self.max_minutes) != (None,) * 3:
            raise UsageError("--max-calls, --max-cost and --max-minutes are not for batch files; use --limit")
        if self.dry_run and (self.batch_out or self.batch_in):
            raise UsageError("--dry-run goes with neither --batch-out nor --batch-in")
        if not (self.dry_run or self.batch_out or self.batch_in):
            if not self.base_url:
                raise UsageError("chat:MODEL needs --base-url, such as http://localhost:8000/v1")
            _check_url("--base-url", self.base_url, "TRIPTYCH_API_KEY")
        if self.judge_base_url:
            _check_url("--judge-base-url", self.judge_base_url, "TRIPTYCH_JUDGE_API_KEY")

    def judges(self, model: str) -> list[str]:
        """The models that judge what `model` reasons; itself, where no other is named."""
        named = [name.strip().removeprefix("chat:") for name in (self.judge or model).split(",")]
        return [name for name in named if name]

    def prices(self, step: str) -> tuple[float, float]:
        """What a million tokens cost, read and written, in a step of the dialogue."""
        if step != JUDGEMENT:
            return self.price_in, self.price_out
        return (
            self.price_in if self.judge_price_in is None else self.judge_price_in,
            self.price_out if self.judge_price_out is None else self.judge_price_out,
        )

    def cost(self, step: str, tokens_in: int, tokens_out: int) -> float:
        """What a call with so many tokens costs."""
        read, written = self.prices(step)
        return (tokens_in * read + tokens_out * written) / 1e6


def _check_url(option: str, url: str, variable: str) -> None:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise UsageError(f"{option}: not an http:// or https:// address")
    if "@" in parts.netloc or parts.query or parts.fragment:
        # It is written into the output's note, which is no place for a secret.
        raise UsageError(f"{option} must hold no key and no query; put the key into {variable}")


def need_chat_libraries() -> None:
    """Raise UsageError where the extra `chat` is not installed."""
    require_extra("chat", "chat:MODEL")
