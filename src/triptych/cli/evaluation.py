"""Commands that measure: prepare, check, eval, score, compare, inspect, table, ablate, reproduce, leakage."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.cli.app import CatalogDir, EncoderName, OutDir, app, show, show_text
from triptych.cli.options import When, logged, takes
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError, UsageError
from triptych.core.limits import DEFAULT_LIMITS, MAX_PIXELS_HELP, Limits
from triptych.core.options import option
from triptych.evaluation.ablation.options import AblateOptions
from triptych.evaluation.options import (
    CompareOptions,
    EvaluateChatOptions,
    EvaluateOptions,
    InspectOptions,
    LeakageOptions,
)

BenchmarkName = Annotated[
    str,
    typer.Argument(
        metavar="BENCHMARK",
        help="fashioniq, cirr, circo, genecis, fashion200k, lasco, icir, pinpoint, circled, fashion-products, closet, "
        "wardrobe, MODULE:ATTRIBUTE, or a .jsonl file of queries.",
    ),
]
BenchmarkDir = Annotated[Path | None, typer.Option(metavar="DIR", help="The benchmark's folder.")]
PluginEncoder = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME",
        help="photos (the default), wardrobe, hf:NAME_OR_DIR, a folder, the name of a plug-in, or MODULE:ATTRIBUTE.",
    ),
]
_CHAT = (
    *("compile_model", "base_url", "concurrency", "attempts", "read_timeout"),
    *("picture_size", "picture_quality", "one_image", "schema", "max_tokens", "temperature"),
    *("max_calls", "max_cost", "max_minutes", "price_in", "price_out"),
)
"""The flags of a chat model that count in an evaluation."""
ResultFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Result file to write (.json).")]


@dataclass(frozen=True)
class _Files:
    """The files that an evaluation reads and writes besides the benchmark."""

    catalog: Path | None = option(None, "Catalog of the pictures, which saves encoding them again.", metavar="DIR")
    output: Path | None = option(None, "Result file to write (.json).", metavar="FILE")


@app.command(
    "eval",
    epilog="Examples: triptych eval wardrobe --root world --method all --composer composer;  "
    "triptych eval queries.jsonl --gallery pictures --method sum",
)
@logged
@takes
def evaluate(
    benchmark: BenchmarkName,
    options: EvaluateOptions,
    runtime: Runtime,
    root: BenchmarkDir = None,
    composer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="The folder of a trained composer, a plug-in, or MODULE:ATTRIBUTE; may be repeated."
        ),
    ] = None,
    encoder: PluginEncoder = None,
    files: _Files = _Files(),
    chat: Annotated[EvaluateChatOptions | None, When("base_url", only=_CHAT)] = None,
) -> None:
    """Measure baselines and composers on a benchmark or on your own queries."""
    result = triptych.evaluate(
        benchmark,
        replace(options, chat=chat),
        root=root,
        composers=composer or (),
        encoder=encoder,
        catalog=files.catalog,
        output=files.output,
        runtime=runtime,
    )
    if result.rows:
        show_text(result)


@app.command(epilog="Example: triptych check fashioniq --root fashion-iq --split val")
def check(
    benchmark: BenchmarkName,
    root: BenchmarkDir = None,
    gallery: Annotated[Path | None, typer.Option(metavar="DIR", help="Pictures of your own queries.")] = None,
    split: Annotated[str, typer.Option(help="val, test, test1 (cirr), or all (the whole folder).")] = "test",
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A choice within the protocol (gallery=union); may be repeated."),
    ] = None,
    max_pixels: Annotated[float, typer.Option(help=MAX_PIXELS_HELP, min=0.01)] = DEFAULT_LIMITS.max_pixels / 1e6,
) -> None:
    """List missing, corrupt and extra pictures of a benchmark. Nothing is encoded."""
    limits = Limits.of_millions(max_pixels)
    found = triptych.check_benchmark(
        benchmark, root=root, gallery=gallery, split=split, settings=setting or (), limits=limits
    )
    show_text(found)
    if found.missing or found.corrupt:
        missing, corrupt = len(found.missing), len(found.corrupt)
        raise FailureError(f"{missing} pictures are missing and {corrupt} corrupt: results would not be comparable")


@app.command(epilog="Example: triptych prepare fashion-products --root fashion-products --out splits")
def prepare(
    benchmark: Annotated[str, typer.Argument(help="fashion-products.")],
    root: Annotated[Path, typer.Option(metavar="DIR", help="The benchmark's folder.")],
    out: OutDir,
) -> None:
    """Write a benchmark's splits: pairs for pretraining, and lists of pictures without their labels."""
    from triptych.benchmarks.registry import find_benchmark, names_where

    make = find_benchmark(benchmark).prepare
    if make is None:
        those = " and ".join(names_where(lambda known: known.prepare))
        raise UsageError(f"{benchmark}: has no splits to prepare; {those} has")
    show(make(root, out))


