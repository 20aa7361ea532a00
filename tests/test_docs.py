"""What the documentation says is run."""

import doctest
import shutil
from pathlib import Path

import pytest

from serving_helpers import picture_file

PAGE = Path(__file__).parent.parent / "docs" / "python.md"


def test_the_python_page(own_catalog: Path, few_garments: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = own_catalog.parent
    shutil.copy(few_garments / "images" / "w000005.jpg", folder / "jacket.jpg")
    (folder / "new.png").write_bytes(picture_file())
    monkeypatch.chdir(folder)
    text = PAGE.read_text(encoding="utf-8").replace("```", "")
    test = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    assert len(test.examples) > 15
    said: list[str] = []
    results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert results.failed == 0, "".join(said)
