"""What a modification excludes is parted from what it wants, and subtracted."""

import csv
from pathlib import Path

import numpy as np
import pytest

import triptych
from triptych.composers.negation import SignedPhrases, signed_phrases
from triptych.composers.registry import load_composer
from triptych.composers.signed_texts import UNWANTED, signed_vectors
from triptych.core.vectors import unit
from triptych.encoders.registry import load_encoder

EXCLUDES = {
    "not blue": "blue",
    "anything but blue": "blue",
    "any colour but blue, please": "blue",
    "in a colour other than blue": "blue",
    "avoid blue": "blue",
    "blue is what I do not want": "blue",
    "leave the belt out": "belt",
    "the belt has to go": "belt",
    "get rid of the stripes": "stripes",
    "drop the belt": "belt",
    "the same, but without buttons": "buttons",
    "Show one that isn't a sari.": "sari",
    "I’m tired of black": "black",
    "no stripes or dots": "stripes or dots",
    "not as long": "long",
}
BOTH = {
    "red, not blue": ("red", "blue"),
    "not blue but red": ("red", "blue"),
    "red instead of blue": ("red", "blue"),
    "is not blue and has long sleeves": ("long sleeves", "blue"),
    "a red dress without stripes": ("red dress", "stripes"),
    "I hate stripes; give me dots": ("dots", "stripes"),
    "not the black one, the white one": ("white", "black"),
}
PLAIN = (
    "in red",
    "is shorter and less formal",
    "nothing but denim",
    "don't change the colour, make it longer",
    "isn't there a red one?",
    "has a drop shoulder and no-show seams",
    "with nothing else changed, in green",
    "sleeveless",
    "red instead of this",
    "should go below the knee",
    "a brighter shade, different from the picture",
    "with drops of rain on it",
    "identical except that it is black",
    "the same apart from being red",
    "with a hat, against a white wall",
    "",
)


@pytest.mark.parametrize(("text", "unwanted"), EXCLUDES.items())
def test_what_only_excludes_wants_nothing(text, unwanted):
    assert signed_phrases(text) == SignedPhrases((), (unwanted,))


@pytest.mark.parametrize(("text", "parts"), BOTH.items())
def test_what_is_wanted_is_parted_from_what_is_not(text, parts):
    wanted, unwanted = parts
    assert signed_phrases(text) == SignedPhrases((wanted,), (unwanted,))


def test_what_has_none_of_a_thing_is_called_so():
    assert signed_phrases("a blouse with no sleeves") == SignedPhrases(("blouse", "sleeveless"), ("sleeves",))
    assert signed_phrases("without the floral print") == SignedPhrases(("plain",), ("floral print",))


@pytest.mark.parametrize("text", PLAIN)
def test_a_text_that_excludes_nothing_stays_as_it_is(text):
    assert signed_phrases(text) == SignedPhrases((text,), ())


def test_what_is_excluded_is_subtracted_and_other_texts_keep_their_vectors():
    encoder = load_encoder("photos", threads=1)
    texts = ["in red", "not blue", "red, not blue", "no stripes; no dots"]
    red_phrase, red, blue, stripes, dots = encoder.encode_texts(["in red", "red", "blue", "stripes", "dots"])
    signed = signed_vectors(texts, encoder.encode_texts)
    expected = [red_phrase, -UNWANTED * blue, red - UNWANTED * blue, -UNWANTED * (stripes + dots) / 2]
    np.testing.assert_allclose(signed, expected, atol=1e-6)


def test_the_signed_sum_turns_away_from_what_is_excluded():
    encoder = load_encoder("photos", threads=1)
    colours = ("blue", "red", "green", "white")
    reference = unit(encoder.encode_texts(["a blue shirt"]) + encoder.encode_texts(["a shirt"]))
    gallery = encoder.encode_texts([f"a {colour} shirt" for colour in colours])
    found = {}
    for name in ("sum", "signed-sum"):
        composer = load_composer(name)
        composer.attach(encoder)  # type: ignore[attr-defined]
        found[name] = (composer.compose(reference, ["anything but blue"]) @ gallery.T)[0]
    assert found["sum"].argmax() == 0
    assert found["signed-sum"].argmin() == 0
    # Both are one where nothing is excluded.
    same = [load_composer(name) for name in ("sum", "signed-sum")]
    for composer in same:
        composer.attach(encoder)  # type: ignore[attr-defined]
    first, second = (composer.compose(reference, ["in red"]) for composer in same)
    np.testing.assert_array_equal(first, second)


def test_a_search_says_what_its_words_exclude_and_puts_that_last(tmp_path, capsys):
    closet = Path(__file__).parent.parent / "examples" / "closet"
    with (closet / "annotations.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "t-shirt"]
    shown = {
        colour: [row["image"] for row in rows if row["colour"] == colour][:5] for colour in ("blue", "white", "red")
    }
    (tmp_path / "names.txt").write_text("\n".join(name for names in shown.values() for name in names) + "\n")
    triptych.index(tmp_path / "names.txt", tmp_path / "catalog", root=closet / "photos")
    reference = closet / "photos" / shown["blue"][0]

    def search(text: str) -> triptych.Hits:
        return triptych.search(tmp_path / "catalog", image=reference, text=text, options=triptych.SearchOptions(k=5))

    def blue(hits: triptych.Hits) -> int:
        return sum(Path(hit.name).name in shown["blue"] for hit in hits)

    without = search("not blue")
    assert without.unwanted == ("blue",)
    assert "excluded by the words, and lowers scores: blue" in capsys.readouterr().err
    asked = search("in blue")
    assert asked.unwanted == ()
    assert blue(without) <= 1 < blue(asked)
