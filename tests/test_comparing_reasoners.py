"""`triplets compare`: reasoners side by side, by what their files say and by what is true."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest

import triptych
from chat_helpers import settings
from loopback import Loopback, completion
from triptych.benchmarks.registry import load_truth
from triptych.benchmarks.task import Truth
from triptych.catalog.catalog import Catalog
from triptych.chat.pictures import PictureUrls
from triptych.cli import main
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, UsageError
from triptych.evaluation.reasoners import shares
from triptych.mining.chat.pipeline import mine_chat
from triptych.mining.options import ChatMineOptions, MineOptions
from triptych.mining.pipeline import mine
from triptych.triplets.file import Change, Modification, Triplet, read_triplets, write_triplets

TRUTH: Truth = {
    "red.png": {"colour": "red", "kind": "shirt"},
    "blue.png": {"colour": "blue", "kind": "shirt"},
    "other blue.png": {"colour": "blue", "kind": "shirt"},
    "blue skirt.png": {"colour": "blue", "kind": "skirt"},
}
RIGHT = Triplet(
    reference="red.png",
    target="blue.png",
    modifications=(Modification("shorthand", "in blue"),),
    changes=(Change("colour", "red", "blue"),),
    negatives=("blue skirt.png",),
    accepted=True,
    reason="",
    confidence=0.5,
    similarity=0.5,
    reasoner="tags",
)


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (RIGHT, (1, 100.0, 100.0, 100.0, 100.0)),
        (replace(RIGHT, changes=(Change("colour", "green", "blue"),)), (1, 100.0, 0.0, 100.0, 0.0)),
        (replace(RIGHT, target="red.png", reference="blue.png"), (1, 0.0, 0.0, 100.0, 0.0)),
        (replace(RIGHT, negatives=("other blue.png",)), (1, 100.0, 100.0, 0.0, 0.0)),
        (replace(RIGHT, changes=(Change("mood", "sad", "blue"),)), (0, None, None, None, None)),
        (replace(RIGHT, changes=()), (0, None, None, None, None)),
        (replace(RIGHT, negatives=("unknown.png",)), (0, None, None, None, None)),
    ],
)
def test_shares_of_correct_and_unambiguous_triplets(one: Triplet, wanted: tuple):
    assert astuple(shares([one], TRUTH)) == wanted


def knowing(catalog: Catalog, truth: Truth, side: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A model that knows every picture: it names one attribute that differs, and judges by what is so."""
    urls = PictureUrls(catalog.path, size=side, quality=85)
    name_of = {urls.url(name): name for name in catalog.names}

    def respond(body: dict[str, Any]) -> dict[str, Any]:
        system, user = body["messages"][0]["content"], body["messages"][1]["content"]
        shown = [name_of[part["image_url"]["url"]] for part in user if part["type"] == "image_url"]
        reference, *others = (truth[name] for name in shown)
        if "You are a judge" in system:
            wishes = re.findall(r"with (\w+) = (.+)", system)
            fits = [[place for place, other in enumerate(others, 1) if other[group] == word] for group, word in wishes]
            picks = [places[0] if len(places) == 1 else 0 for places in fits]
            already = any(reference[group] == word for group, word in wishes)
            return completion(json.dumps({"picks": picks, "already_true": already, "also_fit": [], "certainty": 1.0}))
        targets = []
        for place, other in enumerate(others, 1):
            for group in [group for group in reference if other[group] != reference[group]][:1]:
                change = {"group": group, "old": reference[group], "new": other[group]}
                text = f"with {group} = {other[group]}"
                wordings = {"shorthand": text, "sentence": text, "captions": [text], "relative": text}
                targets.append({"picture": place, "changes": [change], **wordings})
        return completion(json.dumps({"shared": "garments", "candidates": [], "targets": targets[:2]}))

    return respond


