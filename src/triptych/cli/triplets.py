"""Commands about triplet files: triplets stats, sample, review, apply-review, compare, export, import."""

from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.cli.app import CatalogDir, OutDir, app, show, show_text
from triptych.cli.options import takes
from triptych.core.errors import FailureError, UsageError
from triptych.core.results import known_fields
from triptych.triplets.options import ReviewOptions, SampleOptions

triplets = typer.Typer(
    name="triplets",
    help="Look into a file of triplets, review it, export it or import others.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: triptych triplets stats triplets.parquet",
)
app.add_typer(triplets)

TripletFile = Annotated[Path, typer.Argument(metavar="FILE", help="Triplet file (.parquet).")]
TripletsOut = Annotated[Path, typer.Option("--out", metavar="FILE", help="Triplet file to write (.parquet).")]


@triplets.command(epilog="Example: triptych triplets stats triplets.parquet --against queries.jsonl")
def stats(
    file: TripletFile,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A benchmark's pictures (.txt) or queries (.jsonl), to look for leakage."),
    ] = None,
) -> None:
    """Count types of change, lengths, duplicates and leakage."""
    facts = triptych.triplets_stats(file, against=against)
    if not facts.accepted + facts.refused:
        raise FailureError(f"{file}: holds no triplet; make some with `triptych mine`")
    show(known_fields(facts))


@triplets.command(epilog="Example: triptych triplets sample triplets.parquet --catalog catalog --out sample.png")
@takes
def sample(
    file: TripletFile,
    catalog: CatalogDir,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Picture to write (.png, .jpg).")],
    options: SampleOptions,
) -> None:
    """Draw some triplets into one picture."""
    show(known_fields(triptych.triplets_sample(file, catalog, out, options)))


@triplets.command(epilog="Example: triptych triplets review triplets.parquet --catalog catalog --out review.html")
@takes
def review(
    file: TripletFile,
    catalog: CatalogDir,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Page to write (.html).")],
    options: ReviewOptions,
) -> None:
    """Write a page on which a person accepts or rejects triplets."""
    show(known_fields(triptych.triplets_review(file, catalog, out, options)))


@triplets.command(
    epilog="Example: triptych triplets apply-review triplets.parquet verdicts.json --out reviewed.parquet"
)
def apply_review(
    file: TripletFile,
    verdicts: Annotated[Path, typer.Argument(metavar="VERDICTS", help="Verdicts saved on a review page (.json).")],
    out: TripletsOut,
) -> None:
    """Write the triplets with a person's verdicts applied."""
    show(known_fields(triptych.triplets_apply_review(file, verdicts, out)))


@triplets.command(
    epilog="Examples: triptych triplets compare tags.parquet chat.parquet;  "
    "triptych triplets compare tags.parquet chat.parquet --truth wardrobe=world"
)
def compare(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Triplet files, each of another reasoner.")],
    truth: Annotated[
        str | None,
        typer.Option(metavar="NAME=DIR", help="Data with known attributes: wardrobe=DIR or fashion-products=DIR."),
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Comparison to write (.json).")] = None,
) -> None:
    """Compare reasoners: proposed, accepted and correct triplets, calls, tokens, cost, seconds."""
    from triptych.evaluation.reasoners import format_reasoners  # after --help, which is to need no numerical library

    name, equals, folder = (truth or "").partition("=")
    if truth and not (name and equals and folder):
        raise UsageError(f"--truth {truth}: not a data set and its folder, such as wardrobe=DIR")
    result = triptych.compare_reasoners(files, truth=(name, Path(folder)) if truth else None, output=output)
    show_text(format_reasoners(result))


@triplets.command(epilog="Example: triptych triplets export triplets.parquet --catalog catalog --out dataset")
def export(
    file: TripletFile,
    out: OutDir,
    catalog: Annotated[
        Path | None, typer.Option("--catalog", metavar="DIR", help="Include the pictures of this catalog.")
    ] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Also export refused triplets.")] = False,
    root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Present folder of the catalog's pictures, if they have moved since `index`."),
    ] = None,
) -> None:
    """Write a dataset folder for Hugging Face's datasets: Parquet files and a card."""
    show(known_fields(triptych.triplets_export(file, out, catalog=catalog, refused=refused, root=root)))


@triplets.command(
    "import", epilog="Example: triptych triplets import cap.rc2.train.json --catalog catalog --out t.parquet"
)
def import_(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="CIRR, FashionIQ, LaSCo, MegaPairs, MTCIR or queries (.json, .jsonl)."),
    ],
    catalog: CatalogDir,
    out: TripletsOut,
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT=NAME",
            help="For another format: the field that holds the reference, text, target or negatives; repeat it.",
        ),
    ] = None,
) -> None:
    """Read triplets of other data sets, so that train can learn from them."""
    names = dict(each.partition("=")[::2] for each in field) if field else None
    show(known_fields(triptych.triplets_import(source, out, catalog=catalog, names=names)))
