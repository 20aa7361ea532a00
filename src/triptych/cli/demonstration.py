"""Commands to try the program: demo, wardrobe, doctor."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.cli.app import OutDir, Seed, app, show
from triptych.cli.options import logged, takes
from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.demonstration.options import DemoOptions


@app.command(epilog="Example: triptych demo --out demo")
@logged
@takes
def demo(
    options: DemoOptions,
    runtime: Runtime,
    out: OutDir = Path("demo"),
) -> None:
    """Run all stages on example photos, with a table of results and a report with pictures."""
    from triptych.evaluation.results.tables import format_table

    print(format_table(triptych.demo(out, options, runtime=runtime).rows))
    print(f"\nreport: {out / 'report.html'}")


@app.command(epilog="Example: triptych wardrobe --out world --designs unlabelled=500 --designs test=300")
def wardrobe(
    out: OutDir,
    designs: Annotated[
        list[str] | None,
        typer.Option(metavar="SPLIT=N", help="Designs of a split, each of about 4 garments; may be repeated."),
    ] = None,
    views: Annotated[int, typer.Option(min=1, help="Pictures of each garment.")] = 2,
    seed: Seed = 0,
) -> None:
    """Draw the built-in example data: pictures of garments, captions and queries."""
    made = triptych.write_wardrobe(out, seed=seed, lines=_counts(designs) if designs else None, views=views)
    show(vars(made))


@app.command(epilog="Example: triptych doctor")
def doctor() -> None:
    """Show what this machine can do, and which encoders there are."""
    show({**triptych.doctor(), **{f"encoder {name}": what for name, what in triptych.KNOWN_ENCODERS.items()}})


def _counts(asked: Sequence[str]) -> dict[str, int]:
    """Parse names and numbers such as "name=3".

    Raises:
        UsageError: a text has another form.
    """
    counts = {}
    for text in asked:
        name, equals, number = text.partition("=")
        if not equals or not number.isdecimal():
            raise UsageError(f"{text!r}: not a split and a number, such as pretrain=1000")
        counts[name] = int(number)
    return counts
