from itertools import permutations

import numpy as np
import pytest

from triptych.benchmarks.datasets.fashion_products.phrasings import TEST, VAL
from triptych.benchmarks.datasets.fashion_products.words import with_article
from triptych.benchmarks.datasets.wardrobe.captions import Voice
from triptych.benchmarks.datasets.wardrobe.garments import VOCABULARY, vocabulary
from triptych.mining.wording import word_changes
from triptych.tagging.vocabulary import Vocabulary, load_vocabulary
from triptych.triplets.file import Change
from wardrobe_queries import said_of

WORDS = {
    "colour": ("blue", "red"),
    "kind": ("shirt", "dress"),
    "gender": ("men", "women"),
    "usage": ("casual", "formal"),
}


def wordings(groups: tuple[str, ...], draws: int = 3000) -> set[str]:
    changes = [Change(group, *WORDS[group]) for group in groups]
    known = load_vocabulary()
    return {
        wording.text.casefold()
        for seed in range(draws)
        for wording in word_changes(changes, known, np.random.default_rng(seed))
    }


@pytest.mark.parametrize("split", [VAL, TEST], ids=["val", "test"])
def test_the_agent_never_words_a_query_as_the_benchmark_does(split: dict) -> None:
    for groups, templates in split.items():
        new = {group: WORDS[group][1] for group in groups}
        kind, colour = new.get("kind", ""), new.get("colour", "")
        asked = {
            template.format(
                gender=new.get("gender"),
                kind=kind,
                colour=colour,
                a_kind=with_article(kind),
                a_colour=with_article(colour),
                a_colour_kind=with_article(kind, colour),
            ).casefold()
            for template in templates
        }
        assert not asked & wordings(tuple(sorted(groups)))


LOOKS = {
    "colour": ("blue", "red"),
    "pattern": ("plain", "striped", "zigzag", "floral"),
    "sleeve": ("sleeveless", "short-sleeved", "long-sleeved"),
    "length": ("short", "long"),
    "print": ("none", "star", "heart"),
}


@pytest.mark.parametrize("voice", ["val", "test"])
def test_the_agent_never_words_a_query_as_the_wardrobe_does(voice: Voice) -> None:
    known = load_vocabulary(VOCABULARY)
    edits = [Change(group, old, new) for group, looks in LOOKS.items() for old, new in permutations(looks, 2)]
    pairs = [(first, second) for first in edits[::3] for second in edits[1::4] if first.group != second.group]
    for changes in [*((edit,) for edit in edits), *pairs]:
        said = {
            wording.text.casefold()
            for seed in range(300)
            for wording in word_changes(changes, known, np.random.default_rng(seed))
        }
        assert not said_of(changes, voice, 80) & said


def test_every_wording_says_the_new_word_or_one_of_its_sayings() -> None:
    known = load_vocabulary()
    for group, (_, new) in WORDS.items():
        ways = (new, *known.sayings[group][new])
        assert all(any(way in text for way in ways) for text in wordings((group,), 300))


def test_four_styles_and_the_same_for_the_same_seed() -> None:
    changes = [Change("colour", "blue", "red"), Change("kind", "shirt", "dress")]
    known = load_vocabulary()
    one, again = (word_changes(changes, known, np.random.default_rng(5)) for _ in range(2))
    assert one == again
    assert {wording.style for wording in one} == {"shorthand", "sentence", "captions", "relative"}


def test_having_none_is_put_in_english() -> None:
    known = load_vocabulary(VOCABULARY)
    for change in (Change("print", "star", "none"), Change("print", "none", "star")):
        for seed in range(200):
            for wording in word_changes([change], known, np.random.default_rng(seed)):
                assert "none" not in wording.text


def test_articles_are_those_of_english() -> None:
    known = load_vocabulary(VOCABULARY)
    texts = " ".join(
        wording.text
        for new, group in (("anchor", "print"), ("orange", "colour"), ("star", "print"))
        for seed in range(200)
        for wording in word_changes([Change(group, "cat", new)], known, np.random.default_rng(seed))
    )
    assert "with an anchor on it" in texts
    assert "in an orange shade" in texts
    assert "with a star on it" in texts
    assert "a anchor" not in texts
    assert "a orange" not in texts
    groups = {"kind": ("shirt", "one-piece", "unitard", "undershirt")}
    kinds = Vocabulary(
        groups, {"kind": {kind: kind for kind in groups["kind"]}}, {"kind": dict.fromkeys(groups["kind"], ())}
    )
    said = " ".join(
        wording.text
        for new in groups["kind"][1:]
        for seed in range(100)
        for wording in word_changes([Change("kind", "shirt", new)], kinds, np.random.default_rng(seed))
    )
    assert "as a one-piece" in said
    assert "as a unitard" in said
    assert "as an undershirt" in said


def test_a_saying_may_name_the_word_that_is_to_go() -> None:
    groups = {"pattern": ("plain", "striped", "none")}
    phrases = {"pattern": {word: word for word in groups["pattern"]}}
    sayings = {"pattern": {"plain": ("no longer {old} {really}", "unadorned"), "striped": (), "none": ()}}
    known = Vocabulary(groups, phrases, sayings)

    def texts(old: str) -> str:
        change = [Change("pattern", old, "plain")]
        return " ".join(
            wording.text for seed in range(200) for wording in word_changes(change, known, np.random.default_rng(seed))
        )

    assert "no longer striped {really}" in texts("striped")
    assert "{old}" not in texts("striped")
    assert "no longer" not in texts("none")
    assert "unadorned" in texts("none")


def test_the_wardrobe_s_vocabulary_is_that_of_its_captions() -> None:
    known = load_vocabulary(VOCABULARY)
    assert {group: list(words) for group, words in known.groups.items()} == vocabulary()
