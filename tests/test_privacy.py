"""Nothing is sent anywhere: libraries that report to their makers are configured not to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENCODER = (
    "from triptych.encoders.registry import load_encoder; load_encoder('wardrobe', threads=1).encode_texts(['red'])"
)
STORE = "import numpy as np; from triptych.retrieval.stores.shortlist import Shortlist; Shortlist(np.eye(4, dtype='f'))"


@pytest.mark.parametrize("code", [ENCODER, STORE], ids=["encoder", "store"])
def test_the_runtime_stores_no_id_of_the_machine_and_no_events(code: str, tmp_path: Path) -> None:
    """onnxruntime keeps both below the home folder, and would send the events on."""
    unset = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_DATA_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    subprocess.run([sys.executable, "-c", code], env={**environment, "HOME": str(tmp_path)}, check=True)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []
