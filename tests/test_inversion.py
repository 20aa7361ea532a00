"""Textual inversion: pseudo-words in a text tower, what is learnt from, and the composers that come of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import triptych
from made_benchmarks import evaluate
from triptych.benchmarks.registry import load_tasks
from triptych.catalog.catalog import Catalog
from triptych.composers.networks.inversion import MappingNetwork
from triptych.composers.trained import TrainedComposer
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, MismatchError, UsageError
from triptych.core.vectors import nearest, unit
from triptych.encoders.protocol import SLOT, AcceptsPseudoWords
from triptych.encoders.registry import load_encoder
from triptych.evaluation import evaluate as evaluation
from triptych.evaluation import selection
from triptych.evaluation.encoded_task import EncodedTask
from triptych.retrieval.options import EngineOptions, SearchOptions
from triptych.tagging.tagger import Tagger
from triptych.tagging.vocabulary import load_vocabulary
from triptych.training import loop
from triptych.training.inversion import methods
from triptych.training.inversion import trainer as training
from triptych.training.inversion.texts import Keywords, PictureConcepts, SlottedIds, draw_titles, mask
from triptych.training.inversion.trainer import train_inversion
from triptych.training.options import MARK, InversionOptions
from triptych.training.results import InversionResult

QUICK = InversionOptions(steps=40, batch_size=64, word_steps=4)
ONE_THREAD = Runtime(threads=1)


@pytest.fixture(scope="module", autouse=True)
def few_titles():
    """Titles for a tiny encoder: as many as it takes to learn a little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_TITLES", 300)
        yield


@pytest.fixture(scope="module")
def few_words(vocabulary_file, tmp_path_factory) -> Path:
    """Of the wardrobe's words the colours and kinds, some of each."""
    words = json.loads(vocabulary_file.read_text("utf-8"))
    path = tmp_path_factory.mktemp("few") / "words.json"
    path.write_text(json.dumps({group: [*words[group]][:6] for group in ("colour", "kind")}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return load_encoder(str(tiny_encoder), threads=1)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("pic2word", marks=pytest.mark.slow),
        pytest.param("searle", marks=pytest.mark.slow),
        "lincir",
    ],
)
def inverted(request, tiny_catalog, few_words, tmp_path_factory) -> tuple[str, Path, InversionResult]:
    """A method, the composer that it made, and what `train_inversion` returned."""
    out = tmp_path_factory.mktemp("inverted") / request.param
    options = replace(QUICK, vocabulary=few_words)
    return request.param, out, train_inversion(request.param, tiny_catalog, out, options, runtime=ONE_THREAD)


def test_a_token_embedding_in_a_slot_is_that_token(encoder):
    tower = encoder.text_tower()
    ids = SlottedIds(encoder)
    (red,) = ids.contents(["red"])
    words = tower.tokens(torch.tensor(red[:1]))
    with torch.inference_mode():
        found = tower(torch.from_numpy(ids(["a * dress", "the * one, *"])), words.expand(2, -1)).numpy()
    assert len(red) == 1
    np.testing.assert_allclose(found, encoder.encode_texts(["a red dress", "the red one, red"]), atol=2e-3)


def test_marks_become_slots_and_long_texts_are_cut(encoder):
    ids = SlottedIds(encoder)
    found = ids([MARK, f"{MARK} {MARK} blue", "word " * 80])
    assert found[0].tolist()[:2] == [SLOT, 0]
    assert found[1].tolist()[:2] == [SLOT, SLOT]
    assert found.shape[1] == encoder.token_ids(["a"]).shape[1]


@pytest.fixture(scope="module")
def keywords() -> Keywords:
    return Keywords(load_vocabulary())


