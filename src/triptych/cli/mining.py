"""Commands that make triplets: mine, mine-chat, mine-status, refine."""

from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.chat.settings import ChatSettings
from triptych.cli.app import CatalogDir, EncoderName, app, show
from triptych.cli.options import logged, takes
from triptych.core.cluster import ClusterOptions
from triptych.core.environment import Runtime
from triptych.core.results import known_fields
from triptych.mining.options import ChatMineOptions, MineOptions, RefineOptions

TripletsOut = Annotated[Path, typer.Option("--out", metavar="FILE", help="Triplet file to write (.parquet).")]


@app.command(
    epilog="Examples: triptych mine --catalog catalog --out triplets.parquet;  "
    "triptych mine --catalog catalog --out triplets.parquet --reasoner shop.reasoners:Mine"
)
@logged
@takes
def mine(
    catalog: CatalogDir,
    out: TripletsOut,
    options: MineOptions,
    runtime: Runtime,
    cluster: ClusterOptions,
    reasoner: Annotated[
        str, typer.Option(metavar="NAME", help="What writes modifications: tags, a plug-in, or MODULE:ATTRIBUTE.")
    ] = "tags",
    critic: Annotated[
        str, typer.Option(metavar="NAME", help="What judges triplets: encoder, a plug-in, or MODULE:ATTRIBUTE.")
    ] = "encoder",
    encoder: EncoderName = None,
) -> None:
    """Make <reference, modification, target> triplets from the catalog's pictures."""
    result = triptych.mine(
        catalog, out, options, reasoner=reasoner, critic=critic, encoder=encoder, runtime=runtime, cluster=cluster
    )
    show(known_fields(result))


@app.command(
    epilog="Example: triptych mine-chat qwen2.5-vl-7b-instruct --catalog catalog --out triplets.parquet "
    "--base-url http://localhost:8000/v1"
)
@logged
@takes
def mine_chat(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name at the endpoint.")],
    catalog: CatalogDir,
    out: TripletsOut,
    options: ChatMineOptions,
    chat: ChatSettings,
    runtime: Runtime,
    cluster: ClusterOptions,
    encoder: EncoderName = None,
) -> None:
    """Make triplets with a multimodal chat model, which writes modifications and judges its own drafts."""
    result = triptych.mine_chat(catalog, out, model, chat, options, encoder=encoder, runtime=runtime, cluster=cluster)
    show(known_fields(result))


@app.command(epilog="Example: triptych mine-status triplets.parquet")
def mine_status(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Triplet file that mine-chat writes.")],
) -> None:
    """Show how far a run of mine-chat is, and what it has cost."""
    show(known_fields(triptych.mine_status(out)))


@app.command(
    epilog="Examples: triptych refine triplets.parquet --catalog catalog --out refined.parquet;  "
    "triptych mine --catalog catalog --refined refined.parquet --changes 2 --out second.parquet"
)
@logged
@takes
def refine(
    triplets: Annotated[Path, typer.Argument(help="Triplet file made by mine.")],
    catalog: CatalogDir,
    out: TripletsOut,
    options: RefineOptions,
    runtime: Runtime,
    encoder: EncoderName = None,
) -> None:
    """Refuse triplets that look wrong to a composer that did not learn from them, and note what it answers worst."""
    facts = known_fields(triptych.refine(triplets, catalog, out, options, encoder=encoder, runtime=runtime))
    types = facts.pop("question_types")
    weakest = {"+".join(one["attributes"]) or "in free words": one["recall"] for one in types[:5]}
    show({**facts, "weakest": weakest})
