"""Commands for sharing: push, pull."""

from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.cli.app import app, show


@app.command(epilog="Example: triptych push composer hf:me/jackets --dry-run")
def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A composer, an encoder, or exported triplets.")],
    to: Annotated[str, typer.Argument(metavar="TO", help="hf:OWNER/NAME, or a new folder.")],
    public: Annotated[bool, typer.Option("--public", help="Make the repository public; else only you see it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and send nothing.")] = False,
) -> None:
    """Copy a composer, an encoder or triplets, with a card, to the Hugging Face hub or to a folder."""
    show(triptych.push(folder, to, public=public, dry_run=dry_run))


@app.command(epilog="Example: triptych pull hf:me/jackets composer")
def pull(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="hf:OWNER/NAME, hf:datasets/OWNER/NAME for triplets, or a folder.")
    ],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="New folder.")],
    revision: Annotated[str | None, typer.Option(help="A branch, a tag or a commit of the hub's.")] = None,
) -> None:
    """Fetch a composer, an encoder or triplets. No fetched code is run."""
    show(triptych.pull(source, out, revision=revision))
