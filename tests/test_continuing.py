"""`pretrain --from`: an encoder of photos goes on learning, and says whether it is better than before."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import triptych
from test_resume import assert_same_weights, kill
from test_score import run
from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.encoders.native import NativeEncoder, load_model, save_encoder
from triptych.encoders.networks.photo_encoder import PhotoEncoder, PhotoShape
from triptych.encoders.registry import load_encoder
from triptych.encoders.training_statistics import statistics_of
from triptych.evaluation.truth import truth_of_pairs
from triptych.training.data.pairs import CaptionedPictures, hold_out_products
from triptych.training.data.titles import title_texts
from triptych.training.learners.continuing import ContinuingLearner, TunedParts, frozen_features
from triptych.training.loop import LoopOptions
from triptych.training.options import PretrainOptions
from triptych.training.pretraining import pretrain
from triptych.training.results import PretrainResult

COLOURS = {"red": (200, 30, 30), "blue": (30, 40, 200), "green": (30, 160, 40), "yellow": (220, 200, 40)}
KINDS = ("bag", "scarf")
SIZE = 32


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder of photos that has learnt nothing."""
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("start") / "start"
    small = PhotoEncoder(PhotoShape(size=SIZE, item_dim=16, dim=32, text_layers=2))
    torch.nn.init.normal_(small.picture.item_directions)
    tokenizer = load_encoder("photos", threads=1).tokenizer  # type: ignore[attr-defined]
    save_encoder(out, small, tokenizer, None, {})
    return out


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A CSV of 400 titled pictures, two of each product, and their folder."""
    folder = tmp_path_factory.mktemp("shop")
    random = np.random.default_rng(0)
    rows = []
    for number in range(200):
        colour, kind = list(COLOURS)[number % 4], KINDS[number // 4 % 2]
        for view in range(2):
            picture = Image.new("RGB", (SIZE, SIZE), "white")
            shade = tuple(int(c) for c in np.clip(np.array(COLOURS[colour]) + random.integers(-25, 25, 3), 0, 255))
            picture.paste(shade, (2, 2, SIZE - 2, SIZE - 2) if kind == "bag" else (12, 0, 18, SIZE))
            picture.save(folder / f"{number}-{view}.png")
            rows.append((f"{number}-{view}.png", f"{colour.title()} {kind} No{number}", kind, colour))
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "caption", "kind", "colour"), *rows])
    return folder / "pairs.csv", folder


@pytest.fixture(scope="module")
def made(start: Path, shop: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PretrainResult]:
    out = tmp_path_factory.mktemp("made") / "encoder"
    options = PretrainOptions(start=str(start), epochs=12, batch_size=64)
    return out, pretrain(*shop, out, options, runtime=Runtime(threads=1))


def test_it_is_better_on_products_that_it_never_saw_and_says_so(made, start):
    out, result = made
    assert (result.start, result.pairs, result.held_out) == (str(start.resolve()), 400, 40)
    assert result.verdict is not None
    assert result.start_recall is not None
    assert result.verdict.decided == "better"
    assert result.held_out_recall["R@5"] > result.start_recall["R@5"]
    stored = json.loads((out / "config.json").read_text())
    assert stored["verdicts"]["titles"]["decided"] == "better"
    assert stored["made_by"]["held_out_recall"] == result.held_out_recall
    assert stored["made_by"]["settings"]["tune"] == "frozen"


def test_the_folder_is_an_encoder_like_any_other(made, start, shop):
    encoder, before = load_encoder(str(made[0]), threads=1), NativeEncoder(start, "start", 1)
    assert isinstance(encoder, NativeEncoder)
    assert encoder.is_photo_encoder
    pixels = np.stack([encoder.prepare(Image.open(shop[1] / f"{number}-0.png")) for number in range(8)])
    now, then = encoder.encode_pictures(pixels), before.encode_pictures(pixels)
    # What tells items apart is as it was; the meaning is not.
    np.testing.assert_allclose(now[:, 32:], then[:, 32:], atol=1e-3)
    assert np.abs(now[:, :32] - then[:, :32]).max() > 0.1
    assert encoder.lexicon is not None
    assert {"red", "bag"} <= {*encoder.lexicon.terms}
    odds = encoder.lexicon.log_odds(now, list(COLOURS))
    assert (odds.argmax(axis=1) == np.arange(8) % 4).mean() > 0.7
    statistics = statistics_of(encoder)
    assert statistics is not None
    assert statistics.unlike(now) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "call", "when"),
    [
        ("triptych.training.loop:save_checkpoint", 3, "after"),
        ("triptych.training.continuing:keep_statistics", 1, "before"),  # all is learnt and written
    ],
)
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(made, start, shop, tmp_path, capfd, at, call, when):
    chosen = {"start": str(start), "epochs": 12, "batch_size": 64}
    given = {
        "options": {"kind": "triptych.training.options:PretrainOptions", **chosen},
        "runtime": {"kind": "triptych.core.environment:Runtime", "threads": 1},
    }
    out = tmp_path / "encoder"
    patches = {"triptych.training.continuing:_CHECKPOINT_STEPS": 5}
    kill("triptych.training.pretraining:pretrain", [*shop, out], given, at=at, call=call, when=when, patches=patches)
    capfd.readouterr()
    pretrain(*shop, out, PretrainOptions(**chosen), runtime=Runtime(threads=1))
    assert "going on from step" in capfd.readouterr().err
    assert_same_weights(out, made[0])


def test_a_shop_measures_its_own_encoder_and_its_export(made, shop, tmp_path, capsys):
    """By queries of its own: the export answers them as the encoder does."""
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    shown = {}
    with shop[0].open(newline="") as file:
        for row in [*csv.DictReader(file)][:80]:
            shown[row["image"]] = (row["kind"], row["colour"])
            shutil.copy(shop[1] / row["image"], gallery)
    queries = []
    for name, (kind, colour) in shown.items():
        wanted = next(other for other in COLOURS if other != colour)
        targets = [other for other, values in shown.items() if values == (kind, wanted)]
        queries.append({"reference": name, "modification": wanted, "targets": targets})
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, queries)))
    triptych.export_models(tmp_path / "exported", encoder=str(made[0]), runtime=Runtime(threads=1))
    found = {}
    for name in (str(made[0]), str(tmp_path / "exported" / "encoder")):
        result = tmp_path / "result.json"
        asked = [
            "--gallery",
            gallery,
            "--encoder",
            name,
            "--method",
            "sum",
            "--method",
            "text",
            "--weight",
            "0.5",
            "--output",
            result,
        ]
        assert run("eval", tmp_path / "own.jsonl", *asked, "--threads", "1") == 0
        rows = json.loads(result.read_text())["rows"]
        found[name] = {row["method"]: row["metrics"] for row in rows}
        assert [row["queries"] for row in rows] == [80, 80]
    own, exported = found.values()
    assert own == exported
    assert own["text"]["R@10"] > 60


def test_queries_of_columns_are_made_among_what_was_held_out(shop):
    make = truth_of_pairs(shop[0], "kind,colour")
    names = [f"{number}-0.png" for number in range(40)]
    truth = make(names)
    assert all({query.reference, *query.targets} <= {*names} for query in truth.queries)
    with pytest.raises(UsageError, match="at least"):
        make(names[:6])
    with pytest.raises(UsageError, match="no column 'size'"):
        truth_of_pairs(shop[0], "kind,size")


def test_a_product_is_never_on_both_sides():
    titles = [f"Shirt {number // 3}" for number in range(90)]
    pixels = np.arange(90, dtype=np.uint8)[:, None, None, None].repeat(3, axis=1)
    titles[1], pixels[4] = "SHIRT, 0", pixels[0]  # the same words; and a copy of another product's picture
    data = CaptionedPictures([str(row) for row in range(90)], pixels, titles, np.arange(90), 0)
    for seed in range(5):
        learnt, held = hold_out_products(data, 12, seed)
        assert sorted([*learnt, *held]) == list(range(90))
        assert 6 <= len(held) <= 12
        product = {row: row // 3 for row in range(90)} | dict.fromkeys((3, 4, 5), 0)
        assert not {product[row] for row in learnt} & {product[row] for row in held}


def test_texts_ask_for_what_titles_say():
    titles = ["Red T-Shirt One", "Blue T-Shirt", "Red Skirt"] * 5
    texts = title_texts(titles, seed=0)
    # Of "red" and "t-shirt" too many titles say that they would tell apart.
    assert texts.terms == ["blue", "one", "skirt"]
    titles += ["Green Hat"] * 4
    texts = title_texts(titles, seed=0)
    assert texts.terms == ["blue", "one", "red", "skirt", "tshirt"]
    for row, sets in enumerate(texts.sets_of):
        for text in sets:
            assert texts.asked[text].any()
            assert (texts.said[row] >= texts.asked[text]).all()
    assert [texts.texts[row] for row in texts.title_of[:3]] == titles[:3]
    assert not texts.asked[texts.title_of].any()


@pytest.mark.parametrize(
    ("tune", "learns", "stays"),
    [
        (
            "frozen",
            {"picture.read", "text.linear"},
            {"picture.tuned", "text.sentence", "picture.values", "picture.trunk"},
        ),
        ("last-1", {"picture.tuned.1", "text.sentence.layers.1"}, {"picture.tuned.0", "text.sentence.layers.0"}),
        ("full", {"picture.tuned.0", "text.sentence.tokens"}, {"picture.trunk", "picture.item_directions"}),
    ],
)
def test_what_learns_and_what_stays(start, tune, learns, stays):
    model = load_model(start)
    assert isinstance(model, PhotoEncoder)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    pixels = torch.randint(0, 255, (12, 3, SIZE, SIZE), dtype=torch.uint8)
    titles = [f"{'red' if row % 2 else 'blue'} {'bag' if row % 3 else 'hat'}" for row in range(12)]
    tuned = TunedParts.of(model, tune)
    texts = title_texts(titles, seed=0)
    ids = NativeEncoder(start, "start", 1).token_ids(texts.texts)
    learner = ContinuingLearner(
        model, tuned, frozen_features(model, pixels, tuned, 2, 0), texts, ids, LoopOptions(2), 12
    )
    for step in range(2):
        learner.optimizer.zero_grad()
        learner.step(step)
        for group in learner.optimizer.param_groups:
            group["lr"] = 0.01
        learner.optimizer.step()
    changed = {name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])}
    for part in learns:
        assert any(name.startswith(part) for name in changed), part
    for part in stays:
        assert not any(name.startswith(part) for name in changed), part


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tune": "most"}, "last-N"),
        ({"size": 64}, "scratch"),
        ({"start": "scratch", "tune": "full"}, "--tune"),
    ],
)
def test_options_that_make_no_sense(given, message):
    with pytest.raises(UsageError, match=message):
        PretrainOptions(**given)


def test_an_encoder_of_drawings_cannot_go_on(shop, tmp_path):
    with pytest.raises(UsageError, match="takes photos"):
        pretrain(*shop, tmp_path / "out", PretrainOptions(start="wardrobe"), runtime=Runtime(threads=1))
