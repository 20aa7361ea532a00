"""Pictures in an S3 bucket, of a server on this machine (moto): indexed, mined and searched as those of a folder."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow.fs import FileSystem, S3FileSystem

import triptych
from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.catalog.options import IndexOptions
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError, PictureError, UsageError
from triptych.mining.options import MineOptions
from triptych.mining.pipeline import mine
from triptych.triplets.file import read_triplets

pytestmark = pytest.mark.slow
moto = pytest.importorskip("moto.server", reason="moto[server] is not installed")
ONE_THREAD = Runtime(threads=1)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture
def photos(endpoint: str, monkeypatch: pytest.MonkeyPatch, wardrobe_world: Path) -> tuple[FileSystem, str]:
    """A bucket with the unlabelled pictures and a file that is none, and the address of its folder."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "own")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = S3FileSystem(endpoint_override=endpoint, scheme="http", region="us-east-1", allow_bucket_creation=True)
    store.create_dir("bucket")
    names = (wardrobe_world / "unlabelled.txt").read_text("utf-8").split()
    for name in names:
        put(store, name, (wardrobe_world / "images" / name).read_bytes())
    put(store, "bad.jpg", b"no picture")
    return store, f"s3://bucket/photos?endpoint_override={endpoint}&scheme=http&region=us-east-1"


def put(store: FileSystem, name: str, content: bytes) -> None:
    with store.open_output_stream(f"bucket/photos/{name}") as stream:
        stream.write(content)


def test_a_bucket_is_indexed_mined_and_searched_as_a_folder(
    photos, tiny_catalog, tiny_encoder, tiny_triplets, vocabulary_file, tmp_path
):
    store, address = photos
    catalog, triplets = tmp_path / "catalog", tmp_path / "triplets.parquet"
    result = index(address, catalog, encoder=str(tiny_encoder), runtime=ONE_THREAD)
    assert result.rejected == 1
    remote, local = Catalog(catalog), Catalog(tiny_catalog)
    assert remote.names == local.names
    assert remote.hashes == local.hashes
    np.testing.assert_array_equal(remote.vectors, local.vectors)
    assert index(address, catalog, runtime=ONE_THREAD).encoded == 0

    mine(catalog, triplets, MineOptions(vocabulary=vocabulary_file, changes=8), runtime=ONE_THREAD)
    assert read_triplets(triplets)[0] == read_triplets(tiny_triplets)[0]

    one = tmp_path / "one.png"
    one.write_bytes(triptych.open_catalog(catalog, runtime=ONE_THREAD).read(remote.names[0]))
    hits = triptych.search(catalog, one, "in red", output=tmp_path / "sheet.png", runtime=ONE_THREAD)
    assert all(hit.path == f"s3://bucket/photos/{hit.name}" for hit in hits)
    assert Image.open(tmp_path / "sheet.png").size[0] > 100

    # An object that changes, and one that goes.
    put(store, remote.names[0], one.read_bytes() + b"more")
    store.delete_file(f"bucket/photos/{remote.names[1]}")
    with pytest.raises(PictureError, match="not the file that was indexed"):
        triptych.open_catalog(catalog, runtime=ONE_THREAD).read(remote.names[0])
    changed = index(address, catalog, IndexOptions(prune=True), runtime=ONE_THREAD)
    assert (changed.encoded, changed.vanished) == (1, 1)


def test_what_a_bucket_refuses_is_said_in_one_line(photos, tmp_path):
    _, address = photos
    with pytest.raises(UsageError, match="no such folder in the store"):
        index(address.replace("photos", "nothing"), tmp_path / "catalog", runtime=ONE_THREAD)
    with pytest.raises((UsageError, FailureError)) as refused:
        index(address.replace("bucket", "other"), tmp_path / "catalog", runtime=ONE_THREAD)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)
