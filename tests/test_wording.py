"""What the agent says of changes: English, few texts, none that a benchmark uses."""

import json
import re
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest

from triptych.benchmarks.datasets.closet import phrasings as closet
from triptych.benchmarks.datasets.fashion_products.phrasings import TEST, VAL
from triptych.benchmarks.datasets.fashion_products.words import with_article as with_article_of_the_benchmark
from triptych.benchmarks.datasets.wardrobe.captions import Voice
from triptych.benchmarks.datasets.wardrobe.garments import VOCABULARY, vocabulary
from triptych.core.errors import DataError
from triptych.mining.wording.lexicon import (
    american,
    comparative,
    compared,
    excluded_by,
    is_adjective,
    is_plural,
    with_article,
)
from triptych.mining.wording.roles import role_of
from triptych.mining.wording.wordings import MOST_TEXTS, Wordings, allot
from triptych.tagging.vocabulary import Vocabulary, load_vocabulary
from triptych.triplets.file import Change
from wardrobe_queries import said_of

CLOSET = Path(closet.__file__).parent / "vocabulary.json"
DEFAULT = load_vocabulary()
WARDROBE = load_vocabulary(VOCABULARY)
WORDS = {
    "colour": ("blue", "red"),
    "kind": ("shirt", "dress"),
    "gender": ("men", "women"),
    "usage": ("casual", "formal"),
}


def plain(text: str) -> str:
    """Small letters without the marks that no speech has: what differs in them alone is the same phrase."""
    return re.sub(r"[.,?!:]", "", american(text).casefold()).strip()


def said(wordings: Wordings, changes: list[Change], *, draws: int = 60, item: str = "") -> list[str]:
    return sorted(
        {one.text for seed in range(draws) for one in wordings.of(changes, np.random.default_rng(seed), item)}
    )


def vocabulary_of(**groups: tuple[str, ...]) -> Vocabulary:
    return Vocabulary(
        groups,
        {group: {word: word for word in words} for group, words in groups.items()},
        {group: dict.fromkeys(words, ()) for group, words in groups.items()},
    )


@pytest.fixture(scope="module")
def default() -> Wordings:
    return Wordings(DEFAULT, most=100_000)  # so many that every pair of words has as many texts as it can have


@pytest.fixture(scope="module")
def wardrobe() -> Wordings:
    return Wordings(WARDROBE, most=100_000)


@pytest.mark.parametrize("split", [VAL, TEST], ids=["val", "test"])
def test_no_text_is_a_query_of_fashion_products(split: dict, default: Wordings) -> None:
    for groups, templates in split.items():
        new = {group: WORDS[group][1] for group in groups}
        kind, colour = new.get("kind", ""), new.get("colour", "")
        asked = {
            plain(
                template.format(
                    gender=new.get("gender"),
                    kind=kind,
                    colour=colour,
                    a_kind=with_article_of_the_benchmark(kind),
                    a_colour=with_article_of_the_benchmark(colour),
                    a_colour_kind=with_article_of_the_benchmark(kind, colour),
                )
            )
            for template in templates
        }
        changes = [Change(group, *WORDS[group]) for group in sorted(groups)]
        assert not asked & set(map(plain, said(default, changes, draws=200, item="shirt")))


@pytest.mark.parametrize("split", ["val", "test"])
def test_no_text_is_a_query_of_the_closet(split: str) -> None:
    known = load_vocabulary(CLOSET)
    wordings = Wordings(known, most=100_000)
    words = {"colour": ("blue", "red"), "kind": ("shirt", "dress"), "pattern": ("plain", "striped"),
             "sleeve": ("no sleeves", "long sleeves")}  # fmt: skip
    for groups in [*((group,) for group in words), *combinations(sorted(words), 2)]:
        new = {group: words[group][1] for group in groups}
        asked = {plain(closet.phrase(split, new, str(query))) for query in range(300)}
        changes = [Change(group, *words[group]) for group in groups]
        assert not asked & set(map(plain, said(wordings, changes, draws=200, item="shirt")))


