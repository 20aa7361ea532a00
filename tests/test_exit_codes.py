"""Every command of the program on an input that yields nothing: it fails, with one line that says what is lacking."""

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from loopback import noise_catalog
from triptych.catalog.catalog import Catalog
from triptych.cli import app, main
from triptych.encoders.registry import load_encoder
from triptych.triplets.file import Modification, Triplet, write_triplets


@dataclass(frozen=True)
class Nothing:
    """Artefacts with nothing in them, and a catalog that has pictures."""

    folder: Path
    catalog: Path
    noise: Path
    triplets: Path
    refused: Path
    result: Path


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Nothing:
    out = tmp_path_factory.mktemp("nothing")
    made = Nothing(
        out / "empty", out / "catalog", noise_catalog(out / "noise", 30), *(out / name for name in
        ("none.parquet", "refused.parquet", "result.json"))
    )  # fmt: skip
    made.folder.mkdir()
    Catalog.create(made.catalog, made.folder, load_encoder("wardrobe", threads=1), {"command": "test"})
    (out / "noise").mkdir(exist_ok=True)
    write_triplets(made.triplets, [], {"command": "test"})
    bad = Triplet("0000.png", "0001.png", (Modification("relative", "x"),), (), (), False, "no", 0.0, 0.0, "tags")
    write_triplets(made.refused, [bad], {"command": "test"})
    made.result.write_text(json.dumps({"rows": [], "made_by": {}}))
    (out / "empty.jsonl").write_text("\n")
    (out / "empty.json").write_text("[]")
    (out / "empty.txt").write_text("")
    (out / "header.csv").write_text("image,caption\n")
    (out / "none.json").write_text('{"verdicts": {}}')
    return made


# What each command is given; words in capitals stand for the artefacts above, and OUT for a place to write to.
GIVEN: dict[str, list[str]] = {
    "index": ["index EMPTY --catalog OUT", "index LIST --catalog OUT"],
    "search": [
        "search --catalog CATALOG --text red",
        "search --catalog NOISE --text red --offset 99",
        "search --catalog CATALOG",
        "search --catalog CATALOG --text red -k 0",
    ],
    "convert-encoder": ["convert-encoder EMPTY --out OUT"],
    "export-vectors": ["export-vectors --catalog CATALOG --to qdrant --out OUT"],
    "export-models": ["export-models --encoder wardrobe --composer EMPTY --out OUT"],
    "mine": ["mine --catalog CATALOG --out OUT"],
    "mine-chat": ["mine-chat m --base-url http://127.0.0.1:9/v1 --catalog CATALOG --out OUT"],
    "mine-status": ["mine-status OUT"],
    "refine": ["refine TRIPLETS --catalog NOISE --out OUT", "refine REFUSED --catalog NOISE --out OUT"],
    "train": ["train TRIPLETS --catalog NOISE --out OUT", "train REFUSED --catalog NOISE --out OUT"],
    "judge": [
        "judge EMPTY --catalog NOISE --validate-by QUERIES",
        "judge EMPTY --catalog CATALOG --validate-by kind",
    ],
    "reencode": ["reencode CATALOG --encoder wardrobe --out OUT", "reencode EMPTY --encoder photos --out OUT"],
    "finetune": ["finetune TRIPLETS --catalog CATALOG --out OUT"],
    "train-inversion": ["train-inversion lincir --catalog CATALOG --out OUT"],
    "pretrain": ["pretrain HEADER --images EMPTY --out OUT"],
    "adapt-encoder": ["adapt-encoder EMPTY --out OUT"],
    "eval": ["eval QUERIES --gallery EMPTY --method sum", "eval wardrobe --root EMPTY --method sum"],
    "check": ["check QUERIES --gallery EMPTY"],
    "prepare": ["prepare fashion-products --root EMPTY --out OUT"],
    "compare": ["compare RESULT --method sum --against text", "compare RESULT RESULT"],
    "table": ["table RESULT", "table ARRAY"],
    "leakage": ["leakage --catalog CATALOG --gallery EMPTY"],
    "reproduce": [
        "reproduce --recipes ARRAY --root cirr=EMPTY --out OUT",
        "reproduce clip-b32 --root cirr=EMPTY --out OUT",
    ],
    "ablate": ["ablate ARRAY --out OUT --root wardrobe=EMPTY --catalog wardrobe=CATALOG"],
    "score": ["score cirr --root EMPTY --split val --submission ARRAY"],
    "serve": ["serve --catalog EMPTY --port 0"],
    "make-key": ["make-key OUT ''"],
    "wardrobe": ["wardrobe --out OUT --designs test=0"],
    "inspect": ["inspect RESULT --out OUT", "inspect ARRAY --out OUT"],
    "push": ["push EMPTY OUT", "push CATALOG OUT"],
    "pull": ["pull EMPTY OUT", "pull CATALOG OUT"],
    "update": ["update HEADER --catalog NOISE", "update HEADER --catalog EMPTY"],
    "triplets stats": ["triplets stats TRIPLETS"],
    "triplets sample": ["triplets sample TRIPLETS --catalog NOISE --out OUT"],
    "triplets review": ["triplets review TRIPLETS --catalog NOISE --out OUT"],
    "triplets apply-review": ["triplets apply-review TRIPLETS VERDICTS --out OUT"],
    "triplets compare": ["triplets compare TRIPLETS"],
    "triplets export": ["triplets export TRIPLETS --out OUT", "triplets export REFUSED --out OUT"],
    "triplets import": ["triplets import ARRAY --catalog NOISE --out OUT"],
}  # fmt: skip
NEEDS_NO_INPUT = {"demo", "doctor"}


