from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.benchmarks.task import Query, Task
from triptych.composers.baselines import METHODS, WEIGHTS, PictureOnly, TextOnly, WeightedSum, baseline
from triptych.composers.captions import CaptionEdit, NamedWords
from triptych.core.errors import UsageError
from triptych.core.vectors import Vectors, unit
from triptych.encoders.protocol import Pixels
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.selection import best_weight
from triptych.tagging.tagger import Tagger
from triptych.tagging.tags import smooth_tags
from triptych.tagging.vocabulary import Vocabulary

WORDS = {"colour": ("red", "blue"), "kind": ("dress", "shirt")}
VOCABULARY = Vocabulary(WORDS, {group: {word: word for word in words} for group, words in WORDS.items()}, {})
AXES = ["red", "blue", "dress", "shirt", "long"]


class WordsEncoder:
    """One axis a word: a text or picture lies along the sum of its words."""

    name = "words"
    fingerprint = "words"
    dim = len(AXES)
    logit_scale = 50.0
    lexicon = None
    identity = 0

    def __init__(self) -> None:
        self.read: list[str] = []

    def prepare(self, picture: Image.Image) -> Pixels:
        """A picture has a white column for each of its words."""
        return np.asarray(picture.convert("L"), np.float32)[None, :1, : self.dim] / 255

    def encode_pictures(self, pixels: Pixels) -> Vectors:
        return unit(pixels.reshape(-1, self.dim))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.read.extend(texts)
        return np.array([vector(text) for text in texts]).reshape(-1, self.dim)


def vector(words: str) -> Vectors:
    return unit(np.array([[float(axis in words.split()) for axis in AXES]]))[0]


@pytest.fixture
def encoder() -> WordsEncoder:
    return WordsEncoder()


REFERENCES = np.array([vector("red dress"), vector("blue shirt")])
ASKED = ["in blue", "make it long"]


def test_picture_only_ignores_the_words(encoder):
    method = baseline("picture", encoder, VOCABULARY)
    np.testing.assert_array_equal(method.compose(REFERENCES, ASKED), REFERENCES)
    assert isinstance(method, PictureOnly)


def test_text_only_ignores_the_picture(encoder):
    method = baseline("text", encoder, VOCABULARY)
    np.testing.assert_array_equal(method.compose(REFERENCES, ASKED), [vector("blue"), vector("long")])
    np.testing.assert_array_equal(method.compose(REFERENCES[::-1], ASKED), [vector("blue"), vector("long")])


def test_the_sum_weighs_words_against_the_picture(encoder):
    method = baseline("sum", encoder, VOCABULARY, 0.25)
    wanted = unit(0.25 * vector("blue") + 0.75 * REFERENCES[0])
    np.testing.assert_allclose(method.compose(REFERENCES[:1], ASKED[:1])[0], wanted, atol=1e-6)
    text, picture = (baseline("sum", encoder, VOCABULARY, weight) for weight in (1.0, 0.0))
    np.testing.assert_allclose(text.compose(REFERENCES, ASKED), [vector("blue"), vector("long")], atol=1e-6)
    np.testing.assert_allclose(picture.compose(REFERENCES, ASKED), REFERENCES, atol=1e-6)


def test_slerp_goes_along_the_arc(encoder):
    texts = np.array([vector("blue"), vector("long")])
    for weight in (0.25, 0.5, 0.8):
        found = baseline("slerp", encoder, VOCABULARY, weight).compose(REFERENCES, ASKED)
        whole = np.arccos((REFERENCES * texts).sum(axis=1))
        np.testing.assert_allclose(np.arccos((REFERENCES * found).sum(axis=1)), weight * whole, atol=1e-4)
        np.testing.assert_allclose(np.arccos((texts * found).sum(axis=1)), (1 - weight) * whole, atol=1e-4)
    same = baseline("slerp", encoder, VOCABULARY, 0.5).compose(REFERENCES[:1], ["red dress"])
    np.testing.assert_allclose(same, REFERENCES[:1], atol=1e-6)