def test_a_mask_takes_one_run_of_a_titles_words(keywords):
    random = np.random.default_rng(0)
    masked = {mask("men red shirt", keywords, random) for _ in range(200)}
    assert masked == {"*", "* shirt", "men *", "* red shirt", "men * shirt", "men red *"}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Puma Deck Navy Blue Backpack", "Puma Deck *"),
        ("a man in a red shirt, and two pairs of jeans", "a * in a * and two pairs of *"),
        ("This has Red Dresses for girls' school", "This has * for * school"),
        # Without a word of the vocabulary, all but function words, so that runs end at these.
        ("the old pier is on a mossy-ish hill", "the * is on a *"),
        ("Under the bridge", "Under the *"),
    ],
)
def test_every_run_of_a_captions_keywords_is_masked(text, masked, keywords):
    assert {mask(text, keywords, np.random.default_rng(seed)) for seed in range(20)} == {masked}


def test_a_caption_of_function_words_is_masked_like_a_title(keywords):
    random = np.random.default_rng(0)
    assert {mask("this and that", keywords, random) for _ in range(200)} >= {"*", "this *", "* that", "this * that"}


def test_titles_are_of_the_vocabulary(vocabulary_file):
    vocabulary = load_vocabulary(vocabulary_file)
    said = {word for words in vocabulary.phrases.values() for text in words.values() for word in text.split()}
    titles = draw_titles(vocabulary, 300, np.random.default_rng(1))
    assert {word for title in titles for word in title.split()} <= said
    assert len(set(titles)) > 100
    assert titles == draw_titles(vocabulary, 300, np.random.default_rng(1))


def test_phrases_name_what_the_picture_shows(encoder, tiny_catalog, few_words):
    vocabulary = load_vocabulary(few_words)
    concepts = PictureConcepts(Tagger(encoder, vocabulary)(Catalog(tiny_catalog).vectors), vocabulary)
    plain, marked = concepts.phrases(range(40), np.random.default_rng(2))
    for text, asked in zip(plain, marked, strict=True):
        before, after = asked.split(MARK)
        assert text.startswith(before)
        assert text.endswith(after)
        assert len(text) > len(before) + len(after)


def test_what_it_wrote_is_a_composer(inverted, encoder, tiny_catalog, wardrobe_world, tiny_encoder):
    method, out, facts = inverted
    assert {path.name for path in out.iterdir()} == {
        ".lock", "config.json", "model.safetensors", "query.onnx", "gallery.onnx"
    }  # fmt: skip
    config = json.loads((out / "config.json").read_text())
    assert config["composer"] == method
    assert config["made_by"]["command"] == "train-inversion"
    assert facts.pictures == len(Catalog(tiny_catalog).names)
    (row,) = evaluate("wardrobe", root=wardrobe_world, split="val", composers=[out], gap=False, threads=1).rows
    assert (row.method, row.encoder) == (method, str(tiny_encoder.resolve()))
    hits = triptych.search(
        tiny_catalog,
        text="in blue",
        options=SearchOptions(like=Catalog(tiny_catalog).names[0], k=3),
        engine=EngineOptions(composer=out),
        runtime=Runtime(threads=1),
    )
    assert len(hits) == 3


def test_the_word_of_a_picture_finds_the_picture(inverted, encoder, tiny_catalog):
    _, out, facts = inverted
    composer = TrainedComposer(out, threads=1)
    composer.attach(encoder)
    pictures = Catalog(tiny_catalog).vectors[:100]
    found = composer.compose(pictures, [""] * len(pictures))
    rows, _ = nearest(found, composer.gallery(pictures), 10)
    share = np.mean([row in best for row, best in enumerate(rows.tolist())])
    assert share > 0.4  # by chance 0.1
    assert facts.similarity > 0.4


