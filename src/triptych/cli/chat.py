"""The options of a chat model, made from the fields of ChatSettings, so that they are written down once."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any

import typer

from triptych.chat import ChatSettings
from triptych.errors import UsageError


def with_chat_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each field, in the place of its parameter `chat`.

    The command gets ChatSettings for the reasoner chat:MODEL, and None for any other, which takes none of them.
    """
    given = inspect.signature(command)
    kept = [item.replace(kind=item.KEYWORD_ONLY) for name, item in given.parameters.items() if name != "chat"]
    added = [
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=item.default,
            annotation=Annotated[item.type, typer.Option(**item.metadata)],
        )
        for item in fields(ChatSettings)
    ]

    def wrapped(**values: Any) -> None:
        chosen = {item.name: values.pop(item.name) for item in fields(ChatSettings)}
        changed = [item.name for item in fields(ChatSettings) if chosen[item.name] != item.default]
        asks = values["reasoner"].startswith("chat:") and not values["status"]
        if changed and not asks and not values["status"]:
            raise UsageError(f"--{changed[0].replace('_', '-')} goes with --reasoner chat:MODEL")
        command(**values, chat=ChatSettings(**chosen) if asks else None)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__signature__ = given.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {item.name: item.annotation for item in (*kept, *added)} | {"return": None}
    return wrapped
