"""Recipes: names for sets of options of mining, refining and training, checked against their options dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from triptych.core.errors import UsageError
from triptych.core.files import read_json
from triptych.core.options import FlatOption, default_of, flat_options, from_flat
from triptych.mining.options import MineOptions, RefineOptions
from triptych.training.options import FinetuneOptions, TrainOptions

Options = Mapping[str, Any]
"""Options by the names of their flags, with underscores, such as `batch_size`."""

OPTIONS: Mapping[str, type] = {
    "mine": MineOptions,
    "refine": RefineOptions,
    "mine_again": MineOptions,
    "train": TrainOptions,
    "finetune": FinetuneOptions,
}
"""The options of each stage of a recipe, in the order of the stages. `mine_again` is the mining of a second round."""
_NOT_OURS: Mapping[str, frozenset[str]] = {"mine_again": frozenset({"refined"})}  # set by `ablate`, not by recipes
_KINDS = {bool: (bool,), int: (int,), float: (int, float), str: (str,), Path: (str,), tuple: (list,)}  # types in JSON


@dataclass(frozen=True)
class AblationRecipe:
    """A named set of options for mining and training. All other options have their defaults."""

    name: str
    mine: Options
    train: Options
    refine: Options | None = None
    """None if there is no second round."""
    mine_again: Options = field(default_factory=dict)
    """The options of the second round's mining that differ from the first round's."""
    finetune: Options | None = None
    """The options for training the encoder instead of a composer; None to train a composer."""


def load_recipes(path: Path) -> list[AblationRecipe]:
    """Read a file of recipes.

    Its form is `{"mine": {…}, "train": {…}, "recipes": [{"name": "small steps", "train": {"batch_size": 64}}]}`.
    Options outside `recipes` are defaults of all recipes. The first recipe is the one that the others are compared
    with. A recipe with `refine`, even an empty one, has a second round, which is mined with the options of the first
    and those of `mine_again`. A recipe with `finetune`, even an empty one, trains the encoder instead of a composer.

    Raises:
        DataError: the file cannot be read.
        UsageError: the file has another form, has two recipes of one name, or an option that its stage lacks.
    """
    content = read_json(path, "file of recipes")
    if not isinstance(content, dict) or not isinstance(content.get("recipes"), list) or not content["recipes"]:
        raise UsageError(f'{path}: write {{"recipes": [{{"name": "…", "mine": {{…}}, "train": {{…}}}}]}}')
    if unknown := set(content) - {"recipes", *OPTIONS}:
        raise UsageError(f"{path}: unknown field {sorted(unknown)[0]!r}; use recipes, {', '.join(OPTIONS)}")
    common = _stages(f"{path}: the file", content)
    recipes: dict[str, AblationRecipe] = {}
    for number, entry in enumerate(content["recipes"], start=1):
        recipe = _recipe(path, number, entry, common)
        if recipe.name in recipes:
            raise UsageError(f"{path}: there are two recipes {recipe.name!r}; rename one")
        recipes[recipe.name] = recipe
    return list(recipes.values())


def options_of(stage: str, given: Options, seed: int) -> Any:
    """Make the options dataclass of a stage.

    Raises:
        UsageError: a value is out of its range.
    """
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return from_flat(OPTIONS[stage], values | {"seed": seed})


def _recipe(path: Path, number: int, entry: Any, common: Mapping[str, Options]) -> AblationRecipe:
    """Parse a recipe, with the `common` options as defaults."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
        raise UsageError(f'{path}: recipe {number} needs a "name"')
    where = f"{path}: recipe {entry['name']!r}"
    if unknown := set(entry) - {"name", *OPTIONS}:
        raise UsageError(f"{where}: unknown field {sorted(unknown)[0]!r}; use name, {', '.join(OPTIONS)}")
    given = _stages(where, entry)
    named = common.keys() | given.keys()
    if "mine_again" in given and "refine" not in named:
        raise UsageError(f"{where}: mine_again needs refine, since it is the mining of a second round")
    if {"train", "finetune"} <= given.keys():
        raise UsageError(f"{where}: give either train or finetune")
    merged = {stage: {**common.get(stage, {}), **given.get(stage, {})} for stage in OPTIONS}
    for stage in ("refine", "finetune"):
        if stage not in named:
            del merged[stage]
    return AblationRecipe(entry["name"], **merged)


def _stages(where: str, content: Mapping[str, Any]) -> dict[str, Options]:
    """Check the options of the stages that the content names."""
    return {stage: _checked(f"{where}: {stage}", stage, content[stage]) for stage in OPTIONS if stage in content}


def _checked(where: str, stage: str, given: Any) -> Options:
    """Check the options of a stage.

    Raises:
        UsageError: the stage lacks an option, or a value has another type or is out of its range.
    """
    not_ours = _NOT_OURS.get(stage, frozenset()) | {"seed"}
    known = {item.name: item for item in flat_options(OPTIONS[stage]) if item.name not in not_ours}
    if not isinstance(given, dict):
        raise UsageError(f'{where} must be an object of options, such as {{"{next(iter(known))}": …}}')
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"{where} has no option {name!r}; it has {', '.join(known)}")
        if not _is_of(known[name], value):
            raise UsageError(f"{where} {name}: {value!r} has another type than {default_of(known[name].field)!r}")
    try:
        options_of(stage, given, 0)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    return dict(given)


def _is_of(option: FlatOption, value: Any) -> bool:
    """Whether a value from JSON has the type of an option."""
    kinds = get_args(option.type) if get_origin(option.type) in (Union, UnionType) else (option.type,)
    if value is None:
        return NoneType in kinds
    return any(type(value) in _KINDS.get(get_origin(kind) or kind, ()) for kind in kinds)
