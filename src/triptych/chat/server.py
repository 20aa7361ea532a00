"""A connection to one server: how many calls it takes at once, how it wants to be asked, whether it answers at all."""

from typing import Any

from triptych.chat.endpoint import Endpoint, Forbidden, RequestRefused, TransientError
from triptych.chat.limits import ConcurrencyLimiter
from triptych.chat.pictures import PictureUrls
from triptych.chat.request import Call, request
from triptych.chat.settings import ChatSettings
from triptych.core.errors import FailureError
from triptych.core.progress import say

_HOPELESS = 20  # requests refused in a row: it is not the pictures
_MISSES = 50  # failures in a row, and four times the concurrency: the server is gone
_ABOUT_SCHEMAS = ("response_format", "json_schema", "schema", "grammar", "structured")


class ServerConnection:
    """What is learnt about a server while it is asked; `works`: it has answered such calls before."""

    def __init__(self, endpoint: Endpoint, settings: ChatSettings, *, works: bool = False) -> None:
        self.endpoint = endpoint
        self.limiter = ConcurrencyLimiter(settings.endpoint.concurrency)
        self._settings = settings
        self._works = works
        self._misses = 0
        self._refused: list[str] = []  # calls, since the last answer
        self._refusal = ""
        self._schema, self._schema_works, self._length = True, False, "max_tokens"

    def body(self, call: Call, urls: PictureUrls) -> dict[str, Any]:
        """The request, as this server wants it."""
        return request(call, urls, self._settings.request, schema=self._schema, length=self._length)

    def answered(self, body: dict[str, Any]) -> None:
        """The server answered."""
        self._works = True
        self._misses = 0
        self._refused.clear()
        self._schema_works |= "response_format" in body
        self.limiter.faster()

    def failed(self, error: TransientError) -> FailureError | None:
        """A call came to nothing. An error once so many did that the server must be gone."""
        self._misses += 1
        if self._misses < max(_MISSES, 4 * self._settings.endpoint.concurrency):
            return None
        return FailureError(
            f"{self.endpoint.url}: {self._misses} calls in a row came to nothing ({error}); "
            "the same command goes on later"
        )

    def adapted(self, body: dict[str, Any], refusal: str) -> bool:
        """Ask in another way from now on, where the refusal is about how it was asked. True: this call may go again."""
        lowered = refusal.lower()
        if "max_tokens" in body and "max_completion_tokens" in lowered:
            self._length = "max_completion_tokens"
            return True
        if "response_format" in body and not self._schema_works and any(word in lowered for word in _ABOUT_SCHEMAS):
            if self._schema:
                say(f"mine: the server does not take a JSON schema; asking without ({refusal[:100]})")
            self._schema = False
            return True
        return False

    def refused(self, key: str, refusal: RequestRefused) -> FailureError | None:
        """The server will not take a call. An error where it takes none at all."""
        self._refused.append(key)
        if isinstance(refusal, Forbidden) and not self._works:
            return self.endpoint.wrong_key(str(refusal))
        self._refusal = str(refusal)
        return self.hopeless() if len(self._refused) >= _HOPELESS else None

    @property
    def doubtful(self) -> list[str]:
        """The calls that were refused for no fault of theirs, as it seems: no call was taken, or none any more."""
        return self._refused if not self._works or len(self._refused) >= _HOPELESS else []

    def hopeless(self) -> FailureError:
        """That the server takes no call."""
        return FailureError(
            f"{self.endpoint.url}: refuses every call ({self._refusal}); a model of one picture needs --one-image"
        )
