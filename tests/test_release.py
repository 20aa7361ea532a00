"""What a release needs: one version, metadata, a changelog with dates, archives that work where nothing else is."""

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from triptych.core.version import __version__

ROOT = Path(__file__).parent.parent
SMALL_ENOUGH = 60 * 2**20  # of a wheel; the encoders that ship are 34 MB of it


def test_the_changelog_has_versions_with_dates() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    released = headings[1:] if headings[0] == "Unreleased" else headings
    assert headings[0] == "Unreleased" or headings[0].startswith(f"{__version__} - ")
    for heading in released:
        assert re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", heading), heading


def test_the_version_is_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert cited is not None
    assert cited[1] == __version__


def test_every_pin_is_an_exact_version() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", line) for line in lines)
    names = [re.sub(r"[-_.]+", "-", line.split("==")[0].lower()) for line in lines]
    assert len(names) == len({*names})
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    for wanted in [*project["dependencies"], *(wanted for extra in extras for wanted in extra)]:
        name = re.sub(r"[-_.]+", "-", re.split(r"[\[<>=;! ]", wanted)[0].lower())
        assert name in names or name == "pillow-heif", f"{wanted} has no pin"


def test_every_weight_has_a_card() -> None:
    for weights in (ROOT / "src" / "triptych").rglob("*.safetensors"):
        assert (weights.parent / "MODEL_CARD.md").is_file(), weights.parent


def test_the_forms_of_the_code_host_are_whole() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors", "version"} <= set(cited)
    for form in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("[bi]*.yml"):
        content = yaml.safe_load(form.read_text("utf-8"))
        assert {"name", "description", "body"} <= set(content), form.name
        for field in content["body"]:
            assert field["type"] == "markdown" or field["attributes"]["label"], form.name
    makefile = (ROOT / "Makefile").read_text("utf-8")
    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8"))
    systems = {
        job.get("strategy", {}).get("matrix", {}).get("os", [job["runs-on"]])[0] for job in flow["jobs"].values()
    }
    assert {"ubuntu-latest", "macos-latest"} <= systems
    for step in [step for job in flow["jobs"].values() for step in job["steps"]]:
        words = step.get("run", "").split()
        for target in words[1:] if words[:1] == ["make"] else []:
            assert "=" in target or re.search(rf"^{target}:", makefile, re.MULTILINE), target
        for word in words:
            assert not word.endswith(".py") or (ROOT / word).is_file(), word
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    assert {hook["entry"].split()[0] for hook in hooks} == {".venv/bin/ruff", ".venv/bin/mypy"}


POSIX = re.compile(
    r"\b(?:os\.(?:fork\w*|killpg|setsid|get(?:uid|gid|euid|egid|pgid|loadavg)|nice|sysconf|p(?:read|write)v?|mkfifo|l?chown"
    r"|memfd_create|sched_\w+)|signal\.(?:SIG(?:KILL|HUP|USR[12]|ALRM|PROF)|setitimer|alarm)|pass_fds=\[)"
    r"|import (?:fcntl|resource|pwd|grp|termios)\b"
)
"""What Windows lacks."""


def unguarded(source: str) -> list[str]:
    """Lines with calls that Windows lacks and that no `try`, `suppress`, `hasattr` or check of the system guards."""
    guarded: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        tests = [node.test] if isinstance(node, ast.If) else []
        tests += [item.context_expr for item in node.items] if isinstance(node, ast.With) else []
        said = " ".join(map(ast.unparse, tests))
        if isinstance(node, ast.Try) or re.search(r"hasattr|suppress|platform|_INHERITS", said):
            guarded |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(source.splitlines(), 1)
    return [line.strip() for number, line in lines if POSIX.search(line) and number not in guarded]


def test_what_windows_lacks_is_guarded() -> None:
    assert unguarded("import os\nif hasattr(os, 'nice'):\n    os.nice(1)\nos.nice(2)\n") == ["os.nice(2)"]
    for path in (ROOT / "src" / "triptych").rglob("*.py"):
        source = path.read_text("utf-8")
        if POSIX.search(source):
            assert unguarded(source) == [], path


def clean() -> dict[str, str]:
    """The environment without what would let a program see this checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source archive, and the wheel that was built from it."""
    pytest.importorskip("build", reason="`build` is not installed: make env")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, env=clean(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (source,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return source, wheel


@pytest.mark.slow
def test_the_archives_have_what_they_need(archives: tuple[Path, Path]) -> None:
    source, wheel = archives
    with tarfile.open(source) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("README.md", "docs/pictures/search.jpg", "docs/index.md", "examples/closet/LICENSE", "tests/smoke.py",
                 "constraints.txt", "CITATION.cff", "src/triptych/encoders/photos-1/MODEL_CARD.md"):  # fmt: skip
        assert name in packed, name
    with zipfile.ZipFile(wheel) as archive:
        inside = {*archive.namelist()}
        (metadata,) = (name for name in inside if name.endswith(".dist-info/METADATA"))
        stated = archive.read(metadata).decode("utf-8")
    code = {
        path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "triptych").rglob("*") if path.is_file()
    }
    assert {name for name in code if "__pycache__" not in name} <= inside
    assert all(name.startswith(("triptych/", "triptych-")) for name in inside)
    assert f"Version: {__version__}\n" in stated
    assert "License-Expression: Apache-2.0" in stated
    assert "Author: The Triptych developers" in stated
    assert wheel.stat().st_size < SMALL_ENOUGH


@pytest.mark.slow
def test_the_wheel_works_in_a_clean_environment(archives: tuple[Path, Path], tmp_path: Path) -> None:
    """Only what the wheel itself asks for is installed, from a package index, and then used as a person does."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "clean")], check=True)
    python = tmp_path / "clean" / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "-c",
        str(ROOT / "constraints.txt"),
        f"{archives[1]}[serve]",
    ]
    done = subprocess.run(install, env=clean(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    smoke = [str(python), str(ROOT / "tests" / "smoke.py")]
    done = subprocess.run(smoke, env=clean(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "clean") in done.stdout
