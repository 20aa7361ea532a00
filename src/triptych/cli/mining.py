"""Commands that build triplets."""

from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.chat.settings import ChatSettings
from triptych.cli.app import CatalogDir, Seed, Threads, VocabularyFile, app, show
from triptych.cli.chat_options import with_chat_options
from triptych.core.errors import UsageError


@app.command(
    epilog="Examples: triptych mine --catalog catalog --out triplets.parquet;  "
    "triptych mine --catalog catalog --out triplets.parquet --reasoner chat:qwen2.5-vl-7b-instruct "
    "--base-url http://localhost:8000/v1;  triptych mine --status --out triplets.parquet"
)
@with_chat_options("reasoner")
def mine(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Triplet file to write (.parquet).")],
    chat: ChatSettings | None,
    catalog: Annotated[Path | None, typer.Option("--catalog", metavar="DIR", help="Folder of the catalog.")] = None,
    reasoner: Annotated[str, typer.Option(help="Who reasons about the pictures: tags, or chat:MODEL.")] = "tags",
    status: Annotated[bool, typer.Option("--status", help="Tell how far a run with chat:MODEL is.")] = False,
    vocabulary: VocabularyFile = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use this many reference pictures, not all.")] = None,
    plans: Annotated[int, typer.Option(min=1, help="Ideas of what could change, for each reference.")] = 12,
    targets: Annotated[int, typer.Option(min=1, help="Triplets for each idea, at most.")] = 2,
    group: Annotated[int, typer.Option(min=1, help="Pictures looked at together with a reference.")] = 8,
    band: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Least and greatest likeness of a target, such as 0.8 0.96; any."),
    ] = None,
    reversed: Annotated[
        bool, typer.Option("--reversed", help="Also ask the way back, from each accepted target to its reference.")
    ] = False,
    sure: Annotated[
        float | None, typer.Option(metavar="P", help="Critic: least probability that the words are true; 0.03.")
    ] = None,
    new_by: Annotated[
        float | None, typer.Option(metavar="N", help="Critic: times as true of the target as of the reference; 2.")
    ] = None,
    beaten_by: Annotated[
        float | None, typer.Option(metavar="N", help="Critic: how much better others may fit, as a logarithm; 3.")
    ] = None,
    after: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Another round: add to this file, which refine wrote.")
    ] = None,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Let the agent build <reference, modification, target> triplets from the catalog's pictures."""
    if status:
        show(triptych.mine_status(out))
        return
    if catalog is None:
        raise UsageError("mine needs --catalog")
    asked = {"sure": sure, "new_by": new_by, "beaten_by": beaten_by}
    show(
        triptych.mine(
            catalog,
            out,
            reasoner=reasoner,
            chat=chat,
            vocabulary=vocabulary,
            limit=limit,
            plans=plans,
            targets=targets,
            group=group,
            band=band,
            bars=triptych.Bars(**{name: bar for name, bar in asked.items() if bar is not None}),
            reversed=reversed,
            after=after,
            seed=seed,
            threads=threads,
        )
    )


@app.command(
    epilog="Examples: triptych refine triplets.parquet --catalog catalog --out refined.parquet;  "
    "triptych mine --catalog catalog --after refined.parquet --plans 2 --out second.parquet"
)
def refine(
    triplets: Annotated[Path, typer.Argument(help="Triplet file made by mine.")],
    catalog: CatalogDir,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Triplet file to write (.parquet).")],
    vocabulary: VocabularyFile = None,
    folds: Annotated[
        int, typer.Option(min=2, help="Parts, each judged by a composer that learnt from the others.")
    ] = 2,
    epochs: Annotated[int, typer.Option(min=1, help="Passes of such a composer over its triplets.")] = 1,
    beyond: Annotated[int, typer.Option(min=1, help="A target among so many first answers is plausible.")] = 10,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Refuse triplets that look wrong to a composer that did not learn from them, and note what it is weak at."""
    facts = triptych.refine(
        triplets,
        catalog,
        out,
        vocabulary=vocabulary,
        folds=folds,
        epochs=epochs,
        beyond=beyond,
        seed=seed,
        threads=threads,
    )
    weakest = {"+".join(kind["groups"]) or "in free words": kind["recall"] for kind in facts["kinds"][:5]}
    show({**{name: value for name, value in facts.items() if name != "kinds"}, "weakest": weakest})