LOOKS = {
    "colour": ("blue", "red"),
    "pattern": ("plain", "striped", "zigzag", "floral"),
    "sleeve": ("sleeveless", "short-sleeved", "long-sleeved"),
    "length": ("short", "long"),
    "print": ("none", "star", "heart"),
}


@pytest.mark.parametrize("voice", ["val", "test"])
def test_no_text_is_a_query_of_the_wardrobe(voice: Voice, wardrobe: Wordings) -> None:
    edits = [Change(group, old, new) for group, looks in LOOKS.items() for old, new in permutations(looks, 2)]
    pairs = [(first, second) for first in edits[::3] for second in edits[1::4] if first.attribute != second.attribute]
    for changes in [*([edit] for edit in edits), *map(list, pairs)]:
        texts = set(map(plain, said(wardrobe, changes, draws=40, item="shirt")))
        assert not {plain(text) for text in said_of(changes, voice, 80)} & texts


def test_every_text_says_the_new_word_or_how_it_differs(default: Wordings) -> None:
    for group, (old, new) in WORDS.items():
        ways = [american(way) for way in (new, *DEFAULT.sayings[group][new], "lighter", "darker")]
        texts = said(default, [Change(group, old, new)])
        assert all(any(way in american(text) for way in ways) for text in texts), texts
        assert len(texts) > 8


def test_an_exclusion_names_the_old_word_or_asks_for_another(default: Wordings) -> None:
    for group, (old, _) in WORDS.items():
        texts = said(default, [Change(group, old, None)])
        assert all(old in text or "different" in text or "another" in text for text in texts), texts
        assert any(re.search(r"\b(not|n't|no|any)\b|n't", text) for text in texts)


def test_exclusions_are_english(wardrobe: Wordings) -> None:
    texts = {
        group: said(wardrobe, [Change(group, old, None)])
        for group, old in (("colour", "blue"), ("pattern", "striped"), ("neckline", "hood"), ("pattern", "plain"),
                           ("print", "none"), ("sleeve", "sleeveless"))
    }  # fmt: skip
    assert any("not blue" in text for text in texts["colour"])
    assert any("any color but blue" in text for text in texts["colour"])
    assert any("without a hood" in text or "no hood" in text for text in texts["neckline"])
    assert any("with sleeves" in text or "has sleeves" in text for text in texts["sleeve"])
    assert any("with a print" in text or "has a print" in text for text in texts["print"])
    assert not any(
        word in text for found in texts.values() for text in found for word in ("not no", "none", "without no")
    )


def test_styles_come_in_turn_and_the_same_for_the_same_seed(default: Wordings) -> None:
    changes = [Change("colour", "blue", "red")]
    one, again = (default.of(changes, np.random.default_rng(5), "shirt") for _ in range(2))
    assert one == again == Wordings(DEFAULT, most=100_000).of(changes, np.random.default_rng(5), "shirt")
    assert [wording.style for wording in one] == ["shorthand", "sentence", "captions", "relative"] * 2
    assert len({wording.text for wording in one}) == 8


def test_two_changes_are_both_said_and_joined_as_people_join_them(wardrobe: Wordings) -> None:
    changes = [Change("colour", "blue", "red"), Change("sleeve", "short-sleeved", "long-sleeved")]
    texts = said(wardrobe, changes)
    assert len(texts) >= 6
    for text in texts:
        assert "red" in text
        assert "long" in text
        assert not re.search(r"\b(and|but) (and|but)\b|\ba (?:red )?long sleeves", text)
    mixed = said(wardrobe, [Change("colour", "blue", "red"), Change("pattern", "striped", None)])
    assert mixed
    for text in mixed:
        assert "red" in text
        assert re.search(r"\b(no|not|without|n't|different|another)\b|n't", text), text


def test_nothing_is_said_of_sleeves_that_a_thing_has_not() -> None:
    known = load_vocabulary(CLOSET)
    wordings = Wordings(known, most=100_000)
    sleeves = Change("sleeve", "no sleeves", "long sleeves")
    for kind in ("trousers", "shoes", "skirt", "hat", "long-sleeved top"):
        assert not wordings.can_word([Change("kind", "dress", kind), sleeves])
        assert not any(re.search(rf"\b{kind}\b", text) for text in said(wordings, [sleeves], item=kind))
    assert said(wordings, [Change("kind", "dress", "coat"), sleeves])


