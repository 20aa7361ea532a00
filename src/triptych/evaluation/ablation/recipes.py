"""Recipes: names for sets of options of `mine`, `refine` and `train`, checked against what these functions take."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any

from triptych.core.errors import UsageError
from triptych.core.files import read_json
from triptych.mining.pipeline import mine
from triptych.mining.refinement import refine
from triptych.training.composer import train

STAGES: Mapping[str, Callable[..., Any]] = {"mine": mine, "refine": refine, "again": mine, "train": train}
"""What a recipe has options for, in the order in which it is run: `again` is the mining of a second round."""
_KINDS = {bool: (bool,), int: (int,), float: (int, float), str: (str,), tuple: (list,)}  # by that of the default
_OURS = {"seed", "threads", "chat"}  # given for all recipes alike, or not to be had from a file


@dataclass(frozen=True)
class Recipe:
    """A named way to mine and train; what it does not say is as the functions have it."""

    name: str
    mine: Mapping[str, Any]
    train: Mapping[str, Any]
    refine: Mapping[str, Any] | None = None
    """None where there is no second round."""
    again: Mapping[str, Any] = field(default_factory=dict)
    """Of the second round's mining, what is not as in the first."""


def load_recipes(path: Path) -> list[Recipe]:
    """Read `{"mine": {…}, "train": {…}, "recipes": [{"name": "small bank", "train": {"batch": 64}}]}`.

    What stands outside holds for every recipe that does not say otherwise. The first recipe is the one that the others
    are compared with. One with `refine`, be it empty, has a second round, mined with the options of the first and those
    of `again`. Raises DataError where the file cannot be read, UsageError for what is not of this form, names a
    recipe twice, or gives an option that the function does not have.
    """
    content = read_json(path, "file of recipes")
    if not isinstance(content, dict) or not isinstance(content.get("recipes"), list) or not content["recipes"]:
        raise UsageError(f'{path}: write {{"recipes": [{{"name": "…", "mine": {{…}}, "train": {{…}}}}]}}')
    if unknown := set(content) - {"recipes", *STAGES}:
        raise UsageError(f"{path}: unknown field {sorted(unknown)[0]!r}; there are recipes, {', '.join(STAGES)}")
    common = {stage: _options(path, "the file", stage, content.get(stage, {})) for stage in STAGES}
    recipes: dict[str, Recipe] = {}
    for number, entry in enumerate(content["recipes"], start=1):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
            raise UsageError(f'{path}: recipe {number} needs a "name"')
        name = entry["name"]
        if unknown := set(entry) - {"name", *STAGES}:
            raise UsageError(
                f"{path}: recipe {name!r}: unknown field {sorted(unknown)[0]!r}; there are name, {', '.join(STAGES)}"
            )
        if name in recipes:
            raise UsageError(f"{path}: there are two recipes {name!r}; rename one")
        given = {stage: _options(path, f"recipe {name!r}", stage, entry.get(stage, {})) for stage in STAGES}
        two_rounds = "refine" in content or "refine" in entry
        if "again" in entry and not two_rounds:
            raise UsageError(f"{path}: recipe {name!r}: again is for a second round, which needs refine, too")
        told = {stage: common[stage] | given[stage] for stage in STAGES}
        if not two_rounds:
            told = {"mine": told["mine"], "train": told["train"]}
        recipes[name] = Recipe(name, **told)
    return list(recipes.values())


def _options(path: Path, where: str, stage: str, given: Any) -> dict[str, Any]:
    """The options of a stage. Raises UsageError for one that its function does not have, or of another kind."""
    parameters = inspect.signature(STAGES[stage]).parameters.values()
    usual = {item.name: item.default for item in parameters if item.kind is item.KEYWORD_ONLY}
    taken = _OURS | ({"after"} if stage == "again" else set())
    return _checked(f"{path}: {where}: {stage}", {name: usual[name] for name in usual if name not in taken}, given)


def _checked(where: str, usual: Mapping[str, Any], given: Any) -> dict[str, Any]:
    """Options as a function takes them, of which `usual` has the defaults; what is a dataclass there is an object."""
    if not isinstance(given, dict):
        raise UsageError(f'{where} must be an object of options, such as {{"{next(iter(usual))}": …}}')
    told = {}
    for option, value in given.items():
        if option not in usual:
            raise UsageError(f"{where} has no option {option!r}; it has {', '.join(usual)}")
        if is_dataclass(usual[option]):
            told[option] = _made(f"{where} {option}", usual[option], value)
        elif type(value) in _KINDS.get(type(usual[option]), (type(value),)):
            told[option] = value
        else:
            raise UsageError(f"{where} {option}: {value!r} is not of the kind of {usual[option]!r}")
    return told


def _made(where: str, usual: Any, given: Any) -> Any:
    """A dataclass that is `usual` in all that is not given."""
    options = _checked(where, vars(usual), given)
    try:
        return replace(usual, **options)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
