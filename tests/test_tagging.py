import numpy as np
import pytest

from triptych.core.errors import DataError, FailureError
from triptych.core.vectors import unit
from triptych.encoders.lexicon import FILE, Lexicon, common_terms, terms_of
from triptych.mining.proposer import Proposer, attribute_variability
from triptych.tagging.tagger import Tagger, best_words
from triptych.tagging.tags import reliable_groups
from triptych.tagging.vocabulary import Vocabulary, load_vocabulary

WORDS = ("red", "blue", "sleeveless", "short sleeves")


def vocabulary(**groups: tuple[str, ...]) -> Vocabulary:
    return Vocabulary(
        groups=groups,
        phrases={group: {word: word for word in words} for group, words in groups.items()},
        sayings={group: dict.fromkeys(words, ()) for group, words in groups.items()},
    )


class Naming:
    """An encoder that can name WORDS: a picture's components are their log-odds, divided by ten."""

    name = fingerprint = "naming"
    dim = len(WORDS)
    identity = 0
    logit_scale = 10.0
    lexicon = Lexicon(WORDS, 10 * np.eye(len(WORDS), dtype=np.float32), np.zeros(len(WORDS), np.float32))

    def encode_texts(self, texts):
        return unit(np.array([[word in text for word in WORDS] for text in texts], np.float32) + 1e-6)


def test_terms_are_words_and_pairs():
    assert terms_of("Navy-Blue T-Shirts, for men") == {
        "navyblue", "tshirts", "for", "men", "navyblue tshirts", "tshirts for", "for men",
    }  # fmt: skip
    assert terms_of("") == set()


def test_rare_terms_are_not_learnt():
    assert common_terms(["a red dress"] * 8 + ["a mauve dress"] * 7) == ["a", "a red", "dress", "red", "red dress"]


def test_a_lexicon_names_what_it_knows():
    lexicon = Lexicon(["shirt", "navy blue"], np.eye(2, dtype=np.float32), np.array([-1, -3], np.float32))
    assert lexicon.knows("Shirts")
    assert lexicon.knows("navy blue")
    assert not lexicon.knows("navy")
    odds = lexicon.log_odds(np.array([[2, 5]], np.float32), ["navy blue", "shirts", "cravat"])
    np.testing.assert_allclose(odds, [[2, 1, -3]])


def test_a_lexicon_round_trips(tmp_path):
    Naming.lexicon.save(tmp_path)
    again = Lexicon.load(tmp_path)
    assert again.terms == WORDS
    np.testing.assert_array_equal(again.weight, Naming.lexicon.weight)
    assert Lexicon.load(tmp_path / "none") is None
    (tmp_path / FILE).write_bytes(b"spoilt")
    with pytest.raises(DataError, match=FILE):
        Lexicon.load(tmp_path)


def test_what_a_picture_does_not_show_is_not_tagged():
    words = vocabulary(colour=("red", "blue"), sleeve=("sleeveless", "short sleeves"))
    tagger = Tagger(Naming(), words)
    assert tagger.named == {"colour", "sleeve"}
    shirt, skirt = [0.3, -0.6, 0.4, -0.6], [0.4, -0.6, -0.9, -0.9]
    tags = tagger(np.array([shirt, skirt], np.float32))
    assert tags["sleeve"][0].sum() > 0.99
    assert tags["sleeve"][1].sum() < 0.05
    assert best_words(tags, words, 0) == {"colour": "red", "sleeve": "sleeveless"}
    assert best_words(tags, words, 1) == {"colour": "red"}


def test_likeness_settles_what_naming_leaves_open():
    class Doubtful(Naming):
        lexicon = Lexicon(WORDS, np.zeros((4, 4), np.float32), np.array([-1, -1, 0, -9], np.float32))

    words = vocabulary(colour=("red", "blue"), sleeve=("sleeveless", "short sleeves"))
    tags = Tagger(Doubtful(), words)(np.array([[0, 1, 0, 1]], np.float32))
    assert tags["colour"][0].argmax() == 1
    assert tags["colour"][0].sum() == pytest.approx(2 * np.exp(-1) / (2 * np.exp(-1) + 0.02), rel=1e-4)
    assert tags["sleeve"][0].argmax() == 0  # where it knows for sure, likeness changes nothing


@pytest.mark.parametrize("sizes", [(200, 100), (13_000, 3)], ids=["two large groups", "one of too many words"])
def test_groups_may_be_too_large_to_be_asked_about_together(sizes):
    groups = {f"group{place}": tuple(f"{place}-{word}" for word in range(size)) for place, size in enumerate(sizes)}
    tags = Tagger(Naming(), vocabulary(**groups))(np.eye(4, dtype=np.float32))
    assert [values.shape for values in tags.values()] == [(4, size) for size in sizes]
    assert all(np.allclose(values.sum(axis=1), 1, atol=1e-3) for values in tags.values())


def test_a_group_of_unknown_words_is_guessed_by_likeness():
    words = vocabulary(colour=("red", "blue"), sleeve=("sleeveless", "cap sleeves", "raglan"))
    tagger = Tagger(Naming(), words)
    assert tagger.named == {"colour"}
    tags = tagger(np.array([[0.4, 0, 0.9, 0]], np.float32))
    assert tags["sleeve"][0].sum() == pytest.approx(1)
    assert tags["sleeve"][0].argmax() == 0


def test_a_colour_is_freer_than_a_kind():
    """Items are told by the first axes; each comes in many colours and is of one kind."""
    random = np.random.default_rng(0)
    item, colour = random.integers(12, size=600), random.integers(4, size=600)
    items = unit(np.eye(12, dtype=np.float32)[item] + 0.05 * random.normal(size=(600, 12)))
    tags = {"colour": np.eye(4, dtype=np.float32)[colour], "kind": np.eye(3, dtype=np.float32)[item % 3]}
    found = attribute_variability(items, tags)
    assert found["colour"] == 1
    assert found["kind"] < 0.1


def test_nothing_is_asked_of_what_a_picture_does_not_show():
    random = np.random.default_rng(0)
    items = unit(random.normal(size=(40, 8)))
    sleeve = np.eye(2, dtype=np.float32)[random.integers(2, size=40)]
    sleeve[::2] = 0.01  # skirts
    tags = {"colour": np.eye(3, dtype=np.float32)[random.integers(3, size=40)], "sleeve": sleeve}
    proposer = Proposer(items, tags, ("colour", "sleeve"), width=10, seed=0)
    plans = {reference: set() for reference in range(40)}
    for proposal in proposer.propose(list(range(40)), plans_each=3):
        plans[proposal.reference].add(proposal.plan)
    assert all(plans[skirt] == {("colour",)} for skirt in range(0, 40, 2))
    assert all(("sleeve",) in plans[shirt] for shirt in range(1, 40, 2))


def test_the_default_vocabulary_is_whole():
    words = load_vocabulary()
    assert {"colour", "kind"} <= words.groups.keys()


def test_a_group_that_the_encoder_is_unsure_of_is_left_out(capfd):
    unsure = np.full((10, 4), 0.2, np.float32)
    unsure[:, 0] = 0.35
    sure = np.tile(np.array([0.9, 0.1], np.float32), (10, 1))
    assert reliable_groups({"colour": sure, "print": unsure}) == ("colour",)
    assert "'print'" in capfd.readouterr().err
    # Odds that were learnt are not overstated.
    assert reliable_groups({"colour": sure, "print": unsure}, named={"print"}) == ("colour", "print")
    with pytest.raises(FailureError):
        reliable_groups({"print": unsure})
