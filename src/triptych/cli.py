"""The command line: a thin face over the public functions."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.exceptions

import triptych
from triptych.errors import TriptychError, UsageError

app = typer.Typer(
    name="triptych",
    help="Find a picture from another picture and a few words, with no labelled data.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

CatalogDir = Annotated[Path, typer.Option("--catalog", metavar="DIR", help="Folder of the catalog.")]
OutDir = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads; fewer can be faster on a busy machine.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
EncoderName = Annotated[
    str | None,
    typer.Option("--encoder", metavar="NAME", help="wardrobe, hf:NAME_OR_DIR, or a folder made by pretrain."),
]
VocabularyFile = Annotated[
    Path | None, typer.Option("--vocabulary", metavar="FILE", help='JSON: {"colour": ["red", "blue"], …}.')
]


@app.command(epilog="Example: triptych index ~/Pictures --catalog catalog")
def index(
    pictures: Annotated[Path, typer.Argument(help="A folder, or a .txt list of pictures below --root.")],
    catalog: CatalogDir,
    encoder: EncoderName = None,
    metadata: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Columns to filter by; the first one names the picture."),
    ] = None,
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="What the names in a .txt list start from.")] = None,
    threads: Threads = None,
) -> None:
    """Encode pictures into a catalog; run it again and only what changed is encoded."""
    _show(triptych.index(pictures, catalog, encoder=encoder, metadata=metadata, root=root, threads=threads))


@app.command(epilog="Example: triptych mine --catalog catalog --out triplets.parquet")
def mine(
    catalog: CatalogDir,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Triplet file to write (.parquet).")],
    reasoner: Annotated[str, typer.Option(help="Who reasons about the pictures: tags.")] = "tags",
    vocabulary: VocabularyFile = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use this many reference pictures, not all.")] = None,
    plans: Annotated[int, typer.Option(min=1, help="Ideas of what could change, for each reference.")] = 6,
    targets: Annotated[int, typer.Option(min=1, help="Triplets for each idea, at most.")] = 2,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Let the agent build <reference, modification, target> triplets from the catalog's pictures."""
    _show(
        triptych.mine(
            catalog,
            out,
            reasoner=reasoner,
            vocabulary=vocabulary,
            limit=limit,
            plans=plans,
            targets=targets,
            seed=seed,
            threads=threads,
        )
    )