def commands() -> Iterator[str]:
    """The names of all commands, those of a group behind its name."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        yield from (f"{name} {other}" for other in inner) if inner else (name,)


def test_every_command_is_walked_through() -> None:
    assert {*commands()} == {*GIVEN} | NEEDS_NO_INPUT


@pytest.mark.parametrize("given", [line for lines in GIVEN.values() for line in lines])
def test_nothing_comes_of_nothing_and_is_a_failure(
    given: str, nothing: Nothing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {
        "EMPTY": nothing.folder,
        "CATALOG": nothing.catalog,
        "NOISE": nothing.noise,
        "TRIPLETS": nothing.triplets,
        "REFUSED": nothing.refused,
        "RESULT": nothing.result,
        "QUERIES": nothing.folder.parent / "empty.jsonl",
        "ARRAY": nothing.folder.parent / "empty.json",
        "LIST": nothing.folder.parent / "empty.txt",
        "HEADER": nothing.folder.parent / "header.csv",
        "VERDICTS": nothing.folder.parent / "none.json",
        "OUT": tmp_path / "out",
        "''": "",
    }
    words = [f"{name}={places[end]}" if end in places and name else str(places.get(word, word))
             for word in given.split() for name, _, end in [word.partition("=")]]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["triptych", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert ended.value.code in (1, 2), (printed.out, printed.err)
    complaints = [line for line in printed.err.splitlines() if line.startswith("triptych: ")]
    assert len(complaints) == 1, printed.err
    assert printed.err.rstrip().endswith(complaints[0])
    assert "a bug in triptych" not in printed.err
    assert "Traceback" not in printed.err
    assert not printed.out.strip() or given.startswith("reproduce")  # which lists what it could not measure


@pytest.mark.parametrize(
    "given",
    [
        "mine --catalog NOWHERE --out triplets.csv",
        "mine-chat m --base-url http://127.0.0.1:9/v1 --catalog NOISE --out triplets.json",
        "refine TRIPLETS --catalog NOISE --out refined.csv",
        "eval wardrobe --root NOWHERE --method sum --output result.csv",
        "compare RESULT --method sum --against text --output comparison.html",
        "leakage --catalog NOISE --gallery NOISE --output leaks.csv",
        "score cirr --root NOWHERE --split val --submission NOWHERE --output score.parquet",
        "search --catalog NOISE --text red --output found.csv",
        "triplets import RESULT --catalog NOISE --out triplets.jsonl",
        "triplets sample TRIPLETS --catalog NOISE --out sample.html",
        "triplets review TRIPLETS --catalog NOISE --out review.pdf",
        "triplets compare TRIPLETS --output comparison.csv",
    ],
)
def test_a_suffix_that_contradicts_the_content_is_refused(
    given: str, nothing: Nothing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"NOISE": nothing.noise, "TRIPLETS": nothing.triplets, "RESULT": nothing.result, "NOWHERE": "nowhere"}
    monkeypatch.setattr(sys, "argv", ["triptych", *(str(places.get(word, word)) for word in given.split())])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert ended.value.code == 2, printed.err
    assert given.split()[-1] in printed.err


def test_messages_are_utf8_where_the_systems_encoding_lacks_characters(monkeypatch, tmp_path: Path) -> None:
    """As on Windows, if output goes to a file or program."""
    said = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(said, "cp1252"))
    monkeypatch.setattr(sys, "argv", ["triptych", "search", "--catalog", str(tmp_path / "→"), "--text", "x"])
    with pytest.raises(SystemExit, match="1"):
        main()
    sys.stderr.flush()
    assert "→" in said.getvalue().decode("utf-8")
