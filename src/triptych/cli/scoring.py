"""Commands about files that others score: score."""

from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.cli.app import app, show


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
    from triptych.report import format_table

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
