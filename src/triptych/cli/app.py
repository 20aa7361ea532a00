"""The program's face: its Typer application, the options that several commands share, and how facts are shown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="triptych",
    help="Find a picture from another picture and a few words, with no labelled data.",
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
        help="wardrobe, hf:NAME_OR_DIR, or a folder that pretrain, adapt-encoder, finetune or export --onnx made.",
    ),
]
SameEncoder = Annotated[
    str | None,
    typer.Option("--encoder", metavar="DIR", help="The catalog's encoder as `export --onnx` wrote it."),
]
StoreName = Annotated[
    str, typer.Option("--store", metavar="NAME", help="exact, hnsw (approximate), or postgresql://… with pgvector.")
]
Rerank = Annotated[
    str | None, typer.Option(metavar="chat:MODEL", help="A chat model that looks at the first results; see --base-url.")
]
RerankTop = Annotated[int, typer.Option(min=2, help="How many results it looks at.")]
RerankSeconds = Annotated[float, typer.Option(min=0.1, help="How long it is waited for.")]
VocabularyFile = Annotated[
    Path | None, typer.Option("--vocabulary", metavar="FILE", help='JSON: {"colour": ["red", "blue"], …}.')
]


def show(facts: Mapping[str, Any]) -> None:
    """Print facts as two columns; a mapping among them becomes one line."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        print(f"{name.replace('_', ' '):<{width}}  {value}")
