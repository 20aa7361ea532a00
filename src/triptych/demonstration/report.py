"""The report of a run as one HTML file, without scripts and external files."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path

from triptych.core.errors import PictureError
from triptych.core.files import atomic
from triptych.core.images import open_picture
from triptych.core.version import __version__
from triptych.evaluation.results.row import ResultRow
from triptych.evaluation.results.tables import Block, blocks

_METRICS = ("R@1", "R@10", "R@50", "mAP@10")
_SIDE = 160  # pixels of a picture on a card
_THUMBNAIL = 64  # pixels of a small picture
_CHART = 1600  # pixels of the learning curve, which browsers scale down


@dataclass(frozen=True)
class Step:
    """A stage of the run."""

    name: str
    seconds: float
    detail: str


@dataclass(frozen=True)
class TripletCard:
    """A triplet that the agent made. `reason`: why the critic refused it.
    `negatives`: the other pictures considered."""

    reference: Path
    target: Path
    modifications: Sequence[str]
    reason: str = ""
    negatives: Sequence[Path] = ()


@dataclass(frozen=True)
class ResultCard:
    """A picture that was found. `hit`: whether it is a target of the query."""

    picture: Path
    score: float
    hit: bool


@dataclass(frozen=True)
class QueryCard:
    """A query and its first results, best first.

    `rank` is the rank of its best target, if it has one. `wanted` is a target to show beside the results.
    """

    reference: Path
    modification: str
    results: Sequence[ResultCard]
    rank: int | None
    wanted: Path | None = None


@dataclass(frozen=True)
class Report:
    """The content of a report. An empty part is shown as empty."""

    title: str
    summary: str
    steps: Sequence[Step]
    table: Sequence[ResultRow]
    """The rows of a result file. A method that is no baseline is highlighted."""
    learning_curve: Path | None
    """A PNG file."""
    accepted: Sequence[TripletCard]
    refused: Sequence[TripletCard]
    good: Sequence[QueryCard]
    bad: Sequence[QueryCard]


def write_report(path: Path, content: Report) -> None:
    """Write `content` as one HTML file, atomically, with all pictures inside, at most 160 pixels a side.

    A picture that cannot be read becomes a placeholder.
    """
    from jinja2 import Environment, StrictUndefined

    from triptych.composers.baselines import METHODS

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["duration"] = _duration
    template = environment.from_string(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    html = template.render(
        report=content,
        blocks=[(block, _metrics(block)) for block in blocks(content.table)],
        baselines=METHODS,
        total=sum(step.seconds for step in content.steps),
        data_url=cache(_data_url),
        side=_SIDE,
        thumbnail=_THUMBNAIL,
        chart=_CHART,
        version=__version__,
    )
    with atomic(path) as temporary:
        # A file name, and therefore the text, can contain a lone surrogate, which UTF-8 cannot encode.
        temporary.write_text(html, encoding="utf-8", errors="replace")


def _metrics(block: Block) -> list[str]:
    """The usual metrics, or the protocol's own if it has none of them."""
    return [name for name in _METRICS if name in block.metrics] or list(block.metrics)


def _data_url(path: Path, side: int, kind: str = "JPEG") -> str | None:
    """A picture within `side` x `side` pixels as a data URL; None if it cannot be read."""
    try:
        picture = open_picture(path)
    except PictureError:
        return None
    picture.thumbnail((side, side))
    content = BytesIO()
    picture.save(content, kind, quality=85, optimize=True)
    return f"data:image/{kind.lower()};base64,{b64encode(content.getvalue()).decode()}"


def _duration(seconds: float) -> str:
    """A duration in words: 0.4 s, 38 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