def test_the_graph_is_the_prompted_sentence(inverted, encoder, tiny_catalog):
    method, out, facts = inverted
    composer = TrainedComposer(out, threads=1)
    composer.attach(encoder)
    pictures = Catalog(tiny_catalog).vectors[:4].copy()
    phi = MappingNetwork(encoder.dim, encoder.word_width)
    phi.load_state_dict(load_file(out / "model.safetensors"))
    texts = ["in blue", "but sleeveless", "", "word " * 80]
    assert composer.prompts == ("* * *", training.PROMPTS[method], "*", "* *", "* * * *")
    assert composer.prompt == facts.prompt == "* * *"
    for prompt in composer.prompts:
        ids = SlottedIds(encoder)([f"{prompt} {text}" for text in texts])
        with torch.inference_mode():
            wanted = encoder.text_tower()(torch.from_numpy(ids), phi.eval()(torch.from_numpy(pictures))).numpy()
        prompted = composer.with_prompt(prompt)
        found = prompted.compose(pictures, texts)
        np.testing.assert_allclose(found[:2], wanted[:2], atol=3e-3)
        # The last text does not fit behind the prompt: it is read in parts, each behind the prompt.
        parts = prompted.readings(texts)[3].parts
        assert len(parts) > 1
        ids = SlottedIds(encoder)([f"{prompt} {part}" for part in parts])
        with torch.inference_mode():
            last = phi.eval()(torch.from_numpy(pictures[[3] * len(parts)]))
            several = encoder.text_tower()(torch.from_numpy(ids), last).numpy()
        np.testing.assert_allclose(found[3], unit(several.mean(axis=0, keepdims=True))[0], atol=3e-3)
        if prompt == composer.prompt:
            np.testing.assert_array_equal(found, composer.compose(pictures, texts))
    np.testing.assert_allclose(composer.gallery(pictures), pictures, atol=1e-6)


def test_the_prompt_is_the_best_on_val(inverted, encoder, wardrobe_world):
    _, out, _ = inverted
    (row,) = evaluate("wardrobe", root=wardrobe_world, split="val", composers=[out], gap=False, threads=1).rows
    composer = TrainedComposer(out, threads=1)
    composer.attach(encoder)
    (task,) = load_tasks("wardrobe", wardrobe_world, "val")
    encoded, found = EncodedTask(task, encoder), {}
    for prompt in composer.prompts:
        metrics = encoded.row(composer.with_prompt(prompt), encoder).metrics
        found[prompt] = (metrics["R@10"], metrics["mAP@10"])
    assert len(set(found.values())) > 1
    assert found[row.prompt] == max(found.values()) == (row.metrics["R@10"], row.metrics["mAP@10"])


def test_each_task_has_its_own_prompt(inverted, wardrobe_world, monkeypatch):
    chosen = {"first": "*", "second": "* *"}

    def two_tasks(split):
        (task,) = load_tasks("wardrobe", wardrobe_world, split)
        return [replace(task, name=name, queries=task.queries[place::2]) for place, name in enumerate(chosen)]

    def best(composer, task):
        assert task.task.split == "val"
        return chosen[task.task.name]

    monkeypatch.setattr(
        evaluation, "load_benchmark", lambda benchmark, root, gallery, split, settings: two_tasks(split)
    )
    monkeypatch.setattr(selection, "load_tasks", lambda benchmark, root, split, settings: two_tasks(split))
    monkeypatch.setattr(selection, "best_prompt", best)
    settings = {"root": wardrobe_world, "composers": [inverted[1]], "gap": False, "threads": 1}
    rows = evaluate("wardrobe", **settings).rows
    assert {row.task: (row.prompt, row.prompt_from) for row in rows} == {
        name: (prompt, "val") for name, prompt in chosen.items()
    }
    # The printed figure is the measured one.
    monkeypatch.setattr(selection, "best_prompt", lambda composer, task: "*")
    again = evaluate("wardrobe", **settings).rows
    assert again[0] == rows[0]
    assert again[1].metrics != rows[1].metrics


def test_without_val_the_first_prompt_is_taken(inverted, wardrobe_world, tmp_path, capfd):
    for name in ("images", "queries.test.jsonl", "test.txt"):
        (tmp_path / name).symlink_to(wardrobe_world / name)
    settings = {"root": tmp_path, "composers": [inverted[1]], "threads": 1, "gap": False}
    (row,) = evaluate("wardrobe", **settings).rows
    assert (row.prompt, row.prompt_from) == ("* * *", "default")
    assert "there is no validation split, so the weight is 0.5" in capfd.readouterr().err
    (tuned,) = evaluate("wardrobe", tune_root=wardrobe_world, **settings).rows
    assert tuned.prompt_from == "val"


