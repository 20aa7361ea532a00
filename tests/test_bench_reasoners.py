"""The pretend model that bench/reasoners.py measures reasoners with: what it says, reads and sees."""

import sys
from itertools import permutations
from pathlib import Path
from random import Random

import pytest

from chat_helpers import settings
from loopback import Loopback
from triptych.benchmarks.datasets.wardrobe.captions import Voice
from triptych.benchmarks.datasets.wardrobe.garments import CHANGEABLE, VOCABULARY, vocabulary
from triptych.benchmarks.registry import load_truth
from triptych.benchmarks.task import Truth
from triptych.catalog.catalog import Catalog
from triptych.chat.pictures import PictureUrls
from triptych.evaluation.reasoners import is_true, is_unambiguous
from triptych.mining.chat.pipeline import mine_chat
from triptych.mining.chat.replies import STYLES
from triptych.mining.options import ChatMineOptions
from triptych.triplets.file import Change, read_triplets
from wardrobe_queries import said_of

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from seeing import Seer, judged, reasoned
from wishes import read, say

EDITS = [Change(group, *pair) for group, words in vocabulary().items() for pair in permutations(words, 2)]
PAIRS = [[one, other] for one in EDITS[::7] for other in EDITS[3::11] if one.group != other.group]
ALIKE = {"colour": "red", "kind": "t-shirt", "pattern": "plain", "sleeve": "sleeveless", "neckline": "v-neck",
         "length": "", "print": "none"}  # fmt: skip


def texts(changes: list[Change], seed: int) -> list[str]:
    said = say(changes, Random(seed))
    # As the reasoner's answer is read: two captions are one wording.
    return [" and ".join(said[style]) if style == "captions" else said[style] for style in STYLES]


@pytest.mark.parametrize("changes", [[[edit] for edit in EDITS], PAIRS], ids=["one", "two"])
def test_the_pretend_model_reads_what_it_says(changes: list[list[Change]]) -> None:
    for each in changes:
        for seed in range(6):
            for text in texts(each, seed):
                assert read(text) == {change.group: change.new for change in each}, text
                assert len(text) <= 240


@pytest.mark.parametrize("voice", ["val", "test"])
def test_the_pretend_model_never_words_a_query_as_the_wardrobe_does(voice: Voice) -> None:
    edits = [edit for edit in EDITS if edit.group in CHANGEABLE]
    pairs = [[one, other] for one in edits[::5] for other in edits[1::9] if one.group != other.group]
    for changes in [*([edit] for edit in edits), *pairs]:
        said = {text.casefold() for seed in range(40) for text in texts(changes, seed)}
        assert not said_of(changes, voice, 40) & said


def test_a_reasoner_reaches_for_what_is_near_and_alone() -> None:
    far = {**ALIKE, "colour": "blue", "pattern": "dotted", "print": "star", "sleeve": "long-sleeved"}
    twin, striped = {**ALIKE, "colour": "blue"}, {**ALIKE, "pattern": "striped", "colour": "grey"}
    answer = reasoned([ALIKE, far, twin, twin, striped, ALIKE, {**ALIKE, "print": "cat"}], 2, Random(0))
    assert [one["reachable"] for one in answer["candidates"]] == [False, False, False, True, False, True]
    assert [one["picture"] for one in answer["targets"]] == [6, 4]
    assert answer["targets"][0]["changes"] == [{"group": "print", "old": "none", "new": "cat"}]


def test_a_judge_picks_what_bears_the_words_and_departs_least() -> None:
    blue, blue_dress = {**ALIKE, "colour": "blue"}, {**ALIKE, "colour": "blue", "kind": "dress"}
    answer = judged([ALIKE, blue_dress, blue, ALIKE, blue], [{"colour": "blue"}, {"colour": "pink"}, {}])
    assert answer["picks"] == [2, 0, 0]
    assert answer["also_fit"] == [4]
    assert answer["already_true"] is False
    assert judged([ALIKE, blue], [{"colour": "red"}])["already_true"] is True


@pytest.fixture(scope="module")
def truth(few_garments: Path) -> Truth:
    return load_truth("wardrobe", few_garments)


def test_pictures_are_recognised_as_they_are_sent(shown_catalog: Path, truth: Truth) -> None:
    catalog = Catalog(shown_catalog)
    seer, urls = Seer(catalog, truth, steady=0.5), PictureUrls(catalog.path, size=96, quality=85)
    assert [seer.recognise(urls.url(name))[0] for name in catalog.names] == list(catalog.names)
    with pytest.raises(ValueError, match="might be"):
        seer.recognise(
            "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
        )


@pytest.mark.parametrize(("steady", "alike"), [(1.0, 1.0), (0.0, 0.7 * 0.7)])
def test_eyes_are_as_good_and_as_steady_as_they_are_told(
    shown_catalog: Path, truth: Truth, steady: float, alike: float
) -> None:
    catalog = Catalog(shown_catalog)
    seer = Seer(catalog, truth, steady=steady)
    right, both = [], []
    for name in catalog.names:
        first, again = (seer.look("sight-70", 0.7, name, moment) for moment in ("one", "another"))
        assert {group for group, word in first.items() if word} == {
            group for group, word in truth[name].items() if word
        }
        for group, word in truth[name].items():
            if word:
                right.append(first[group] == word)
                # Steady eyes make the same mistakes again; others are right twice by chance alone.
                both.append(first[group] == again[group] if steady else first[group] == again[group] == word)
    assert sum(right) / len(right) == pytest.approx(0.7, abs=0.05)
    assert sum(both) / len(both) == pytest.approx(alike, abs=0.06)


def test_a_wish_goes_from_the_reasoner_to_the_judge(shown_catalog: Path, few_garments: Path, tmp_path: Path) -> None:
    truth = load_truth("wardrobe", few_garments)
    seer = Seer(Catalog(shown_catalog), truth, steady=0.5)
    out = tmp_path / "triplets.parquet"
    with Loopback(respond=seer.answer) as server:
        chat = settings(base_url=server.url)
        facts = mine_chat(shown_catalog, out, "sight-100", chat, ChatMineOptions(vocabulary=VOCABULARY, limit=12))
    triplets, _ = read_triplets(out)
    assert facts.accepted == len(triplets) > 12
    assert all(is_true(one, truth) and is_unambiguous(one, truth) for one in triplets)
    assert facts.tokens_in > facts.calls * 1000
    assert facts.tokens_out > 0
