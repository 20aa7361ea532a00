"""The dialogue about one reference with a chat model: reason over its group, then judge each draft blindly.

A dialogue yields calls and is sent replies. It is the same whether these come from a server, a batch or the ledger.
"""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from triptych.chat.judging import Judgement, read_judgement, schema_of
from triptych.chat.ledger import Reply, State
from triptych.chat.parsing import CallRefused, InvalidReply, read_reply
from triptych.chat.prompts import Prompts, fill
from triptych.chat.request import Call, CallPicture, rendering
from triptych.chat.settings import JUDGEMENT, REASONING, ChatSettings
from triptych.mining.chat.groups import Group
from triptych.mining.chat.replies import Chosen, Reasoning, read_reasoning
from triptych.triplets.file import Triplet

_SHOWN_BACK = 4000  # characters of a bad reply that the model sees again


@dataclass(frozen=True)
class Outcome:
    """How a reference ended. `reason` is empty unless it was rejected."""

    state: State
    reason: str
    triplets: tuple[Triplet, ...]


@dataclass(frozen=True)
class _Question:
    call: Call
    read: Callable[[str], Any]


@dataclass(frozen=True)
class _Unanswered:
    reason: str


class ChatAgent:
    """Makes the dialogues of a run, for a reasoner and a critic, which may be different models."""

    def __init__(
        self,
        model: str,
        prompts: Prompts,
        settings: ChatSettings,
        *,
        digest_of: Callable[[str], str],
        targets: int,
        seed: int,
    ) -> None:
        self.name = f"chat:{model} (prompts {prompts.version})"
        self._model = model
        self._judges = settings.judges(model)
        self._prompts = prompts
        self._rendering = rendering(settings.request)
        self._most_tokens = settings.request.max_tokens
        self._digest_of = digest_of
        self._targets = targets
        self._seed = seed
        self._schemas = {REASONING: schema_of(Reasoning), JUDGEMENT: schema_of(Judgement)}

    def dialogue(self, group: Group) -> Generator[list[Call], list[Reply], Outcome]:
        """The dialogue that makes triplets of a group."""
        if not group.candidates:
            return Outcome("rejected", "no picture is near enough", ())
        [chosen] = yield from self._ask([self.reasoning(group)])
        if isinstance(chosen, _Unanswered):
            return Outcome("rejected", f"reasoner: {chosen.reason}", ())
        if not chosen:
            return Outcome("rejected", "no target is reachable", ())
        orders = [self._order(group, draft) for draft in chosen]
        answers = yield from self._ask(
            [
                self.judging(group, draft, order, judge)
                for draft, order in zip(chosen, orders, strict=True)
                for judge in self._judges
            ]
        )
        each = len(self._judges)
        triplets = tuple(
            self._triplet(group, draft, order, _vote(answers[place * each : (place + 1) * each]))
            for place, (draft, order) in enumerate(zip(chosen, orders, strict=True))
        )
        accepted = any(triplet.accepted for triplet in triplets)
        return Outcome("accepted" if accepted else "rejected", "" if accepted else triplets[0].reason, triplets)

    def reasoning(self, group: Group) -> _Question:
        """The question to the reasoner."""
        count = len(group.candidates)
        text = fill(self._prompts.reason, count=count, targets=self._targets)
        call = self._call(REASONING, self._model, text, group.reference, group.candidates)
        return _Question(call, lambda reply: read_reasoning(reply, count=count, most=self._targets))

    def judging(self, group: Group, draft: Chosen, order: Sequence[int], judge: str) -> _Question:
        """The question to a critic, which knows neither the intended picture nor the previous order."""
        wordings = [wording.text for wording in draft.modifications]
        lines = "\n".join(f"{number}. {text}" for number, text in enumerate(wordings, 1))
        # The wordings are filled in last, since what a model wrote must not be filled in again.
        text = fill(self._prompts.judge, count=len(order), wordings=len(wordings), texts=lines)
        shuffled = [group.candidates[place] for place in order]
        call = self._call(JUDGEMENT, judge, text, group.reference, shuffled)
        return _Question(call, lambda reply: read_judgement(reply, count=len(order), wordings=len(wordings)))

    def _order(self, group: Group, draft: Chosen) -> list[int]:
        order = list(range(len(group.candidates)))
        Random(f"{self._seed} {group.reference} {group.candidates[draft.place]}").shuffle(order)
        return order

    def _call(self, step: str, model: str, text: str, reference: str, others: Sequence[str]) -> Call:
        pictures = [CallPicture("Reference", reference, self._digest_of(reference))]
        pictures += [
            CallPicture(f"Picture {number}", name, self._digest_of(name)) for number, name in enumerate(others, 1)
        ]
        return Call(
            step,
            model,
            self._prompts.version,
            text,
            tuple(pictures),
            schema=self._schemas[step],
            rendering=self._rendering,
        )

    def _ask(self, questions: Sequence[_Question]) -> Generator[list[Call], list[Reply], list[Any]]:
        """Get answers in order. A reply that cannot be used is shown to the model
        once; if that fails, it is _Unanswered."""
        replies = yield [question.call for question in questions]
        answers = [self._answer(question, reply) for question, reply in zip(questions, replies, strict=True)]
        bad = [place for place, answer in enumerate(answers) if isinstance(answer, InvalidReply)]
        if bad:
            again = yield [
                questions[place].call.again(
                    replies[place].text[:_SHOWN_BACK], fill(self._prompts.repair, problem=answers[place])
                )
                for place in bad
            ]
            for place, reply in zip(bad, again, strict=True):
                answer = self._answer(questions[place], reply)
                answers[place] = _unusable(answer) if isinstance(answer, InvalidReply) else answer
        return answers

    def _answer(self, question: _Question, reply: Reply) -> Any:
        """The parsed answer, an _Unanswered, or an InvalidReply that the model may still repair."""
        try:
            return read_reply(reply, question.read, most_tokens=self._most_tokens)
        except CallRefused as refusal:
            return _Unanswered(str(refusal))
        except InvalidReply as error:
            return error

    def _triplet(self, group: Group, draft: Chosen, order: Sequence[int], verdict: Judgement | _Unanswered) -> Triplet:
        others = tuple(name for place, name in enumerate(group.candidates) if place != draft.place)
        reason, kept, confidence = "", draft.modifications, 0.0
        fitting_too: tuple[str, ...] = ()
        if isinstance(verdict, _Unanswered):
            reason = f"critic: {verdict.reason}"
        else:
            right = order.index(draft.place) + 1
            fitting = {group.candidates[order[number - 1]] for number in verdict.also_fit if number != right}
            led = [pick == right for pick in verdict.picks]
            confidence = min(1.0, max(0.0, verdict.certainty)) * sum(led) / len(led)
            reason = _objection(verdict, led, len(fitting), len(others))
            if not reason:
                kept = tuple(wording for wording, leads in zip(kept, led, strict=True) if leads)
                # A picture that fits as well is no mistake, so it must not be a negative.
                fitting_too = tuple(name for name in others if name in fitting)
                others = tuple(name for name in others if name not in fitting)
        return Triplet(
            reference=group.reference,
            target=group.candidates[draft.place],
            modifications=kept,
            changes=draft.changes,
            negatives=others,
            accepted=not reason,
            reason=reason,
            confidence=confidence,
            similarity=group.similarity[draft.place],
            reasoner=self.name,
            other_targets=fitting_too,
        )