def test_the_thing_is_named_where_it_is_known_and_stays() -> None:
    kinds, colours = ["shirt", "jeans", "dress"], ["red", "blue", "green"]
    default = Wordings(load_vocabulary().restricted({"kind": kinds, "colour": colours}))
    changes = [Change("colour", "blue", "red")]
    assert any("shirt" in text for text in said(default, changes, item="shirt"))
    assert not any("shirt" in text for text in said(default, changes))
    jeans = said(default, changes, item="jeans")
    assert any("jeans" in text for text in jeans)
    assert not any(re.search(r"\ban? (?:red )?jeans|jeans (?:is|has)\b", text) for text in jeans), jeans


def test_having_none_is_put_in_english(wardrobe: Wordings) -> None:
    for change in (Change("print", "star", "none"), Change("print", "none", "star")):
        assert not any("none" in text for text in said(wardrobe, [change]))


def test_number_articles_and_comparatives() -> None:
    assert [with_article(noun) for noun in ("shirt", "orange dress", "one-piece", "unitard", "undershirt")] == [
        "a shirt", "an orange dress", "a one-piece", "a unitard", "an undershirt"]  # fmt: skip
    assert [with_article(noun) for noun in ("jeans", "swimwear", "long sleeves", "dress", "white dress")] == [
        "jeans", "swimwear", "long sleeves", "a dress", "a white dress"]  # fmt: skip
    assert not any(map(is_plural, ("dress", "canvas", "lotus", "chassis", "lip gloss", "bus")))
    assert [comparative(word) for word in ("long", "slim", "wide", "sporty", "formal", "plain")] == [
        "longer", "slimmer", "wider", "sportier", "more formal", "plainer"]  # fmt: skip
    lengths = ("short", "medium", "long")
    assert (compared("short", "long", lengths), compared("long", "medium", lengths)) == ("longer", "shorter")
    assert compared("short", "long", ("short", "long", "square")) == ""
    assert all(map(is_adjective, ("casual", "long-sleeved", "wooden", "knee-length", "floral")))
    assert not any(map(is_adjective, ("cotton", "star", "table", "sandals", "ring")))


def test_ordered_words_are_compared(wardrobe: Wordings) -> None:
    longer = said(wardrobe, [Change("length", "short", "long")])
    assert any("longer" in text for text in longer)
    assert not any("shorter" in text for text in longer)
    sleeves = [said(wardrobe, [Change("sleeve", *pair)]) for pair in permutations(("long-sleeved", "short-sleeved"))]
    assert any("shorter sleeves" in text or "longer sleeves" in text for texts in sleeves for text in texts)
    assert not any("longer sleeves" in text for text in sleeves[0])
    assert any("darker" in text for text in said(wardrobe, [Change("colour", "white", "navy")]))
    assert not any("darker" in text for text in said(wardrobe, [Change("colour", "blue", "green")]))


def test_what_a_word_excludes() -> None:
    words = ("blue", "navy", "light blue", "green", "t-shirt", "shirt")
    assert excluded_by("blue", words, {}) == ("blue", "navy", "light blue")
    assert excluded_by("light blue", words, {}) == ("light blue",)
    assert excluded_by("green", words, {"navy": ("greenish", "sea green")}) == ("navy", "green")


def test_roles_by_name_by_words_and_as_stated() -> None:
    assert role_of("base_colour", ("red", "blue")) == "colour"
    assert role_of("farbe", ("black", "white", "red")) == "colour"
    assert role_of("Sleeves", ("long", "short")) == "sleeves"
    assert role_of("vibe", ("casual", "formal")) == "quality"
    assert role_of("maker", ("Acme", "Globex")) == "label"
    assert role_of("finish", ("oak", "teak"), "material") == "material"


