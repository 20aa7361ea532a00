"""The losses of Pic2Word, SEARLE and LinCIR by value: numbers worked out by hand, on vectors of two components."""

from math import exp, log

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from triptych.tagging.vocabulary import Vocabulary
from triptych.training.inversion.methods import LinCIR, PhraseLoss, Pic2Word, Searle, invert_by_optimisation
from triptych.training.inversion.texts import Keywords

PICTURES = torch.tensor([[1.0, 0.0], [0.6, 0.8]])


class Reader:
    """The vector of a text by `vectors_of`, or else that of its pseudo-word; remembers the texts."""

    device = torch.device("cpu")

    def __init__(self, vectors_of=None):
        self.vectors_of, self.read = vectors_of or {}, []

    def __call__(self, texts, words):
        self.read += texts
        return torch.stack([self.vectors_of.get(text, word) for text, word in zip(texts, words, strict=True)])


class Encoder:
    """Encodes the texts that it knows."""

    def __init__(self, vectors):
        self.vectors = vectors

    def encode_texts(self, texts):
        return np.array([self.vectors[text] for text in texts], np.float32)


class Phrases:
    """One phrase for each picture."""

    def __init__(self, *phrases):
        self.all = phrases

    def phrases(self, rows, random):
        plain, marked = zip(*(self.all[row] for row in rows), strict=True)
        return list(plain), list(marked)


def words_of(words):
    """A mapping network that gives each picture of PICTURES its word."""

    def phi(pictures):
        rows = (pictures @ PICTURES.T).argmax(dim=1)
        return torch.tensor(words)[rows]

    return phi


def softmax_loss(target, *logits):
    """Minus the logarithm of the share of the target among the logits, which hold it."""
    return log(sum(map(exp, logits))) - target


def test_pic2word_matches_sentences_and_pictures_both_ways():
    # Of the sentences' vectors with the pictures: 0.8 and 0.96, -0.6 and 0.28; twice that are the logits.
    source = Pic2Word(Reader(), PICTURES, 2.0, ("a photo of *",), batch_size=2, seed=0)
    loss = source.loss(words_of([[0.8, 0.6], [-0.6, 0.8]]), 0).item()
    sentences = (softmax_loss(1.6, 1.6, 1.92) + softmax_loss(0.56, -1.2, 0.56)) / 2
    pictures = (softmax_loss(1.6, 1.6, -1.2) + softmax_loss(0.56, 1.92, 0.56)) / 2
    assert (sentences, pictures) == pytest.approx((0.5123, 0.8237), abs=1e-4)
    assert loss == pytest.approx(0.6680, abs=1e-4)


def test_pic2word_draws_from_its_sentences():
    reader = Reader()
    source = Pic2Word(reader, PICTURES, 2.0, ("a photo of *", "*"), batch_size=2, seed=0)
    for step in range(10):
        source.loss(words_of([[0.8, 0.6], [-0.6, 0.8]]), step)
    assert set(reader.read) == {"a photo of *", "*"}


PHRASES = Phrases(("red dress", "* dress"), ("long skirt", "* skirt"))
NAMED = Encoder({"red dress": [1.0, 0.0], "long skirt": [0.0, 1.0]})
MARKED = {"* dress": torch.tensor([0.6, 0.8]), "* skirt": torch.tensor([-0.8, 0.6])}  # cosines of 0.6 and 0.6


def test_searle_distils_at_a_quarter_and_regularises_by_three_quarters():
    # Lengths do not count: known words along (1, 0) and (0, 1), given ones along (0.6, 0.8) and (0, -1).
    known, given = torch.tensor([[3.0, 0.0], [0.0, 0.5]]), [[1.2, 1.6], [0.0, -2.0]]
    source = Searle(PhraseLoss(Reader(MARKED), NAMED, PHRASES), PICTURES, known, batch_size=2, seed=0)
    loss = source.loss(words_of(given), 0).item()
    # Cosines by 0.25: a word is to match its own, 2.4 or -4, and neither the other's, nor the other of its own side,
    # which are 0 for the known and -3.2 for the given.
    of_known = (softmax_loss(2.4, 2.4, 0.0, 0.0) + softmax_loss(-4.0, 3.2, -4.0, 0.0)) / 2
    of_given = (softmax_loss(2.4, 2.4, 3.2, -3.2) + softmax_loss(-4.0, 0.0, -4.0, -3.2)) / 2
    distilled = (of_known + of_given) / 2
    assert distilled == pytest.approx(3.1593, abs=1e-4)
    assert loss == pytest.approx(distilled + 0.75 * (1 - 0.6), abs=1e-5)


