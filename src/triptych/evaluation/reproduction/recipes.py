"""Recipes of published rows: what to run, on which benchmarks, and the published figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.core.errors import DataError
from triptych.core.files import read_json

RECIPES = Path(__file__).parent / "recipes.json"
"""The recipes that ship with the package."""


@dataclass(frozen=True)
class Published:
    """Published figures of a method on a task."""

    method: str
    """The name of the method in this program; empty if a recipe has only one."""
    task: str
    metrics: Mapping[str, float]
    source: str
    """The source of the figures, and how they were checked."""


@dataclass(frozen=True)
class Run:
    """A recipe on one split of one benchmark."""

    benchmark: str
    split: str
    settings: tuple[str, ...]
    """Choices within the benchmark's protocol, like `eval --setting`."""
    server: bool
    """Whether only the benchmark's server knows the targets. Then a submission is written instead of figures."""
    published: tuple[Published, ...]


@dataclass(frozen=True)
class PublishedRecipe:
    """A row of published tables, or a row for each of its methods.

    Rows of models that this program does not include have their authors' `code` and `command`, and are not run here.
    """

    row: str
    name: str
    runs: tuple[Run, ...]
    encoder: str | None = None
    methods: tuple[str, ...] = ()
    weight: float | None = None
    composer: bool = False
    """Whether the row is of a composer that the user has trained."""
    code: str = ""
    command: str = ""

    @property
    def runnable(self) -> bool:
        """Whether `eval` can run it."""
        return not self.code


def load_recipes(path: Path | None = None) -> tuple[PublishedRecipe, ...]:
    """Read recipes (docs/reference/formats.md), by default those of the package.

    Raises:
        DataError: the file is no file of recipes.
    """
    path = path or RECIPES
    content = read_json(path, "recipes file")
    try:
        sources = {name: _cite(source) for name, source in content.get("sources", {}).items()}
        recipes = tuple(_recipe(entry, sources) for entry in content["recipes"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: not a recipes file ({type(error).__name__}: {error}); see docs/reference/formats.md"
        ) from None
    rows = [recipe.row for recipe in recipes]
    if len(set(rows)) < len(rows):
        raise DataError(f"{path}: two recipes have the same row; give each its own")
    return recipes


def _cite(source: Mapping[str, str]) -> str:
    return f"{source['cite']}; " + (f"checked {source['checked']}" if source.get("checked") else "not checked")


def _recipe(entry: Mapping[str, Any], sources: Mapping[str, str]) -> PublishedRecipe:
    runs = tuple(_run(run, sources) for run in entry["on"])
    if "external" in entry:
        return PublishedRecipe(
            entry["row"], entry["name"], runs, code=entry["external"]["code"], command=entry["external"]["command"]
        )
    made = entry["eval"]
    methods, weight = _texts(made.get("methods", ())), made.get("weight")
    if bool(methods) == bool(made.get("composer", False)):
        raise ValueError(f"{entry['row']} needs methods, or composer")
    return PublishedRecipe(entry["row"], entry["name"], runs, made.get("encoder"), methods, weight, not methods)


def _run(run: Mapping[str, Any], sources: Mapping[str, str]) -> Run:
    published = tuple(
        Published(
            entry.get("method", ""),
            entry["task"],
            {name: float(value) for name, value in entry["metrics"].items()},
            sources[entry["source"]],
        )
        for entry in run.get("published", ())
    )
    return Run(run["benchmark"], run["split"], _texts(run.get("settings", ())), bool(run.get("server")), published)


def _texts(values: Sequence[str]) -> tuple[str, ...]:
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{values!r} is not a list of texts")
    return tuple(values)
