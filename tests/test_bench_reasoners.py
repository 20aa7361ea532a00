"""The pretend chat model of bench/reasoners.py: what it writes, reads and perceives."""

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
from triptych.evaluation.reasoners import has_correct_change, is_unambiguous
from triptych.mining.chat.pipeline import mine_chat
from triptych.mining.chat.replies import STYLES
from triptych.mining.options import ChatMineOptions
from triptych.triplets.file import Change, read_triplets
from wardrobe_queries import said_of

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from pretend_model import PretendModel, judge, reason
from pretend_wording import read_wording, word_changes

EDITS = [Change(group, *pair) for group, words in vocabulary().items() for pair in permutations(words, 2)]
PAIRS = [[one, other] for one in EDITS[::7] for other in EDITS[3::11] if one.attribute != other.attribute]
ALIKE = {"colour": "red", "kind": "t-shirt", "pattern": "plain", "sleeve": "sleeveless", "neckline": "v-neck",
         "length": "", "print": "none"}  # fmt: skip


def texts(changes: list[Change], seed: int) -> list[str]:
    worded = word_changes(changes, Random(seed))
    # As the reasoner's answer is read: two captions are one wording.
    return [" and ".join(worded[style]) if style == "captions" else worded[style] for style in STYLES]


@pytest.mark.parametrize("changes", [[[edit] for edit in EDITS], PAIRS], ids=["one", "two"])
def test_the_pretend_model_reads_what_it_writes(changes: list[list[Change]]) -> None:
    for each in changes:
        for seed in range(6):
            for text in texts(each, seed):
                assert read_wording(text) == {change.attribute: change.new for change in each}, text
                assert len(text) <= 240


@pytest.mark.slow
@pytest.mark.parametrize("voice", ["val", "test"])
def test_the_pretend_model_never_words_a_query_as_the_wardrobe_does(voice: Voice) -> None:
    edits = [edit for edit in EDITS if edit.attribute in CHANGEABLE]
    pairs = [[one, other] for one in edits[::5] for other in edits[1::9] if one.attribute != other.attribute]
    for changes in [*([edit] for edit in edits), *pairs]:
        said = {text.casefold() for seed in range(40) for text in texts(changes, seed)}
        assert not said_of(changes, voice, 40) & said


def test_the_reasoner_chooses_unique_pictures_with_the_fewest_differences() -> None:
    far = {**ALIKE, "colour": "blue", "pattern": "dotted", "print": "star", "sleeve": "long-sleeved"}
    twin, striped = {**ALIKE, "colour": "blue"}, {**ALIKE, "pattern": "striped", "colour": "grey"}
    answer = reason([ALIKE, far, twin, twin, striped, ALIKE, {**ALIKE, "print": "cat"}], 2, Random(0))
    assert [one["reachable"] for one in answer["candidates"]] == [False, False, False, True, False, True]
    assert [one["picture"] for one in answer["targets"]] == [6, 4]
    assert answer["targets"][0]["changes"] == [{"group": "print", "old": "none", "new": "cat"}]


def test_the_judge_picks_the_picture_with_the_words_and_the_fewest_differences() -> None:
    blue, blue_dress = {**ALIKE, "colour": "blue"}, {**ALIKE, "colour": "blue", "kind": "dress"}
    answer = judge([ALIKE, blue_dress, blue, ALIKE, blue], [{"colour": "blue"}, {"colour": "pink"}, {}])
    assert answer["picks"] == [2, 0, 0]
    assert answer["also_fit"] == [4]
    assert answer["already_true"] is False
    assert judge([ALIKE, blue], [{"colour": "red"}])["already_true"] is True


@pytest.fixture(scope="module")
def truth(few_garments: Path) -> Truth:
    return load_truth("wardrobe", few_garments)


def test_pictures_are_recognised_as_they_are_sent(shown_catalog: Path, truth: Truth) -> None:
    catalog = Catalog(shown_catalog)
    model, urls = PretendModel(catalog, truth, consistency=0.5), PictureUrls(catalog.path, size=96, quality=85)
    assert [model.recognise(urls.url(name))[0] for name in catalog.names] == list(catalog.names)
    with pytest.raises(ValueError, match="might be"):
        model.recognise(
            "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
        )


@pytest.mark.parametrize(("consistency", "alike"), [(1.0, 1.0), (0.0, 0.7 * 0.7)])
def test_a_model_has_the_accuracy_and_the_consistency_that_it_is_given(
    shown_catalog: Path, truth: Truth, consistency: float, alike: float
) -> None:
    catalog = Catalog(shown_catalog)
    model = PretendModel(catalog, truth, consistency=consistency)
    right, both = [], []
    for name in catalog.names:
        first, again = (model.perceive("accuracy-70", 0.7, name, call) for call in ("one", "another"))
        assert {group for group, word in first.items() if word} == {
            group for group, word in truth[name].items() if word
        }
        for group, word in truth[name].items():
            if word:
                right.append(first[group] == word)
                # A consistent model makes the same mistakes again; another is right twice by chance alone.
                both.append(first[group] == again[group] if consistency else first[group] == again[group] == word)
    assert sum(right) / len(right) == pytest.approx(0.7, abs=0.05)
    assert sum(both) / len(both) == pytest.approx(alike, abs=0.06)


def test_a_wording_goes_from_the_reasoner_to_the_judge(shown_catalog: Path, few_garments: Path, tmp_path: Path) -> None:
    truth = load_truth("wardrobe", few_garments)
    model = PretendModel(Catalog(shown_catalog), truth, consistency=0.5)
    out = tmp_path / "triplets.parquet"
    with Loopback(respond=model.answer) as server:
        chat = settings(base_url=server.url)
        facts = mine_chat(shown_catalog, out, "accuracy-100", chat, ChatMineOptions(vocabulary=VOCABULARY, limit=12))
    triplets, _ = read_triplets(out)
    assert facts.accepted == len(triplets) > 12
    assert all(has_correct_change(one, truth) and is_unambiguous(one, truth) for one in triplets)
    assert facts.tokens_in > facts.calls * 1000
    assert facts.tokens_out > 0
