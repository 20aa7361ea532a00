"""The chat model of an evaluation. Without a chat model, none of its modules is imported."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from triptych.chat.ledger import ledger_path
from triptych.chat.settings import require_chat_libraries
from triptych.composers.baselines import WeightedSum
from triptych.composers.protocol import Composer
from triptych.core.errors import UsageError
from triptych.encoders.protocol import Encoder
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.options import EvaluateOptions

if TYPE_CHECKING:  # these need the extra `chat`
    from triptych.evaluation.chat_calls import ChatCaller

COMPILE = "compile"


class ChatHelper:
    """Makes the method `compile`. Replies are in the ledger beside the result file."""

    def __init__(self, evaluation: EvaluateOptions, ledger: Path) -> None:
        self._evaluation = evaluation
        self._ledger = ledger

    @classmethod
    def of(cls, evaluation: EvaluateOptions, names: Sequence[str], output: Path | None) -> Self | None:
        """Make the helper for the options; None if no method needs it.

        Raises:
            UsageError: a model is given but not used, or needed but not given, or there is no result file.
        """
        options = evaluation.chat
        if options is None or not (options.compiler or COMPILE in names):
            return None
        if COMPILE not in names:
            raise UsageError("--compile-model needs --method compile")
        if not options.compiler:
            raise UsageError("--method compile needs --compile-model MODEL")
        if output is None:
            raise UsageError("eval with a chat model needs --output FILE; its replies are stored beside this file")
        return cls(evaluation, ledger_path(output))

    def compiler(self, encoder: Encoder, weight: float) -> WeightedSum:
        """Make the method `compile`."""
        from triptych.evaluation.compiling import compile_method

        assert self._evaluation.chat is not None, "`of` made sure"
        model = self._evaluation.chat.compiler or ""
        return compile_method(encoder, chat_caller(self._evaluation, model, self._ledger), weight)

    def learn(self, method: Composer, task: EncodedTask, val: EncodedTask | None) -> dict[str, Any]:
        """Compile a task's queries, if the method needs that. Returns the facts for a result row."""
        from triptych.evaluation.compiling import CompiledText

        if not (isinstance(method, WeightedSum) and isinstance(method.text, CompiledText)):
            return {}
        if val is not None:
            method.text.learn(val)
        return {"compilation": method.text.learn(task)}


def chat_caller(evaluation: EvaluateOptions, model: str, ledger: Path) -> "ChatCaller":
    """Connect to a chat model at the server of the options.

    Raises:
        UsageError: the extra `chat` is missing.
    """
    require_chat_libraries()
    from triptych.evaluation.chat_calls import ChatCaller

    assert evaluation.chat is not None, "the callers have checked"
    return ChatCaller(model, evaluation.chat.chat, ledger, evaluation.limits)