def test_searle_sets_a_phrase_beside_the_one_of_the_same_picture():
    swapped = PhraseLoss(Reader(MARKED), NAMED, Phrases(PHRASES.all[1], PHRASES.all[0]))
    own = Searle(swapped, PICTURES, torch.eye(2), batch_size=2, seed=0)
    crossed = Phrases(("red dress", "* skirt"), ("long skirt", "* dress"))  # cosines of -0.8 and 0.8
    other = Searle(PhraseLoss(Reader(MARKED), NAMED, crossed), PICTURES, torch.eye(2), batch_size=2, seed=0)
    phi = words_of([[1.0, 0.0], [0.0, 1.0]])
    assert other.loss(phi, 0).item() - own.loss(phi, 0).item() == pytest.approx(0.75 * 0.6, abs=1e-5)


def test_searles_optimisation_takes_the_content_and_half_the_phrases(tmp_path):
    # A reader that is linear has the gradient -(picture + weight * named) / 2. The weights 0, 1/2 and 1 give its
    # components different signs, and Adam's first step is the sign, at a rate of 0.05.
    pictures = torch.tensor([[0.4, 0.2, -0.8], [-0.4, 0.6, 0.5]])
    named = Encoder({"red dress": [-0.6, -0.6, 0.2], "long skirt": [0.6, -0.9, -1.2]})
    signs = torch.tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, -1.0]])
    found = invert_by_optimisation(
        PhraseLoss(Reader(), named, PHRASES), pictures, ("*",), tmp_path / "words", width=3, steps=1, seed=7
    )
    begun = torch.from_numpy(np.random.default_rng([7, 0, 1]).normal(0, 0.02, (2, 3)).astype(np.float32))
    stepped = begun * (1 - 0.05 * 0.01) + 0.05 * signs
    torch.testing.assert_close(found, 0.1 * begun + 0.9 * stepped, atol=1e-6, rtol=0)  # the average's first decay
    (file,) = tmp_path.iterdir()
    assert torch.equal(load_file(file)["words"], found)


def test_searles_optimisation_finds_the_word(tmp_path):
    class Unit(Reader):
        def __call__(self, texts, words):
            return torch.nn.functional.normalize(super().__call__(texts, words), dim=-1)

    found = invert_by_optimisation(
        PhraseLoss(Unit(), NAMED, Phrases(("red dress", "*"), ("long skirt", "*"))), PICTURES, ("*",),
        tmp_path / "words", width=2, steps=300, seed=0,
    )  # fmt: skip
    # The least loss is at picture + named / 2: (1.5, 0), and (0.6, 1.3).
    wanted = torch.nn.functional.normalize(torch.tensor([[1.5, 0.0], [0.6, 1.3]]), dim=-1)
    torch.testing.assert_close(torch.nn.functional.normalize(found, dim=-1), wanted, atol=0.02, rtol=0)


COLOURS = Vocabulary(
    groups={"colour": ("red", "blue")},
    phrases={"colour": {"red": "red", "blue": "blue"}},
    sayings={"colour": {"red": (), "blue": ()}},
)


def test_lincir_projects_the_masked_text_onto_the_whole_one():
    reader = Reader({"he is in *": torch.tensor([0.6, 0.8]), "it looks *": torch.tensor([0.0, 0.8])})
    encoder = Encoder({"he is in red": [1.0, 0.0], "it looks blue": [0.0, 1.0]})
    source = LinCIR(reader, ["he is in red", "it looks blue"], Keywords(COLOURS), encoder, batch_size=2, seed=0)
    loss = source.loss(lambda seen: seen, 0).item()
    # Squared distances: 0.16 + 0.64, and 0.04.
    assert loss == pytest.approx((0.8 + 0.04) / 2, abs=1e-6)
    assert set(reader.read) == {"he is in *", "it looks *"}


def test_lincirs_noise_is_uniform_times_normal_per_unit_of_length():
    count, dim = 400, 4096
    texts = [f"{number} red" for number in range(count)]
    vectors = np.eye(count, dim, dtype=np.float32)
    source = LinCIR(
        Reader(), texts, Keywords(COLOURS), Encoder(dict(zip(texts, vectors, strict=True))), batch_size=count, seed=3
    )
    seen = []

    def phi(vectors):
        seen.append(vectors)
        return vectors

    source.loss(phi, 0)
    source.loss(phi, 1)
    assert not torch.equal(*seen)
    torch.testing.assert_close(seen[0].norm(dim=1), torch.ones(count))
    cosines = seen[0].max(dim=1).values.double()
    lengths = (cosines**-2 - 1).sqrt()  # of the noise, to a vector of length one
    assert lengths.mean().item() == pytest.approx(0.5, abs=0.05)
    assert lengths.min().item() < 0.05
    assert 0.95 < lengths.max().item() < 1.05
