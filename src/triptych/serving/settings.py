"""The limits and permissions of a running service."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from triptych.core.limits import Limits
from triptych.serving.keys import KeyFile
from triptych.serving.options import UploadLimits

if TYPE_CHECKING:
    from triptych.serving.blind import BlindComparison
    from triptych.serving.feedback import FeedbackFile
    from triptych.serving.fetching import PictureFetcher

_SECONDS = 10.0  # processor seconds that decoding an upload may take; a photo takes less than 1


def picture_limits(given: UploadLimits) -> Limits:
    """Limits of uploads in bytes, pixels and time."""
    return Limits(
        max_pixels=int(given.max_pixels * 1e6), max_bytes=int(given.max_upload * 1024 * 1024), max_seconds=_SECONDS
    )


@dataclass(frozen=True)
class ServiceSettings:
    """Limits and permissions of a service. The defaults suit a service for the only user of a machine."""

    keys: KeyFile | None = None
    """The API keys. With keys, every request needs one, except those for the page itself and health checks."""
    writable: bool = True
    hosts: frozenset[str] | None = None
    """Host names that the service answers to, against DNS rebinding; None for any."""
    origins: frozenset[str] = frozenset()
    """Other sites whose pages may use the service; without keys they may only search."""
    proxies: tuple[str, ...] = ()
    """Addresses and networks of proxies whose `X-Forwarded-For` names the client."""
    limits: Limits = field(default_factory=lambda: picture_limits(UploadLimits()))
    fetcher: "PictureFetcher | None" = None
    """Fetches pictures by URL; None if that is off."""
    feedback: "FeedbackFile | None" = None
    """Stores users' feedback; None if that is off."""
    blind: "BlindComparison | None" = None
    """The owner's blind comparison; None if that is off."""
    root_path: str = ""
    """The path below which a proxy serves it, such as `/triptych`; empty for the root."""
    request_timeout: float = 30.0
    """Seconds that a request may take, including its upload."""
    rate_limit: float = 0.0
    """Requests per second from one client, with bursts of up to those of ten seconds. 0 for no limit."""
    max_held_bytes: int = 256 * 1024 * 1024
    """The most bytes of all uploads in progress."""
