"""A connection to one server: how many calls it takes at once, which form of
requests it accepts, whether it answers."""

from dataclasses import replace
from typing import Any

from triptych.chat.endpoint import Endpoint, Forbidden, RequestRefused, TransientError
from triptych.chat.limits import ConcurrencyLimiter
from triptych.chat.pictures import PictureUrls
from triptych.chat.remedies import RequestForm, advice, is_hopeless, remedy_for
from triptych.chat.request import Call, request
from triptych.chat.settings import ChatSettings
from triptych.core.errors import FailureError
from triptych.core.progress import say

_FIRST = 8  # failed attempts before the first answer, from which on the server is given up
_FIRST_CALLS = 4  # calls given up before the first answer, of an overloaded server
_HOPELESS = 20  # requests refused in a row, from which on the pictures cannot be the reason
_MISSES = 50  # failures in a row (or four times the concurrency), from which on the server is gone


class ServerConnection:
    """What is learnt about a server while it is asked.

    `works`: it has answered such calls in an earlier run. `form`: the form of requests that an earlier connection
    learnt.
    """

    def __init__(
        self, endpoint: Endpoint, settings: ChatSettings, *, works: bool = False, form: RequestForm = RequestForm()
    ) -> None:
        self.endpoint = endpoint
        self.limiter = ConcurrencyLimiter(settings.endpoint.concurrency)
        self.form = form
        self._settings = settings
        self._works = works
        self._answered = False  # in this run
        self._misses = 0  # attempts that came to nothing, since the last answer
        self._hard = 0  # of them those that no pause explains
        self._given_up = 0
        self._refused: list[str] = []  # calls, since the last answer
        self._refusal = ""
        self._schema_works = False

    def body(self, call: Call, urls: PictureUrls) -> dict[str, Any]:
        """The request in the form that this server accepts."""
        return request(call, urls, self._settings.request, self.form)

    def answered(self, body: dict[str, Any]) -> None:
        """Note that the server answered."""
        self._works = self._answered = True
        self._misses = self._hard = 0
        self._refused.clear()
        self._schema_works |= "response_format" in body
        self.limiter.grow()

    def failed(self, error: TransientError) -> FailureError | None:
        """Record a failed attempt. Returns an error when so many have failed that further calls are pointless."""
        self._misses += 1
        self._hard += not error.busy
        if not self._works and is_hopeless(str(error)):
            return FailureError(f"{self.endpoint.url}: {_with_advice(str(error))}")
        first = not self._answered and self._hard >= _FIRST
        if not first and self._misses < max(_MISSES, 4 * self._settings.endpoint.concurrency):
            return None
        return self._gone(f"{self._misses} calls in a row failed", error)

    def record_postponed(self, error: TransientError) -> FailureError | None:
        """Record a call that is left for the next run. Returns an error when there are too many of them."""
        self._given_up += 1
        if self._answered or self._given_up < _FIRST_CALLS:
            return None
        attempts = self._settings.endpoint.attempts
        return self._gone(f"the first {self._given_up} calls in a row failed, in {attempts} attempts", error)

    def adapted(self, body: dict[str, Any], said: str) -> bool:
        """Change the form of requests if a refusal is about it. Returns whether this call may be sent again."""
        remedy = remedy_for(said, body, schema_works=self._schema_works)
        if remedy is None:
            return False
        changed = replace(self.form, **remedy.changes)
        limits = [most for most in (changed.most_tokens, self.form.most_tokens) if most is not None]
        changed = replace(changed, most_tokens=min(limits, default=None))  # what is left differs from call to call
        if changed != self.form:  # else another call has met this refusal before
            say(f"{self.endpoint.url}: {remedy.description} ({said[:150]})")
            self.form = changed
        return True

    def refused(self, key: str, refusal: RequestRefused) -> FailureError | None:
        """Note that the server will not accept a call. Returns an error if it accepts none at all."""
        self._refused.append(key)
        if isinstance(refusal, Forbidden) and not self._works:
            return self.endpoint.wrong_key(str(refusal))
        self._refusal = str(refusal)
        most = _HOPELESS if self._works else _FIRST
        hopeless = not self._works and is_hopeless(self._refusal)
        return self.refuses_every_call() if hopeless or len(self._refused) >= most else None

    @property
    def suspect_refusals(self) -> list[str]:
        """The calls that were probably refused through no fault of theirs, since no
        call was accepted, or none any more."""
        return self._refused if not self._works or len(self._refused) >= _HOPELESS else []

    def refuses_every_call(self) -> FailureError:
        """The error that the server accepts no call."""
        return FailureError(f"{self.endpoint.url}: refuses every call ({_with_advice(self._refusal)})")

    def _gone(self, what: str, error: TransientError) -> FailureError:
        remedy = advice(str(error))
        return FailureError(f"{self.endpoint.url}: {what} ({error}); {remedy or 'the same command goes on later'}")


def _with_advice(said: str) -> str:
    remedy = advice(said)
    return f"{said}; {remedy}" if remedy else said
