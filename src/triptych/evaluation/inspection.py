"""`inspect`: a page with the queries, pictures and answers of a result file, for one method or two side by side."""

import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from triptych.benchmarks.pictures import crop_square
from triptych.benchmarks.registry import load_benchmark
from triptych.benchmarks.task import Query, Task
from triptych.core.errors import DataError, MismatchError, PictureError, UsageError
from triptych.core.files import atomic, output_file, read_json
from triptych.core.images import open_picture
from triptych.core.limits import Limits
from triptych.evaluation.options import InspectOptions
from triptych.evaluation.results.reading import read_rows, require_comparable
from triptych.evaluation.results.row import ResultRow
from triptych.evaluation.rows import digests

_LETS_THROUGH: dict[str, Callable[[Sequence[int | None]], bool]] = {
    "all": lambda places: True,
    "failed": lambda places: places[0] is None,
    "solved": lambda places: places[0] is not None,
    "both-failed": lambda places: all(place is None for place in places),
    "only-first": lambda places: places[0] is not None and places[-1] is None,
    "only-second": lambda places: places[0] is None and places[-1] is not None,
}
"""Decides for each value of `show`, by the place of each side's first target, whether a query is shown."""
_SIDE = 160
_NEED_ANSWERS = "measure it with triptych eval --answers 10"

Place = int | None
"""The place of the first target among the stored answers, from 1; None if there is none."""


@dataclass(frozen=True)
class InspectResult:
    """The result of `inspect`."""

    queries: int
    """How many queries are on the page."""
    chosen_from: int
    """How many queries `show` selects, before sampling."""
    page: str
    """The file of the page."""


def inspect(
    first: Path | str,
    second: Path | str | None = None,
    options: InspectOptions = InspectOptions(),
    *,
    out: Path | str,
    root: Path | str | None = None,
    gallery: Path | str | None = None,
) -> InspectResult:
    """Write a page that shows queries one by one: reference, words, targets, and a method's answers.

    The page is a single file with small copies of the pictures, without network requests. It can be filtered by which
    method solved a query.

    Args:
        first: a result file that `evaluate` wrote with `answers`.
        second: a result file with the same queries, whose answers are shown beside the first's.
        options: which queries and methods are shown.
        out: the page to write (.html).
        root: the benchmark's folder; by default the one that the first file names.
        gallery: pictures of your own queries; by default those that the first file names.

    Raises:
        DataError: a file is no result file or has no answers, or the benchmark's folder is missing.
        MismatchError: the files, or a file and the benchmark's folder, have different queries.
        UsageError: a file lacks the method.
    """
    first, out = Path(first), output_file(out, ".html", ".htm", flag="--out")
    sides = [_side(first, options.method)]
    if second is not None or options.against is not None:
        path = Path(second) if second is not None else first
        sides.append(_side(path, options.against, otherwise=options.method))
        _require_same(sides, (str(first), str(path)))
    tasks = _tasks(first, root, gallery)
    cards = [card for rows in zip(*sides, strict=True) for card in _cards(rows, tasks, options)]
    kept = [card for card in cards if _LETS_THROUGH[options.show](card.places)]
    if not kept:
        raise DataError(f"{first}: --show {options.show} selects none of the {len(cards)} queries")
    drawn = np.random.default_rng(options.seed).permutation(len(kept))[: options.count]
    _write(out, [kept[place] for place in sorted(drawn)], sides, options)
    return InspectResult(len(drawn), len(kept), str(out))


@dataclass(frozen=True)
class _Card:
    """A query on the page."""

    task: Task
    query: Query
    answers: Sequence[Sequence[str]]
    """The answers of each method, best first."""
    places: Sequence[Place]


def _side(path: Path, method: str | None, otherwise: str | None = None) -> list[ResultRow]:
    """The rows of a method in a file, one for each task; without `method`, of `otherwise` if it is there, else of the
    first.

    Raises:
        UsageError: the file lacks the method.
        DataError: the file has no answers.
    """
    rows = [row for row in read_rows(path) if row.task != "mean"]
    names = list(dict.fromkeys(row.method for row in rows))
    wanted = method or (otherwise if otherwise in names else names[0])
    if wanted not in names:
        raise UsageError(f"{path}: has no method {wanted!r}, only {', '.join(names)}")
    found = list({row.heading: row for row in reversed(rows) if row.method == wanted}.values())[::-1]
    if any(row.answers is None for row in found):
        raise DataError(f"{path}: {wanted} has no answers; {_NEED_ANSWERS}")
    return found


