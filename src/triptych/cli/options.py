"""Make command-line flags from the fields of options dataclasses, so that each is defined once."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from triptych.core.errors import UsageError
from triptych.core.options import FlatOption, default_of, flat_options, from_flat
from triptych.core.progress import progress_log

Command = Callable[..., None]


@dataclass(frozen=True)
class When:
    """Marks a parameter whose flags need another option; without that option the command gets None.

    `option` names the other option, with underscores: a parameter of the command, or one of the flags themselves.
    `only` names the flags that the command offers; all of them if it is empty.
    """

    option: str
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Taken:
    """A parameter of a command that is an options dataclass."""

    name: str
    kind: type
    when: When | None

    @property
    def offered(self) -> list[FlatOption]:
        """The options that become flags."""
        only = self.when.only if self.when else ()
        return [item for item in flat_options(self.kind) if not only or item.name in only]

    def value(self, given: dict[str, Any], others: dict[str, Any]) -> Any:
        """The value that the command gets.

        Raises:
            UsageError: a flag needs another option, which is missing.
        """
        if self.when and not (given | others)[self.when.option]:
            for item in self.offered:
                if item.name != self.when.option and given[item.name] != _default(item):
                    raise UsageError(f"{item.flag} goes with --{self.when.option.replace('_', '-')}")
            return None
        return from_flat(self.kind, given)


def takes(command: Command) -> Command:
    """Give a command one flag for each field of those of its parameters that are options dataclasses.

    A parameter is declared as `options: TrainOptions`, or as `rerank: Annotated[RerankOptions | None, When("rerank")]`.
    """
    given = inspect.signature(command)
    types = get_type_hints(command, include_extras=True)
    taken = [found for name in given.parameters if (found := _taken(name, types[name]))]
    names = {item.name for item in taken}
    kept = [
        item.replace(kind=item.KEYWORD_ONLY, annotation=types[name])
        for name, item in given.parameters.items()
        if name not in names
    ]
    added = [_parameter(item) for part in taken for item in part.offered]

    def wrapped(**values: Any) -> None:
        flags = {part.name: {item.name: values.pop(item.name) for item in part.offered} for part in taken}
        command(**values, **{part.name: part.value(_tuples(flags[part.name]), values) for part in taken})

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__signature__ = given.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {item.name: item.annotation for item in (*kept, *added)} | {"return": None}
    return wrapped


def logged(command: Command) -> Command:
    """Add the flag `--log-json` to a command: a file for its progress and messages."""
    given = inspect.signature(command)
    flag = typer.Option(
        "--log-json", metavar="FILE", help="Also write progress (rate, ETA) and messages, as JSON lines."
    )
    kind = Annotated[Path | None, flag]
    added = inspect.Parameter("log_json", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)

    def wrapped(log_json: Path | None = None, **values: Any) -> None:
        with progress_log(log_json):
            command(**values)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__signature__ = given.replace(parameters=[*given.parameters.values(), added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {**command.__annotations__, "log_json": kind}
    return wrapped


def _taken(name: str, annotation: Any) -> _Taken | None:
    when = None
    if get_origin(annotation) is Annotated:
        annotation, *extras = get_args(annotation)
        when = next((extra for extra in extras if isinstance(extra, When)), None)
    kinds = [kind for kind in (get_args(annotation) or (annotation,)) if hasattr(kind, "__dataclass_fields__")]
    return _Taken(name, kinds[0], when) if kinds else None


def _default(item: FlatOption) -> Any:
    return default_of(item.field)


def _parameter(item: FlatOption) -> inspect.Parameter:
    """A Typer option for a field. The dataclass checks the range, so that Python and command line report the same."""
    facts = item.field.metadata
    described = typer.Option(*_declared(item), help=facts["help"], metavar=facts["metavar"])
    kind: Any = str | None if item.type is Any else item.type  # of a plug-in, its name
    default = _default(item)
    if get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis:
        kind, default = GenericAlias(list, get_args(kind)[:1]), list(default)
    annotation = Annotated[kind, described]
    return inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _declared(item: FlatOption) -> tuple[str, ...]:
    """The flag; for a boolean with the default true also the flag that switches it off."""
    if item.type is bool:
        return (f"{item.flag}/--no-{item.flag.removeprefix('--')}" if _default(item) else item.flag,)
    return (item.flag,)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Turn the lists that Typer gives into tuples, which can be compared and hashed."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
