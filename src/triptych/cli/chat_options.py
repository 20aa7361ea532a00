"""The options of a chat model, made from the fields of ChatSettings, so that they are written down once."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from typing import Annotated, Any

import typer

from triptych.chat.settings import ChatSettings
from triptych.core.errors import UsageError

FOR_ONE_QUESTION = (
    "base_url",
    "prompts",
    "picture_side",
    "picture_quality",
    "sheet",
    "schema",
    "max_tokens",
    "temperature",
    "connect_timeout",
    "max_calls",
    "max_cost",
    "price_in",
    "price_out",
)
"""The settings that a command needs which asks now and then, and does not go on later."""

Command = Callable[..., None]


def with_chat_options(asked_by: str, names: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Give a command one option for each field, or for those of `names`, in the place of its parameter `chat`.

    The command gets ChatSettings where its option `asked_by` is chat:MODEL, and None else, when it takes none of them,
    and none of its own whose names begin with that of `asked_by`.
    """
    return lambda command: _with_options(
        command, asked_by, [item for item in fields(ChatSettings) if not names or item.name in names]
    )


def _with_options(command: Command, asked_by: str, offered: Sequence[Field[Any]]) -> Command:
    given = inspect.signature(command)
    kept = [item.replace(kind=item.KEYWORD_ONLY) for name, item in given.parameters.items() if name != "chat"]
    belonging = [item for item in kept if item.name.startswith(f"{asked_by}_")]
    added = [
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=item.default,
            annotation=Annotated[item.type, typer.Option(**item.metadata)],
        )
        for item in offered
    ]

    def wrapped(**values: Any) -> None:
        chosen = {item.name: values.pop(item.name) for item in offered}
        changed = [item.name for item in offered if chosen[item.name] != item.default]
        changed += [item.name for item in belonging if values[item.name] != item.default]
        told = values.get("status", False)  # a command that tells how far it is asks nobody
        asks = (values[asked_by] or "").startswith("chat:") and not told
        if changed and not asks and not told:
            raise UsageError(f"--{changed[0].replace('_', '-')} goes with --{asked_by} chat:MODEL")
        command(**values, chat=ChatSettings(**chosen) if asks else None)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__signature__ = given.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {item.name: item.annotation for item in (*kept, *added)} | {"return": None}
    return wrapped
