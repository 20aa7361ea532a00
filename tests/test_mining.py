import csv
import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, FailureError, UsageError
from triptych.core.files import locked
from triptych.encoders.registry import load_encoder
from triptych.mining import pipeline as mining
from triptych.mining import reasoner as reasoning
from triptych.mining.likelihood import Likelihood
from triptych.mining.options import CriticOptions, MineOptions
from triptych.mining.pipeline import mine
from triptych.mining.proposer import Proposal
from triptych.tagging.tagger import best_words
from triptych.tagging.tags import tag_pictures
from triptych.tagging.vocabulary import Vocabulary, load_vocabulary, understood_words
from triptych.triplets.file import Change, Modification, Triplet, join_triplets, read_triplets, write_triplets

STYLES = {"shorthand", "sentence", "captions", "relative"}


@pytest.fixture(scope="module")
def mined(tiny_triplets: Path) -> tuple[list[Triplet], dict]:
    return read_triplets(tiny_triplets)


@pytest.fixture
def few(tiny_catalog, vocabulary_file, tmp_path):
    """Mine a few references into a file of its own."""

    def run(name: str = "triplets.parquet", **options) -> Path:
        plugins = {key: options.pop(key) for key in ("reasoner", "critic", "encoder") if key in options}
        if "critic_options" in options:
            options["critic"] = CriticOptions(**options.pop("critic_options"))
        settings = MineOptions(**({"vocabulary": vocabulary_file, "limit": 60, "changes": 8} | options))
        mine(tiny_catalog, tmp_path / name, settings, **plugins, runtime=Runtime(threads=1))
        return tmp_path / name

    return run


def test_triplets_are_of_pictures_in_the_catalog(mined, tiny_catalog):
    triplets, _ = mined
    names = set(Catalog(tiny_catalog).names)
    for triplet in triplets:
        assert {triplet.reference, triplet.target, *triplet.negatives} <= names
        assert triplet.reference != triplet.target
        assert triplet.target not in triplet.negatives
        assert triplet.reference not in triplet.negatives
        assert len(triplet.negatives) <= 8


def test_accepted_and_refused_are_kept_apart(mined):
    triplets, note = mined
    reasons = Counter(triplet.reason.partition(":")[0] for triplet in triplets if not triplet.accepted)
    assert all(bool(triplet.reason) != triplet.accepted for triplet in triplets)
    assert sum(triplet.accepted for triplet in triplets) == note["accepted"] >= 100
    assert sum(reasons.values()) == note["refused"] >= 20
    assert reasons == note["reasons"]
    assert all(0 <= triplet.confidence <= 1 for triplet in triplets)
    assert all(-1.001 <= triplet.similarity <= 1.001 for triplet in triplets)


def test_words_say_what_changes(mined, vocabulary_file):
    triplets, _ = mined
    words = json.loads(vocabulary_file.read_text())
    for triplet in triplets:
        assert {wording.style for wording in triplet.modifications} <= STYLES
        assert triplet.modifications
        assert all(wording.text.strip() for wording in triplet.modifications)
        assert 1 <= len(triplet.changes) <= 2
        for change in triplet.changes:
            assert {change.old, change.new} - {None} <= set(words[change.attribute])
            assert change.old != change.new
    assert {wording.style for triplet in triplets for wording in triplet.modifications} == STYLES


def test_no_labels_are_needed(tiny_catalog, mined):
    assert not (tiny_catalog / "metadata.parquet").exists()
    assert mined[1]["command"] == "mine"


def test_what_is_accepted_is_truer_than_what_is_refused(mined, wardrobe_world):
    with (wardrobe_world / "garments.csv").open(encoding="utf-8", newline="") as table:
        truth = {row["image"]: row for row in csv.DictReader(table)}

    def share_true(accepted: bool) -> float:
        chosen = [triplet for triplet in mined[0] if triplet.accepted is accepted]
        said = [(t, [change for change in t.changes if change.new is not None]) for t in chosen]
        true = [all(truth[t.target][change.attribute] == change.new for change in named) for t, named in said if named]
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


def question(triplet: Triplet) -> tuple:
    return triplet.reference, triplet.target, triplet.changes


