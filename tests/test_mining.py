import csv
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from triptych.agent import mine, mining
from triptych.catalog import Catalog, index
from triptych.encoders import load_encoder
from triptych.errors import DataError, FailureError, UsageError
from triptych.files import locked
from triptych.tagging import load_vocabulary
from triptych.triplets import Change, Modification, Triplet, join_triplets, read_triplets, write_triplets

STYLES = {"shorthand", "sentence", "captions", "relative"}


@pytest.fixture(scope="module")
def mined(tiny_triplets: Path) -> tuple[list[Triplet], dict]:
    return read_triplets(tiny_triplets)


@pytest.fixture
def few(tiny_catalog, vocabulary_file, tmp_path):
    """Mine a few references into a file of its own."""

    def run(name: str = "triplets.parquet", **options) -> Path:
        settings = {"vocabulary": vocabulary_file, "limit": 60, "plans": 8, "threads": 1} | options
        mine(tiny_catalog, tmp_path / name, **settings)
        return tmp_path / name

    return run


def test_triplets_are_of_pictures_in_the_catalog(mined, tiny_catalog):
    triplets, _ = mined
    names = set(Catalog(tiny_catalog).names)
    for triplet in triplets:
        assert {triplet.reference, triplet.target, *triplet.group} <= names
        assert triplet.reference != triplet.target
        assert triplet.target not in triplet.group
        assert triplet.reference not in triplet.group
        assert len(triplet.group) <= 8


def test_accepted_and_refused_are_kept_apart(mined):
    triplets, note = mined
    reasons = Counter(triplet.reason.partition(":")[0] for triplet in triplets if not triplet.accepted)
    assert all(bool(triplet.reason) != triplet.accepted for triplet in triplets)
    assert sum(triplet.accepted for triplet in triplets) == note["accepted"] >= 100
    assert sum(reasons.values()) == note["refused"] >= 20
    assert reasons == note["reasons"]
    assert all(0 <= triplet.confidence <= 1 for triplet in triplets)
    assert all(-1.001 <= triplet.likeness <= 1.001 for triplet in triplets)


def test_words_say_what_changes(mined, vocabulary_file):
    triplets, _ = mined
    words = json.loads(vocabulary_file.read_text())
    for triplet in triplets:
        assert {wording.style for wording in triplet.modifications} == STYLES
        assert all(wording.text.strip() for wording in triplet.modifications)
        assert 1 <= len(triplet.changes) <= 2
        for change in triplet.changes:
            assert {change.old, change.new} <= set(words[change.group])
            assert change.old != change.new


def test_no_labels_are_needed(tiny_catalog, mined):
    assert not (tiny_catalog / "metadata.parquet").exists()
    assert mined[1]["command"] == "mine"


def test_what_is_accepted_is_truer_than_what_is_refused(mined, wardrobe_world):
    with (wardrobe_world / "garments.csv").open(encoding="utf-8", newline="") as table:
        truth = {row["image"]: row for row in csv.DictReader(table)}

    def share_true(accepted: bool) -> float:
        chosen = [triplet for triplet in mined[0] if triplet.accepted is accepted]
        true = [all(truth[t.target][change.group] == change.new for change in t.changes) for t in chosen]
        return sum(true) / len(true)

    assert share_true(True) > share_true(False)


def test_the_same_seed_gives_the_same_triplets(few):
    one, other, third = few("one"), few("other"), few("third", seed=1)
    assert read_triplets(one)[0] == read_triplets(other)[0]
    assert read_triplets(one)[0] != read_triplets(third)[0]


def test_a_limit_is_kept_and_nothing_is_left_over(few, tmp_path):
    triplets, note = read_triplets(few(limit=40))
    assert note["references"] == 40
    assert len({triplet.reference for triplet in triplets}) <= 40
    assert [path.name for path in tmp_path.iterdir()] == ["triplets.parquet"]


