"""The uses of a chat model in an evaluation. Without a chat model, none of its modules is imported."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from triptych.chat.ledger import ledger_path
from triptych.chat.settings import require_chat_libraries
from triptych.composers.baselines import WeightedSum
from triptych.composers.protocol import Composer
from triptych.core.errors import UsageError
from triptych.encoders.protocol import Encoder
from triptych.evaluation.answers import Answers
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.options import EvaluateChatOptions, EvaluateOptions

if TYPE_CHECKING:  # these need the extra `chat`
    from triptych.evaluation.asking import Asker

COMPILE = "compile"


class ChatHelper:
    """Makes the method `compile` and verifies first answers. Replies are in the ledger beside the result file."""

    def __init__(self, options: EvaluateChatOptions, ledger: Path, evaluation: EvaluateOptions) -> None:
        require_chat_libraries()
        self._options = options
        self._ledger = ledger
        self._limits = evaluation.limits

    @classmethod
    def of(cls, evaluation: EvaluateOptions, names: Sequence[str], output: Path | None) -> Self | None:
        """Make the helper for the options; None if they use no chat model.

        Raises:
            UsageError: a model is given but not used, or needed but not given, or there is no result file.
        """
        options = evaluation.chat
        if options is None or not (options.verifier or options.compiler):
            return None
        if options.compiler and COMPILE not in names:
            raise UsageError("--compile-model needs --method compile")
        if COMPILE in names and not options.compiler:
            raise UsageError("--method compile needs --compile-model MODEL")
        if output is None:
            raise UsageError("eval with a chat model needs --output FILE; its replies are stored beside this file")
        return cls(options, ledger_path(output), evaluation)

    @property
    def verifies(self) -> bool:
        """Whether first answers are verified."""
        return bool(self._options.verifier)

    def choosing(self, encoders: Iterable[str]) -> set[str]:
        """The encoders for which the weight of the grades is selected on another split."""
        return set(encoders) if self.verifies and self._options.weight is None else set()

    def compiler(self, encoder: Encoder, weight: float) -> WeightedSum:
        """Make the method `compile`."""
        from triptych.evaluation.compiling import compile_method

        return compile_method(encoder, self._asker(self._options.compiler or ""), weight)

    def learn(self, method: Composer, task: EncodedTask, val: EncodedTask | None) -> dict[str, Any]:
        """Compile a task's queries, if the method needs that. Returns the facts for a result row."""
        from triptych.evaluation.compiling import CompiledText

        if not (isinstance(method, WeightedSum) and isinstance(method.text, CompiledText)):
            return {}
        if val is not None:
            method.text.learn(val)
        return {"compilation": method.text.learn(task)}

    def verify(
        self, task: EncodedTask, answers: Answers, val: EncodedTask | None, method: Composer
    ) -> tuple[Answers, dict[str, Any]]:
        """Verify the first answers. Returns the new answers and the facts for a result row.

        The weight of the grades is the given one, else the best one on `val`, else 1.
        """
        from triptych.evaluation.verification import Verifier, best_fusion

        verifier = Verifier(self._asker(self._options.verifier), self._options.top)
        weight, source = self._options.weight, "given"
        if weight is None and val is not None:
            known = val.answers(method)
            weight, source = best_fusion(val, known, verifier.grade(val, known)), "val"
        elif weight is None:
            weight, source = 1.0, "default"
        found, said = verifier.verified(answers, verifier.grade(task, answers), weight)
        return found, {"verification": replace(said, weight_from=source)}

    def _asker(self, model: str) -> "Asker":
        from triptych.evaluation.asking import Asker

        return Asker(model, self._options.chat, self._ledger, self._limits)