def test_answers_are_drawn_more_sharply_than_by_likelihood():
    words = Vocabulary(
        {"colour": ("red", "blue")}, {"colour": {"red": "red", "blue": "blue"}}, {"colour": {"red": (), "blue": ()}}
    )
    middling = 200
    apt = np.log(np.array([8.0] + middling * [1.0], np.float32))
    tags = {"colour": np.full((middling + 2, 2), 0.5, np.float32)}
    reasoner = reasoning.TagsReasoner(tags, words, targets_each=1, seed=0)
    found = []
    for reference in range(100):
        proposal = Proposal(reference, ("colour",), np.arange(1, middling + 2), apt, apt, np.zeros_like(apt))
        (draft,) = reasoner.reason(proposal)
        assert draft.target == 1
        found.append(1 + len(draft.other_targets))
    # 24 draws, each the best with 8³ in 8³ + 200; by likelihood it would be 8 in 208, and 23 of them would differ.
    others = 24 * middling / (8**3 + middling)
    assert np.mean(found) == pytest.approx(1 + middling * (1 - (1 - 1 / middling) ** others), abs=0.5)


@pytest.mark.slow
def test_the_reverse_is_asked_and_judged_like_any_question(few, tiny_catalog, vocabulary_file):
    there = read_triplets(few("there", limit=None))[0]
    both, note = read_triplets(few("both", limit=None, reverse=True))
    assert both[: len(there)] == there
    back = both[len(there) :]
    assert len({question(one) for one in both}) == len(both)
    assert note["reversed"] == sum(one.accepted for one in back) > 50
    assert any(one.reason for one in back)

    known = {question(one): one for one in there if one.accepted}
    assert all(change.new is not None for one in back for change in one.changes)
    opened = Catalog(tiny_catalog)
    encoder = opened.encoder(threads=1)
    words = understood_words(load_vocabulary(vocabulary_file), encoder, "the words")
    tagged = tag_pictures(opened.vectors, encoder, words)
    tags, words = tagged.tags, tagged.vocabulary
    anew = []
    for one in back:
        swapped = tuple(Change(change.attribute, change.new, change.old) for change in one.changes)
        way = known[one.target, one.reference, swapped]
        anew.append((one.negatives, one.other_targets) != (way.negatives, way.other_targets))
        assert {wording.style for wording in one.modifications} <= STYLES
        assert not {one.reference, one.target} & {*one.other_targets, *one.negatives}
        row = opened.row_of[one.reference]
        # A question starts from what its reference shows.
        assert {change.attribute: change.old for change in one.changes}.items() <= best_words(tags, words, row).items()
    assert np.mean(anew) > 0.9


def test_exclusions_lead_to_whatever_does_not_show_the_word(few, tiny_catalog, vocabulary_file, wardrobe_world):
    triplets, note = read_triplets(few(limit=200, changes=4, exclusions=1.0))
    excluding = [one for one in triplets if one.accepted and any(change.new is None for change in one.changes)]
    assert note["exclusions"] == len(excluding) > 50
    assert sum(change.new is None for one in excluding for change in one.changes) == len(excluding)
    assert note["texts"] == len({wording.text for one in triplets for wording in one.modifications})
    opened = Catalog(tiny_catalog)
    encoder = opened.encoder(threads=1)
    words = understood_words(load_vocabulary(vocabulary_file), encoder, "the words")
    tagged = tag_pictures(opened.vectors, encoder, words)
    tags, words = tagged.tags, tagged.vocabulary
    likelihood = Likelihood(tags, words)
    alone = [one for one in excluding if len(one.changes) == 1]
    still, kinds = [], []
    for one in alone:
        [change] = one.changes
        values = tags[change.attribute]
        old = words.groups[change.attribute].index(change.old)
        # With the words that "not red" excludes besides, the reference shows it.
        assert likelihood.answers(change, np.array([opened.row_of[one.reference]]))[0] < 0.5
        for target in (one.target, *one.other_targets):
            assert values[opened.row_of[target], old] <= 0.1 + 1e-6
        # What still shows the word is the hardest to tell from the targets.
        still.append(
            np.mean([values[opened.row_of[other], old] > 0.5 for other in one.negatives]) if one.negatives else 1.0
        )
        kinds.append(len({int(values[opened.row_of[target]].argmax()) for target in one.other_targets}))
    assert np.mean(still) > 0.9
    assert np.mean(kinds) > 1.2  # any other word is right

    usual = read_triplets(few("usual", limit=120))[0]
    share = np.mean([any(change.new is None for change in one.changes) for one in usual])
    assert 0.04 < share < 0.16
    none = read_triplets(few("none", limit=20, exclusions=0.0))[1]
    assert none["exclusions"] == 0


