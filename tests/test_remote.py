"""Pictures in an object store, here one in memory: found, encoded and shown as those of a folder are."""

import pickle
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import triptych
from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.catalog.options import IndexOptions
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, FailureError, PictureError, UsageError
from triptych.core.finding import find_pictures
from triptych.core.limits import Limits
from triptych.core.remote import RemotePath, place_of

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
ROOT = "memory://bucket/photos"
ONE_THREAD = Runtime(threads=1)


def png(seed: int) -> bytes:
    colours = np.random.default_rng(seed).integers(256, size=(4, 4, 3), dtype=np.uint8)
    out = BytesIO()
    Image.fromarray(colours.repeat(10, axis=0).repeat(10, axis=1)).save(out, "PNG")
    return out.getvalue()


OBJECTS = {
    **{f"{number}.png": png(number) for number in range(6)},
    "deep/er/6.png": png(6),
    "bad.png": b"no picture",
    "notes.txt": b"a note",
    ".hidden/7.png": png(7),
    "@eaDir/8.png": png(8),
    "private/9.png": png(9),
}
USABLE = ["0.png", "1.png", "2.png", "3.png", "4.png", "5.png", "deep/er/6.png"]


@pytest.fixture
def store() -> Iterator[fsspec.AbstractFileSystem]:
    memory = fsspec.filesystem("memory")
    for name, content in OBJECTS.items():
        memory.pipe(f"/bucket/photos/{name}", content)
    yield memory
    memory.rm("/bucket", recursive=True)


@pytest.fixture
def catalog(store, tmp_path: Path) -> Path:
    found = index(
        ROOT, tmp_path / "catalog", IndexOptions(exclude=("private",)), encoder="wardrobe", runtime=ONE_THREAD
    )
    assert (found.total, found.rejected) == (7, 1)
    return tmp_path / "catalog"


def test_a_catalog_equals_that_of_the_same_pictures_in_a_folder(store, catalog, tmp_path, capfd):
    for name, content in OBJECTS.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(content)
    options = IndexOptions(exclude=("private",))
    result = index(tmp_path / "photos", tmp_path / "local", options, encoder="wardrobe", runtime=ONE_THREAD)
    assert "skipped 'bad.png': not a picture" in capfd.readouterr().err
    remote, local = Catalog(catalog), Catalog(tmp_path / "local")
    assert remote.names == local.names == USABLE
    assert remote.hashes == local.hashes
    np.testing.assert_array_equal(remote.vectors, local.vectors)
    again = index(ROOT, catalog, options, runtime=ONE_THREAD)
    assert (again.encoded, again.unchanged) == (0, 8)
    assert again.left_out == result.left_out
    assert (catalog / "rejected.csv").read_text("utf-8") == (tmp_path / "local" / "rejected.csv").read_text("utf-8")


def test_objects_come_go_and_change(store, catalog):
    options = IndexOptions(exclude=("private",))
    store.rm("/bucket/photos/5.png")
    store.pipe("/bucket/photos/4.png", png(40) + b"more")
    store.pipe("/bucket/photos/10.png", png(10))
    result = index(ROOT, catalog, options, runtime=ONE_THREAD)
    assert (result.encoded, result.vanished, result.total) == (2, 1, 7)
    store.pipe("/bucket/other/10.png", png(10))
    with pytest.raises(UsageError, match="is a catalog of memory://bucket/photos, not of memory://bucket/other"):
        index("memory://bucket/other", catalog, options, runtime=ONE_THREAD)


def test_pictures_are_searched_and_shown_from_where_they_lie(store, catalog, tmp_path):
    library = triptych.open_catalog(catalog, runtime=ONE_THREAD)
    assert library.read("2.png") == OBJECTS["2.png"]
    reference = tmp_path / "query.png"
    reference.write_bytes(png(3))
    hits = triptych.search(catalog, reference, "in red", output=tmp_path / "sheet.png", runtime=ONE_THREAD)
    assert {hit.path for hit in hits} <= {f"{ROOT}/{name}" for name in USABLE}
    assert Image.open(tmp_path / "sheet.png").size[0] > 100
    store.pipe("/bucket/photos/2.png", png(20))
    with pytest.raises(PictureError, match="not the file that was indexed"):
        library.read("2.png")
    store.rm("/bucket/photos/2.png")
    with pytest.raises(PictureError, match="no such file"):
        library.read("2.png")


def test_what_a_store_refuses_is_said_in_one_line(store, tmp_path):
    for address, message in (
        ("ftp://host/photos", "pictures are read from folders, and from s3, gs, abfs, memory"),
        ("s3://KEY:SECRET@bucket/photos", r"^s3://…@bucket/photos: leave the key out of the address"),
        ("memory://bucket/nothing", "no such folder in the store"),
    ):
        with pytest.raises(UsageError, match=message):
            index(address, tmp_path / "catalog", runtime=ONE_THREAD)
    store.pipe("/bucket/empty/notes.txt", b"a note")
    with pytest.raises(DataError, match=r"no picture found; seen there: .txt 1"):
        index("memory://bucket/empty", tmp_path / "catalog", encoder="wardrobe", runtime=ONE_THREAD)
    with pytest.raises(FailureError):
        index("memory://bucket/empty", tmp_path / "catalog", encoder="wardrobe", runtime=ONE_THREAD)


def test_an_object_that_is_too_large_is_not_fetched(store):
    from triptych.core.images import read_file

    with pytest.raises(PictureError, match="too large"):
        read_file(RemotePath(ROOT) / "1.png", Limits(max_bytes=10))


def test_paths_are_sent_to_workers_without_what_was_listed(store):
    found = find_pictures(RemotePath(ROOT))
    assert "private/9.png" in found.names
    path = pickle.loads(pickle.dumps(found.root / "deep/er/6.png"))
    assert str(path) == f"{ROOT}/deep/er/6.png"
    assert path.read_bytes() == OBJECTS["deep/er/6.png"]
    assert (path.name, path.suffix, path.is_file(), path.exists()) == ("6.png", ".png", True, True)
    assert not (RemotePath(ROOT) / "none.png").exists()
    assert place_of("file:///tmp/photos") == Path("/tmp/photos")
    assert place_of("photos") == Path("photos")
    public = "gs://anonymous@bucket/photos"  # not a key: no account is asked for
    assert str(place_of(public) / "a.png") == f"{public}/a.png"
    with pytest.raises(UsageError, match="leave the key out"):
        place_of("gs://anonymous:secret@bucket/photos")
    assert str(RemotePath("s3://bucket/photos?region=eu-west-1") / "a.png") == "s3://bucket/photos/a.png"
