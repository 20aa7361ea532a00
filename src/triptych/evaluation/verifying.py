"""`eval --rerank`: a verifier for each method's first answers, the weight of its scores, and the file of the scores."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from triptych.chat.ledger import ledger_path
from triptych.composers.protocol import Composer
from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.core.files import output_file
from triptych.evaluation.answers import Answers
from triptych.evaluation.chat_helper import chat_caller
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.options import EvaluateOptions
from triptych.evaluation.verification import Graded, Verifier, best_fusion, verified
from triptych.training.data.soft_labels import SoftLabel, write_soft_labels


class Rerank:
    """Verifies the first answers of methods, and collects the scores.

    Args:
        verifier: scores the answers.
        options: the number of answers, and the weight of their scores.
    """

    def __init__(self, verifier: Verifier, options: EvaluateOptions) -> None:
        self._verifier = verifier
        self._options = options
        self._labels: list[SoftLabel] = []

    @classmethod
    def of(cls, options: EvaluateOptions, output: Path | None, runtime: Runtime) -> Self | None:
        """Make the step for the options; None if nothing is verified.

        Raises:
            UsageError: there is no result file or no server, or the model is not supported.
        """
        if options.rerank is None:
            return None
        if output is None:
            raise UsageError("--rerank needs --output FILE; the scores are stored beside this file")
        if options.rerank_out is not None:
            output_file(options.rerank_out, ".jsonl", flag="--rerank-out")
        scheme, _, model = options.rerank.partition(":")
        if scheme == "hf":
            if options.rerank_scores == "grades":
                raise UsageError("--rerank-scores grades: a local model only gives yes-no scores; leave out the option")
            from triptych.evaluation.local_verifier import LocalVerifier

            return cls(LocalVerifier(options.rerank, ledger_path(output), options.limits, runtime), options)
        if options.chat is None:
            raise UsageError(f"--rerank {options.rerank} needs --base-url URL")
        connected = chat_caller(options, model, ledger_path(output))
        from triptych.evaluation.chat_verifier import ChatVerifier

        return cls(ChatVerifier(connected, options.rerank_scores), options)

    def choosing(self, encoders: Iterable[str]) -> set[str]:
        """The encoders for which the weight of the scores is selected on another split."""
        return set(encoders) if self._options.rerank_weight is None else set()

    def verify(
        self, task: EncodedTask, answers: Answers, val: EncodedTask | None, method: Composer
    ) -> tuple[Answers, dict[str, Any]]:
        """Verify the first answers. Returns the new answers and the facts for a result row.

        The weight of the scores is the given one, else the best one on `val`, else 1.
        """
        weight, source = self._options.rerank_weight, "given"
        if weight is None and val is not None:
            known = val.answers(method)
            weight, source = best_fusion(val, known, self._grade(val, known)), "val"
        elif weight is None:
            weight, source = 1.0, "default"
        graded = self._grade(task, answers)
        self._keep(task, graded)
        found, said = verified(
            answers, graded, model=self._verifier.model, top=self._options.rerank_top, weight=weight, weight_from=source
        )
        return found, {"verification": said}

    def _grade(self, task: EncodedTask, answers: Answers) -> Graded:
        return self._verifier.grade(task, task.first_rows(answers, self._options.rerank_top))

    def _keep(self, task: EncodedTask, graded: Graded) -> None:
        if self._options.rerank_out is None:
            return
        for query, rows, scores in zip(task.queries, graded.first, graded.grades, strict=True):
            if scores.any():  # otherwise the query was not scored
                names = tuple(task.gallery_names[row] for row in rows)
                self._labels.append(SoftLabel(query.reference, query.modification, names, tuple(map(float, scores))))

    def write(self) -> None:
        """Write the scores if `rerank_out` is given."""
        if self._options.rerank_out is not None:
            write_soft_labels(self._options.rerank_out, self._labels)