def test_a_perfect_edit_replaces_the_tag(encoder):
    method = baseline("caption-edit", encoder, VOCABULARY)
    encoder.read.clear()
    queries = method.compose(REFERENCES, ASKED, [{"colour": "blue"}, {"kind": "dress"}])
    assert encoder.read[-2:] == ["blue dress", "blue dress"]
    np.testing.assert_array_equal(queries, [vector("blue dress")] * 2)


@pytest.mark.parametrize("changes", [None, [None, None]])
def test_where_the_edit_is_not_told_the_words_are_appended(encoder, changes):
    method = baseline("caption-edit", encoder, VOCABULARY)
    encoder.read.clear()
    method.compose(REFERENCES, ASKED, changes)
    assert encoder.read[-2:] == ["red dress in blue", "blue shirt make it long"]


def test_the_words_of_a_modification_replace_those_of_the_caption(encoder):
    method = baseline("caption-words", encoder, VOCABULARY)
    encoder.read.clear()
    method.compose(REFERENCES, ["in blue, please", "as two dresses, not blue"], [{"kind": "shirt"}, None])
    assert encoder.read[-2:] == ["blue dress", "blue dress"]
    method.compose(REFERENCES, ASKED)
    assert encoder.read[-2:] == ["blue dress", "blue shirt make it long"]


def test_named_words_are_the_longest_and_those_asked_for():
    words = {"colour": ("blue", "navy blue"), "sleeve": ("sleeveless", "long-sleeved")}
    phrases = {group: {word: word for word in each} for group, each in words.items()}
    named = NamedWords(Vocabulary(words, phrases, {"sleeve": {"sleeveless": ("without sleeves",)}}))
    assert named("Navy Blue, long-sleeved") == {"colour": "navy blue", "sleeve": "long-sleeved"}
    assert named("not navy blue") == {}
    assert named("bluer than that") == {}


def test_caption_edit_with_the_picture(encoder):
    method = baseline("caption-edit+picture", encoder, VOCABULARY, 0.6)
    changes = [{"colour": "blue"}, {"colour": "red"}]
    edited = np.array([vector("blue dress"), vector("red shirt")])
    wanted = unit(0.6 * edited + 0.4 * REFERENCES)
    np.testing.assert_allclose(method.compose(REFERENCES, ASKED, changes), wanted, atol=1e-6)


def test_both_text_intermediaries_encode_titles_and_tag_references_once(encoder):
    captions = CaptionEdit(encoder, VOCABULARY)
    alone, with_picture = (
        baseline(name, encoder, VOCABULARY, captions=captions) for name in ("caption-edit", "caption-edit+picture")
    )
    alone.compose(REFERENCES, ASKED)
    assert len(encoder.read) > len(ASKED)
    encoder.read.clear()
    with_picture.compose(REFERENCES, ASKED)
    assert encoder.read == ["red dress in blue", "blue shirt make it long"]
    # Other references have tags of their own.
    with_picture.compose(REFERENCES[::-1].copy(), ASKED)
    assert encoder.read[-2:] == ["blue shirt in blue", "red dress make it long"]


def test_all_methods_are_known_and_share_the_encoders_space(encoder):
    for name in METHODS:
        method = baseline(name, encoder, VOCABULARY)
        assert method.name == name
        np.testing.assert_array_equal(method.gallery(REFERENCES), REFERENCES)
    with pytest.raises(UsageError, match="use one of picture, text"):
        baseline("magic", encoder, VOCABULARY)


def test_tags_are_probabilities(encoder):
    tags = Tagger(encoder, VOCABULARY)(np.array([vector("red dress"), vector("long")]))
    np.testing.assert_allclose(tags["colour"].sum(axis=1), 1, rtol=1e-5)
    assert tags["colour"][0].argmax() == list(VOCABULARY.groups["colour"]).index("red")
    np.testing.assert_allclose(tags["kind"][1], [0.5, 0.5], atol=1e-6)


