import numpy as np
import pytest
from numpy.typing import NDArray

from triptych.core.errors import DataError, FailureError
from triptych.core.vectors import unit
from triptych.encoders.lexicon import FILE, Lexicon, common_terms, terms_of
from triptych.mining.proposer import Proposer, attribute_variability
from triptych.tagging.calibration import information, neighbours_of
from triptych.tagging.tagger import Tagger, best_words, is_shown
from triptych.tagging.tags import report_tags, summary, tag_pictures
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


def test_similarity_settles_what_naming_leaves_open():
    class Doubtful(Naming):
        lexicon = Lexicon(WORDS, np.zeros((4, 4), np.float32), np.array([-1, -1, 0, -9], np.float32))

    words = vocabulary(colour=("red", "blue"), sleeve=("sleeveless", "short sleeves"))
    tags = Tagger(Doubtful(), words)(np.array([[0, 1, 0, 1]], np.float32))
    assert tags["colour"][0].argmax() == 1
    assert tags["colour"][0].sum() == pytest.approx(2 * np.exp(-1) / (2 * np.exp(-1) + 0.02), rel=1e-4)
    assert tags["sleeve"][0].argmax() == 0  # where it knows for sure, similarity changes nothing


@pytest.mark.parametrize("sizes", [(200, 100), (13_000, 3)], ids=["two large groups", "one of too many words"])
def test_groups_may_be_too_large_to_be_asked_about_together(sizes):
    groups = {f"group{place}": tuple(f"{place}-{word}" for word in range(size)) for place, size in enumerate(sizes)}
    tags = Tagger(Naming(), vocabulary(**groups))(np.eye(4, dtype=np.float32))
    assert [values.shape for values in tags.values()] == [(4, size) for size in sizes]
    assert all(np.allclose(values.sum(axis=1), 1, atol=1e-3) for values in tags.values())


def test_a_group_of_unknown_words_is_guessed_by_similarity():
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


def test_what_another_kind_lacks_is_not_compared_where_the_kind_changes():
    """From a shirt to a shoe: that shoes have no sleeves is no difference; another colour is one."""
    random = np.random.default_rng(0)
    kind, colour, sleeve = random.integers(2, size=(3, 80))
    two = np.eye(2, dtype=np.float32)
    tags = {"kind": two[kind], "colour": two[colour], "sleeve": two[sleeve] * (kind == 0)[:, None]}
    items = unit(random.normal(size=(80, 8)))
    shirt = int(np.flatnonzero(kind == 0)[0])

    def gap(plan: str, applies, same: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
        """By how much the best candidate of `same` is more like the shirt than the best of `other`."""
        proposer = Proposer(items, tags, tuple(tags), width=79, seed=0, applies=applies)
        (found,) = proposer.propose_for([(shirt, (plan,))])
        return found.affinity[same[found.candidates]].max() - found.affinity[other[found.candidates]].max()

    depends = {"sleeve": ("kind",), "colour": ("kind",)}
    shirts, its_colour = kind == kind[shirt], colour == colour[shirt]
    assert gap("kind", None, shirts, ~shirts) > 5
    assert gap("kind", depends, shirts, ~shirts) < 5
    # Every picture shows a colour, so it is compared all the same.
    assert gap("kind", depends, ~shirts & its_colour, ~shirts & ~its_colour) > 5
    its_sleeve = sleeve == sleeve[shirt]
    assert gap("colour", depends, shirts & its_sleeve, shirts & ~its_sleeve) > 5


def test_the_default_vocabulary_is_whole():
    words = load_vocabulary()
    assert {"colour", "kind", "pattern", "material", "sleeve", "length", "usage", "gender"} <= words.groups.keys()
    assert words.family("colour", "navy") == "blue"
    assert words.family("colour", "blue") == "blue"
    assert words.find("kind", "pullover") == "sweater"
    assert words.find("sleeve", "short sleeves") == "short-sleeved"
    assert words.find("colour", "plaid") is None
    assert words.is_about("sleeve", "kind", ["t-shirt", "dress", "sandals"]) == [True, True, False]
    assert words.is_about("colour", "kind", ["sandals"]) == [True]


def test_a_vocabulary_has_two_levels(tmp_path):
    path = tmp_path / "words.json"
    path.write_text(
        '{"colour": {"red": "red", "blue": {"texts": ["blue", "azure"], "narrower": {"navy": ["navy blue"]}}},'
        ' "kind": ["shirt", "shoe"], "sleeve": {"of": {"kind": ["shirt"]}, "words": ["short", "long"]}}'
    )
    words = load_vocabulary(path)
    assert words.groups["colour"] == ("red", "blue", "navy")
    assert words.broader["colour"] == {"navy": "blue"}
    assert words.phrases["colour"]["navy"] == "navy blue"
    assert words.sayings["colour"]["blue"] == ("azure",)
    assert words.applies == {"sleeve": {"kind": ("shirt",)}}
    fewer = words.restricted({"colour": ["navy", "red"], "sleeve": ["short"]})
    assert fewer.groups == {"colour": ("red", "navy"), "sleeve": ("short",)}
    assert fewer.family("colour", "navy") == "blue"


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ('{"colour": {"red": {"texts": ["red"]}, "blue": "blue"}}', "'red'"),
        ('{"colour": {"red": {"texts": ["red"], "narrower": ["rose"]}, "blue": "blue"}}', "'red'"),
        ('{"colour": {"red": "red", "blue": {"texts": ["blue"], "narrower": {"red": "red"}}}}', "'red' twice"),
        ('{"colour": {"of": {"kind": ["shirt"]}, "words": ["red", "blue"]}}', "shirt"),
        ('{"colour": {"of": "kind", "words": ["red", "blue"]}}', "of"),
    ],
)
def test_a_bad_level_is_named(tmp_path, content, names):
    path = tmp_path / "words.json"
    path.write_text(content)
    with pytest.raises(DataError, match=names):
        load_vocabulary(path)


