"""Pictures of a gallery that were trained on."""

import json
import shutil
from dataclasses import asdict

import pytest
from PIL import Image

import triptych
from triptych.catalog.catalog import Catalog
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError, MismatchError, UsageError
from triptych.evaluation.options import LeakageOptions
from triptych.triplets.file import Triplet, write_triplets


@pytest.fixture
def gallery(wardrobe_world, tiny_catalog, tmp_path):
    """Three pictures of the test split, a copy of a catalog's picture, and another saved anew."""
    folder = tmp_path / "gallery"
    folder.mkdir()
    for name in (wardrobe_world / "test.txt").read_text("utf-8").split()[:3]:
        shutil.copy(wardrobe_world / "images" / name, folder)
    catalog = Catalog(tiny_catalog)
    shutil.copy(catalog.path(catalog.names[5]), folder / "copy.jpg")
    Image.open(catalog.path(catalog.names[9])).save(folder / "again.png")
    return folder


def test_copies_and_near_copies_are_found(tiny_catalog, gallery, tmp_path):
    output = tmp_path / "leaks.json"
    result = triptych.leakage(tiny_catalog, gallery, LeakageOptions(0.9999), output=output, runtime=Runtime(1))
    assert json.loads(output.read_text()) == asdict(result)
    names = Catalog(tiny_catalog).names
    assert vars(result.leaks[0]) == {"gallery": "copy.jpg", "catalog": names[5], "cosine": 1.0, "identical": True}
    again = next(leak for leak in result.leaks if leak.gallery == "again.png")
    assert (again.catalog, again.identical) == (names[9], False)
    assert result.identical == 1
    assert (result.gallery_pictures, result.catalog_pictures) == (5, len(names))


def test_a_lower_threshold_finds_the_nearest_of_each(tiny_catalog, gallery, tmp_path):
    triptych.index(gallery, tmp_path / "theirs", encoder=Catalog(tiny_catalog).encoder_name, runtime=Runtime(1))
    result = triptych.leakage(tiny_catalog, tmp_path / "theirs", LeakageOptions(1e-3))
    theirs, ours = Catalog(tmp_path / "theirs"), Catalog(tiny_catalog)
    assert {leak.gallery for leak in result.leaks} == set(theirs.names)
    cosines = theirs.vectors @ ours.vectors.T
    for leak in result.leaks:
        row = cosines[theirs.row_of[leak.gallery]]
        assert leak.cosine == pytest.approx(row.max(), abs=1e-3)
        assert row[ours.row_of[leak.catalog]] == pytest.approx(row.max(), abs=1e-6)
    shown = [leak.cosine for leak in result.leaks]
    assert shown == sorted(shown, reverse=True)


def test_only_what_was_mined_counts_if_asked(tiny_catalog, gallery, tmp_path):
    names = Catalog(tiny_catalog).names

    def triplet(reference, target, accepted):
        return Triplet(reference, target, (), (), (), accepted, "", 1.0, 1.0, "tags")

    write_triplets(tmp_path / "t.parquet", [triplet(names[0], names[9], True), triplet(names[5], names[1], False)], {})
    found = triptych.leakage(
        tiny_catalog, gallery, LeakageOptions(0.9999), triplets=tmp_path / "t.parquet", runtime=Runtime(1)
    )
    assert found.catalog_pictures == 2
    assert [(leak.gallery, leak.catalog) for leak in found.leaks] == [("again.png", names[9])]


def test_a_gallery_picture_may_be_as_large_as_is_said(tiny_catalog, gallery):
    Image.new("RGB", (120, 100), "red").save(gallery / "large.png")
    counts = [
        triptych.leakage(tiny_catalog, gallery, LeakageOptions(max_pixels=most), runtime=Runtime(1)).gallery_pictures
        for most in (0.01, 0.012)
    ]
    assert counts == [5, 6]


def test_what_cannot_be_compared_is_refused(tiny_catalog, gallery, tmp_path):
    with pytest.raises(UsageError, match="threshold"):
        triptych.leakage(tiny_catalog, gallery, LeakageOptions(0))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FailureError, match="no picture found"):
        triptych.leakage(tiny_catalog, tmp_path / "empty", runtime=Runtime(1))
    triptych.index(gallery, tmp_path / "theirs", encoder=Catalog(tiny_catalog).encoder_name, runtime=Runtime(1))
    note = json.loads((tmp_path / "theirs" / "catalog.json").read_text())
    note["encoder"]["fingerprint"] = "0" * 64
    (tmp_path / "theirs" / "catalog.json").write_text(json.dumps(note))
    with pytest.raises(MismatchError, match="different encoders"):
        triptych.leakage(tiny_catalog, tmp_path / "theirs")


def test_what_was_found_is_told_in_words(tiny_catalog, gallery):
    from triptych.evaluation.leakage import format_leakage

    result = triptych.leakage(tiny_catalog, gallery, LeakageOptions(1e-3), runtime=Runtime(1))
    lines = format_leakage(result, most=2).splitlines()
    assert lines[0].startswith("5 of 5 gallery pictures (100.00 %)")
    assert "same file" in lines[1]
    assert "copy.jpg" in lines[1]
    assert lines[3] == "  … and 3 more; --output writes all"