@app.command(
    epilog="Examples: triptych compare a.json b.json;  triptych compare result.json --method sum --against combiner"
)
@takes
def compare(
    first: Annotated[Path, typer.Argument(metavar="FILE", help="Result file made by eval --per-query.")],
    options: CompareOptions,
    second: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Second result file; by default the first.")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Comparison to write (.json).")] = None,
) -> None:
    """Compare methods on the same queries: difference, 95 % bootstrap interval, and a paired significance test."""
    show_text(triptych.compare(first, second, options, output=output))


@app.command(
    epilog="Examples: triptych inspect a.json b.json;  "
    "triptych inspect a.json b.json --show only-second --out only-second.html"
)
@takes
def inspect(
    first: Annotated[Path, typer.Argument(metavar="FILE", help="Result file made by eval --answers 10.")],
    options: InspectOptions,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Page to write (.html).")] = Path("inspect.html"),
    second: Annotated[Path | None, typer.Argument(metavar="FILE", help="A second, to stand beside it.")] = None,
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The benchmark's folder; where it was measured if not given.")
    ] = None,
    gallery: Annotated[Path | None, typer.Option(metavar="DIR", help="Pictures of your own queries.")] = None,
) -> None:
    """Write a page with a result file's queries, pictures and answers, of one method or of two side by side."""
    show(triptych.inspect(first, second, options, out=out, root=root, gallery=gallery))


@app.command(epilog="Example: triptych table result.json other.json --format latex")
def table(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Result files made by eval.")],
    format: Annotated[str, typer.Option(help="markdown, latex or csv.")] = "markdown",
    decimals: Annotated[int, typer.Option(min=0, max=4, help="Decimals of every figure, except in CSV.")] = 2,
) -> None:
    """Print result files as one table: a line for each method, columns by
    benchmark, several runs as mean ± deviation."""
    show_text(triptych.table(files, format=format, decimals=decimals))


@app.command(
    epilog="Example: triptych leakage --catalog catalog --gallery CIRCO/COCO2017_unlabeled/unlabeled2017 "
    "--output leaks.json"
)
@logged
@takes
def leakage(
    catalog: CatalogDir,
    gallery: Annotated[Path, typer.Option(metavar="DIR", help="A benchmark's pictures, or a catalog of them.")],
    options: LeakageOptions,
    runtime: Runtime,
    triplets: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Triplet file; compare only the pictures of its accepted triplets."),
    ] = None,
    encoder: PluginEncoder = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="All pairs to write (.json).")] = None,
) -> None:
    """Find pictures of a benchmark's gallery that are also in the catalog, as equal files or as near-duplicates."""
    show_text(
        triptych.leakage(catalog, gallery, options, triplets=triplets, encoder=encoder, output=output, runtime=runtime)
    )