def test_each_word_is_asked_about_in_two_phrasings(encoder):
    encoder.read.clear()
    Tagger(encoder, VOCABULARY)
    asked = {f"{before}{word}" for word in WORDS["colour"] for before in ("", "a photo of something ")}
    assert asked < set(encoder.read)
    assert {text.removeprefix("a photo of a ") for text in encoder.read} >= set(WORDS["kind"])


def test_neighbours_that_agree_correct_a_tag_and_leave_it_as_sure():
    vectors = unit(np.array([[1, 0, 0.1], [1, 0, -0.1], [1, 0.1, 0], [1, -0.1, 0], [0, 1, 0], [0, 1, 0.1]], np.float32))
    tags = {"colour": np.array([[0.8, 0.2], [0.8, 0.2], [0.8, 0.2], [0.4, 0.6], [0.1, 0.9], [0.1, 0.9]], np.float32)}
    corrected = smooth_tags(tags, vectors)["colour"]
    assert corrected.argmax(axis=1).tolist() == [0, 0, 0, 0, 1, 1]
    np.testing.assert_allclose(corrected.sum(axis=1), 1, rtol=1e-5)
    assert corrected.max(axis=1).mean() == pytest.approx(tags["colour"].max(axis=1).mean(), abs=0.01)


def test_a_title_is_in_a_shops_order():
    title = VOCABULARY.title({"kind": "shirt", "fit": "slim", "colour": "red", "gender": "men"})
    assert title == "men red shirt slim"


def test_an_edited_caption_is_in_the_phrases_that_the_encoder_is_asked(encoder):
    phrases = {"colour": {"red": "red", "blue": "deep blue"}, "kind": {"dress": "long dress", "shirt": "shirt"}}
    method = baseline("caption-edit", encoder, Vocabulary(WORDS, phrases, {}))
    encoder.read.clear()
    method.compose(REFERENCES[:1], ASKED[:1], [{"colour": "blue"}])
    assert encoder.read[-1] == "deep blue long dress"


def best_of(target: str, encoder: WordsEncoder, folder: Path) -> tuple[float, list[float]]:
    """The weight chosen for a query from a red dress by "blue shirt", and all that rank its target first."""
    shown = ["red dress", "blue shirt", "red long dress"]
    for name in shown:
        columns = np.array([axis in name.split() for axis in AXES] + [False] * 3) * np.uint8(255)
        Image.fromarray(np.tile(columns, (8, 1))).save(folder / f"{name}.png")
    query = Query("1", "red dress.png", "blue shirt", frozenset({f"{target}.png"}))
    task = EncodedTask(Task("made", "up", "val", folder, tuple(sorted(f"{n}.png" for n in shown)), (query,)), encoder)
    first = []
    for weight in WEIGHTS:
        (ranks,) = task.ranks(unit(weight * vector("blue shirt") + (1 - weight) * REFERENCES[:1]), task.gallery)
        first += [weight] if ranks[0] == 1 else []
    return best_weight(WeightedSum("sum", TextOnly(encoder), 0.5), task), first


def test_the_best_weight_is_that_of_the_validation_queries(encoder, tmp_path):
    far, for_far = best_of("blue shirt", encoder, tmp_path)
    near, for_near = best_of("red long dress", encoder, tmp_path)
    assert far in for_far
    assert near in for_near
    assert set(for_far).isdisjoint(for_near)
    assert near < far


def test_an_oracle_is_told_for_each_query_on_its_own(encoder):
    method = CaptionEdit(encoder, VOCABULARY)
    queries = method.compose(REFERENCES, ASKED, [{"colour": "blue"}, None])
    np.testing.assert_array_equal(queries, [vector("blue dress"), vector("blue shirt long")])