def _require_same(sides: Sequence[list[ResultRow]], names: tuple[str, str]) -> None:
    if [row.heading for row in sides[0]] != [row.heading for row in sides[1]]:
        raise MismatchError(f"{names[0]} and {names[1]} are not about the same benchmark, tasks and split")
    for one, other in zip(*sides, strict=True):
        require_comparable(one, other, names)


def _tasks(path: Path, root: Path | str | None, gallery: Path | str | None) -> dict[str, Task]:
    """Load the benchmark of a result file. Returns its tasks by name."""
    asked: Mapping[str, Any] = read_json(path, "result file").get("made_by", {}).get("settings", {})
    if not isinstance(asked.get("benchmark"), str):
        raise DataError(f"{path}: does not name its benchmark; {_NEED_ANSWERS}")
    root, gallery = root or asked.get("root"), gallery or asked.get("gallery")
    tasks = load_benchmark(
        asked["benchmark"],
        Path(root) if root else None,
        Path(gallery) if gallery else None,
        asked.get("split", "test"),
        asked.get("settings", ()),
    )
    return {task.name: task for task in tasks}


def _cards(rows: Sequence[ResultRow], tasks: Mapping[str, Task], options: InspectOptions) -> list[_Card]:
    """Make the cards of a task's queries.

    Raises:
        MismatchError: the folder's queries differ from the file's.
    """
    task = tasks.get(rows[0].task)
    queries = {query.id: query for query in task.queries} if task else {}
    answers: list[Mapping[str, Sequence[str]]] = [row.answers or {} for row in rows]
    asked = [queries[name] for name in answers[0] if name in queries]
    known = task is not None and len(asked) == len(answers[0])
    if not known or digests(asked, ())["queries_sha256"] != rows[0].queries_sha256:
        raise MismatchError(f"{rows[0].heading}: the benchmark's folder has other queries than the result file")
    assert task is not None
    cards = []
    for query in asked:
        found = [each.get(query.id, ()) for each in answers]
        cards.append(_Card(task, query, found, [_place(query, names[: options.cutoff]) for names in found]))
    return cards


def _place(query: Query, names: Sequence[str]) -> Place:
    return next((place for place, name in enumerate(names, start=1) if name in query.targets), None)


def _write(out: Path, cards: Sequence[_Card], sides: Sequence[list[ResultRow]], options: InspectOptions) -> None:
    from jinja2 import Environment, StrictUndefined

    limits = Limits.of_millions(options.max_pixels)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("inspect.html").read_text(encoding="utf-8"))
    url = _thumbnails(limits)
    html = template.render(
        cards=[_shown(card, url, options.top) for card in cards],
        methods=[f"{rows[0].method} · {rows[0].encoder}" for rows in sides],
        name=f"{sides[0][0].benchmark} {sides[0][0].split}",
        cutoff=options.cutoff,
        nonce=secrets.token_urlsafe(16),
    )
    with atomic(out) as temporary:
        temporary.write_text(html, encoding="utf-8", errors="replace")


def _thumbnails(limits: Limits) -> Callable[[Task, str], str]:
    """Make a function that encodes a small copy of a picture as text; empty for a picture that cannot be read."""

    @cache
    def encoded(path: Path, box: Any) -> str:
        try:
            picture = open_picture(path, limits)
            picture = picture if box is None else crop_square(picture, box)
        except (OSError, PictureError):
            return ""
        picture.thumbnail((_SIDE, _SIDE))
        content = BytesIO()
        picture.convert("RGB").save(content, "JPEG", quality=80)
        return f"data:image/jpeg;base64,{b64encode(content.getvalue()).decode()}"

    return lambda task, name: encoded(task.file(name), task.boxes.get(name))


def _shown(card: _Card, url: Callable[[Task, str], str], top: int) -> dict[str, Any]:
    task, query = card.task, card.query

    def pictures(names: Sequence[str]) -> list[dict[str, Any]]:
        return [{"name": name, "url": url(task, name), "right": name in query.targets} for name in names]

    solved = [place is not None for place in card.places]
    return {
        "id": query.id,
        "task": task.name,
        "texts": (query.modification, *query.other_wordings),
        "references": pictures(query.references),
        "targets": pictures(sorted(query.targets)[:top]),
        "sides": [
            {"place": place, "answers": pictures(names[:top])}
            for place, names in zip(card.places, card.answers, strict=True)
        ],
        "kind": "".join("y" if each else "n" for each in solved),
    }
