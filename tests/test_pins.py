"""What must stay as version 0.1.0 had it: another value breaks saved runs, or makes people pay again.

A call's key decides whether a paid reply is found, an encoder's fingerprint whether a catalog fits, a digest whether
two result files are of the same queries, and the held-out set what a composer is validated on.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from triptych.benchmarks.task import Query
from triptych.chat.judging import Judgement, schema_of
from triptych.chat.prompts import load_prompts
from triptych.chat.request import Call, CallPicture, rendering
from triptych.chat.settings import ChatRequest
from triptych.encoders.registry import load_encoder
from triptych.evaluation.rows import digests
from triptych.mining.chat.replies import Reasoning
from triptych.training.data.triplets import _is_held_out


@pytest.mark.parametrize(
    ("step", "reply", "key"),
    [
        ("reasoning", Reasoning, "b9d7c7bf1af6358246b90dbb61821e2d79af85848d599de9d27ca969ad3f479c"),
        ("judgement", Judgement, "44636c257b65c1f333b8287965ded7b6900994968fd49bee42ce90642ffc94a7"),
    ],
)
def test_call_keys(step: str, reply: Any, key: str) -> None:
    pictures = (CallPicture("A", "a.jpg", "0" * 64),)
    version = load_prompts(None).version
    assert Call(step, "m", version, "words", pictures, schema_of(reply), rendering(ChatRequest())).key == key


def test_the_embedded_fingerprint() -> None:
    expected = "be80fb5a1547906f7f6a42d7e8ae61cbf4f8099ee4a07544f102f916b1d7299d"
    assert load_encoder("wardrobe", threads=1).fingerprint == expected


def test_query_digests() -> None:
    query = Query(
        id="q",
        reference="a.jpg",
        modification="but in red",
        targets=frozenset({"b.jpg", "c.jpg"}),
        change={"colour": "red"},
    )
    assert digests([query], ["a.jpg", "b.jpg", "c.jpg"]) == {
        "queries_sha256": "802b9dc3d59ad169ac23f5e26eec9dc809d44fb5b87696a75124b282243395f6",
        "gallery_sha256": "63aeb6b59a4e92f0ddd3c62a2142aa01e405c076bba46be228192a88df69a4c3",
    }


def test_the_held_out_set() -> None:
    held = [n for n in range(100) if _is_held_out(cast(Any, SimpleNamespace(reference=f"{n:03}.jpg")))]
    assert held == [22, 38, 66, 71, 87, 89, 94]


def test_old_files_are_there() -> None:
    """tests/test_old_files.py opens them."""
    assert len([*(Path(__file__).parent / "data" / "today").rglob("*")]) > 5
