"""`reencode`: another encoder's vectors, and everything else as it was."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toy_encoder import ToyEncoder
from triptych.catalog.catalog import Catalog
from triptych.catalog.entry import REMOVED
from triptych.catalog.indexing import index
from triptych.catalog.options import ReencodeOptions
from triptych.catalog.reencoding import reencode
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError, UsageError

ONE = Runtime(threads=1)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(60):
        pixels = random.integers(0, 255, (12, 12, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def catalog(pictures: Path, tmp_path: Path) -> Path:
    table = tmp_path / "facts.csv"
    table.write_text("image,colour\n" + "".join(f"{number:02}.png,red {number}\n" for number in range(60)), "utf-8")
    out = tmp_path / "catalog"
    index(pictures, out, encoder=ToyEncoder(2), metadata=table, runtime=ONE)
    return out


def expected(pictures: Path, encoder: ToyEncoder, names: list[str]) -> np.ndarray:
    opened = [Image.open(pictures / name).convert("RGB") for name in names]
    return encoder.encode_pictures(np.stack([encoder.prepare(picture) for picture in opened]))


def test_vectors_change_and_nothing_else(catalog, pictures):
    before = Catalog(catalog)
    names, metadata, identity = before.names, before.metadata, before.identity()
    result = reencode(catalog, ToyEncoder(3), runtime=ONE)
    after = Catalog(catalog)
    assert (result.encoded, result.total, result.lost, result.columns) == (60, 60, 0, 1)
    assert (result.encoder_before, result.encoder) == ("toy-2", "toy-3")
    assert after.names == names
    assert after.metadata.equals(metadata)
    assert after.identity() == identity
    np.testing.assert_allclose(after.vectors, expected(pictures, ToyEncoder(3), names), atol=1e-6)
    # The refusal of the broken file is kept, and nothing is left behind.
    assert {entry.name: entry.status for entry in after.entries}["broken.png"] == "rejected"
    assert {file.name for file in catalog.glob("*") if file.is_dir()} == set()
    assert [file.name for file in catalog.glob("part-*")] == json.loads((catalog / "catalog.json").read_text())["parts"]
    # It goes on as a catalog of the same folder.
    again = index(pictures, catalog, encoder=ToyEncoder(3), runtime=ONE)
    assert (again.encoded, again.total) == (0, 60)


def test_what_was_removed_on_request_stays_removed(catalog):
    opened = Catalog(catalog)
    entries = {entry.name: entry for entry in opened.entries}
    gone = replace(entries["07.png"], status="rejected", reason=REMOVED)
    opened.append([gone], np.zeros((0, opened.dim), np.float32))
    assert reencode(catalog, ToyEncoder(3), runtime=ONE).total == 59
    after = {entry.name: entry for entry in Catalog(catalog).entries}
    assert (after["07.png"].status, after["07.png"].reason) == ("rejected", REMOVED)


def test_an_interrupted_run_goes_on_and_the_catalog_is_whole_meanwhile(catalog, monkeypatch):
    monkeypatch.setattr("triptych.catalog.indexing._CHUNK", 16)
    first = ToyEncoder(3)
    real = first.encode_pictures

    def failing(pixels):
        if first.encoded >= 32:
            raise KeyboardInterrupt
        return real(pixels)

    monkeypatch.setattr(first, "encode_pictures", failing)
    with pytest.raises(KeyboardInterrupt):
        reencode(catalog, first, runtime=ONE)
    assert Catalog(catalog).dim == ToyEncoder(2).dim
    assert len(Catalog(catalog).vectors) == 60
    second = ToyEncoder(3)
    result = reencode(catalog, second, runtime=ONE)
    assert (result.resumed, result.encoded, result.total) == (32, 28, 60)
    assert second.encoded == 28


def test_an_own_folder_leaves_the_old_catalog(catalog, tmp_path):
    out = tmp_path / "new"
    reencode(catalog, ToyEncoder(3), out=out, runtime=ONE)
    old, new = Catalog(catalog), Catalog(out)
    assert (old.dim, new.dim) == (12, 27)
    assert new.metadata.equals(old.metadata)
    assert new.identity() != old.identity()
    with pytest.raises(UsageError, match="holds another catalog"):
        reencode(catalog, ToyEncoder(4), out=out, runtime=ONE)


def test_pictures_that_are_gone_are_told_and_many_are_refused(catalog, pictures, capfd):
    (pictures / "03.png").unlink()
    result = reencode(catalog, ToyEncoder(3), runtime=ONE)
    assert (result.lost, result.total) == (1, 59)
    assert "03.png" in capfd.readouterr().err
    for number in range(10, 30):
        (pictures / f"{number}.png").unlink()
    with pytest.raises(FailureError, match="20 of 59 pictures"):
        reencode(catalog, ToyEncoder(2), runtime=ONE)
    assert Catalog(catalog).dim == 27
    assert len(Catalog(catalog).names) == 59
    assert reencode(catalog, ToyEncoder(2), ReencodeOptions(prune=True), runtime=ONE).total == 39


def test_the_same_encoder_is_refused(catalog):
    with pytest.raises(UsageError, match="already"):
        reencode(catalog, ToyEncoder(2), runtime=ONE)