def test_an_unfinished_run_with_other_settings_starts_over(few, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(mining, "_CHUNK", 20)
    real = mining.write_triplets

    def once(path, *rest):
        if any(tmp_path.glob("*.partial/part-*")):
            raise KeyboardInterrupt
        real(path, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(mining, "write_triplets", once)
        with pytest.raises(KeyboardInterrupt):
            few(limit=60)
    assert len(list(tmp_path.glob("*.partial/part-*"))) == 1
    resumed = few(limit=40)
    assert "starting over" in capfd.readouterr().err
    assert read_triplets(resumed)[0] == read_triplets(few("scratch", limit=40))[0]
    assert not list(tmp_path.glob("*.partial"))


def test_an_unfinished_run_with_other_words_starts_over(few, vocabulary_file, tmp_path, monkeypatch, capfd):
    words = tmp_path / "words.json"
    shutil.copy(vocabulary_file, words)
    with monkeypatch.context() as patched:
        patched.setattr(mining, "join_triplets", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            few(vocabulary=words)
    content = json.loads(words.read_text())
    words.write_text(json.dumps(content | {"colour": content["colour"][:3]}))
    few(vocabulary=words)
    assert "starting over" in capfd.readouterr().err


def test_one_run_at_a_time(few, tmp_path):
    with locked(tmp_path / "triplets.parquet.partial"), pytest.raises(FailureError, match="another run"):
        few()


@pytest.mark.parametrize("setting", [{"limit": 0}, {"limit": -3}, {"plans": 0}, {"width": 0}, {"reasoner": "oracle"}])
def test_settings_that_make_no_sense(few, setting):
    with pytest.raises(UsageError):
        few(**setting)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '"red"', '{"colour": "red"}', '{"colour": ["red"]}', '{"colour": ["red", 3]}',
     '{"colour": ["red", " "]}', '{"colour": [["red"], ["blue"]]}', '{"colour": {"red": "red"}}',
     '{"colour": ["red", "red"]}'],
)  # fmt: skip
def test_a_bad_vocabulary_is_named(few, tmp_path, content):
    path = tmp_path / "words.json"
    path.write_text(content)
    with pytest.raises(DataError, match=str(path)) as raised:
        few(vocabulary=path)
    assert "\n" not in str(raised.value)


def test_a_vocabulary_may_give_phrases(tmp_path):
    path = tmp_path / "words.json"
    path.write_text('{"gender": {"men": "men\'s clothing", "women": "for women"}, "colour": ["red", "blue"]}')
    words = load_vocabulary(path)
    assert tuple(words.groups) == ("gender", "colour")
    assert words.groups == {"gender": ("men", "women"), "colour": ("red", "blue")}
    assert words.phrases["gender"]["men"] == "men's clothing"
    assert words.phrases["colour"]["red"] == "red"
    assert len(load_vocabulary().groups) >= 2


def test_words_that_the_encoder_does_not_know_are_refused(few, tmp_path):
    path = tmp_path / "words.json"
    path.write_text(json.dumps({"nonsense": [f"qz{number} xw" for number in range(200)]}))
    with pytest.raises(FailureError, match="not sure of any group"):
        few(vocabulary=path)


def test_a_catalog_too_small_to_compare(tiny_catalog, wardrobe_world, tmp_path):
    names = tmp_path / "few.txt"
    names.write_text("\n".join((wardrobe_world / "val.txt").read_text().splitlines()[:19]))
    encoder, root = Catalog(tiny_catalog).encoder_name, wardrobe_world / "images"
    index(names, tmp_path / "catalog", encoder=encoder, root=root, threads=1)
    with pytest.raises(FailureError, match="at least 20"):
        mine(tmp_path / "catalog", tmp_path / "triplets")
    assert not (tmp_path / "triplets").exists()


EXAMPLE = Triplet(
    reference="a.jpg",
    target="Ж/b.jpg",
    modifications=(Modification("shorthand", "in red"), Modification("sentence", "i want it, “red”")),
    changes=(Change("colour", "blue", "red"),),
    group=("c.jpg", "d.jpg"),
    accepted=True,
    reason="",
    confidence=0.75,
    likeness=0.5,
    reasoner="tags",
)


def test_triplets_round_trip(tmp_path):
    triplets = [EXAMPLE, replace(EXAMPLE, accepted=False, reason="too like", group=(), changes=())]
    write_triplets(tmp_path / "one", triplets, {"command": "test"})
    assert read_triplets(tmp_path / "one") == (triplets, {"command": "test"})
    write_triplets(tmp_path / "none", [], {})
    assert read_triplets(tmp_path / "none") == ([], {})
    join_triplets(tmp_path / "all", [tmp_path / name for name in ("one", "none", "one")], {"seed": 1})
    assert read_triplets(tmp_path / "all") == (triplets * 2, {"seed": 1})


def test_a_triplet_file_says_what_made_it(tiny_triplets, tiny_catalog):
    note = json.loads(pq.read_schema(tiny_triplets).metadata[b"triptych"])["made_by"]
    assert note["program"] == "triptych"
    assert note["settings"]["plans"] == 4
    assert note["encoder_fingerprint"] == Catalog(tiny_catalog).fingerprint
    assert note["encoder_fingerprint"] == load_encoder(Catalog(tiny_catalog).encoder_name).fingerprint


def test_a_damaged_file_is_one_line(tmp_path):
    path = tmp_path / "triplets"
    write_triplets(path, [EXAMPLE], {})
    content = path.read_bytes()
    for damaged in (b"", b"text", content[:-9], content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=str(path)) as raised:
            read_triplets(path)
        assert "\n" not in str(raised.value)
    with pytest.raises(DataError):
        read_triplets(tmp_path / "missing")


def test_another_parquet_file_is_refused(tmp_path):
    pq.write_table(pa.table({"reference": ["a"]}), tmp_path / "other")
    with pytest.raises(DataError, match="not a triplet file"):
        read_triplets(tmp_path / "other")
