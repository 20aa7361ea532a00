"""What stands in examples/ runs, and plug-ins work by name as they do as objects."""

import csv
import json
import sys
from itertools import permutations
from pathlib import Path

import pytest
from PIL import Image

import triptych
from made_benchmarks import read, write_cirr
from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.registry import find_benchmark
from triptych.catalog.catalog import Catalog
from triptych.cli import main
from triptych.core.errors import MismatchError, UsageError
from triptych.encoders.registry import load_encoder

EXAMPLES = Path(__file__).parents[1] / "examples"
COLOURS = {"red": (200, 30, 40), "green": (40, 140, 60), "blue": (40, 70, 190), "yellow": (240, 210, 60)}


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    """A folder of plain pictures, `red-0.png` and so on."""
    folder = tmp_path / "shop" / "images"
    folder.mkdir(parents=True)
    for colour, value in COLOURS.items():
        for number in range(3):
            Image.new("RGB", (40, 40 + number), value).save(folder / f"{colour}-{number}.png")
    return folder


@pytest.fixture
def queries(coloured: Path, tmp_path: Path) -> Path:
    """From each red picture to the blue ones."""
    targets = [f"blue-{number}.png" for number in range(3)]
    asked = [{"reference": f"red-{number}.png", "modification": "in blue", "targets": targets} for number in range(3)]
    path = tmp_path / "asked.jsonl"
    path.write_text("\n".join(map(json.dumps, asked)), "utf-8")
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> object:
    monkeypatch.setattr(sys, "argv", ["triptych", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_a_composer_on_cirr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import custom_composer

    root = write_cirr(write_cirr(tmp_path / "cirr"), "test1", groups=2)
    custom_composer.main(root, tmp_path / "out")
    said = capsys.readouterr().out
    metrics = [*(f"R@{k}" for k in (1, 5, 10, 50)), *(f"R_subset@{k}" for k in (1, 2, 3)), "Avg"]
    (row,) = read(tmp_path / "out" / "cirr.val.json")["rows"]
    assert (row["method"], list(row["metrics"]), row["protocol"]["reference"]) == ("midpoint", metrics, "removed")
    assert all(metric in said for metric in metrics)
    assert "composition gap" in said
    assert r"midpoint & " in said
    assert r"\bottomrule" in said
    found = triptych.score("cirr", root=root, split="test1", submission=tmp_path / "out" / "submission")
    assert found.submission.files == ["recall", "recall_subset"]
    # It is the weighted sum at one half.
    options = triptych.EvaluateOptions(split="val", methods=("sum",), weight=0.5)
    (half,) = triptych.evaluate("cirr", options, root=root, encoder="wardrobe").rows
    assert half.metrics == row["metrics"]


def test_an_encoder(queries: Path, coloured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import custom_encoder

    custom_encoder.main(str(queries), coloured)
    said = capsys.readouterr().out
    assert "custom_encoder:Colours" in said
    assert next(line for line in said.splitlines() if line.startswith("  text")).split()[3] == "100.00*"


def test_an_encoder_by_name_makes_a_catalog_that_names_it(
    queries: Path, coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, catalog = "custom_encoder:Colours", tmp_path / "catalog"
    assert run(monkeypatch, "index", coloured, "--catalog", catalog, "--encoder", name) == 0
    opened = Catalog(catalog)
    assert opened.encoder_name == name
    assert opened.encoder(name).dim == 8
    # A name that was read from a file never runs code.
    with pytest.raises(UsageError, match="files never run code; give it as --encoder"):
        opened.encoder()
    with pytest.raises(MismatchError, match="indexed with encoder custom_encoder:Colours"):
        opened.encoder("wardrobe")
    given = ("--gallery", coloured, "--catalog", catalog, "--method", "text")
    capsys.readouterr()
    assert run(monkeypatch, "eval", queries, *given, "--encoder", name) == 0
    said = capsys.readouterr()
    assert "100.00" in said.out
    assert "encode" not in said.err


@pytest.mark.slow
def test_an_encoder_from_the_folder_to_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import custom_encoder

    pictures, catalog, triplets, composer = (tmp_path / name for name in ("images", "catalog", "t.parquet", "composer"))
    pictures.mkdir()
    for (ground, value), (trim, other) in permutations(custom_encoder.COLOURS.items(), 2):
        picture = Image.new("RGB", (40, 40), value)
        picture.paste(other, (0, 0, 40, 10))
        picture.save(pictures / f"{ground}-{trim}.png")
    names = list(custom_encoder.COLOURS)
    (tmp_path / "words.json").write_text(json.dumps({"colour": names, "trim": [f"{name} trim" for name in names]}))
    (tmp_path / "asked.jsonl").write_text(
        json.dumps({"reference": "red-blue.png", "modification": "in green", "targets": ["green-blue.png"]})
    )
    given = ("--encoder", "custom_encoder:Colours", "--threads", 1)
    assert run(monkeypatch, "index", pictures, "--catalog", catalog, *given) == 0
    words = ("--vocabulary", tmp_path / "words.json")
    assert (
        run(monkeypatch, "mine", "--catalog", catalog, "--out", triplets, "--triplets-per-change", 8, *words, *given)
        == 0
    )
    learn = ("train", triplets, "--catalog", catalog, "--out", composer, "--epochs", 1)
    assert run(monkeypatch, *learn, *given) == 0
    assert read(composer / "config.json")["encoder"]["name"] == "custom_encoder:Colours"
    measure = ("eval", tmp_path / "asked.jsonl", "--gallery", pictures, "--catalog", catalog, "--composer", composer)
    assert run(monkeypatch, *measure, *given) == 0
    look = ("search", "--catalog", catalog, "--like", "red-blue.png", "--text", "in green", "--composer", composer)
    capsys.readouterr()
    assert run(monkeypatch, *look, "-k", 3, *given) == 0
    assert capsys.readouterr().out.count(".png") == 3
    for command in (learn, measure, look):
        assert run(monkeypatch, *command) == 2
        assert "files never run code; give it as --encoder" in capsys.readouterr().err


def test_a_plug_in_bears_the_name_that_it_was_given_by(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "shop_ai.py").write_text("from custom_encoder import Colours\nclass Other(Colours):\n    name = 'x'\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_encoder("shop_ai:Other").name == "shop_ai:Other"
    assert load_encoder("wardrobe").name == "wardrobe"


def test_a_benchmark(
    coloured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import custom_benchmark

    root = coloured.parent
    for split in ("val", "test"):
        with (root / f"{split}.csv").open("w", encoding="utf-8", newline="") as table:
            csv.writer(table).writerows([("reference", "text", "target"), ("red-0.png", "in blue", "blue-1.png")])
    custom_benchmark.main(root)
    assert "shop · all · test (1 queries, 12 pictures)" in capsys.readouterr().out
    given = ("custom_benchmark:SHOP", "--root", root, "--split", "test", "--method", "sum")
    output = tmp_path / "result.json"
    assert run(monkeypatch, "eval", *given, "--output", output) == 0
    (row,) = read(output)["rows"]
    assert (row["benchmark"], row["weight_from"], list(row["metrics"])) == ("shop", "val", ["R@1", "R@5"])
    assert run(monkeypatch, "check", "custom_benchmark:SHOP", "--root", root, "--split", "val") == 0
    capsys.readouterr()
    assert run(monkeypatch, "check", "custom_benchmark:SHOP", "--root", root, "--split", "train") == 2
    assert "shop has no split 'train'; choose one of val, test" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"composers": ["no_such:Composer"]}, r"--composer no_such:Composer: cannot be imported"),
        ({"composers": ["nowhere"]}, "--composer nowhere: there is no such composer; there are picture, text, sum"),
        ({"composers": [object()]}, "object: is no composer; it lacks name, compose, gallery"),
        ({"composers": ["sum"], "encoder": object()}, "object: is no encoder; it lacks name, fingerprint"),
        ({"composers": ["sum"], "encoder": "custom_encoder:COLOURS"}, "COLOURS: is no encoder; it lacks name"),
    ],
)
def test_one_line_where_something_is_lacking(given: dict[str, object], message: str, coloured: Path) -> None:
    import custom_benchmark

    with pytest.raises(UsageError, match=message):
        triptych.evaluate(custom_benchmark.SHOP, root=coloured.parent, **given)  # type: ignore[arg-type]


def test_a_benchmark_lacks_something(coloured: Path) -> None:
    with pytest.raises(UsageError, match="dict: is no benchmark; it lacks name, load, splits"):
        triptych.evaluate({}, root=coloured.parent, composers=["sum"])  # type: ignore[arg-type]
    assert isinstance(find_benchmark("cirr"), Benchmark)
