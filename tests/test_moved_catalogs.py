"""A catalog whose pictures have moved: they are read where a person says that they are, and nowhere else."""

import json
import shutil
from pathlib import Path

import pytest

import triptych
from serving_helpers import Service
from test_cli import run
from triptych.catalog.catalog import Catalog
from triptych.core.errors import DataError, PictureError, UsageError
from triptych.core.images import ELSEWHERE
from triptych.triplets.file import Triplet, write_triplets
from triptych.triplets.options import ReviewOptions, SampleOptions


@pytest.fixture
def moved(own_catalog: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A catalog, and where its pictures lie now, which it does not know."""
    shutil.move(tmp_path / "pictures", tmp_path / "elsewhere")
    return own_catalog, tmp_path / "elsewhere"


@pytest.fixture
def some_triplets(moved: tuple[Path, Path], tmp_path: Path) -> Path:
    names = Catalog(moved[0]).names
    write_triplets(tmp_path / "t.parquet", [Triplet(names[0], names[1], (), (), (), True, "", 1.0, 1.0, "toy")], {})
    return tmp_path / "t.parquet"


def test_searching_needs_no_pictures_and_shows_them_where_they_are(
    moved: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog, root = moved
    names = [hit.name for hit in triptych.search(catalog, text="a red shirt")]
    assert names
    assert f"{catalog}: pictures can be found but not shown: {ELSEWHERE}" in capsys.readouterr().err
    with triptych.open_catalog(catalog, root=root) as opened:
        assert opened.read(names[0]) == (root / names[0]).read_bytes()
        assert opened.picture(names[0]).path == str(root / names[0])
    assert ELSEWHERE not in capsys.readouterr().err
    with triptych.open_catalog(catalog) as opened, pytest.raises(PictureError, match="--root says"):
        opened.read(names[0])
    options = ["search", "--catalog", catalog, "--text", "a red shirt", "--root", root, "--output", tmp_path / "r.json"]
    assert run(*options).returncode == 0
    assert str(root) in (tmp_path / "r.json").read_text(encoding="utf-8")


def test_the_word_is_for_one_run_alone(moved: tuple[Path, Path]) -> None:
    catalog, root = moved
    before = (catalog / "catalog.json").read_bytes()
    with triptych.open_catalog(catalog, root=root) as opened:
        assert len(opened)
    assert (catalog / "catalog.json").read_bytes() == before
    triptych.index(root, catalog, root=root)
    with triptych.open_catalog(catalog) as opened:
        assert opened.read(next(iter(opened)).name)


def test_a_library_that_is_read_again_keeps_to_it(moved: tuple[Path, Path]) -> None:
    catalog, root = moved
    with triptych.open_catalog(catalog, root=root) as opened:
        other = triptych.open_catalog(catalog, root=root)
        other.remove([next(iter(other)).name])
        assert opened.refresh()
        assert opened.read(next(iter(opened)).name)


def test_a_root_that_is_no_folder_is_told(moved: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match=r"--root .*is no folder"):
        triptych.open_catalog(moved[0], root=moved[1] / "nowhere")


def test_a_root_does_not_show_what_was_not_indexed(moved: tuple[Path, Path]) -> None:
    """Also of the user's own word, content decides."""
    catalog, root = moved
    with triptych.open_catalog(catalog, root=root) as opened:
        name = next(iter(opened)).name
        (root / name).write_bytes((root / Catalog(catalog).names[-1]).read_bytes())
        with pytest.raises(PictureError, match="not the file that was indexed"):
            opened.read(name)


def test_serving_shows_them(moved: tuple[Path, Path]) -> None:
    catalog, root = moved
    with Service(catalog) as service:
        name = service.get("/api/pictures?k=1")[0]["id"]
        assert service.ask("GET", f"/api/pictures/{name}/thumbnail")[0].status == 404
    with Service(catalog, "--root", root) as service:
        assert service.ask("GET", f"/api/pictures/{name}/thumbnail")[0].status == 200


def test_triplets_are_exported_and_shown_with_them(
    moved: tuple[Path, Path], some_triplets: Path, tmp_path: Path
) -> None:
    catalog, root = moved
    with pytest.raises(DataError, match="--root says"):
        triptych.triplets_export(some_triplets, tmp_path / "out", catalog=catalog)
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    triptych.triplets_export(some_triplets, tmp_path / "out", catalog=catalog, root=root)
    assert run("triplets", "export", some_triplets, "--catalog", catalog, "--root", root, "--out", tmp_path / "two")
    pages = []
    for options in (ReviewOptions(), ReviewOptions(root=root)):
        triptych.triplets_review(some_triplets, catalog, tmp_path / "page.html", options)
        pages.append((tmp_path / "page.html").read_text(encoding="utf-8").count("data:image/jpeg"))
    assert pages[0] < pages[1]
    sheets = []
    for sample in (SampleOptions(), SampleOptions(root=root)):
        triptych.triplets_sample(some_triplets, catalog, tmp_path / "sheet.png", sample)
        sheets.append((tmp_path / "sheet.png").read_bytes())
    assert sheets[0] != sheets[1]


def test_what_is_learnt_from_is_what_was_indexed(own_catalog: Path) -> None:
    """`finetune` and patches read pictures as `read` does: another file under the name is left out."""
    from triptych.training.data.pixels import read_bytes

    catalog = Catalog(own_catalog)
    first, second = catalog.names[:2]
    catalog.path(first).write_bytes(catalog.path(second).read_bytes())
    prepared, kept = read_bytes(
        catalog.root,
        [first, second],
        catalog_pixels,
        threads=1,
        opened=catalog.open_picture,
    )
    assert kept == [1]
    assert len(prepared) == 1
    assert json.loads((own_catalog / "catalog.json").read_text())["root"] == str(catalog.root)


def catalog_pixels(picture):
    import numpy as np

    return np.asarray(picture.resize((8, 8)), np.uint8).transpose(2, 0, 1)
