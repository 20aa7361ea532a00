"""Commands that judge what was measured: compare, table, leakage."""

from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.cli.app import CatalogDir, Seed, Threads, app


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


@app.command(epilog="Example: triptych leakage --catalog catalog --gallery CIRCO/unlabeled2017 --output leaks.json")
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
