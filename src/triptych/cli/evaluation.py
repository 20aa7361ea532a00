"""Commands that measure: prepare, eval, score, compare, table, ablate, reproduce, leakage."""

from pathlib import Path
from typing import Annotated, Any

import typer

import triptych
from triptych.cli.app import CatalogDir, EncoderName, OutDir, Seed, Threads, VocabularyFile, app, show
from triptych.cli.options import takes
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError, UsageError
from triptych.evaluation.ablation.options import AblateOptions

_EXTRA_SHOWN = 20


@app.command(
    "eval",
    epilog="Examples: triptych eval wardrobe --root world --method all --composer composer;  "
    "triptych eval queries.jsonl --gallery pictures --method sum;  "
    "triptych eval fashioniq --root fashion-iq --split val --check",
)
def evaluate(
    benchmark: Annotated[
        str,
        typer.Argument(
            help="fashioniq, cirr, circo, genecis, fashion200k, lasco, fashion-products, wardrobe, "
            "or a .jsonl file of queries."
        ),
    ],
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="The benchmark's folder.")] = None,
    gallery: Annotated[Path | None, typer.Option(metavar="DIR", help="Pictures of your own queries.")] = None,
    split: Annotated[str, typer.Option(help="val, test, test1 (cirr), or all (the whole folder).")] = "test",
    encoder: EncoderName = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="picture, text, sum, slerp, caption-edit, caption-edit+picture or all; may be repeated."),
    ] = None,
    composer: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A trained composer; may be repeated.")
    ] = None,
    weight: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Weight of the words; chosen on the val split if not given."),
    ] = None,
    tune_root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder whose val split weights are chosen on.")
    ] = None,
    vocabulary: VocabularyFile = None,
    gap: Annotated[bool, typer.Option(help="Also measure picture only and words only, and the gap to them.")] = True,
    per_query: Annotated[bool, typer.Option("--per-query", help="Keep each query's metrics, for compare.")] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A choice within the protocol (gallery=union); may be repeated."),
    ] = None,
    submission: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="Write what the server of cirr (a folder) or circo scores."),
    ] = None,
    catalog: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A catalog of the pictures: they need no encoding again.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Encode nothing: list missing, corrupt and extra pictures.")
    ] = False,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Result file to write (.json).")] = None,
    threads: Threads = None,
) -> None:
    """Measure baselines and composers on a benchmark or on your own queries."""
    from triptych.evaluation.results.tables import format_gaps, format_table

    if check:
        _report(triptych.check_pictures(benchmark, root=root, gallery=gallery, split=split, settings=setting or ()))
        return
    result = triptych.evaluate(
        benchmark,
        root=root,
        gallery=gallery,
        split=split,
        encoder=encoder,
        methods=method or (),
        composers=composer or (),
        weight=weight,
        tune_root=tune_root,
        vocabulary=vocabulary,
        settings=setting or (),
        submission=submission,
        catalog=catalog,
        gap=gap,
        per_query=per_query,
        output=output,
        threads=threads,
    )
    if result["rows"]:
        print(format_table(result["rows"]))
        if gap:
            print(f"\n{format_gaps(result['rows'])}")


@app.command(epilog="Example: triptych prepare fashion-products --root fashion-products --out splits")
def prepare(
    benchmark: Annotated[str, typer.Argument(help="fashion-products.")],
    root: Annotated[Path, typer.Option(metavar="DIR", help="The benchmark's folder.")],
    out: OutDir,
) -> None:
    """Write a benchmark's splits: pairs to pretrain on, and lists of pictures without their labels."""
    if benchmark != "fashion-products":
        raise UsageError(f"{benchmark}: has no splits to prepare; fashion-products has")
    show(triptych.prepare_fashion_products(root, out))


def _report(found: dict[str, Any]) -> None:
    """Print what a check found. Raises FailureError where a picture is missing or corrupt."""
    for name in found["missing"]:
        print(f"missing  {name}")
    for name, reason in found["corrupt"]:
        print(f"corrupt  {name}: {reason}")
    for name in found["extra"][:_EXTRA_SHOWN]:
        print(f"extra    {name}")
    if len(found["extra"]) > _EXTRA_SHOWN:
        print(f"extra    … and {len(found['extra']) - _EXTRA_SHOWN} more that this split does not ask for")
    for name, counts in found["tasks"].items():
        said = ", ".join(f"{count} {what}" for what, count in counts.items()).replace("_", " ")
        print(f"{name}: {said}")
    if found["missing"] or found["corrupt"]:
        missing, corrupt = len(found["missing"]), len(found["corrupt"])
        raise FailureError(f"{missing} pictures are missing and {corrupt} corrupt: results would not be comparable")


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
    from triptych.evaluation.results.comparison import format_comparison

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
    from triptych.evaluation.leakage import format_leakage

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
    from triptych.evaluation.reproduction.pages import format_recipes, format_reproduction
    from triptych.evaluation.reproduction.recipes import load_recipes

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
    """Mine, train and measure recipes over seeds on val queries: what each option brings. Finished cells stay."""
    from triptych.evaluation.ablation.showing import format_ablation

    roots, catalogs = _folders(root), _folders(catalog)
    result = triptych.ablate(recipes, out, options, roots=roots, catalogs=catalogs, encoder=encoder, runtime=runtime)
    print(format_ablation(result))
    if result.failed:
        raise FailureError(
            f"{len(result.failed)} of {result.cells} cells failed; the same command runs only those again"
        )


def _folders(given: list[str] | None) -> dict[str, Path]:
    """Benchmarks and folders from texts such as "cirr=DIR". Raises UsageError for anything else."""
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
    """Score a submission file, or, where only a server knows the targets, check it as the server would."""
    from triptych.evaluation.results.tables import format_table

    result = triptych.score(benchmark, root=root, split=split, submission=submission, output=output)
    facts = result["submission"]
    if result["rows"]:
        print(format_table(result["rows"]))
        for aspect, value in result["rows"][0].get("aspects", {}).items():
            print(f"  mAP@10 {aspect:<30} {value:6.2f}")
    else:
        print(f"{submission}: as the server wants it; the targets of {split} are not public")
    show(
        {
            "metrics of": ", ".join(facts["files"]),
            "queries": facts["queries"],
            "answers that are the reference": facts["references_among_answers"],
            "names checked": "yes" if facts["names_checked"] else "no: the list of the gallery's pictures is not there",
        }
    )