@app.command(
    epilog="Examples: triptych reproduce --list;  triptych reproduce clip-b32 --root cirr=CIRR --root fashioniq=FIQ"
)
@logged
@takes
def reproduce(
    runtime: Runtime,
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
) -> None:
    """Measure rows of published tables, and print published and measured figures side by side."""
    from triptych.evaluation.reproduction.pages import format_recipes, format_reproduction
    from triptych.evaluation.reproduction.recipes import load_recipes

    if listing:
        known = load_recipes(recipes)
        show_text(format_recipes([recipe for recipe in known if not rows or recipe.row in rows], out))
        return
    roots, catalogs = _folders(root), _folders(catalog)
    result = triptych.reproduce(
        rows or (), roots=roots, catalogs=catalogs, out=out, composer=composer, recipes=recipes, runtime=runtime
    )
    show_text(format_reproduction(result))
    failed = sum(step.failed for step in result.steps)
    if failed:
        raise FailureError(f"{failed} of {len(result.steps)} steps failed; the same command runs only those again")


@app.command(
    epilog="Example: triptych ablate bench/ablation.json --out out --root wardrobe=world --catalog wardrobe=catalog"
)
@logged
@takes
def ablate(
    recipes: Annotated[Path, typer.Argument(metavar="FILE", help="Recipes of options for mine and train (.json).")],
    out: OutDir,
    root: Annotated[
        list[str], typer.Option(metavar="NAME=DIR", help="A benchmark with a val split, and its folder; repeat it.")
    ],
    catalog: Annotated[
        list[str], typer.Option(metavar="NAME=DIR", help="The catalog of its unlabelled pictures; repeat it.")
    ],
    options: AblateOptions,
    runtime: Runtime,
    encoder: EncoderName = None,
) -> None:
    """Mine, train and measure recipes over seeds on val queries, to see what each
    option brings. Finished cells are kept."""
    from triptych.evaluation.ablation.showing import format_ablation

    roots, catalogs = _folders(root), _folders(catalog)
    result = triptych.ablate(recipes, out, options, roots=roots, catalogs=catalogs, encoder=encoder, runtime=runtime)
    show_text(format_ablation(result))
    if result.failed:
        raise FailureError(
            f"{len(result.failed)} of {result.cells} cells failed; the same command runs only those again"
        )


def _folders(given: list[str] | None) -> dict[str, Path]:
    """Parse benchmarks and folders such as "cirr=DIR".

    Raises:
        UsageError: a text has another form.
    """
    folders = {}
    for text in given or ():
        name, equals, folder = text.partition("=")
        if not equals or not folder:
            raise UsageError(f"{text!r}: not a benchmark and a folder, such as cirr=DIR")
        folders[name] = Path(folder)
    return folders


@app.command(epilog="Example: triptych score circo --root CIRCO --split val --submission submission_val.json")
def score(
    benchmark: Annotated[str, typer.Argument(help="cirr or circo.")],
    root: Annotated[Path, typer.Option(metavar="DIR", help="The benchmark's folder; no pictures are needed.")],
    split: Annotated[str, typer.Option(help="val, or test1 (cirr), test (circo).")],
    submission: Annotated[
        Path, typer.Option(metavar="FILE|DIR", help="Submission file, or a folder with both of CIRR's.")
    ],
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Result file to write (.json).")] = None,
) -> None:
    """Score a submission file, or check it as the server would if only the server knows the targets."""
    result = triptych.score(benchmark, root=root, split=split, submission=submission, output=output)
    facts = result.submission
    if result.rows:
        show_text(result)
        for aspect, value in (result.rows[0].aspects or {}).items():
            show_text(f"  mAP@10 {aspect:<30} {value:6.2f}")
    else:
        show_text(f"{submission}: as the server wants it; the targets of {split} are not public")
    show(
        {
            "metrics of": ", ".join(facts.files),
            "queries": facts.queries,
            "answers that are the reference": facts.references_among_answers,
            "names checked": "yes" if facts.names_checked else "no: the list of the gallery's pictures is not there",
        }
    )
