"""The scripts of the search page are JavaScript, also where there is no browser to try them in."""

import shutil
import subprocess
from pathlib import Path

import pytest

import triptych

driver = pytest.importorskip("playwright._impl._driver", reason="playwright, which brings Node, is not installed")

SCRIPTS = sorted((Path(triptych.__file__).parent / "serving" / "page").glob("*.js"))


def check(script: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    node, *_ = driver.compute_driver_executable()
    module = folder / f"{script.stem}.mjs"
    shutil.copy(script, module)
    return subprocess.run([str(node), "--check", str(module)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_can_be_parsed(script: Path, tmp_path: Path) -> None:
    done = check(script, tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_name_that_is_declared_twice_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "twice.js").write_text("const answer = 1;\nconst answer = 2;\n")
    assert "already been declared" in check(tmp_path / "twice.js", tmp_path).stderr
