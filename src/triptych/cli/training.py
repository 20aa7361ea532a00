"""Commands that train: train, invert, pretrain, adapt."""

from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.cli.app import CatalogDir, OutDir, Seed, Threads, VocabularyFile, app, show


@app.command(
    epilog="Examples: triptych train triplets.parquet --catalog catalog --out composer;  "
    "triptych train triplets.parquet --catalog catalog --out composer --composer towers"
)
def train(
    triplets: Annotated[Path, typer.Argument(help="Triplet file made by mine.")],
    catalog: CatalogDir,
    out: OutDir,
    composer: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="combiner; transformer, which looks at the reference; or towers: the encoder."
        ),
    ] = "combiner",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the triplets.")] = 3,
    batch: Annotated[int, typer.Option(min=2, help="Triplets a step.")] = 256,
    temperature: Annotated[
        float, typer.Option(help="Of the loss, between 0 and 1; the smaller, the more hard negatives count.")
    ] = 0.07,
    negatives: Annotated[
        str, typer.Option(help="bank (the catalog), batch (its pictures alone), or bank+group (and the critic's).")
    ] = "bank",
    hard_alpha: Annotated[float, typer.Option(metavar="A", help="HN-NCE: the weight of an answer below the line.")] = 1,
    hard_beta: Annotated[
        float, typer.Option(metavar="B", help="HN-NCE: extra weight of hard negatives; CoVR: 0.5.")
    ] = 0,
    both_directions: Annotated[
        bool, typer.Option("--both-directions", help="Learn also to find the query from its target.")
    ] = False,
    margin: Annotated[
        float | None, typer.Option(metavar="COSINE", help="Leave out negatives liked more than the target by this.")
    ] = None,
    weighting: Annotated[
        str, typer.Option(help="What a triplet counts: confidence (the critic's), or none.")
    ] = "confidence",
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="Leave out answers, concepts, expectation, strangers or text-tower."),
    ] = None,
    tune: Annotated[
        str | None,
        typer.Option(metavar="WHAT", help="Towers, what learns: full (own), lora (hf:), last-N or frozen."),
    ] = None,
    accumulate: Annotated[int, typer.Option(min=1, help="Towers: batches whose gradients make a step.")] = 1,
    chunk: Annotated[
        int | None, typer.Option(min=1, help="Towers: pictures or texts in memory at a time; the batch stays whole.")
    ] = None,
    distill: Annotated[float, typer.Option(min=0, help="Towers: how much vectors are held to what they were.")] = 5.0,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Train a composer on triplets; the best epoch on held-out triplets is kept."""
    show(
        triptych.train(
            triplets,
            catalog,
            out,
            composer=composer,
            epochs=epochs,
            batch=batch,
            temperature=temperature,
            negatives=negatives,
            hard_alpha=hard_alpha,
            hard_beta=hard_beta,
            both_directions=both_directions,
            margin=margin,
            weighting=weighting,
            without=without or (),
            tune=tune,
            accumulate=accumulate,
            chunk=chunk,
            distill=distill,
            seed=seed,
            threads=threads,
        )
    )


@app.command(epilog="Example: triptych invert lincir --catalog catalog --out rival")
def invert(
    method: Annotated[str, typer.Argument(help="pic2word, searle or lincir.")],
    catalog: CatalogDir,
    out: OutDir,
    prompt: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help='What comes before the words, such as "a photo of * that"; otherwise eval chooses.'
        ),
    ] = None,
    captions: Annotated[
        Path | None, typer.Option(metavar="CSV", help="For lincir: texts to learn from (image,caption), not titles.")
    ] = None,
    vocabulary: VocabularyFile = None,
    limit: Annotated[int | None, typer.Option(min=2, help="Learn from this many pictures, not all.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the mapping network.")] = 400,
    batch: Annotated[int, typer.Option(min=2, help="Pictures or texts a step.")] = 256,
    word_steps: Annotated[int, typer.Option(min=1, help="For searle: steps to find a picture's word.")] = 100,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Train a rival by textual inversion: a composer that turns the picture into a word and searches with a text."""
    show(
        triptych.invert(
            method,
            catalog,
            out,
            prompt=prompt,
            captions=captions,
            vocabulary=vocabulary,
            limit=limit,
            steps=steps,
            batch=batch,
            word_steps=word_steps,
            seed=seed,
            threads=threads,
        )
    )


@app.command(epilog="Example: triptych pretrain pairs.csv --images photos --out encoder")
def pretrain(
    pairs: Annotated[Path, typer.Argument(help="CSV with the columns image,caption.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="What the image names start from.")],
    out: OutDir,
    size: Annotated[int, typer.Option(help="Side of the encoder's pictures, in pixels.")] = 64,
    width: Annotated[int, typer.Option(help="Channels of the first stage.")] = 64,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the pairs.")] = 50,
    batch: Annotated[int, typer.Option(min=2, help="Pairs a step.")] = 256,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Train a small encoder of pictures and texts from picture-caption pairs."""
    show(
        triptych.pretrain(
            pairs, images, out, size=size, width=width, epochs=epochs, batch=batch, seed=seed, threads=threads
        )
    )


@app.command(epilog="Example: triptych adapt photos --out encoder")
def adapt(
    pictures: Annotated[Path, typer.Argument(help="A folder, or a .txt list of pictures below --root.")],
    out: OutDir,
    encoder: Annotated[str, typer.Option(metavar="NAME", help="wardrobe, or a folder made by pretrain.")] = "wardrobe",
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="What the names in a .txt list start from.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training.")] = 300,
    batch: Annotated[int, typer.Option(min=2, help="Pictures a step.")] = 256,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Teach an encoder, from your pictures alone, what tells one item from another."""
    show(
        triptych.adapt(pictures, out, encoder=encoder, root=root, steps=steps, batch=batch, seed=seed, threads=threads)
    )
