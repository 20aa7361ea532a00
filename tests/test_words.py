"""Words that are not understood are reported, texts that are too long are read in parts, and training reports cuts."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import triptych
from tiny_clip import build_clip
from triptych.catalog.catalog import Catalog
from triptych.composers.protocol import readings_of
from triptych.composers.trained import TrainedComposer
from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.core.vectors import unit
from triptych.encoders.exported import ExportedEncoder
from triptych.encoders.native import NativeEncoder
from triptych.encoders.protocol import ReportsReading, TextReading
from triptych.encoders.reading import mean_by_owner, parts_of_texts, reading_notes, report_texts, words_of
from triptych.encoders.registry import load_encoder
from triptych.tagging.vocabulary import load_vocabulary, understood_words

LONG = "hello, i am looking for something that my sister could wear to the wedding of our cousin in june, if possible "


@pytest.fixture(scope="module", params=["wardrobe", "photos-1"])
def encoder(request: pytest.FixtureRequest) -> NativeEncoder:
    loaded = load_encoder(request.param, threads=1)
    assert isinstance(loaded, NativeEncoder)
    return loaded


@pytest.fixture(scope="module")
def wardrobe() -> NativeEncoder:
    loaded = load_encoder("wardrobe", threads=1)
    assert isinstance(loaded, NativeEncoder)
    return loaded


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("in red", ()),
        ("Red dresses, with a v-neck", ()),
        ("en rouge", ("rouge",)),
        ("kariert und gestreift, grün", ("kariert", "gestreift", "grün")),
        ("红色", ("红色",)),
        ("🟥 please", ("🟥",)),
        ("красное платье", ("красное", "платье")),
        ("أحمر", ("أحمر",)),
        ("लाल", ("लाल",)),
        ("42", ()),
        ("", ()),
        ("?!", ()),
    ],
)
def test_words_of_another_script_or_language_are_named(
    encoder: NativeEncoder, text: str, unknown: tuple[str, ...]
) -> None:
    assert isinstance(encoder, ReportsReading)
    (reading,) = encoder.readings([text])
    assert set(unknown) <= set(reading.unknown)
    assert set(reading.unknown) <= {*unknown, "en", "und"}


def test_the_small_encoder_tells_what_it_never_learnt(wardrobe: NativeEncoder) -> None:
    (reading,) = wardrobe.readings(["in rot, without stripes, not blau"])
    assert reading.unknown == ("rot", "without", "not", "blau")
    assert reading_notes(reading, "wardrobe") == [
        "not understood: rot, without, not, blau; wardrobe does not know such words"
    ]
    assert wardrobe.readings(["in rot"], learnt=["rot"])[0].unknown == ()


def test_words_are_runs_of_letters_marks_and_digits_and_signs() -> None:
    assert list(words_of("T-shirt, 3/4 sleeves; \u0061\u0308rmel\u2026 ❤️")) == [
        "T", "shirt", "3", "4", "sleeves", "a\u0308rmel", "❤"
    ]  # fmt: skip


@pytest.mark.parametrize("wish", ["in red", "in green"])
def test_the_end_of_a_long_request_counts(wardrobe: NativeEncoder, wish: str) -> None:
    plain, first, last = wardrobe.encode_texts([wish, f"{wish} {LONG}", LONG + wish])
    (reading,) = wardrobe.readings([LONG + wish])
    assert reading.tokens > reading.limit == 24
    assert len(reading.parts) == 1
    assert reading.parts[0].endswith(wish)
    cut = wardrobe._encode_ids(wardrobe.token_ids([LONG + wish]))[0]  # what was read before: nothing of the wish
    assert plain @ last > plain @ cut + 0.2
    assert plain @ first > plain @ cut + 0.2


def test_a_text_is_read_in_parts_of_equal_weight(encoder: NativeEncoder) -> None:
    words = ["red dress"] * 60 + ["blue shirt"] * 60
    (reading,) = encoder.readings([" ".join(words)])
    assert reading.tokens == 240
    assert len(reading.parts) == -(-240 // reading.limit)
    assert " ".join(reading.parts) == " ".join(words)
    assert all(one.tokens <= reading.limit for one in encoder.readings(reading.parts))
    vector = encoder.encode_texts([" ".join(words)])[0]
    mean = unit(encoder.encode_texts(reading.parts).mean(axis=0, keepdims=True))[0]
    np.testing.assert_allclose(vector, mean, atol=1e-6)


def test_a_text_that_fits_has_the_vector_that_it_had(encoder: NativeEncoder) -> None:
    texts = ["red dress", "x", "", "a blue shirt with long sleeves"]
    np.testing.assert_array_equal(encoder.encode_texts([*texts, "red " * 300])[:4], encoder.encode_texts(texts))


def test_a_word_without_end_is_read_in_parts(wardrobe: NativeEncoder) -> None:
    vectors = wardrobe.encode_texts(["x" * 5000, "\ufdfa" * 300])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_parts_are_laid_out_and_averaged() -> None:
    readings = [TextReading(2, 9), TextReading(12, 9, (), ("b", "c")), TextReading(2, 9)]
    parts, owners = parts_of_texts(["a", "bc", "d"], readings)
    assert (parts, owners.tolist()) == (["a", "b", "c", "d"], [0, 1, 1, 2])
    vectors = unit(np.random.default_rng(0).normal(size=(4, 3)))
    means = mean_by_owner(vectors, owners, 3)
    np.testing.assert_array_equal(means[[0, 2]], vectors[[0, 3]])
    np.testing.assert_allclose(means[1], unit((vectors[1] + vectors[2])[None])[0], atol=1e-6)


@pytest.mark.slow
def test_a_clip_and_its_export_read_alike(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the extra `hf` is not installed")
    from triptych.encoders.huggingface import HuggingFaceEncoder

    model = HuggingFaceEncoder(f"hf:{build_clip(tmp_path / 'clip')}", threads=1)
    triptych.export_models(tmp_path / "out", encoder=model.name)
    exported = ExportedEncoder(tmp_path / "out" / "encoder", "exported", threads=1)
    texts = ["a red dress", "a photo of that red dress in blue , " * 3, "une robe red"]
    readings = model.readings(texts)
    assert [(one.tokens, one.limit, len(one.parts)) for one in readings] == [(3, 10, 0), (27, 10, 3), (3, 10, 0)]
    assert readings[2].unknown == ("une", "robe")
    assert exported.readings(texts) == readings
    assert (exported.encode_texts(texts) * model.encode_texts(texts)).sum(
        axis=1
    ).min() > 0.999  # one may be in bfloat16
    parts = model.encode_texts(readings[1].parts)
    np.testing.assert_allclose(model.encode_texts(texts)[1], unit(parts.mean(axis=0, keepdims=True))[0], atol=0.01)


class _Reporting:
    """An encoder that reads eight letters, and knows the word red."""

    name = "tiny"

    def readings(self, texts: Sequence[str], **_: object) -> list[TextReading]:
        return [TextReading(len(text), 8, tuple(word for word in text.split() if word != "red")) for text in texts]


def test_many_texts_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    report_texts(["red", "rot red", "rot", "rot", "rosso red"], _Reporting(), "queries.jsonl", "tiny")
    assert capsys.readouterr().err.splitlines() == [
        "queries.jsonl: 3 of 4 texts have words that tiny does not understand: rot, rosso",
        "queries.jsonl: 1 of 4 texts have more tokens than the 8 that tiny reads at once; the rest is ignored",
    ]
    report_texts(["rot"], object(), "queries.jsonl", "another")
    assert not capsys.readouterr().err


def test_a_vocabulary_of_another_language_is_told(
    wardrobe: NativeEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.json").write_text(
        json.dumps({"colour": {"rot": "red", "green": "green", "blau": ["blau"]}, "kind": ["Hemd", "dress"]})
    )
    known = understood_words(load_vocabulary(tmp_path / "words.json"), wardrobe, "words.json")
    assert known.groups == {"colour": ("rot", "green")}  # of "kind" one word is left
    assert capsys.readouterr().err == (
        "words.json: wardrobe does not understand 2 of 5 words, and cannot find them in pictures: blau, Hemd\n"
    )


def test_a_search_names_what_it_did_not_understand(
    shown_catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = Catalog(shown_catalog).names[0]
    out = tmp_path / "found.json"
    options = triptych.SearchOptions(like=name, k=3)
    hits = triptych.search(shown_catalog, text="in rot", options=options, output=out, runtime=Runtime(1))
    assert hits.not_understood == ("rot",)
    assert len(hits) == 3
    assert "not understood: rot; wardrobe does not know such words\n" in capsys.readouterr().err
    assert json.loads(out.read_text(encoding="utf-8"))["query"]["not_understood"] == ["rot"]
    assert triptych.search(shown_catalog, text="in red", options=options).not_understood == ()
    assert not capsys.readouterr().err
    triptych.search(shown_catalog, text="red dress " * 30, options=options)
    assert "the text has 60 tokens, and wardrobe reads 24 at once: it was read in 3 parts" in capsys.readouterr().err
    assert triptych.search(shown_catalog, options=options).reading is None


def test_a_weight_that_would_not_count_is_refused(shown_catalog: Path) -> None:
    name = Catalog(shown_catalog).names[0]
    with triptych.open_catalog(shown_catalog, runtime=Runtime(1)) as opened:
        assert opened.search(like=name, text="in red", weight=0.3)
        for asked in ({"text": "in red"}, {"like": name}):
            with pytest.raises(UsageError, match="weight: needs a picture and words"):
                opened.search(weight=0.3, **asked)
    with triptych.open_catalog(shown_catalog, composer="slerp", runtime=Runtime(1)) as opened:
        with pytest.raises(UsageError, match="weight: the composer slerp has no weight of its words"):
            opened.search(like=name, text="in red", weight=0.3)
        assert opened.search(like=name, text="in rot").not_understood == ("rot",)


def test_queries_of_another_language_are_told(
    few_garments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(path.name for path in (few_garments / "images").iterdir())[:12]
    for name in names:
        (tmp_path / "gallery").mkdir(exist_ok=True)
        (tmp_path / "gallery" / name).write_bytes((few_garments / "images" / name).read_bytes())
    lines = [{"reference": names[0], "modification": text, "targets": [names[1]]} for text in ("in rot", "in red")]
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, lines)))
    options = triptych.EvaluateOptions(methods=("sum", "picture"), gallery=tmp_path / "gallery", weight=0.5)
    triptych.evaluate(str(tmp_path / "queries.jsonl"), options, encoder="wardrobe", runtime=Runtime(1))
    messages = [line for line in capsys.readouterr().err.splitlines() if "understand" in line]
    assert messages == ["queries queries: 1 of 2 texts have words that wardrobe does not understand: rot"]


def test_a_query_picture_may_be_as_large_as_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gallery").mkdir()
    for name, size in (("a.png", (40, 40)), ("b.png", (40, 40)), ("large.png", (120, 100))):
        Image.new("RGB", size, "red").save(tmp_path / "gallery" / name)
    lines = [{"reference": name, "modification": "in red", "targets": ["b.png"]} for name in ("a.png", "large.png")]
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, lines)))
    counts = []
    for most in (0.01, 0.012):
        options = triptych.EvaluateOptions(
            methods=("sum",), gallery=tmp_path / "gallery", weight=0.5, max_pixels=most, gap=False
        )
        result = triptych.evaluate(str(tmp_path / "queries.jsonl"), options, encoder="wardrobe", runtime=Runtime(1))
        counts.append(result.rows[0].queries)
    assert counts == [1, 2]
    assert "skipped 'large.png': too many pixels: 120x100" in capsys.readouterr().err


def test_a_composer_knows_the_words_that_it_learnt(tiny_composer: Path, tiny_encoder: Path) -> None:
    composer = TrainedComposer(tiny_composer, 1).with_kept_sum(None)  # what it learnt, alone
    encoder = load_encoder(str(tiny_encoder), threads=1)
    composer.attach(encoder)
    (alone,), (reading,) = (readings_of(["instead of rouge"], encoder, each) for each in (None, composer))
    assert reading.unknown == ("rouge",)
    assert set(reading.unknown) < set(alone.unknown)
    references = unit(np.random.default_rng(0).normal(size=(2, encoder.dim)))
    text = "in red instead of blue " * 12
    (long,) = readings_of([text], encoder, composer)
    assert len(long.parts) > 1
    queries = composer.compose(references, [text, "in red"])
    parts = composer.compose(np.repeat(references[:1], len(long.parts), axis=0), long.parts)
    np.testing.assert_allclose(queries[0], unit(parts.mean(axis=0, keepdims=True))[0], atol=1e-5)
    np.testing.assert_allclose(queries[1], composer.compose(references[1:], ["in red"])[0], atol=1e-5)


@pytest.mark.slow
def test_wordings_that_are_cut_at_training_are_counted(
    tiny_catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = Catalog(tiny_catalog).names
    texts = ["in red", "in blue " * 30]
    lines = [
        json.dumps({"reference": names[row], "modification": f"{texts[row % 2]}", "targets": [names[row + 1]]})
        for row in range(len(names) - 1)
    ]
    (tmp_path / "source.jsonl").write_text("\n".join(lines))
    triptych.triplets_import(tmp_path / "source.jsonl", tmp_path / "t.parquet", catalog=tiny_catalog)
    options = triptych.TrainOptions(epochs=1, batch_size=64)
    triptych.train(tmp_path / "t.parquet", tiny_catalog, tmp_path / "composer", options, runtime=Runtime(1))
    messages = [line for line in capsys.readouterr().err.splitlines() if "tokens" in line]
    assert len(messages) == 1
    assert "wordings: 1 of 2 texts have more tokens than the 24 that" in messages[0]
    assert messages[0].endswith("the rest is ignored")
