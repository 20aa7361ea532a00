"""Plug-ins: encoders, composers, reasoners, critics, benchmarks and stores from outside the package.

Each kind has one `Registry`. A plug-in is given as

- an object that has the members of the kind's protocol;
- a name that was registered here, or that an installed package declares as an entry point of the kind's group;
- a name with a scheme, such as `hf:openai/clip-vit-base-patch32`;
- a folder, if the kind can be read from one;
- `module:attribute`, which is imported: an object, or a class or function that makes one.

A factory is called with those of the kind's keyword arguments that it has parameters for.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from triptych.core.errors import UsageError

T = TypeVar("T")
Factory = Callable[..., Any]


class Registry(Generic[T]):
    """The implementations of one kind of plug-in.

    Args:
        kind: its name in messages, such as "encoder".
        protocol: the Protocol class whose members each implementation must have.
        group: the entry-point group of installed packages, such as "triptych.encoders".
        flag: the option that names one on the command line, for messages.
        folder: makes one from an existing folder, `folder(path, **context)`; None if that is not possible.
    """

    def __init__(self, kind: str, protocol: type, group: str, *, flag: str, folder: Factory | None = None) -> None:
        self.kind = kind
        self._required = _members(protocol)
        self._group = group
        self._flag = flag
        self._folder = folder
        self._named: dict[str, Any] = {}
        self._schemes: dict[str, tuple[Factory, str]] = {}

    def register(self, name: str, make: Any) -> None:
        """Register an implementation by name.

        Args:
            name: its name.
            make: an object, or a factory of one.
        """
        self._named[name] = make

    def register_scheme(self, scheme: str, make: Factory, rest: str) -> None:
        """Register a factory for all names that begin with a scheme.

        Args:
            scheme: the beginning, such as `hf:`.
            make: the factory; `make(name, **context)` gets the whole name.
            rest: what follows the scheme, for messages, such as `NAME_OR_DIR`.
        """
        self._schemes[scheme] = (make, rest)

    def names(self) -> list[str]:
        """The registered names, and those of installed packages."""
        return [*self._named, *sorted(self._entry_points())]

    def get(self, given: Any, *, from_file: bool = False, **context: Any) -> T:
        """Find or make the implementation that `given` names.

        Args:
            given: an object, a class, or a string as the module's docstring lists them.
            from_file: whether the string was read from a file. Such a string never makes a module be imported, since
                that would run code that a data file names.
            context: keyword arguments for factories.

        Raises:
            UsageError: nothing is known by that name, it cannot be imported, or it lacks a member of the protocol.
        """
        found = self.find(given, from_file=from_file)
        if not isinstance(given, str | Path) and not inspect.isclass(given):
            return self._checked(found, type(given).__name__)
        return self.make(found, _name(given), **context)

    def find(self, given: Any, *, from_file: bool = False) -> Any:
        """Find what `given` names without making it: an object, or a factory of one. Arguments and errors are those of
        `get`."""
        if not isinstance(given, str | Path):
            return given
        name = str(given)
        if name in self._named:
            return self._named[name]
        for scheme, (make, _) in self._schemes.items():
            if name.startswith(scheme):
                return partial(make, name)
        if self._folder and Path(name).is_dir():
            return partial(self._folder, Path(name))
        if entry := self._entry_points().get(name):
            return self._loaded(entry.load, name)
        module, colon, attribute = name.partition(":")
        if colon and attribute.isidentifier() and all(part.isidentifier() for part in module.split(".")):
            if from_file:
                raise UsageError(
                    f"{name}: this {self.kind} is named in a file, and files never run code; give it as {self._flag}"
                )
            return self._loaded(lambda: _attribute(module, attribute), name)
        raise UsageError(f"{self._flag} {name}: there is no such {self.kind}; there are {', '.join(self._known())}")

    def make(self, found: Any, name: str, **context: Any) -> T:
        """Return the object that `find` found, or make it with the factory that `find` found.

        Raises:
            UsageError: the object lacks a member of the protocol; the message calls it `name`.
        """
        if _is_factory(found) or (callable(found) and self._missing(found)):
            found = found(**_taken(found, context))
        return self._checked(found, name)

    def _known(self) -> list[str]:
        schemes = [f"{scheme}{rest}" for scheme, (_, rest) in self._schemes.items()]
        return [*self.names(), *schemes, *(["a folder"] if self._folder else []), "MODULE:ATTRIBUTE"]

    def _entry_points(self) -> Mapping[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=self._group)}

    def _loaded(self, load: Callable[[], Any], name: str) -> Any:
        try:
            return load()
        except Exception as error:  # a plug-in's module may raise anything while it is imported
            raise UsageError(f"{self._flag} {name}: cannot be imported ({error})") from error

    def _missing(self, found: Any) -> list[str]:
        return [member for member in self._required if not hasattr(found, member)]

    def _checked(self, found: Any, name: str) -> T:
        if missing := self._missing(found):
            raise UsageError(f"{name}: is no {self.kind}; it lacks {', '.join(missing)}")
        return found  # type: ignore[no-any-return]


def _is_factory(found: Any) -> bool:
    """Whether this is a class or a function that makes a plug-in, and not a plug-in itself."""
    return inspect.isclass(found) or inspect.isroutine(found) or isinstance(found, partial)


def _name(given: Any) -> str:
    return getattr(given, "__name__", str(given))


def _members(protocol: type) -> list[str]:
    """The public names that a Protocol class and its bases declare."""
    declared: dict[str, None] = {}
    for base in reversed(protocol.__mro__):
        if base.__module__ not in ("typing", "builtins"):
            declared |= dict.fromkeys([*inspect.get_annotations(base), *vars(base)])
    return [name for name in declared if not name.startswith("_")]


def _taken(make: Factory, context: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the context that a factory has parameters for."""
    parameters = inspect.signature(make).parameters
    if any(item.kind is item.VAR_KEYWORD for item in parameters.values()):
        return dict(context)
    return {name: value for name, value in context.items() if name in parameters}


def _attribute(module: str, name: str) -> Any:
    """An attribute of a module that is installed, or that lies in the working directory."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # at the end, so that nothing there takes the place of an installed module
    return getattr(import_module(module), name)
