"""What runs where torch is not installed, and the message of a command that needs it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from serving_helpers import Service
from triptych.catalog.catalog import Catalog
from triptych.core.environment import EXTRAS, doctor, install_command
from triptych.core.images import NEEDS_HEIF

TORCH = ("torch", *EXTRAS["train"], "transformers")
BLOCKED = f"import sys; sys.modules.update(dict.fromkeys({TORCH!r}))\n"
"""A module that is None in sys.modules cannot be imported, and is not found."""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"{BLOCKED}from triptych.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_indexing_and_searching_do_without(
    wardrobe_world: Path, tiny_encoder: Path, tiny_composer: Path, tiny_catalog: Path, tmp_path: Path
) -> None:
    catalog, pictures = tmp_path / "catalog", wardrobe_world / "images"
    listed = ("--root", pictures, "--catalog", catalog, "--encoder", tiny_encoder, "--threads", 1)
    done = run("index", wardrobe_world / "val.txt", *listed)
    assert done.returncode == 0, done.stderr
    picture = pictures / Catalog(catalog).names[0]
    for asked in ((catalog,), (tiny_catalog, "--composer", tiny_composer)):
        found = run("search", "--catalog", *asked, "--image", picture, "--text", "in red", "-k", 3, "--threads", 1)
        assert found.returncode == 0, found.stderr
        assert len(found.stdout.splitlines()) == 3


def test_serving_does_without(tiny_catalog: Path, tiny_composer: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    opened = Catalog(tiny_catalog)
    with Service(tiny_catalog, "--composer", tiny_composer, before=BLOCKED) as running:
        found = running.search(("picture", opened.path(opened.names[0]).read_bytes()), ("text", "in red"), ("k", "4"))
        assert len(found["hits"]) == 4


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("train", "triplets.parquet", "--catalog", "catalog", "--out", "composer"), "train"),
        (("finetune", "triplets.parquet", "--catalog", "catalog", "--out", "composer"), "train"),
        (("train-inversion", "lincir", "--catalog", "catalog", "--out", "composer"), "train"),
        (("adapt-encoder", ".", "--out", "encoder"), "train"),
        (("pretrain", "pairs.csv", "--images", ".", "--out", "encoder"), "train"),
        (("demo", "--out", "demo"), "train"),
        (("index", ".", "--catalog", "catalog", "--encoder", "hf:somebody/clip"), "hf"),
    ],
)
def test_what_needs_it_says_so(
    command: tuple[str, ...], extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*command)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "torch" in line
    assert f"(the extra {extra}): pip install " in line
    assert '"torch>=' in line.partition("pip install")[2]


def test_doctor_tells_what_is_missing() -> None:
    done = run("doctor")
    assert done.returncode == 0, done.stderr
    reported = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert "missing" in reported["torch"]
    assert all(f"extra {extra}" in reported for extra in EXTRAS)
    assert '"torch>=' in reported["extra train"]
    assert "onnxruntime" in reported


def test_the_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    offered = project["optional-dependencies"]
    assert set(EXTRAS) <= set(offered)
    for extra, modules in EXTRAS.items():
        packages = {name_of(wanted) for wanted in offered[extra]}
        assert all(any(package.startswith(module.replace("_", "-")) for package in packages) for module in modules)
    for wanted in (*project["dependencies"], *offered["serve"]):
        assert name_of(wanted) not in {"torch", "onnx", "onnxscript", "matplotlib", "transformers"}


def name_of(wanted: str) -> str:
    """A package's name without its version."""
    return wanted.split(">=")[0].split("[")[0].strip()


def test_what_is_told_to_install_is_what_the_package_declares() -> None:
    declared = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))["project"]
    for extra in ("postgres", "faiss", "heif"):
        names = " ".join(f'"{name}"' for name in declared["optional-dependencies"][extra])
        assert install_command(extra) == f"pip install {names}"
    assert NEEDS_HEIF.endswith(install_command("heif"))
    assert "sys_platform" not in install_command("serve")


def test_a_system_that_does_not_tell_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf")
    assert doctor()["memory"] == "not known on this system"