def test_a_prompt_that_is_fixed_stays(tiny_catalog, wardrobe_world, tmp_path):
    options = replace(QUICK, prompt="see *", steps=2)
    facts = train_inversion("pic2word", tiny_catalog, tmp_path / "out", options, runtime=ONE_THREAD)
    assert facts.prompt == "see *"
    settings = {"root": wardrobe_world, "composers": [tmp_path / "out"], "methods": ["sum"], "threads": 1}
    weighted, row = evaluate("wardrobe", weight=0.3, gap=False, **settings).rows
    assert (row.prompt, row.prompt_from) == ("see *", "given")
    assert weighted.prompt is None


def test_a_weight_that_is_given_fixes_no_prompt(inverted, wardrobe_world):
    settings = {"root": wardrobe_world, "composers": [inverted[1]], "methods": ["sum"], "threads": 1}
    weighted, row = evaluate("wardrobe", weight=0.3, gap=False, **settings).rows
    assert (weighted.weight, weighted.weight_from) == (0.3, "given")
    assert row.prompt_from == "val"


@pytest.fixture
def without_graphs(monkeypatch):
    """Exporting takes longer than all else here."""
    monkeypatch.setattr(training, "export_graph", lambda module, inputs, path, **options: path.touch())


@pytest.mark.usefixtures("without_graphs")
@pytest.mark.parametrize("method", ["searle", "lincir"])
def test_a_killed_run_ends_with_the_same_weights(method, tiny_catalog, few_words, tmp_path, monkeypatch):
    options = InversionOptions(steps=5, batch_size=16, word_steps=2, limit=100, vocabulary=few_words)
    monkeypatch.setattr(methods, "_CHECKPOINT_STEPS", 2)
    train_inversion(method, tiny_catalog, tmp_path / "whole", options, runtime=ONE_THREAD)
    saved = loop.save_checkpoint

    def killed(*args, **kwargs):
        saved(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        train_inversion(method, tiny_catalog, tmp_path / "killed", options, runtime=ONE_THREAD)
    monkeypatch.setattr(loop, "save_checkpoint", saved)
    with pytest.raises(UsageError, match="other settings"):
        train_inversion(method, tiny_catalog, tmp_path / "killed", replace(options, seed=1), runtime=ONE_THREAD)
    train_inversion(method, tiny_catalog, tmp_path / "killed", options, runtime=ONE_THREAD)
    whole, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not [*(tmp_path / "killed").glob("words-*"), *(tmp_path / "killed").glob("checkpoint*")]


@pytest.mark.usefixtures("without_graphs")
def test_captions_are_texts_too(tiny_catalog, wardrobe_world, tmp_path):
    options = replace(QUICK, captions=wardrobe_world / "pretrain.csv")
    facts = train_inversion("lincir", tiny_catalog, tmp_path / "out", options, runtime=ONE_THREAD)
    assert facts.similarity > 0.3
    with pytest.raises(DataError, match="cannot be read"):
        train_inversion("lincir", tiny_catalog, tmp_path / "other", replace(QUICK, captions=tmp_path / "gone.csv"))


def test_another_encoder_is_refused(inverted, tiny_encoder, tmp_path):
    other = shutil.copytree(tiny_encoder, tmp_path / "other")
    with (other / "tokenizer.json").open("a") as file:
        file.write("\n")
    with pytest.raises(MismatchError, match="use that encoder"):
        TrainedComposer(inverted[1]).attach(load_encoder(str(other)))


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("magic", {}, "use one of pic2word, searle, lincir"),
        ("lincir", {"prompt": "a photo of"}, r"must contain \*"),
        ("lincir", {"prompt": "* " * 90}, "leaves no room for words"),
        ("pic2word", {"captions": "pairs.csv"}, "learns from pictures"),
        ("pic2word", {"steps": 0}, "at least 1"),
    ],
)
def test_what_makes_no_sense(method, options, message, tiny_catalog, tmp_path):
    with pytest.raises(UsageError, match=message):
        train_inversion(method, tiny_catalog, tmp_path / "out", InversionOptions(**options))
    assert not (tmp_path / "out").exists()


def test_an_encoder_says_that_it_takes_words(encoder):
    assert isinstance(encoder, AcceptsPseudoWords)