class Placing:
    """An encoder of red, blue and navy things, shirts and shoes, which sees nothing else.

    A text lies where its words do, and one without such a word where no picture lies.
    """

    name = fingerprint = "placing"
    instance_dim = 0
    lexicon = None
    axes = ("red", "blue", "navy", "shirt", "shoe", "short", "long", "else")
    dim = len(axes)

    def __init__(self, logit_scale: float = 10.0) -> None:
        self.logit_scale = logit_scale

    def encode_texts(self, texts):
        vectors = np.array([[word in text.split() for word in self.axes] for text in texts], np.float32)
        vectors[:, self.axes.index("navy")] *= 0.7
        vectors[:, 1] += 0.7 * (vectors[:, 2] > 0)  # a navy is a blue
        vectors[:, -1] = 0.01
        return unit(vectors)


COLOURS = {
    "colour": ("red", "blue", "navy", "mauve"),
    "kind": ("shirt", "shoe", "giraffe"),
    "sleeve": ("short", "long"),
}


def things(count=400, *, noise=0.08, distinct=True):
    """Pictures of shirts and shoes in red, blue or navy; shirts have sleeves. Also the truth of each group."""
    random = np.random.default_rng(3)
    colour, kind, sleeve = (random.integers(most, size=count) for most in (3, 2, 2))
    vectors = noise * random.normal(size=(count, Placing.dim))
    rows = np.arange(count)
    vectors[rows, 3 + kind] += 1
    shirts = kind == 0
    vectors[rows[shirts], 5 + sleeve[shirts]] += 1
    place = np.where(colour == 2, 1, colour)
    vectors[rows, place] += 1
    if distinct:
        vectors[rows[colour == 2], 2] += 1
    return unit(vectors), {"colour": colour, "kind": kind, "sleeve": sleeve}


def words_of(groups=COLOURS, **rest):
    made = vocabulary(**groups)
    return Vocabulary(made.groups, made.phrases, made.sayings, **rest)


