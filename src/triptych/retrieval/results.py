"""The results of a search, and their output as a contact sheet or JSON."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image

from triptych.core.errors import PictureError, UsageError
from triptych.core.files import atomic, made_by, write_json
from triptych.core.images import open_picture
from triptych.core.limits import DEFAULT_LIMITS, Limits
from triptych.core.progress import say
from triptych.encoders.protocol import TextReading
from triptych.encoders.reading import reading_notes

_SHEETS = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Picture:
    """A picture of a catalog."""

    id: str
    """The public id: opaque, and unchanged as long as the name is."""
    name: str
    """The path relative to the catalog's root."""
    path: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Hit:
    """One result. Scores can be compared only within one search, and no score guarantees that a result is right."""

    rank: int
    name: str
    """The path relative to the catalog's root."""
    path: str
    score: float
    id: str
    """The picture's public id, which `like=` also accepts."""
    metadata: Mapping[str, Any]
    folded: tuple[str, ...] = ()
    """The names of near-duplicates that are folded into this result; empty unless near-duplicates are folded."""


class Hits(list[Hit]):
    """Results, best first, and how the query's words were read."""

    reading: TextReading | None
    """None if there were no words, or the encoder does not report how it reads them."""
    unwanted: tuple[str, ...]
    """The phrases that the words exclude."""

    def __init__(
        self, hits: Iterable[Hit] = (), reading: TextReading | None = None, unwanted: tuple[str, ...] = ()
    ) -> None:
        super().__init__(hits)
        self.reading = reading
        self.unwanted = unwanted

    @property
    def not_understood(self) -> tuple[str, ...]:
        """The words that the encoder does not know: too few of their letters are in known pieces."""
        return self.reading.unknown if self.reading else ()

    def notes(self, encoder: str) -> list[str]:
        """Notes for users on how the words were read, one sentence each. `encoder` is the encoder's name."""
        excluded = [f"excluded by the words, and lowers scores: {', '.join(self.unwanted)}"] if self.unwanted else []
        return excluded + (reading_notes(self.reading, encoder) if self.reading else [])


def as_record(hit: Hit) -> dict[str, Any]:
    """A result as in JSON; the folded near-duplicates are left out if there are none."""
    record = asdict(hit)
    if not hit.folded:
        record.pop("folded")
    return record


def check_output(output: Path) -> None:
    """Check that results can be written in the format of the file's suffix.

    Raises:
        UsageError: the suffix is unknown.
    """
    if output.suffix.lower() not in (*_SHEETS, ".json"):
        raise UsageError(f"--output {output}: must end in .json or one of {', '.join(_SHEETS)}")


def write_results(
    output: Path,
    image: Path | bytes | None,
    text: str,
    hits: Hits,
    read: Callable[[str], bytes],
    limits: Limits = DEFAULT_LIMITS,
    *,
    shown_as: str | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write a contact sheet of pictures within `limits`, or the results as JSON.

    `read` returns the file of a result by its name. In JSON, `shown_as` is the path of the reference `image`, and
    `options` are the other options of the search.
    """
    if output.suffix.lower() == ".json":
        query: dict[str, Any] = {"image": shown_as, "text": text, **options}
        if hits.not_understood:
            query["not_understood"] = list(hits.not_understood)
        results = [as_record(hit) for hit in hits]
        write_json(output, {"query": query, "results": results, "made_by": made_by("search", query)})
        return
    from triptych.core.contact_sheet import contact_sheet

    reference = open_picture(image, limits) if image else None
    pictures = [(_shown(hit, read, limits), f"{hit.rank}. {hit.score:.3f}") for hit in hits]
    sheet = contact_sheet(reference, text, pictures)
    with atomic(output) as temporary:
        sheet.save(temporary, format="JPEG" if output.suffix.lower() in (".jpg", ".jpeg") else output.suffix[1:])


def _shown(hit: Hit, read: Callable[[str], bytes], limits: Limits) -> Image.Image:
    """The result's picture, or a grey square if the file is gone since it was indexed."""
    try:
        return open_picture(read(hit.name), limits)
    except PictureError as error:
        say(f"{hit.path}: {error}; `triptych index` brings the catalog up to date")
        return Image.new("RGB", (64, 64), "#ccc")