def _vote(verdicts: Sequence[Judgement | _Unanswered]) -> Judgement | _Unanswered:
    """The majority of the judges that gave a verdict. A picture that fits as well for one of them is no negative."""
    given = [verdict for verdict in verdicts if isinstance(verdict, Judgement)]
    if not given or len(verdicts) == 1:
        return verdicts[0]
    picks = []
    for said in zip(*(verdict.picks for verdict in given), strict=True):
        [(pick, count)] = Counter(said).most_common(1)
        picks.append(pick if 2 * count > len(given) else 0)
    return Judgement(
        picks=picks,
        already_true=2 * sum(verdict.already_true for verdict in given) >= len(given),
        also_fit=sorted({other for verdict in given for other in verdict.also_fit}),
        certainty=sum(verdict.certainty for verdict in given) / len(given),
    )


def _objection(verdict: Judgement, led: Sequence[bool], fitting: int, others: int) -> str:
    """Why the critic refuses; empty if it does not."""
    if verdict.already_true:
        return "already true of the reference"
    if not any(led):
        return "the judge picked another picture" if any(verdict.picks) else "the judge picked no picture"
    if 2 * fitting > others:
        return f"true of most others too: {fitting} of {others}"
    return ""


def _unusable(error: InvalidReply) -> _Unanswered:
    """The reason for a reply that cannot be used. A reply that was cut has a kind of
    its own, since a person can act on it."""
    if error.cut:
        return _Unanswered(f"the reply is longer than --max-tokens: {error}")
    return _Unanswered(f"no usable reply: {error}")