def test_words_that_no_picture_shows_fall_away():
    vectors, truth = things()
    tagger = Tagger(Placing(), words_of(applies={"sleeve": {"kind": ("shirt",)}}), vectors)
    assert tagger.vocabulary.groups == {
        "colour": ("red", "blue", "navy"),
        "kind": ("shirt", "shoe"),
        "sleeve": ("short", "long"),
    }
    colour, kind, _ = tagger.reports
    assert colour.not_shown == ("mauve",)
    assert kind.not_shown == ("giraffe",)
    tags = tagger(vectors)
    for group in ("colour", "kind"):
        assert np.mean(tags[group].argmax(axis=1) == truth[group]) > 0.9
    shirts = truth["kind"] == 0
    assert np.mean(is_shown(tags["sleeve"]) == shirts) > 0.9
    assert np.mean(tags["sleeve"].argmax(axis=1)[shirts] == truth["sleeve"][shirts]) > 0.9


@pytest.mark.parametrize("scale", [1.0, 10.0, 200.0])
def test_a_tag_is_as_sure_as_it_is_right_whatever_the_encoders_temperature(scale):
    vectors, truth = things(noise=0.45)
    tagger = Tagger(Placing(scale), words_of(), vectors)
    tags = tagger(vectors)
    for group in ("colour", "kind"):
        right = np.mean(tags[group].argmax(axis=1) == truth[group])
        assert tags[group].max(axis=1).mean() == pytest.approx(right, abs=0.12)


def test_narrower_words_that_are_not_distinguished_count_as_the_broader_one():
    vectors, truth = things(distinct=False)
    tagger = Tagger(Placing(), words_of(broader={"colour": {"navy": "blue"}}), vectors)
    assert tagger.vocabulary.groups["colour"] == ("red", "blue")
    tags = tagger(vectors)["colour"]
    assert np.mean(tags.argmax(axis=1) == np.minimum(truth["colour"], 1)) > 0.9
    # With the difference in the pictures, they are two words.
    vectors, _ = things()
    trained = Tagger(Placing(), words_of(broader={"colour": {"navy": "blue"}}), vectors)
    assert trained.vocabulary.groups["colour"] == ("red", "blue", "navy")


def test_a_group_that_tells_nothing_of_the_pictures_is_left_out(capfd):
    vectors, _ = things()
    found = tag_pictures(vectors, Placing(), words_of({**COLOURS, "mood": ("merry", "sad", "calm")}))
    assert "mood" not in found.tags
    assert found.tags.keys() == found.vocabulary.groups.keys() == COLOURS.keys()
    report_tags(found.reports)
    printed = capfd.readouterr().err
    assert "mine: mood: left out, most of its words are unknown to the encoder" in printed
    assert "mine: colour: 3 words (red, blue, navy)" in printed
    assert summary(found.reports)["mood"].keys() == {"left out"}
    assert summary(found.reports)["colour"]["not shown"] == ["mauve"]
    with pytest.raises(FailureError, match="no word"):
        tag_pictures(vectors, Placing(), words_of({"mood": ("merry", "sad", "calm")}))


def test_a_rich_vocabulary_is_kept_though_no_word_is_likely():
    """Sixteen near-synonyms of each colour: the likeliest word is hardly likelier than the others."""
    names = {colour: [f"{colour} {number}" for number in range(16)] for colour in ("red", "blue", "navy")}
    vectors, truth = things()
    rich = words_of({"colour": tuple(name for group in names.values() for name in group)})
    tagger = Tagger(Placing(), rich, vectors)
    assert tagger.reports[0].reason == ""
    tags = tagger(vectors)["colour"]
    families = [list(names).index(word.split()[0]) for word in tagger.vocabulary.groups["colour"]]
    assert np.mean(np.array(families)[tags.argmax(axis=1)] == truth["colour"]) > 0.9


def test_tags_of_other_pictures_say_nothing_of_a_picture():
    vectors, truth = things()
    near = neighbours_of(vectors)
    assert near.shape == (400, 5)
    assert not (near == np.arange(400)[:, None]).any()
    sure = np.eye(3, dtype=np.float32)[truth["colour"]]
    assert information(sure, truth["colour"], near) > 0.5
    shuffled = np.random.default_rng(0).permutation(400)
    assert information(sure[shuffled], truth["colour"], near) < 0.05


def test_few_pictures_are_tagged_in_every_word():
    vectors, _ = things(19)
    tagger = Tagger(Placing(), words_of(), vectors)
    assert tagger.reports == ()
    assert tagger.vocabulary.groups == COLOURS
