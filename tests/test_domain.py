"""An encoder keeps what it was trained on, and a catalog of other pictures is warned of."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import triptych
from toy_encoder import ToyEncoder
from triptych.catalog.catalog import Catalog
from triptych.catalog.domain import FILE, check_domain, domain_warning
from triptych.catalog.indexing import index
from triptych.core.environment import Runtime
from triptych.core.errors import DataError
from triptych.encoders.registry import load_encoder
from triptych.encoders.training_statistics import FILE as STATISTICS
from triptych.encoders.training_statistics import TrainingStatistics, statistics_of

ONE = Runtime(threads=1)
PHOTOS = Path(__file__).parent.parent / "examples" / "closet" / "photos"


def cloud(seed: int, count: int, *, spread: float = 0.05) -> np.ndarray:
    """Unit vectors around one of a few directions."""
    random = np.random.default_rng(seed)
    middles = np.random.default_rng(9).normal(size=(3, 20))
    vectors = middles[random.integers(3, size=count)] + spread * random.normal(size=(count, 20))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_what_is_alike_is_near_and_what_is_not_is_far():
    statistics = TrainingStatistics.of(cloud(0, 600))
    assert statistics is not None
    assert statistics.unlike(cloud(1, 400)) < 0.05
    other = np.random.default_rng(2).normal(size=(400, 20)).astype(np.float32)
    assert statistics.unlike(other / np.linalg.norm(other, axis=1, keepdims=True)) > 0.9


def test_they_are_kept_as_they_were(tmp_path):
    statistics = TrainingStatistics.of(cloud(0, 300))
    assert statistics is not None
    statistics.save(tmp_path)
    kept = TrainingStatistics.load(tmp_path)
    assert kept is not None
    np.testing.assert_array_equal(kept.distances(cloud(1, 9)), statistics.distances(cloud(1, 9)))
    assert (kept.far, kept.pictures) == (statistics.far, 300)
    (tmp_path / STATISTICS).write_bytes(b"nothing")
    with pytest.raises(DataError, match="copy the folder again"):
        TrainingStatistics.load(tmp_path)


def test_few_pictures_make_no_statistics():
    assert TrainingStatistics.of(cloud(0, 39)) is None


@pytest.mark.parametrize("name", ["wardrobe", "photos"])
def test_the_built_in_encoders_have_them(name):
    statistics = statistics_of(load_encoder(name, threads=1))
    assert statistics is not None
    assert statistics.pictures >= 1000


def test_a_drawings_encoder_on_photos_is_warned_of_once(tmp_path, capfd):
    names = sorted(path.name for path in PHOTOS.iterdir())[::60]
    listed = tmp_path / "some.txt"
    listed.write_text("".join(f"{name}\n" for name in names), "utf-8")
    catalog = tmp_path / "catalog"
    index(listed, catalog, root=PHOTOS, encoder="wardrobe", runtime=ONE)
    said = capfd.readouterr().err
    assert said.count("unlike those that the encoder wardrobe was trained on") == 1
    assert "reencode CATALOG --encoder photos" in said
    triptych.search(catalog, text="red", runtime=ONE)
    assert capfd.readouterr().err.count("unlike") == 1
    # Another encoder: nothing to say, and the note of the old one is gone.
    triptych.reencode(catalog, "photos", runtime=ONE)
    triptych.search(catalog, text="red", runtime=ONE)
    assert "unlike" not in capfd.readouterr().err


def test_what_it_was_trained_on_is_not_warned_of(shown_catalog):
    noted = json.loads((shown_catalog / FILE).read_text())
    assert noted["unlike"] < 0.3
    assert domain_warning(Catalog(shown_catalog)) == ""


def test_a_file_of_its_former_name_is_read_and_goes_with_the_next_check(shown_catalog, tmp_path):
    catalog = tmp_path / "catalog"
    shutil.copytree(shown_catalog, catalog)
    noted = json.loads((catalog / FILE).read_text()) | {"warning": "These are others."}
    (catalog / FILE).unlink()
    (catalog / "likeness.json").write_text(json.dumps(noted))
    assert domain_warning(Catalog(catalog)) == "These are others."
    assert check_domain(Catalog(catalog), load_encoder("wardrobe", threads=1)) == ""
    assert (catalog / FILE).exists()
    assert not (catalog / "likeness.json").exists()


def test_an_encoder_without_statistics_says_nothing(tmp_path):
    catalog = tmp_path / "catalog"
    listed = tmp_path / "one.txt"
    listed.write_text(f"{min(path.name for path in PHOTOS.iterdir())}\n", "utf-8")
    index(listed, catalog, root=PHOTOS, encoder=ToyEncoder(2), runtime=ONE)
    assert not (catalog / FILE).exists()
    assert domain_warning(Catalog(catalog)) == ""