def test_no_reverse_from_what_is_not_shown(few, monkeypatch):
    """Where no picture is sure enough to be said to show anything, no reverse is asked."""
    monkeypatch.setattr(reasoning, "is_shown", lambda values: np.zeros(len(values), bool))
    assert read_triplets(few(reverse=True))[1]["reversed"] == 0


@pytest.mark.slow
def test_reverses_survive_an_interruption(few, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(mining, "_CHUNK", 20)
    real = mining.write_triplets

    def twice(path, *rest):
        if len([*tmp_path.glob("*.partial/*-back.parquet")]) == 2:
            raise KeyboardInterrupt
        real(path, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(mining, "write_triplets", twice)
        with pytest.raises(KeyboardInterrupt):
            few(reverse=True)
    resumed = few(reverse=True)
    assert "starting over" not in capfd.readouterr().err
    assert read_triplets(resumed)[0] == read_triplets(few("scratch", reverse=True))[0]


@pytest.mark.parametrize(
    "option", [{"reverse": True}, {"similarity": (0.2, 0.9)}, {"critic_options": {"min_ratio": 3}}]
)
def test_an_unfinished_run_with_other_options_starts_over(few, monkeypatch, capfd, option):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mining, "join_triplets", stop)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                few(**option)
        assert "starting over" not in capfd.readouterr().err
    few()
    assert "starting over" in capfd.readouterr().err


def test_a_range_of_similarity_leaves_out_duplicates_and_what_has_little_in_common(few):
    free = [one.similarity for one in read_triplets(few("free"))[0]]
    low, high = (round(float(end), 2) for end in np.quantile(free, [0.3, 0.7]))
    within = [one.similarity for one in read_triplets(few("within", similarity=(low, high)))[0]]
    assert min(free) < low <= min(within) <= max(within) <= high < max(free)
    # Those within were not merely kept of what was drawn without a range.
    assert len(within) > 0.6 * len(free)


def test_pictures_that_the_encoder_does_not_recognise_are_refused(few, tmp_path):
    with pytest.raises(FailureError, match=r"hardly recognises .* \d\d% of neighbours agree .* --min-agreement 0"):
        few(min_agreement=0.99)
    assert not (tmp_path / "triplets.parquet").exists()


def test_a_range_that_holds_nothing(few):
    with pytest.raises(FailureError, match="widen --similarity"):
        few(similarity=(-1, -0.9999))


def test_thresholds_refuse_more_or_less(few):
    usual = Counter(one.reason.partition(":")[0] for one in read_triplets(few("usual"))[0])

    def refused(**thresholds: float) -> Counter:
        mined = few("other", critic_options=thresholds)
        return Counter(one.reason.partition(":")[0] for one in read_triplets(mined)[0])

    assert (
        read_triplets(few("same", critic_options={"min_probability": 0.03, "min_ratio": 2.0, "max_margin": 3.0}))[0]
        == read_triplets(few("usual"))[0]
    )
    assert refused(min_probability=0.3)["not true of the target"] > usual["not true of the target"] > 0
    assert refused(min_probability=1e-9)["not true of the target"] == 0
    assert refused(min_ratio=20)["nearly as true of the reference"] > usual["nearly as true of the reference"] > 0
    assert refused(min_ratio=0)["nearly as true of the reference"] == 0
    fits_better = "another picture of the group fits far better"
    assert refused(max_margin=0)[fits_better] > usual[fits_better]
    assert refused(max_margin=50)[fits_better] == 0


@pytest.mark.parametrize(
    "thresholds",
    [
        {"min_probability": 0},
        {"min_probability": 1},
        {"min_ratio": -1},
        {"max_margin": float("inf")},
        {"min_probability": float("nan")},
    ],
)
def test_thresholds_that_make_no_sense(thresholds):
    with pytest.raises(UsageError, match="--" + next(iter(thresholds)).replace("_", "-")):
        CriticOptions(**thresholds)


def test_the_command_line_takes_them(tiny_catalog, vocabulary_file, tmp_path):
    out = tmp_path / "t.parquet"
    words = ["mine", "--catalog", tiny_catalog, "--vocabulary", vocabulary_file, "--limit", 20, "--out", out]
    options = ["--similarity", -0.5, 0.99, "--reverse", "--min-probability", 0.05, "--min-ratio", 1.5]
    code = "from triptych.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, *map(str, (*words, *options))], check=True)
    settings = read_triplets(out)[1]["settings"]
    assert (settings["similarity"], settings["reverse"]) == ([-0.5, 0.99], True)
    assert settings["critic"] == {
        "name": "encoder",
        "min_probability": 0.05,
        "min_ratio": 1.5,
        "max_margin": 3.0,
        "min_exclusion": 0.9,
    }


@pytest.mark.parametrize(
    "setting",
    [{"limit": 0}, {"limit": -3}, {"changes": 0}, {"candidates": 0}, {"reasoner": "oracle"},
     {"critic": "oracle"}, {"similarity": (0.9, 0.8)}, {"similarity": (0.5,)}, {"similarity": "wide"},
     {"similarity": (0.5, 1.5)}, {"similarity": 0.5}],
)  # fmt: skip
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
    with pytest.raises(FailureError, match="understands no two words of a group"):
        few(vocabulary=path)


def test_a_catalog_too_small_to_compare(tiny_catalog, wardrobe_world, tmp_path):
    names = tmp_path / "few.txt"
    names.write_text("\n".join((wardrobe_world / "val.txt").read_text().splitlines()[:19]))
    encoder, root = Catalog(tiny_catalog).encoder_name, wardrobe_world / "images"
    index(names, tmp_path / "catalog", encoder=encoder, root=root, runtime=Runtime(threads=1))
    with pytest.raises(FailureError, match="at least 20"):
        mine(tmp_path / "catalog", tmp_path / "triplets")
    assert not (tmp_path / "triplets").exists()


EXAMPLE = Triplet(
    reference="a.jpg",
    target="Ж/b.jpg",
    modifications=(Modification("shorthand", "in red"), Modification("sentence", "i want it, “red”")),
    changes=(Change("colour", "blue", "red"),),
    negatives=("c.jpg", "d.jpg"),
    accepted=True,
    reason="",
    confidence=0.75,
    similarity=0.5,
    reasoner="tags",
)


def test_triplets_round_trip(tmp_path):
    triplets = [EXAMPLE, replace(EXAMPLE, accepted=False, reason="too like", negatives=(), changes=())]
    write_triplets(tmp_path / "one", triplets, {"command": "test"})
    assert read_triplets(tmp_path / "one") == (triplets, {"command": "test"})
    write_triplets(tmp_path / "none", [], {})
    assert read_triplets(tmp_path / "none") == ([], {})
    join_triplets(tmp_path / "all", [tmp_path / name for name in ("one", "none", "one")], {"seed": 1})
    assert read_triplets(tmp_path / "all") == (triplets * 2, {"seed": 1})


def test_a_triplet_file_says_what_made_it(tiny_triplets, tiny_catalog):
    note = json.loads(pq.read_schema(tiny_triplets).metadata[b"triptych"])["made_by"]
    assert note["program"] == "triptych"
    assert note["settings"]["changes"] == 8
    assert note["encoder_fingerprint"] == Catalog(tiny_catalog).fingerprint
    assert note["encoder_fingerprint"] == load_encoder(Catalog(tiny_catalog).encoder_name).fingerprint


def test_a_triplet_file_says_what_the_encoder_was_asked(few, vocabulary_file, tmp_path):
    words = json.loads(vocabulary_file.read_text())
    words["colour"] = {word: [f"{word} as can be"] for word in words["colour"]}
    (tmp_path / "words.json").write_text(json.dumps(words))
    note = read_triplets(few("asked", vocabulary=tmp_path / "words.json", limit=20))[1]
    assert note["phrases"].keys() == set(note["groups"]) <= words.keys()
    assert note["phrases"]["colour"] == {word: f"{word} as can be" for word in words["colour"]}


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
