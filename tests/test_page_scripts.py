"""The scripts of the search page are JavaScript, also where there is no browser to try them in."""

import json
import re
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


PAGE = SCRIPTS[0].parent


def test_every_language_has_every_word_that_the_page_uses() -> None:
    files = {path.name: json.loads(path.read_text("utf-8")) for path in PAGE.glob("words.*.json")}
    assert set(files) == {"words.en.json", "words.de.json"}
    english, german = files["words.en.json"], files["words.de.json"]
    assert list(english) == list(german)
    for name, sentence in english.items():
        assert re.findall(r"\{\w+\}", sentence) == re.findall(r"\{\w+\}", german[name]), name
    html = (PAGE / "page.html").read_text("utf-8")
    used = set(re.findall(r'data-(?:t|label|hint)="([^"]+)"', html))
    for script in SCRIPTS:
        for call in re.findall(r"\bt\(([^()]*)", script.read_text("utf-8")):
            used |= set(re.findall(r'"([a-z][a-z0-9-]*)"', call.partition("{")[0]))
    assert used <= set(english), used - set(english)


def test_the_page_is_small() -> None:
    assert sum(path.stat().st_size for path in PAGE.iterdir()) < 150_000
    assert (PAGE / "embed.js").stat().st_size < 15_000
