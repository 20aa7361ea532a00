"""Commands about files of triplets: triplets stats, sample, review, compare, export, import."""

from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.cli.app import CatalogDir, OutDir, Seed, app, show
from triptych.core.errors import UsageError

triplets = typer.Typer(
    name="triplets",
    help="Look into a file of triplets, review it, and bring it out or in.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: triptych triplets stats triplets.parquet",
)
app.add_typer(triplets)

TripletFile = Annotated[Path, typer.Argument(metavar="FILE", help="Triplet file (.parquet).")]
Refused = Annotated[bool, typer.Option("--refused", help="The refused ones.")]


@triplets.command(epilog="Example: triptych triplets stats triplets.parquet --against queries.jsonl")
def stats(
    file: TripletFile,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A benchmark's pictures (.txt) or queries (.jsonl), to look for leakage."),
    ] = None,
) -> None:
    """Tell types of change, lengths, duplicates and leakage."""
    show(triptych.triplets_stats(file, against=against))


@triplets.command(epilog="Example: triptych triplets sample triplets.parquet --catalog catalog --out sample.png")
def sample(
    file: TripletFile,
    catalog: CatalogDir,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Picture to write (.png, .jpg).")],
    count: Annotated[int, typer.Option(min=1, help="How many triplets.")] = 12,
    refused: Refused = False,
    seed: Seed = 0,
) -> None:
    """Draw some triplets into one picture."""
    show(triptych.triplets_sample(file, catalog, out, count=count, refused=refused, seed=seed))


@triplets.command(
    epilog="Examples: triptych triplets review triplets.parquet --catalog catalog --out review.html;  "
    "triptych triplets review triplets.parquet --apply verdicts.json --out reviewed.parquet"
)
def review(
    file: TripletFile,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Page to write, or with --apply a triplet file.")],
    catalog: Annotated[Path | None, typer.Option("--catalog", metavar="DIR", help="Folder of the catalog.")] = None,
    apply: Annotated[Path | None, typer.Option(metavar="FILE", help="Verdicts saved on such a page (.json).")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many triplets.")] = 100,
    refused: Refused = False,
    seed: Seed = 0,
) -> None:
    """Write a page on which a person accepts or rejects triplets, or take their verdicts in."""
    show(triptych.triplets_review(file, out, catalog=catalog, apply=apply, count=count, refused=refused, seed=seed))


@triplets.command(
    epilog="Examples: triptych triplets compare tags.parquet chat.parquet;  "
    "triptych triplets compare tags.parquet chat.parquet --truth wardrobe=world"
)
def compare(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Triplet files, each of another reasoner.")],
    truth: Annotated[
        str | None,
        typer.Option(metavar="NAME=DIR", help="Where the truth is known: wardrobe=DIR or fashion-products=DIR."),
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Comparison to write (.json).")] = None,
) -> None:
    """Set reasoners side by side: proposals, accepted, how many are true, calls, tokens, cost, seconds."""
    name, equals, folder = (truth or "").partition("=")
    if truth and not (name and equals and folder):
        raise UsageError(f"--truth {truth}: not a world and its folder, such as wardrobe=DIR")
    print(triptych.compare_reasoners(files, truth=(name, Path(folder)) if truth else None, output=output))


@triplets.command(epilog="Example: triptych triplets export triplets.parquet --catalog catalog --out dataset")
def export(
    file: TripletFile,
    out: OutDir,
    catalog: Annotated[
        Path | None, typer.Option("--catalog", metavar="DIR", help="Put the pictures of this catalog inside.")
    ] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Also the refused ones.")] = False,
) -> None:
    """Write a dataset folder for Hugging Face's datasets: Parquet and a card."""
    show(triptych.triplets_export(file, out, catalog=catalog, refused=refused))


@triplets.command(
    "import", epilog="Example: triptych triplets import cap.rc2.train.json --catalog catalog --out t.parquet"
)
def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="CIRR, LaSCo, MegaPairs or queries: .json or .jsonl.")],
    catalog: CatalogDir,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Triplet file to write (.parquet).")],
) -> None:
    """Take in other people's triplets, so that train can learn from them."""
    show(triptych.triplets_import(source, out, catalog=catalog))
