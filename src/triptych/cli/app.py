"""The Typer application, options that several commands share, and how results are printed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from triptych.core.environment import is_first_process
from triptych.core.files import as_json
from triptych.core.text import escaped
from triptych.core.version import __version__

app = typer.Typer(
    name="triptych",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

CatalogDir = Annotated[Path, typer.Option("--catalog", metavar="DIR", help="Folder of the catalog.")]
OutDir = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads; fewer can be faster on a busy machine.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
EncoderName = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME",
        help="photos (the default), wardrobe, hf:NAME_OR_DIR, MODULE:ATTRIBUTE, or a folder that this program made.",
    ),
]
ComposerName = Annotated[
    str | None,
    typer.Option("--composer", metavar="NAME", help="A folder that `train` wrote, a baseline, or MODULE:ATTRIBUTE."),
]
VocabularyFile = Annotated[
    Path | None, typer.Option("--vocabulary", metavar="FILE", help='JSON: {"colour": ["red", "blue"], …}.')
]


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"triptych {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Print the version.")
    ] = False,
) -> None:
    """Find a picture from another picture and a few words, with no labelled data."""


def show_text(result: Any) -> None:
    """Print a result of several lines. Characters that would steer the terminal are escaped."""
    print("\n".join(escaped(line) for line in str(result).split("\n")))


def show(result: Any) -> None:
    """Print a result or a mapping as two columns. A nested mapping becomes one line; empty values are left out.

    Of several processes that train together, only the first prints.
    """
    if not is_first_process():
        return
    facts = {name: value for name, value in as_json(result).items() if value is not None and value != {}}
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        print(f"{name.replace('_', ' '):<{width}}  {escaped(str(value))}")
