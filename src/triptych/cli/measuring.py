"""Commands that measure: eval, prepare."""

from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.cli.app import EncoderName, OutDir, Threads, VocabularyFile, app, show
from triptych.errors import UsageError


@app.command(
    "eval",
    epilog="Examples: triptych eval wardrobe --root world --method all --composer composer;  "
    "triptych eval queries.jsonl --gallery pictures --method sum",
)
def evaluate(
    benchmark: Annotated[str, typer.Argument(help="fashion-products, wardrobe, or a .jsonl file of queries.")],
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="The benchmark's folder.")] = None,
    gallery: Annotated[Path | None, typer.Option(metavar="DIR", help="Pictures of your own queries.")] = None,
    split: Annotated[str, typer.Option(help="val, test, or all (the whole folder).")] = "test",
    encoder: EncoderName = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="picture, text, sum, caption-edit, caption-edit+picture or all; may be repeated."),
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
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Result file to write (.json).")] = None,
    threads: Threads = None,
) -> None:
    """Measure baselines and composers on a benchmark or on your own queries."""
    from triptych.report import format_gaps, format_table

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
        gap=gap,
        per_query=per_query,
        output=output,
        threads=threads,
    )
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
