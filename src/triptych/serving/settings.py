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

_SECONDS = 10.0  # of processor time that an upload may take to be decoded


def picture_limits(given: UploadLimits) -> Limits:
    """The limits of uploads in bytes, pixels and time."""
    return Limits(
        max_pixels=int(given.max_pixels * 1e6), max_bytes=int(given.max_upload * 1024 * 1024), max_seconds=_SECONDS
    )


@dataclass(frozen=True)
class ServiceSettings:
    """Limits and permissions of a service. The defaults suit a service for the only user of a machine."""

    keys: KeyFile | None = None
    """With a file of keys, all but the page itself and health needs one."""
    writable: bool = True
    hosts: frozenset[str] | None = None
    """Names this service answers to, against pages that point a name of theirs at it; None for any."""
    origins: frozenset[str] = frozenset()
    """Other sites whose pages may use it; without keys they may only search."""
    proxies: tuple[str, ...] = ()
    """Addresses and networks of proxies whose `X-Forwarded-For` says who asks."""
    limits: Limits = field(default_factory=lambda: picture_limits(UploadLimits()))
    fetcher: "PictureFetcher | None" = None
    """What fetches pictures by URL; None where none are."""
    feedback: "FeedbackFile | None" = None
    """Where people's judgements are kept; None where none are."""
    blind: "BlindComparison | None" = None
    """The owner's blind comparison; None where there is none."""
    root_path: str = ""
    """The path below which a proxy shows the service, such as `/triptych`; empty where it lies at the top."""
    request_timeout: float = 30.0
    """Seconds that a request may take, its upload included."""
    rate_limit: float = 0.0
    """Requests a second that one client may make for long; bursts of ten seconds' worth pass. 0 for any."""
    max_held_bytes: int = 256 * 1024 * 1024
    """Of all uploads under way together."""
