"""Commands about catalogs: index, update, reencode, search, export-vectors, export-models."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.catalog.options import IndexOptions, ReencodeOptions, UpdateOptions
from triptych.cli.app import CatalogDir, ComposerName, EncoderName, OutDir, app, show
from triptych.cli.options import When, logged, takes
from triptych.core.cluster import ClusterOptions
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError
from triptych.core.options import option
from triptych.core.text import escaped, escaped_json
from triptych.retrieval.options import EngineOptions, RerankOptions, SearchOptions

_FOR_ONE_QUERY = (
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
"""The flags of a chat model that count where it judges a query now and then, and nothing goes on later."""

Rerank = Annotated[
    RerankOptions | None, When("rerank", only=("rerank", "rerank_top", "rerank_timeout", *_FOR_ONE_QUERY))
]


@dataclass(frozen=True)
class _Results:
    """Where the results of a search are written, beside standard output."""

    output: Path | None = option(None, "Contact sheet (.png, .jpg) or results (.json).", metavar="FILE")
    as_json: bool = option(False, "Print the results as JSON.", flag="--json")


@app.command(epilog="Example: triptych index ~/Pictures --catalog catalog")
@logged
@takes
def index(
    pictures: Annotated[
        str, typer.Argument(help="A folder, also as s3:// or gs://; or a .txt list of pictures below --root.")
    ],
    catalog: CatalogDir,
    options: IndexOptions,
    runtime: Runtime,
    cluster: ClusterOptions,
    encoder: EncoderName = None,
    metadata: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Columns to filter by; the first one, or --name-column, names the picture."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder that the names in a .txt list start from; or present folder of a catalog's pictures.",
        ),
    ] = None,
) -> None:
    """Encode pictures into a catalog. Run it again to encode only what has changed."""
    result = triptych.index(
        pictures,
        catalog,
        options,
        encoder=encoder,
        metadata=metadata,
        root=root,
        runtime=runtime,
        cluster=cluster,
    )
    show(result)


@app.command(epilog="Example: triptych update stock.csv --catalog catalog")
@takes
def update(
    metadata: Annotated[Path, typer.Argument(metavar="CSV", help="A column names the picture; the others are taken.")],
    catalog: CatalogDir,
    options: UpdateOptions,
) -> None:
    """Update the metadata of a catalog's pictures from a CSV. Nothing is encoded, and other columns are kept."""
    show(triptych.update(catalog, metadata, options))


@app.command(epilog="Example: triptych reencode catalog --encoder photos")
@logged
@takes
def reencode(
    catalog: Annotated[Path, typer.Argument(help="Folder of the catalog.")],
    encoder: Annotated[str, typer.Option(metavar="NAME", help="The new encoder; `triptych doctor` lists some.")],
    options: ReencodeOptions,
    runtime: Runtime,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A new catalog; by default the old one is replaced.")
    ] = None,
) -> None:
    """Encode a catalog's pictures with another encoder; its metadata are kept."""
    show(triptych.reencode(catalog, encoder, options, out=out, runtime=runtime))


@app.command(epilog='Example: triptych search --catalog catalog --image jacket.jpg --text "but in red"')
@takes
def search(
    catalog: CatalogDir,
    options: SearchOptions,
    engine: EngineOptions,
    rerank: Rerank,
    runtime: Runtime,
    results: _Results,
    image: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE[:WEIGHT]", help="The reference picture; may be repeated, each with a weight."),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORDS[:WEIGHT]", help="What should differ; may be repeated, each with a weight, as in red:0.5."
        ),
    ] = None,
) -> None:
    """Search a catalog with a picture and a few words."""
    hits = triptych.search(
        catalog,
        image,
        text or "",
        options=options,
        engine=engine,
        rerank=rerank,
        output=results.output,
        runtime=runtime,
    )
    if results.as_json:
        from triptych.retrieval.results import as_record  # with numpy, which --help does without

        print(escaped_json(json.dumps([as_record(hit) for hit in hits], ensure_ascii=False, indent=2)))
    else:
        for hit in hits:
            print(f"{hit.rank:>4}  {hit.score:.4f}  {escaped(hit.path)}")
    if not hits:
        asked = "that fulfils the conditions" if options.where else "to be found"
        raise FailureError(f"{catalog}: there is no picture {asked}{' so far down' if options.offset else ''}")


@app.command(epilog="Example: triptych export-vectors --catalog catalog --to faiss --out vectors")
@takes
def export_vectors(
    catalog: CatalogDir,
    out: OutDir,
    to: Annotated[str, typer.Option(metavar="ENGINE", help="faiss or qdrant.")],
    runtime: Runtime,
    composer: ComposerName = None,
    encoder: EncoderName = None,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="For faiss: an HNSW index, with its recall measured.")
    ] = False,
) -> None:
    """Write a catalog's vectors for another search engine, in a composer's space if one is given."""
    show(
        triptych.export_vectors(
            catalog, out, to=to, composer=composer, encoder=encoder, approximate=approximate, runtime=runtime
        )
    )


@app.command(epilog="Example: triptych export-models --out models --encoder hf:openai/clip-vit-base-patch32 --int8")
@takes
def export_models(
    out: OutDir,
    runtime: Runtime,
    encoder: EncoderName = None,
    composer: Annotated[Path | None, typer.Option(metavar="DIR", help="A trained composer to write as well.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="8-bit matrices; the result is a different encoder.")] = False,
) -> None:
    """Write an encoder, and a composer if one is given, as graphs that run without torch."""
    show(triptych.export_models(out, encoder=encoder, composer=composer, int8=int8, runtime=runtime))


@app.command(epilog="Example: triptych convert-encoder hf:Marqo/marqo-fashionSigLIP --out fashion-siglip")
def convert_encoder(
    source: Annotated[str, typer.Argument(metavar="NAME", help="hf:HUB_ID or the folder of an open_clip checkpoint.")],
    out: OutDir,
) -> None:
    """Convert an open_clip checkpoint to the Hugging Face layout, for --encoder hf:DIR."""
    show(triptych.convert_encoder(source, out))