@app.command(epilog="Example: triptych train triplets.parquet --catalog catalog --out composer")
def train(
    triplets: Annotated[Path, typer.Argument(help="Triplet file made by mine.")],
    catalog: CatalogDir,
    out: OutDir,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the triplets.")] = 4,
    batch: Annotated[int, typer.Option(min=2, help="Triplets a step.")] = 256,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Train a composer on triplets; the best epoch on held-out triplets is kept."""
    _show(triptych.train(triplets, catalog, out, epochs=epochs, batch=batch, seed=seed, threads=threads))


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
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Result file to write (.json).")] = None,
    threads: Threads = None,
) -> None:
    """Measure baselines and composers on a benchmark or on your own queries."""
    from triptych.report import format_table

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
        output=output,
        threads=threads,
    )
    print(format_table(result["rows"]))


@app.command(epilog='Example: triptych search --catalog catalog --image jacket.jpg --text "but in red"')
def search(
    catalog: CatalogDir,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="The reference picture.")] = None,
    text: Annotated[str, typer.Option(help="What should differ.")] = "",
    composer: Annotated[Path | None, typer.Option(metavar="DIR", help="Trained composer; else a sum.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many results.")] = 10,
    weight: Annotated[float, typer.Option(min=0, max=1, help="Weight of the words in the sum.")] = 0.5,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Metadata condition such as colour=red or price<=50; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Contact sheet (.png, .jpg) or results (.json).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    threads: Threads = None,
) -> None:
    """Search a catalog with a picture and a few words."""
    hits = triptych.search(
        catalog,
        image=image,
        text=text,
        composer=composer,
        k=k,
        weight=weight,
        where=where or (),
        output=output,
        threads=threads,
    )
    if as_json:
        print(json.dumps([vars(hit) for hit in hits], ensure_ascii=False, indent=2))
    else:
        for hit in hits:
            print(f"{hit.rank:>4}  {hit.score:.4f}  {hit.path}")


@app.command(epilog="Example: triptych pretrain pairs.csv --images photos --out encoder")
def pretrain(
    pairs: Annotated[Path, typer.Argument(help="CSV with the columns image,caption.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="What the image names start from.")],
    out: OutDir,
    size: Annotated[int, typer.Option(help="Side of the encoder's pictures, in pixels.")] = 64,
    width: Annotated[int, typer.Option(help="Channels of the first stage.")] = 64,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the pairs.")] = 25,
    batch: Annotated[int, typer.Option(min=2, help="Pairs a step.")] = 256,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Train a small encoder of pictures and texts from picture-caption pairs."""
    _show(
        triptych.pretrain(
            pairs, images, out, size=size, width=width, epochs=epochs, batch=batch, seed=seed, threads=threads
        )
    )


@app.command(epilog="Example: triptych demo --out demo")
def demo(
    out: OutDir = Path("demo"),
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Run the whole way on a generated wardrobe, ending in a table and a report with pictures."""
    from triptych.report import format_table

    result = triptych.demo(out, seed=seed, threads=threads)
    print(format_table(result["rows"]))
    print(f"\nreport: {out / 'report.html'}")


@app.command(epilog="Example: triptych wardrobe --out world --designs unlabelled=500 --designs test=300")
def wardrobe(
    out: OutDir,
    designs: Annotated[
        list[str] | None,
        typer.Option(metavar="SPLIT=N", help="How many designs a split gets, of about 4 garments; may be repeated."),
    ] = None,
    views: Annotated[int, typer.Option(min=1, help="Pictures of each garment.")] = 2,
    seed: Seed = 0,
) -> None:
    """Draw the embedded world: garment pictures, captions and queries."""
    made = triptych.write_world(out, seed=seed, lines=_counts(designs) if designs else None, views=views)
    _show({part: made[part] for part in ("pictures", "garments", "queries")})


@app.command(epilog="Example: triptych prepare fashion-products --root fashion-products --out splits")
def prepare(
    benchmark: Annotated[str, typer.Argument(help="fashion-products.")],
    root: Annotated[Path, typer.Option(metavar="DIR", help="The benchmark's folder.")],
    out: OutDir,
) -> None:
    """Write a benchmark's splits: pairs to pretrain on, and lists of pictures without their labels."""
    if benchmark != "fashion-products":
        raise UsageError(f"{benchmark}: has no splits to prepare; fashion-products has")
    _show(triptych.prepare_fashion_products(root, out))


@app.command(epilog="Example: triptych doctor")
def doctor() -> None:
    """Tell what this machine can do."""
    _show(triptych.doctor())


def _counts(asked: Sequence[str]) -> dict[str, int]:
    """Names and numbers from "name=3". Raises UsageError for anything else."""
    counts = {}
    for text in asked:
        name, equals, number = text.partition("=")
        if not equals or not number.isdecimal():
            raise UsageError(f"{text!r}: not a split and a number, such as pretrain=1000")
        counts[name] = int(number)
    return counts


def _show(facts: Mapping[str, Any]) -> None:
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        print(f"{name.replace('_', ' '):<{width}}  {value}")


_INTERRUPTED = 130  # as shells have it: 128 and the number of the signal


def main() -> None:
    """Run the program; end with 0, 1 (failed), 2 (bad usage) or 130 (interrupted), and never with a traceback."""
    try:
        code = typer.main.get_command(app).main(prog_name="triptych", standalone_mode=False)
    except typer.exceptions.TyperException as error:
        message = error.format_message()
        if "\n" in message:  # the help, for a command without arguments
            print(message)
            sys.exit(error.exit_code)
        code = _complain(f"{message} See triptych --help.", error.exit_code)
    except TriptychError as error:
        code = _complain(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, as in `triptych … | head`: nothing is wrong, and there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        code = _complain(f"{error.filename or 'system'}: {error.strerror or error}", 1)
    except Exception as error:
        if os.environ.get("TRIPTYCH_DEBUG"):
            raise
        what = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        code = _complain(f"a bug in triptych ({what}); please report it with the output under TRIPTYCH_DEBUG=1", 1)
    if code == _INTERRUPTED:  # Typer may have turned the interrupt into this code itself
        _complain("interrupted; the same command goes on where it stopped", code)
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str, code: int) -> int:
    print(f"triptych: {' '.join(message.split())}", file=sys.stderr)
    return code
