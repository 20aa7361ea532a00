"""Pictures in Google's store, of an emulator on this machine, are indexed and searched as those of a folder."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from pyarrow.fs import GcsFileSystem

import triptych
from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.core.environment import Runtime

pytestmark = pytest.mark.slow
emulator = pytest.importorskip("gcp_storage_emulator.server", reason="gcp-storage-emulator is not installed")
ONE_THREAD = Runtime(threads=1)


@pytest.fixture
def address(few_garments: Path) -> Iterator[str]:
    """The address of a public folder with a few pictures."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
    server.start()
    endpoint = f"127.0.0.1:{port}"
    store = GcsFileSystem(
        anonymous=True, endpoint_override=endpoint, scheme="http", retry_time_limit=timedelta(seconds=10)
    )
    for path in sorted((few_garments / "images").iterdir())[:8]:
        with store.open_output_stream(f"bucket/photos/{path.name}") as stream:
            stream.write(path.read_bytes())
    yield f"gs://anonymous@bucket/photos?endpoint_override={endpoint}&scheme=http&retry_limit_seconds=10"
    server.stop()


def test_a_bucket_is_indexed_and_searched_as_a_folder(address, shown_catalog, few_garments, tmp_path):
    index(address, tmp_path / "catalog", encoder="wardrobe", runtime=ONE_THREAD)
    remote, local = Catalog(tmp_path / "catalog"), Catalog(shown_catalog)
    assert remote.names == local.names[:8]
    assert remote.hashes == local.hashes[:8]
    np.testing.assert_array_equal(remote.vectors, local.vectors[:8])
    assert index(address, tmp_path / "catalog", runtime=ONE_THREAD).encoded == 0
    name = remote.names[3]
    opened = triptych.open_catalog(tmp_path / "catalog", runtime=ONE_THREAD)
    assert opened.read(name) == (few_garments / "images" / name).read_bytes()
    (hit, *_) = opened.search(text="a red dress")
    assert hit.path == f"gs://anonymous@bucket/photos/{hit.name}"
