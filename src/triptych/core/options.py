"""Options as frozen dataclasses, whose fields state their default, help text, range and flag.

A function takes such a dataclass as an argument. The command line makes its flags from the same fields. A field of type
Any is a plug-in: an object in Python, its name on the command line.

    @dataclass(frozen=True)
    class TrainOptions:
        epochs: int = option(3, "Passes over the triplets.", min=1)
        loss: LossOptions = nested(LossOptions)

        def __post_init__(self) -> None:
            check_ranges(self)
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from keyword import iskeyword
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from triptych.core.errors import UsageError

T = TypeVar("T")


def option(
    default: Any,
    help: str,
    *,
    flag: str | None = None,
    metavar: str | None = None,
    min: float | None = None,
    max: float | None = None,
    above: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """Make a field of an options dataclass.

    Args:
        default: the value if none is given.
        help: one sentence for `--help`.
        flag: the flag on the command line; by default the field's name with dashes, such as `--batch-size`.
        metavar: the placeholder of the value in `--help`.
        min, max: the least and the greatest value allowed.
        above: a bound that the value must exceed.
        choices: the words allowed, for a string or a sequence of strings.
    """
    facts = {"flag": flag, "metavar": metavar, "min": min, "max": max, "above": above, "choices": tuple(choices)}
    return field(default=default, metadata={"help": help, **facts})


def nested(kind: type[T]) -> T:
    """Make a field that is an options dataclass itself. On the command line its flags stand beside the others."""
    return field(default_factory=kind)


@dataclass(frozen=True)
class FlatOption:
    """One option of a dataclass, or of a dataclass nested in it."""

    path: tuple[str, ...]
    """The names of the nested fields that lead to it."""
    field: Field[Any]
    type: Any

    @property
    def flag(self) -> str:
        """The flag, such as `--batch-size`."""
        return _flag(self.field)

    @property
    def name(self) -> str:
        """The flag as a Python name, such as `batch_size`. A keyword such as `from` becomes `from_`."""
        name = self.flag.lstrip("-").replace("-", "_")
        return f"{name}_" if iskeyword(name) else name


def flat_options(kind: type) -> Iterator[FlatOption]:
    """Every option of an options dataclass, with those of nested dataclasses in their place."""
    types = get_type_hints(kind)
    for item in fields(kind):
        if is_dataclass(types[item.name]):
            for inner in flat_options(types[item.name]):
                yield FlatOption((item.name, *inner.path), inner.field, inner.type)
        elif "help" in item.metadata:  # else it is for Python alone
            yield FlatOption((item.name,), item, types[item.name])


def from_flat(kind: type[T], values: Mapping[str, Any]) -> T:
    """Make an options dataclass from values by the names of `flat_options`. Values that are not given are the defaults.

    Raises:
        UsageError: a value is out of its range, or a name is not one of the options.
    """
    known = {item.name: item for item in flat_options(kind)}
    if unknown := values.keys() - known.keys():
        raise UsageError(f"there is no option {min(unknown)!r}; there are {', '.join(known)}")
    return _build(kind, {known[name].path: value for name, value in values.items()})


def _build(kind: type[T], values: Mapping[tuple[str, ...], Any]) -> T:
    types = get_type_hints(kind)
    given: dict[str, Any] = {path[0]: value for path, value in values.items() if len(path) == 1}
    for name in {path[0] for path in values if len(path) > 1}:
        inner = {path[1:]: value for path, value in values.items() if path[0] == name}
        given[name] = _build(types[name], inner)
    return kind(**given)


def flag_of(kind: type, name: str) -> str:
    """The flag of a field, for messages: `flag_of(TrainOptions, "batch_size")` is `--batch-size`."""
    return next(_flag(item) for item in fields(kind) if item.name == name)


def _flag(item: Field[Any]) -> str:
    return item.metadata.get("flag") or "--" + item.name.replace("_", "-")


def default_of(item: Field[Any]) -> Any:
    """The default value of a field."""
    if item.default is not MISSING:
        return item.default
    return item.default_factory() if item.default_factory is not MISSING else MISSING


def as_paths(options: Any, *names: str) -> None:
    """Turn fields of a frozen dataclass that were given as text into paths."""
    for name in names:
        if isinstance(given := getattr(options, name), str):
            object.__setattr__(options, name, Path(given))


def check_ranges(options: Any) -> None:
    """Check the values of an options dataclass against the ranges of its fields.

    Raises:
        UsageError: a value is out of its range; the message names the flag.
    """
    for item in fields(options):
        value, facts = getattr(options, item.name), item.metadata
        if value is None or "help" not in facts:
            continue
        if facts["choices"]:
            for word in (value,) if isinstance(value, str) else value:
                if word not in facts["choices"]:
                    raise UsageError(f"{_flag(item)} {word}: choose one of {', '.join(facts['choices'])}")
        elif isinstance(value, int | float) and not isinstance(value, bool) and (wrong := _out_of(value, facts)):
            raise UsageError(f"{_flag(item)} {value}: must be {wrong}")


def _out_of(value: float, facts: Mapping[str, Any]) -> str:
    """The rule that a number breaks; empty if it breaks none."""
    if not math.isfinite(value):
        return "a finite number"
    if facts["above"] is not None and value <= facts["above"]:
        return f"above {facts['above']}"
    if facts["min"] is not None and value < facts["min"]:
        return f"at least {facts['min']}"
    if facts["max"] is not None and value > facts["max"]:
        return f"at most {facts['max']}"
    return ""
