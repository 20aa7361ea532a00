"""Recipes: names for sets of options of `mine` and `train`, checked against what these functions take."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.agent import mine
from triptych.composers.training import train
from triptych.errors import UsageError
from triptych.files import read_json

STAGES: Mapping[str, Callable[..., Any]] = {"mine": mine, "train": train}
_KINDS = {bool: (bool,), int: (int,), float: (int, float), str: (str,), tuple: (list,)}  # by that of the default
_OURS = {"seed", "threads", "chat"}  # given for all recipes alike, or not to be had from a file


@dataclass(frozen=True)
class Recipe:
    """A named way to mine and train; what it does not say is as the functions have it."""

    name: str
    mine: Mapping[str, Any]
    train: Mapping[str, Any]


def load_recipes(path: Path) -> list[Recipe]:
    """Read `{"mine": {…}, "train": {…}, "recipes": [{"name": "small bank", "train": {"batch": 64}}]}`.

    What stands outside holds for every recipe that does not say otherwise. The first recipe is the one that the others
    are compared with. Raises DataError where the file cannot be read, UsageError for what is not of this form, names a
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
        recipes[name] = Recipe(name, *(common[stage] | given[stage] for stage in STAGES))
    return list(recipes.values())


def _options(path: Path, where: str, stage: str, given: Any) -> dict[str, Any]:
    """The options of a stage. Raises UsageError for one that its function does not have, or of another kind."""
    if not isinstance(given, dict):
        raise UsageError(f'{path}: {where}: {stage} must be an object of options, such as {{"batch": 64}}')
    parameters = inspect.signature(STAGES[stage]).parameters.values()
    usual = {item.name: item.default for item in parameters if item.kind is item.KEYWORD_ONLY}
    known = [name for name in usual if name not in _OURS]
    for option, value in given.items():
        if option not in known:
            raise UsageError(f"{path}: {where}: {stage} has no option {option!r}; it has {', '.join(known)}")
        if type(value) not in _KINDS.get(type(usual[option]), (type(value),)):
            raise UsageError(f"{path}: {where}: {stage} {option}: {value!r} is not of the kind of {usual[option]!r}")
    return dict(given)
