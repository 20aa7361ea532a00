"""Commands that measure: eval, prepare."""

from pathlib import Path
from typing import Annotated, Any

import typer

import triptych
from triptych.cli.app import EncoderName, OutDir, Threads, VocabularyFile, app, show
from triptych.errors import FailureError, UsageError

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
    from triptych.report import format_gaps, format_table

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
