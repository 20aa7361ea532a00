"""Commands over a catalog: index, search, export."""

import json
from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.chat.settings import ChatSettings
from triptych.cli.app import (
    CatalogDir,
    EncoderName,
    Rerank,
    RerankSeconds,
    RerankTop,
    SameEncoder,
    StoreName,
    Threads,
    app,
    show,
)
from triptych.cli.chat_options import FOR_ONE_QUESTION, with_chat_options
from triptych.core.errors import UsageError


@app.command(epilog="Example: triptych index ~/Pictures --catalog catalog")
def index(
    pictures: Annotated[Path, typer.Argument(help="A folder, or a .txt list of pictures below --root.")],
    catalog: CatalogDir,
    encoder: EncoderName = None,
    metadata: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Columns to filter by; the first one names the picture."),
    ] = None,
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="What the names in a .txt list start from.")] = None,
    threads: Threads = None,
) -> None:
    """Encode pictures into a catalog; run it again and only what changed is encoded."""
    show(triptych.index(pictures, catalog, encoder=encoder, metadata=metadata, root=root, threads=threads))


@app.command(epilog='Example: triptych search --catalog catalog --image jacket.jpg --text "but in red"')
@with_chat_options("rerank", FOR_ONE_QUESTION)
def search(
    catalog: CatalogDir,
    chat: ChatSettings | None,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="The reference picture.")] = None,
    like: Annotated[str | None, typer.Option(metavar="NAME", help="Instead: a picture of the catalog.")] = None,
    text: Annotated[str, typer.Option(help="What should differ.")] = "",
    encoder: SameEncoder = None,
    composer: Annotated[Path | None, typer.Option(metavar="DIR", help="Trained composer; else a sum.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many results.")] = 10,
    offset: Annotated[int, typer.Option(min=0, help="Leave out the first so many.")] = 0,
    weight: Annotated[float, typer.Option(min=0, max=1, help="Weight of the words in the sum.")] = 0.5,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Condition such as colour=red or price<=50; quotes keep spaces. May be repeated."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Contact sheet (.png, .jpg) or results (.json).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    store: StoreName = "exact",
    rerank: Rerank = None,
    rerank_top: RerankTop = 10,
    rerank_seconds: RerankSeconds = 10.0,
    threads: Threads = None,
) -> None:
    """Search a catalog with a picture and a few words."""
    hits = triptych.search(
        catalog,
        image=image,
        like=like,
        text=text,
        encoder=encoder,
        composer=composer,
        k=k,
        offset=offset,
        weight=weight,
        where=where or (),
        output=output,
        store=store,
        rerank=rerank,
        chat=chat,
        rerank_top=rerank_top,
        rerank_seconds=rerank_seconds,
        threads=threads,
    )
    if as_json:
        print(json.dumps([vars(hit) for hit in hits], ensure_ascii=False, indent=2))
    else:
        for hit in hits:
            print(f"{hit.rank:>4}  {hit.score:.4f}  {hit.path}")


@app.command(
    epilog="Examples: triptych export --catalog catalog --to faiss --out vectors;  "
    "triptych export --onnx models --encoder hf:openai/clip-vit-base-patch32 --int8"
)
def export(
    catalog: Annotated[Path | None, typer.Option("--catalog", metavar="DIR", help="Folder of the catalog.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder to write vectors to.")] = None,
    to: Annotated[str | None, typer.Option(help="faiss or qdrant.")] = None,
    composer: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Move the vectors to its space; with --onnx: write it too.")
    ] = None,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="For faiss: an HNSW index, with its recall measured.")
    ] = False,
    onnx: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Instead: write an encoder and a composer, to run without torch."),
    ] = None,
    encoder: EncoderName = None,
    int8: Annotated[bool, typer.Option("--int8", help="With --onnx: 8-bit matrices; an encoder of its own.")] = False,
    threads: Threads = None,
) -> None:
    """Write a catalog's vectors for a search engine that runs elsewhere, or models to run without torch."""
    if onnx:
        if catalog or out or to or approximate:
            raise UsageError("--onnx goes with --encoder, --composer and --int8 alone")
        show(triptych.export_onnx(onnx, encoder=encoder, composer=composer, int8=int8, threads=threads))
        return
    if encoder or int8:
        raise UsageError("--encoder and --int8 go with --onnx")
    if not (catalog and out and to):
        raise UsageError("export needs --catalog, --out and --to (faiss or qdrant), or else --onnx")
    show(triptych.export(catalog, out, to=to, composer=composer, approximate=approximate))
