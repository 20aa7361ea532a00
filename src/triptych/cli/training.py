"""Commands that train: train, judge, finetune, train-inversion, pretrain, adapt-encoder."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

import triptych
from triptych.cli.app import CatalogDir, EncoderName, OutDir, app, show
from triptych.cli.options import logged, takes
from triptych.core.environment import Runtime
from triptych.core.results import known_fields
from triptych.training.options import (
    AdaptOptions,
    FinetuneOptions,
    InversionOptions,
    LogOptions,
    PretrainOptions,
    TrainOptions,
)

TripletFile = Annotated[Path, typer.Argument(help="Triplet file made by mine.")]
ValidateBy = Annotated[
    str | None,
    typer.Option(
        metavar="TRUTH",
        help="Judge whether the composer helps, by COLUMN,COLUMN of the metadata, or a .jsonl file of queries.",
    ),
]


@app.command(
    epilog="Examples: triptych train triplets.parquet --catalog catalog --out composer;  "
    "triptych train triplets.parquet --catalog catalog --out composer --composer transformer"
)
@takes
def train(
    triplets: TripletFile,
    catalog: CatalogDir,
    out: OutDir,
    options: TrainOptions,
    runtime: Runtime,
    log: LogOptions,
    encoder: EncoderName = None,
    validate_by: ValidateBy = None,
) -> None:
    """Train a composer on triplets. The best epoch on held-out triplets is kept."""
    learn = partial(triptych.train, triplets, catalog, out, options, encoder=encoder, runtime=runtime, log=log)
    _learn_and_judge(learn, catalog, validate_by)


@app.command(epilog="Example: triptych judge composer --catalog catalog --validate-by kind,colour")
@logged
@takes
def judge(
    composer: Annotated[Path, typer.Argument(help="Folder of the composer.")],
    catalog: CatalogDir,
    validate_by: Annotated[
        str, typer.Option(metavar="TRUTH", help="COLUMN,COLUMN of the metadata, or a .jsonl file of queries.")
    ],
    runtime: Runtime,
    encoder: EncoderName = None,
) -> None:
    """Judge whether a composer helps, by queries with known answers, and store the verdict in its folder."""
    truth = triptych.truth_queries(catalog, validate_by)
    show(triptych.judge_composer(composer, catalog, truth, encoder=encoder, runtime=runtime))


@app.command(epilog="Example: triptych finetune triplets.parquet --catalog catalog --out composer")
@takes
def finetune(
    triplets: TripletFile,
    catalog: CatalogDir,
    out: OutDir,
    options: FinetuneOptions,
    runtime: Runtime,
    log: LogOptions,
    encoder: EncoderName = None,
    validate_by: ValidateBy = None,
) -> None:
    """Train the encoder itself on triplets, from the catalog's pictures, and write it inside a composer."""
    learn = partial(triptych.finetune, triplets, catalog, out, options, encoder=encoder, runtime=runtime, log=log)
    _learn_and_judge(learn, catalog, validate_by)


def _learn_and_judge(learn: Callable[..., Any], catalog: Path, validate_by: str | None) -> None:
    """Train with the queries, if any, that judge the result, and print it."""
    truth = triptych.truth_queries(catalog, validate_by) if validate_by else None
    show(known_fields(learn(truth=truth)))


@app.command(epilog="Example: triptych train-inversion lincir --catalog catalog --out composer")
@takes
def train_inversion(
    method: Annotated[str, typer.Argument(help="pic2word, searle or lincir.")],
    catalog: CatalogDir,
    out: OutDir,
    options: InversionOptions,
    runtime: Runtime,
    log: LogOptions,
    encoder: EncoderName = None,
) -> None:
    """Train a textual-inversion baseline, which turns the picture into a word and searches with a text."""
    result = triptych.train_inversion(method, catalog, out, options, encoder=encoder, runtime=runtime, log=log)
    show(known_fields(result))


@app.command(
    epilog="Examples: triptych pretrain pairs.csv --images photos --out encoder;  "
    "triptych pretrain pairs.csv --images drawings --out encoder --from scratch"
)
@takes
def pretrain(
    pairs: Annotated[Path, typer.Argument(help="CSV with the columns image,caption.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="Folder that the image names start from.")],
    out: OutDir,
    options: PretrainOptions,
    runtime: Runtime,
    log: LogOptions,
    validate_by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN,…", help="Columns of the CSV, such as kind,colour: judge by queries made of them."
        ),
    ] = None,
) -> None:
    """Train an encoder on picture-caption pairs, and judge whether it is better than the one it started from."""
    truth = triptych.truth_of_pairs(pairs, validate_by) if validate_by else None
    show(known_fields(triptych.pretrain(pairs, images, out, options, truth=truth, runtime=runtime, log=log)))


@app.command(epilog="Example: triptych adapt-encoder photos --out encoder")
@takes
def adapt_encoder(
    pictures: Annotated[Path, typer.Argument(help="A folder, or a .txt list of pictures below --root.")],
    out: OutDir,
    options: AdaptOptions,
    runtime: Runtime,
    log: LogOptions,
    encoder: Annotated[str, typer.Option(metavar="NAME", help="wardrobe, or a folder made by pretrain.")] = "wardrobe",
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder that the names in a .txt list start from.")
    ] = None,
) -> None:
    """Train an encoder, from your pictures alone, to distinguish one item from another."""
    result = triptych.adapt_encoder(pictures, out, options, encoder=encoder, root=root, runtime=runtime, log=log)
    show(known_fields(result))