def test_tags_and_a_chat_model_side_by_side(
    shown_catalog: Path, few_garments: Path, vocabulary_file: Path, tmp_path: Path, monkeypatch, capsys
):
    by_tags, by_chat = tmp_path / "tags.parquet", tmp_path / "chat.parquet"
    options = MineOptions(vocabulary=vocabulary_file, limit=12, changes=2)
    mine(shown_catalog, by_tags, options, runtime=Runtime(threads=1))
    truth = load_truth("wardrobe", few_garments)
    chosen = {"picture_size": 32, "price_in": 1.0, "price_out": 10.0, "backoff": 0.001}
    with Loopback(respond=knowing(Catalog(shown_catalog), truth, 32)) as server:
        chat = settings(base_url=server.url, judge="wise", **chosen)
        mine_chat(shown_catalog, by_chat, "able", chat, ChatMineOptions(limit=12, group_size=4))
    out = tmp_path / "reasoners.json"
    command = ["triplets", "compare", by_tags, by_chat, "--truth", f"wardrobe={few_garments}", "--output", out]
    monkeypatch.setattr(sys, "argv", ["triptych", *map(str, command)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    result = json.loads(out.read_text())
    tags, asked = result["reasoners"]
    assert tags["references"] == asked["references"] == 12
    asked_about = [{one.reference for one in read_triplets(file)[0]} for file in (by_tags, by_chat)]
    assert 0 < result["common_references"] == len(set.intersection(*asked_about)) <= 12
    assert (tags["reasoner"], tags["calls"], tags["cost"]) == ("tags", None, None)
    assert asked["reasoner"].startswith("chat:able (prompts ")
    assert asked["reasoner"].endswith("judged by wise")
    assert asked["calls"] == len(server.log) == 12 + asked["proposed"]
    assert asked["tokens_in"] == 1000 * asked["calls"]
    assert asked["cost"] == pytest.approx(0.002 * asked["calls"])
    assert min(tags["seconds"], asked["seconds"]) > 0
    assert 0 < asked["accepted"] < asked["proposed"]
    before, after = asked["truth"]["proposed"], asked["truth"]["accepted"]
    assert (before["checked"], after["checked"]) == (asked["proposed"], asked["accepted"])
    # A model that knows every picture makes no mistake.
    assert before["change_correct"] == after["change_correct"] == 100.0
    assert tags["truth"]["proposed"]["checked"] == tags["proposed"]
    assert 0 <= tags["truth"]["proposed"]["change_correct"] < 100
    lines = printed.splitlines()
    assert lines[0].split()[:3] == ["file", "reasoner", "references"]
    assert f"references with proposals in all files: {result['common_references']}" in lines
    assert sum("all proposals" in line for line in lines) == 2
    assert "–" in lines[1]


def test_what_a_strange_file_says_stays_harmless(tmp_path: Path):
    file = tmp_path / "strange.parquet"
    strange = replace(RIGHT, reasoner="\x1b[31mevil" + "x" * 400)
    write_triplets(file, [strange], {"calls": "many", "cost": [1], "settings": "none", "references": True})
    (row,) = triptych.compare_reasoners([file]).reasoners
    assert (row.calls, row.cost, row.references) == (None, None, 1)
    assert row.reasoner.isprintable()
    assert len(row.reasoner) <= 160
    assert row.truth is None


@pytest.mark.parametrize(
    ("truth", "error", "message"),
    [
        (("moon", "x"), UsageError, "benchmark moon: there is no such benchmark"),
        (
            ("cirr", "x"),
            UsageError,
            "'cirr' has no known attributes; these benchmarks have: fashion-products, closet, wardrobe",
        ),
        (("wardrobe", "nowhere"), DataError, "garments.csv: cannot be read"),
        (("fashion-products", "nowhere"), DataError, "nowhere"),
    ],
)
def test_what_is_not_known_is_one_line(truth: tuple[str, str], error: type[Exception], message: str, tmp_path: Path):
    file = tmp_path / "t.parquet"
    write_triplets(file, [RIGHT], {})
    with pytest.raises(error, match=message) as raised:
        triptych.compare_reasoners([file], truth=truth)
    assert "\n" not in str(raised.value)
    with pytest.raises(UsageError, match="one triplet file"):
        triptych.compare_reasoners([])


def test_truth_needs_a_folder(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["triptych", "triplets", "compare", "t.parquet", "--truth", "wardrobe"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--truth wardrobe: not a data set and its folder" in capsys.readouterr().err
