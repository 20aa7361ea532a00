"""A local model as a verifier: Qwen3-VL-Reranker or another Qwen3-VL. A score is the probability of "yes" against "no".

Every score is stored in the ledger beside the result file as soon as it is known, so an interrupted run is resumed.
"""

import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from triptych.benchmarks.pictures import open_task_picture
from triptych.benchmarks.task import Query
from triptych.chat.ledger import Ledger, Reply, open_ledger
from triptych.chat.request import Call
from triptych.core.environment import Runtime
from triptych.core.files import locked
from triptych.core.limits import Limits
from triptych.core.progress import progress
from triptych.core.text import truncate
from triptych.encoders.protocol import Pixels
from triptych.encoders.qwen_reranker import RERANK_INSTRUCTION, QwenVLReranker
from triptych.evaluation.chat_calls import PictureDigests, Spent
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.verification import STEP, Graded, Grades, reported
from triptych.metrics.ranking import Rows

_MAX_TEXT = 1000  # characters of a request that are used
_AT_ONCE = 8  # candidates scored between two writes to the ledger


class LocalVerifier:
    """Scores answers by a local reranker.

    Args:
        name: `hf:FOLDER` or `hf:HUB_ID`.
        ledger: the file of the scores.
        limits: the largest picture that is accepted.
        runtime: threads and device.

    Raises:
        UsageError: the model is of another kind, or the extra `hf` is missing.
        FailureError: a hub id cannot be fetched.
    """

    def __init__(self, name: str, ledger: Path, limits: Limits, runtime: Runtime) -> None:
        self._reranker = QwenVLReranker(name, runtime.threads, device=runtime.device)
        self.model = self._reranker.name
        self._ledger = ledger
        self._limits = limits
        self._digests = PictureDigests()

    @cached_property
    def _version(self) -> str:
        return f"{self._reranker.fingerprint[:16]} {RERANK_INSTRUCTION}"

    def grade(self, task: EncodedTask, first: list[Rows]) -> Graded:
        """See `Verifier.grade`."""
        spent = Spent()
        found: dict[str, Grades] = {}
        pairs = progress(
            zip(task.queries, first, strict=True),
            f"{STEP} {task.task.name}",
            total=len(task.queries),
            unit="query",
        )
        with locked(self._ledger.parent), open_ledger(self._ledger) as ledger:
            for query, rows in pairs:
                found[query.id] = self._scores(ledger, task, query, rows, spent)
        return reported(found, task, first, spent, "yes-no")

    def _scores(self, ledger: Ledger, task: EncodedTask, query: Query, rows: Rows, spent: Spent) -> Grades:
        wish = truncate(query.modification, _MAX_TEXT)
        names = [task.gallery_names[row] for row in rows]
        reference = self._digests.picture(task.task, "Reference", query.reference)
        calls = [
            Call(
                step=STEP,
                model=self.model,
                prompt_version=self._version,
                text=wish,
                pictures=(reference, self._digests.picture(task.task, "Candidate", name)),
                schema={},
                rendering=str(self._reranker.square_side),
                likelihoods=True,
            )
            for name in names
        ]
        missing = [place for place, call in enumerate(calls) if ledger.reply(call.key) is None]
        if missing:
            shown = self._pixels(task, query.reference)
            for start in range(0, len(missing), _AT_ONCE):
                self._score(ledger, task, (query, shown), [(calls[at], names[at]) for at in missing[start:][:_AT_ONCE]])
        scores = []
        for call in calls:
            reply = ledger.reply(call.key)
            assert reply is not None, "every call was just entered"
            spent.add(reply)
            scores.append(float(reply.text))
        return np.array(scores)

    def _score(
        self, ledger: Ledger, task: EncodedTask, asked: tuple[Query, Pixels], some: Sequence[tuple[Call, str]]
    ) -> None:
        """Score candidates, and store the scores."""
        query, shown = asked
        started = time.monotonic()
        candidates = np.stack([self._pixels(task, name) for _, name in some])
        scores, tokens = self._reranker.scores(shown, some[0][0].text, candidates)
        seconds = (time.monotonic() - started) / len(some)
        with ledger.transaction():
            for (call, _), score in zip(some, scores, strict=True):
                ledger.record_attempt(call, query.id)
                ledger.record_reply(
                    call.key, Reply(repr(float(score)), tokens_in=tokens, tokens_out=1, seconds=seconds)
                )

    def _pixels(self, task: EncodedTask, name: str) -> Pixels:
        return self._reranker.prepare(open_task_picture(task.task, name, self._limits))
