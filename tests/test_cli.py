"""The program as a user meets it: exit codes, one-line errors, help."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import triptych
from triptych.catalog.catalog import Catalog

COMMANDS = (
    "index",
    "mine",
    "refine",
    "triplets",
    "train",
    "finetune",
    "train-inversion",
    "adapt-encoder",
    "ablate",
    "eval",
    "reencode",
    "search",
    "serve",
    "make-key",
    "export-vectors",
    "export-models",
    "pretrain",
    "demo",
    "wardrobe",
    "prepare",
    "doctor",
    "compare",
    "table",
)


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from triptych.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str) -> None:
    shown = run(command, "--help")
    assert shown.returncode == 0
    assert f"triptych {command}" in shown.stdout.split("Example", 1)[1]


def test_the_version() -> None:
    shown = run("--version")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, f"triptych {triptych.__version__}\n", "")


def test_help_needs_no_numerical_library() -> None:
    code = (
        "import sys; sys.argv = ['triptych', '--help']\n"
        "from triptych.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('HEAVY', sorted({'numpy', 'torch', 'pyarrow', 'PIL', 'onnxruntime'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip().endswith("HEAVY []")


def test_a_search_never_loads_torch(tiny_catalog: Path, tiny_composer: Path) -> None:
    picture = Catalog(tiny_catalog).path(Catalog(tiny_catalog).names[0])
    code = (
        "import sys, triptych\n"
        "engine = triptych.EngineOptions(composer=sys.argv[3])\n"
        "triptych.search(sys.argv[1], image=sys.argv[2], text='red', engine=engine)\n"
        "print('torch' in sys.modules)"
    ).replace("sys.argv[1]", f"__import__('pathlib').Path({str(tiny_catalog)!r})")
    code = code.replace("sys.argv[2]", f"__import__('pathlib').Path({str(picture)!r})")
    code = code.replace("sys.argv[3]", f"__import__('pathlib').Path({str(tiny_composer)!r})")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("nonsense",), 2),
        (("train",), 2),
        (("search", "--catalog", "nowhere", "-k", "0", "--text", "x"), 2),
        (("search", "--catalog", "nowhere"), 2),
        (("index", "nowhere", "--catalog", "c"), 2),
        (("eval", "nonsense", "--root", ".", "--method", "sum"), 2),
        (("eval", "wardrobe", "--root", "."), 2),
        (("prepare", "nonsense", "--root", ".", "--out", "o"), 2),
        (("wardrobe", "--out", "o", "--designs", "many"), 2),
        (("wardrobe", "--out", "o", "--designs", "nonsense=3"), 2),
        (("search", "--catalog", "nowhere", "--text", "red"), 1),
        (("search", "--catalog", "nowhere", "--text", "red", "--rerank-top", "5"), 2),
        (("compare", "a.json"), 2),
        (("compare", "a.json", "b.json"), 1),
        (("table", "a.json"), 1),
        (("reproduce",), 2),
        (("reproduce", "--root", "cirr"), 2),
        (("leakage", "--catalog", "nowhere", "--gallery", "."), 1),
        (("leakage", "--catalog", "nowhere", "--gallery", ".", "--threshold", "2"), 2),
        (("table", "a.json", "--format", "word"), 2),
        (("mine", "--catalog", "nowhere", "--out", "t.parquet"), 1),
        (("train", "nowhere.parquet", "--catalog", "nowhere", "--out", "o"), 1),
        (("pretrain", "nowhere.csv", "--images", ".", "--out", "o"), 1),
        (("prepare", "fashion-products", "--root", ".", "--out", "o"), 1),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    arguments: tuple[str, ...], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run(*arguments)
    assert shown.returncode == code
    assert len(shown.stderr.strip().splitlines()) == 1
    assert shown.stderr.startswith("triptych: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "t", "--epochs", "0"), "See triptych train --help."),
        (("search", "--catalog", "nowhere", "--text", "red"), "no catalog here; make one with `triptych index`"),
        (("search", "--catalog", "c", "--rerank-timeout", "5"), "--rerank-timeout goes with --rerank"),
        (("search", "--catalog", "c", "--text", "x", "--rerank", "chat:m"), "needs --base-url"),
        (
            ("score", "lasco", "--submission", "s.json", "--root", ".", "--split", "val"),
            "lasco has no submission server",
        ),
    ],
)
def test_errors_say_what_to_do(arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in " ".join(run(*arguments).stderr.split())


def test_a_bug_is_one_line_too(tmp_path: Path) -> None:
    code = (
        "import triptych.core.environment, triptych.cli, sys\n"
        "triptych.core.environment.doctor = lambda: 1 / 0\n"
        "sys.argv = ['triptych', 'doctor']\n"
        "triptych.cli.main()"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.returncode == 1
    assert shown.stderr.startswith("triptych: a bug in triptych (ZeroDivisionError")
    assert len(shown.stderr.strip().splitlines()) == 1


def test_interrupting_says_how_to_go_on(wardrobe_world: Path, tmp_path: Path) -> None:
    """Ctrl-C, delivered while the second chunk is committed."""
    code = (
        "import os, signal, sys\n"
        "from triptych.catalog import catalog as store\n"
        "append, calls = store.Catalog.append, []\n"
        "def interrupted(*args):\n"
        "    append(*args)\n"
        "    calls.append(1)\n"
        "    if len(calls) == 2: os.kill(os.getpid(), signal.SIGINT)\n"
        "store.Catalog.append = interrupted\n"
        "from triptych.catalog import indexing\n"
        "indexing._CHUNK = 16\n"
        "from triptych.cli import main\n"
        "main()"
    )
    arguments = ["index", str(wardrobe_world / "images"), "--catalog", str(tmp_path / "catalog")]
    shown = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, start_new_session=True
    )
    assert shown.returncode == 128 + signal.SIGINT
    assert "goes on where it stopped" in shown.stderr
    assert "Traceback" not in shown.stderr
    assert len(Catalog(tmp_path / "catalog").names) == 32
    assert run(*arguments).returncode == 0
    assert len(Catalog(tmp_path / "catalog").names) == len(list((wardrobe_world / "images").iterdir()))


def test_results_as_json_on_standard_output(tiny_catalog: Path) -> None:
    shown = run("search", "--catalog", tiny_catalog, "--text", "red", "-k", 3, "--json")
    assert [hit["rank"] for hit in json.loads(shown.stdout)] == [1, 2, 3]


def test_eval_prints_a_table_and_writes_the_contract(
    wardrobe_world: Path, tiny_encoder: Path, tiny_composer: Path, tmp_path: Path
) -> None:
    result = tmp_path / "result.json"
    asked = ("--method", "picture", "--composer", tiny_composer, "--encoder", tiny_encoder, "--output", result)
    shown = run("eval", "wardrobe", "--root", wardrobe_world, *asked)
    assert shown.returncode == 0, shown.stderr
    assert "picture" in shown.stdout
    assert "combiner" in shown.stdout
    rows = json.loads(result.read_text(encoding="utf-8"))["rows"]
    assert {row["method"] for row in rows} == {"picture", "combiner"}


def test_wardrobe_draws_the_designs_and_views_asked_for(tmp_path: Path) -> None:
    shown = run("wardrobe", "--out", tmp_path, "--designs", "pretrain=2", "--designs", "test=1", "--views", "1")
    assert shown.returncode == 0
    drawn = {path.name for path in (tmp_path / "images").iterdir()}
    listed = {name: (tmp_path / f"{name}.txt").read_text("utf-8").split() for name in ("pretrain", "test")}
    assert drawn == {*listed["pretrain"], *listed["test"]}
    assert 6 <= len(listed["pretrain"]) <= 10
    assert 3 <= len(listed["test"]) <= 5
