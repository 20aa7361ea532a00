"""Metadata brought up to date from a table, and picture by picture, while vectors stay."""

from pathlib import Path

import pytest

import triptych
from triptych.catalog.catalog import Catalog
from triptych.core.environment import Runtime
from triptych.core.errors import CatalogError, DataError, UsageError


def test_a_table_changes_its_columns_alone(own_catalog: Path, tmp_path: Path) -> None:
    first, second, third = Catalog(own_catalog).names[:3]
    before = Catalog(own_catalog)
    (tmp_path / "stock.csv").write_text(f"name,price,line\n{first},9.5,\n{second},12,77\nno-such.jpg,1,1\n", "utf-8")
    result = triptych.update(own_catalog, tmp_path / "stock.csv")
    assert result.updated == ("price", "line")
    assert {"colour", "kind"} <= set(result.kept)
    assert result.metadata["pictures with a row"] == 2
    after = Catalog(own_catalog)
    assert after.fingerprint == before.fingerprint
    assert (after.vectors == before.vectors).all()
    known = {row["name"]: row for row in after.metadata.to_pylist()}
    old = {row["name"]: row for row in before.metadata.to_pylist()}
    assert (known[first]["price"], known[first]["line"], known[first]["colour"]) == (9.5, None, old[first]["colour"])
    assert (known[second]["price"], known[second]["line"]) == (12, 77)
    assert known[third] == {**old[third], "price": None}


def test_an_open_library_follows(own_catalog: Path, tmp_path: Path) -> None:
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        name = opened.search(text="shirt", k=1)[0].name
        (tmp_path / "stock.csv").write_text(f"name;in_stock\n{name};yes\n", "utf-8")
        triptych.update(own_catalog, tmp_path / "stock.csv", triptych.UpdateOptions(column_types=("in_stock=boolean",)))
        assert opened.refresh()
        assert [hit.name for hit in opened.search(text="shirt", where="in_stock=yes")] == [name]


def test_a_table_that_fits_no_picture_changes_nothing(own_catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "stock.csv").write_text("name,price\nnobody.jpg,5\n", "utf-8")
    with pytest.raises(DataError, match="no row names a picture"):
        triptych.update(own_catalog, tmp_path / "stock.csv")
    assert "price" not in Catalog(own_catalog).metadata.column_names
    with pytest.raises(CatalogError):
        triptych.update(tmp_path / "nowhere", tmp_path / "stock.csv")
    assert not (tmp_path / "nowhere").exists()


def test_single_pictures_are_changed_column_by_column(own_catalog: Path) -> None:
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        one, other = opened.pictures(2)
        changed, emptied = opened.update({one.id: {"colour": "scarlet"}, other.name: {"colour": None, "line": "7"}})
        assert changed.metadata == {**one.metadata, "colour": "scarlet"}
        assert emptied.metadata == {k: v for k, v in other.metadata.items() if k != "colour"} | {"line": 7}
        assert [hit.id for hit in opened.search(text="red", where="colour=scarlet")] == [one.id]
        for wrong in ({"nobody": {}}, {one.id: {"nothing": 1}}, {one.id: {"line": "many"}}):
            with pytest.raises(UsageError):
                opened.update(wrong)
    assert [one.metadata for one in triptych.open_catalog(own_catalog).pictures(1)] == [changed.metadata]