def test_a_vocabulary_of_ones_own_is_english(tmp_path: Path) -> None:
    path = tmp_path / "furniture.json"
    groups = {"category": ["armchair", "sofa", "shelves"], "wood": ["oak", "walnut"], "legs": ["wooden", "metal"],
              "maker": ["Acme {0}", "Globex"], "height": ["low", "high"]}  # fmt: skip
    path.write_text(json.dumps({**groups, "$roles": {"maker": "label"}}))
    known = load_vocabulary(path)
    assert known.roles == {"maker": "label"}
    wordings = Wordings(known)
    assert any("an armchair" in text for text in said(wordings, [Change("category", "sofa", "armchair")]))
    assert any("in oak" in text or "made of oak" in text for text in said(wordings, [Change("wood", "walnut", "oak")]))
    assert any("higher" in text for text in said(wordings, [Change("height", "low", "high")]))
    assert all("Acme {0}" in text for text in said(wordings, [Change("maker", "Globex", "Acme {0}")]))


def test_a_role_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'finish'.*'polish'.*kind, colour"):
        Wordings(Vocabulary({"finish": ("a", "b")}, {"finish": {}}, {"finish": {}}, {"finish": "polish"}))
    path = tmp_path / "words.json"
    for wrong in ('{"a": ["b", "c"], "$roles": []}', '{"a": ["b", "c"], "$roles": {"d": "kind"}}',
                  '{"a": ["b", "c"], "$roles": {"a": 1}}', '{"$roles": {}}'):  # fmt: skip
        path.write_text(wrong)
        with pytest.raises(DataError, match=str(path)):
            load_vocabulary(path)


def test_a_saying_may_name_the_word_that_is_to_go() -> None:
    groups = {"pattern": ("plain", "striped", "none")}
    phrases = {"pattern": {word: word for word in groups["pattern"]}}
    sayings = {"pattern": {"plain": ("no longer {old} {really}", "unadorned"), "striped": (), "none": ()}}
    known = Wordings(Vocabulary(groups, phrases, sayings))
    striped, none = (" ".join(said(known, [Change("pattern", old, "plain")])) for old in ("striped", "none"))
    assert "no longer striped {really}" in striped
    assert "{old}" not in striped + none
    assert "no longer" not in none
    assert "unadorned" in none


def every_text(wordings: Wordings) -> set[str]:
    return {text for key in wordings.keys for _, text in wordings.texts(key)}


@pytest.mark.slow
def test_no_vocabulary_has_more_texts_than_the_budget(capfd: pytest.CaptureFixture[str]) -> None:
    assert 4000 < len(every_text(Wordings(DEFAULT))) <= MOST_TEXTS
    capfd.readouterr()
    many = vocabulary_of(**{f"group {g}": tuple(f"word {g}x{w}" for w in range(60)) for g in range(4)})
    wordings = Wordings(many)
    assert len(every_text(wordings)) <= MOST_TEXTS
    assert "pairs of words are beyond 8000 texts; they are not asked about" in capfd.readouterr().err
    pairs = [
        [Change(first, many.groups[first][0], one), Change(second, many.groups[second][0], other)]
        for first, second in combinations(many.groups, 2)
        for one in many.groups[first][1::9]
        for other in many.groups[second][1::9]
    ]
    worded = [bool(wordings.of(changes, np.random.default_rng(0))) for changes in pairs]
    assert worded == [wordings.can_word(changes) for changes in pairs]
    assert 0 < sum(worded) < len(worded)


def test_frequent_words_have_more_texts() -> None:
    often = allot(np.array([900.0, 100, 1, 0]), 12, 8)
    assert often.tolist() == sorted(often, reverse=True)
    assert (often.min(), often.sum() <= 12, often[0] > often[2]) == (1, True, True)
    assert allot(np.array([1.0, 5, 3]), 2, 8).tolist() == [0, 1, 1]
    assert allot(np.ones(3), 100, 8).tolist() == [8, 8, 8]
    assert allot(np.ones(0), 100, 8).tolist() == []


def test_the_wardrobe_s_vocabulary_is_that_of_its_captions() -> None:
    assert {group: list(words) for group, words in WARDROBE.groups.items()} == vocabulary()
