"""Commands that judge what was measured: compare, table, leakage, reproduce, ablate."""

from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.cli.app import CatalogDir, OutDir, Seed, Threads, app
from triptych.errors import FailureError, UsageError


@app.command(
    epilog="Examples: triptych compare a.json b.json;  triptych compare result.json --method sum --against combiner"
)
def compare(
    first: Annotated[Path, typer.Argument(metavar="FILE", help="Result file made by eval --per-query.")],
    second: Annotated[Path | None, typer.Argument(metavar="FILE", help="A second; else the first.")] = None,
    method: Annotated[str | None, typer.Option(help="Method of the first file; all if not given.")] = None,
    against: Annotated[str | None, typer.Option(help="Method of the second file; the same if not given.")] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Random draws for intervals and significance.")] = 10_000,
    seed: Seed = 0,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Comparison to write (.json).")] = None,
) -> None:
    """Compare methods on the same queries: difference, 95 % bootstrap interval, and a paired significance test."""
    from triptych.results import format_comparison

    result = triptych.compare(
        first, second, method=method, against=against, resamples=resamples, seed=seed, output=output
    )
    print(format_comparison(result))


@app.command(epilog="Example: triptych table result.json other.json --format latex")
def table(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Result files made by eval.")],
    format: Annotated[str, typer.Option(help="markdown, latex or csv.")] = "markdown",
    decimals: Annotated[int, typer.Option(min=0, max=4, help="Of every figure, but in CSV.")] = 2,
) -> None:
    """Set result files as one table: a line a method, columns by benchmark, several runs as mean ± deviation."""
    print(triptych.table(files, format=format, decimals=decimals))


@app.command(
    epilog="Example: triptych leakage --catalog catalog --gallery CIRCO/COCO2017_unlabeled/unlabeled2017 "
    "--output leaks.json"
)
def leakage(
    catalog: CatalogDir,
    gallery: Annotated[Path, typer.Option(metavar="DIR", help="A benchmark's pictures, or a catalog of them.")],
    triplets: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Only the pictures of its accepted triplets, not all.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Least cosine of pictures that are nearly the same.")] = 0.95,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="All pairs to write (.json).")] = None,
    threads: Threads = None,
) -> None:
    """Find pictures of a benchmark's gallery that are in the catalog too, byte by byte or nearly."""
    from triptych.benchmarks.overlap import format_leakage

    result = triptych.leakage(catalog, gallery, triplets=triplets, threshold=threshold, output=output, threads=threads)
    print(format_leakage(result))


@app.command(
    epilog="Examples: triptych reproduce --list;  triptych reproduce clip-b32 --root cirr=CIRR --root fashioniq=FIQ"
)
def reproduce(
    rows: Annotated[
        list[str] | None, typer.Argument(metavar="ROW", help="Published rows; all if none is named.")
    ] = None,
    root: Annotated[
        list[str] | None, typer.Option(metavar="NAME=DIR", help="A benchmark and its folder; may be repeated.")
    ] = None,
    catalog: Annotated[
        list[str] | None, typer.Option(metavar="NAME=DIR", help="A catalog of its pictures, by the rows' encoder.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the result files.")] = Path("reproduced"),
    composer: Annotated[Path | None, typer.Option(metavar="DIR", help="Trained composer for the row triptych.")] = None,
    recipes: Annotated[Path | None, typer.Option(metavar="FILE", help="Recipes of your own (.json).")] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="Run nothing: list rows, commands, published figures.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Measure rows of published tables again, and print theirs beside ours; what is measured is not run again."""
    from triptych.reproduction import format_recipes, format_reproduction, load_recipes

    if listing:
        known = load_recipes(recipes)
        print(format_recipes([recipe for recipe in known if not rows or recipe.row in rows], out))
        return
    roots, catalogs = _folders(root), _folders(catalog)
    result = triptych.reproduce(
        rows or (), roots=roots, catalogs=catalogs, out=out, composer=composer, recipes=recipes, threads=threads
    )
    print(format_reproduction(result))
    failed = sum(step["status"].startswith("failed") for step in result["steps"])
    if failed:
        raise FailureError(f"{failed} of {len(result['steps'])} steps failed; the same command runs only those again")


@app.command(
    epilog="Example: triptych ablate bench/ablation.json --out out --root wardrobe=world --catalog wardrobe=catalog"
)
def ablate(
    recipes: Annotated[Path, typer.Argument(metavar="FILE", help="Recipes of options for mine and train (.json).")],
    out: OutDir,
    root: Annotated[
        list[str], typer.Option(metavar="NAME=DIR", help="A benchmark with a val split, and its folder; repeat it.")
    ],
    catalog: Annotated[
        list[str], typer.Option(metavar="NAME=DIR", help="The catalog of its unlabelled pictures; repeat it.")
    ],
    seed: Annotated[list[int] | None, typer.Option(min=0, help="A seed; may be repeated; 0, 1 and 2.")] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Run this recipe only; repeat it.")] = None,
    threads: Threads = None,
) -> None:
    """Mine, train and measure recipes over seeds on val queries: what each option brings. Finished cells stay."""
    from triptych.ablation import format_ablation

    result = triptych.ablate(
        recipes,
        out,
        roots=_folders(root),
        catalogs=_folders(catalog),
        seeds=seed or (0, 1, 2),
        only=only or (),
        threads=threads,
    )
    print(format_ablation(result))
    if result["failed"]:
        count = len(result["failed"])
        raise FailureError(f"{count} of {result['cells']} cells failed; the same command runs only those again")


def _folders(given: list[str] | None) -> dict[str, Path]:
    """Benchmarks and folders from texts such as "cirr=DIR". Raises UsageError for anything else."""
    folders = {}
    for text in given or ():
        name, equals, folder = text.partition("=")
        if not equals or not folder:
            raise UsageError(f"{text!r}: not a benchmark and a folder, such as cirr=DIR")
        folders[name] = Path(folder)
    return folders
