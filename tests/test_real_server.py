"""Mining against transformers' own server, with a tiny LLaVA of random weights: `make test-server`.

Its words are nonsense and it ignores the JSON schema, so every reference is rejected after a repair; the protocol, the
accounting and the resumption are real.
"""

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from chat_helpers import settings
from loopback import noise_catalog
from tiny_llava import build
from triptych.chat.ledger import ledger_path
from triptych.core.errors import FailureError
from triptych.mining.chat.pipeline import mine_chat
from triptych.mining.chat.status import mine_status
from triptych.mining.options import ChatMineOptions

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("transformers", "uvicorn", "fastapi")),
        reason="needs pip install -e '.[server]'",
    ),
]
REFERENCES = 6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """Address, model and log."""
    folder = tmp_path_factory.mktemp("served")
    model = build(folder / "tiny-llava")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "log"
    program = [str(Path(sys.executable).with_name("transformers")), "serve", str(model), "--device", "cpu"]
    program += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "info"]
    with log.open("w") as out:
        serving = subprocess.Popen(program, stdout=out, stderr=out, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    try:
        until = time.monotonic() + 240
        while time.monotonic() < until and serving.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            time.sleep(0.2)
        else:
            pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")
        yield f"http://127.0.0.1:{port}/v1", str(model), log
    finally:
        serving.terminate()
        serving.wait(30)


def test_a_real_server_is_mined_killed_and_mined_on(server: tuple[str, str, Path], tmp_path: Path) -> None:
    url, model, log = server
    catalog, out = noise_catalog(tmp_path, 24), tmp_path / "triplets.parquet"
    chat = settings(base_url=url, max_tokens=16, concurrency=2, picture_size=56, price_in=1.0, price_out=2.0)
    options = ChatMineOptions(group_size=3, limit=REFERENCES)

    def posts() -> int:
        return len(re.findall(r'POST /v1/chat/completions HTTP/1.1" 200', log.read_text()))

    def answered() -> int:
        if not ledger_path(out).exists():
            return 0
        base = sqlite3.connect(ledger_path(out))
        with contextlib.suppress(sqlite3.OperationalError):
            return int(base.execute("SELECT COUNT(*) FROM calls WHERE state = 'answered'").fetchone()[0])
        return 0

    code = (
        "import sys, triptych\n"
        "from triptych.core.options import from_flat\n"
        "chat = dict(base_url=sys.argv[3], max_tokens=16, concurrency=2, picture_size=56, price_in=1., price_out=2.)\n"
        f"options = triptych.ChatMineOptions(group_size=3, limit={REFERENCES})\n"
        "chat = from_flat(triptych.ChatSettings, chat)\n"
        "triptych.mine_chat(sys.argv[1], sys.argv[2], sys.argv[4], chat, options)"
    )
    miner = subprocess.Popen([sys.executable, "-c", code, str(catalog), str(out), url, model])
    while answered() < 4 and miner.poll() is None:
        time.sleep(0.05)
    miner.send_signal(signal.SIGKILL)
    miner.wait()
    first = answered()
    with contextlib.closing(sqlite3.connect(ledger_path(out))) as base:
        cut = [cost for (cost,) in base.execute("SELECT cost FROM calls WHERE state <> 'answered'")]
    assert 4 <= first < 2 * REFERENCES
    before = posts()
    with pytest.raises(FailureError, match="no triplet was accepted"):
        mine_chat(catalog, out, model, chat, options)
    status = mine_status(out)
    assert (status.rejected, status.pending) == (REFERENCES, 0)
    assert status.reasons == {"reasoner: the reply is longer than --max-tokens": REFERENCES}
    assert status.answered == 2 * REFERENCES  # one to reason, one to repair
    # What was out when the miner was killed may have been answered after `before` was read, and at most twice so.
    assert 2 * REFERENCES - first <= posts() - before <= 2 * REFERENCES - first + 2
    assert status.tokens_in > 2 * REFERENCES * 4 * 16  # four pictures of 16 patches each, and words
    assert status.tokens_out == 2 * REFERENCES * 16
    # What was out may have been paid for, and stays in the books with the most that it may have cost.
    assert 0 < len(cut) <= 2
    assert min(cut) > 0
    assert status.cost == pytest.approx((status.tokens_in + 2 * status.tokens_out) / 1e6 + sum(cut))
