"""The options of a chat model for commands that ask one now and then, made from the fields of ChatSettings."""

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from triptych.chat.settings import ChatSettings
from triptych.core.errors import UsageError
from triptych.core.options import FlatOption, default_of, flat_options, from_flat

FOR_ONE_QUESTION = (
    "base_url",
    "prompts",
    "picture_size",
    "picture_quality",
    "one_image",
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


def with_chat_options(asked_by: str, names: Sequence[str] = FOR_ONE_QUESTION) -> Callable[[Command], Command]:
    """Give a command one option for each field of `names`, in the place of its parameter `chat`.

    The command gets ChatSettings where its option `asked_by` is chat:MODEL, and None else, when it takes none of them,
    and none of its own whose names begin with that of `asked_by`.
    """
    offered = [item for item in flat_options(ChatSettings) if item.name in names]
    return lambda command: _with_options(command, asked_by, offered)


def _with_options(command: Command, asked_by: str, offered: Sequence[FlatOption]) -> Command:
    given = inspect.signature(command)
    kept = [item.replace(kind=item.KEYWORD_ONLY) for name, item in given.parameters.items() if name != "chat"]
    belonging = [item for item in kept if item.name.startswith(f"{asked_by}_")]
    added = [
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default_of(item.field),
            annotation=Annotated[
                item.type, typer.Option(help=item.field.metadata["help"], metavar=item.field.metadata["metavar"])
            ],
        )
        for item in offered
    ]

    def wrapped(**values: Any) -> None:
        chosen = {item.name: values.pop(item.name) for item in offered}
        changed = [item.name for item in offered if chosen[item.name] != default_of(item.field)]
        changed += [item.name for item in belonging if values[item.name] != item.default]
        asks = (values[asked_by] or "").startswith("chat:")
        if changed and not asks:
            raise UsageError(f"--{changed[0].replace('_', '-')} goes with --{asked_by} chat:MODEL")
        command(**values, chat=from_flat(ChatSettings, chosen) if asks else None)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__signature__ = given.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {item.name: item.annotation for item in (*kept, *added)} | {"return": None}
    return wrapped
