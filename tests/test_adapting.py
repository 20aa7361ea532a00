import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from triptych.core.environment import Runtime
from triptych.core.errors import DataError, UsageError
from triptych.core.images import open_picture
from triptych.core.vectors import unit
from triptych.encoders.registry import load_encoder
from triptych.training.adapting import adapt_encoder
from triptych.training.checkpoints import save_checkpoint
from triptych.training.data.augmentation import recolour
from triptych.training.learners import adapting as learning
from triptych.training.options import AdaptOptions

TINY = AdaptOptions(steps=6, batch_size=16)
ONE_THREAD = Runtime(threads=1)


@pytest.fixture(scope="module")
def adapted(tiny_encoder: Path, wardrobe_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adapted") / "encoder"
    adapt_encoder(wardrobe_world / "images", out, TINY, encoder=str(tiny_encoder), runtime=ONE_THREAD)
    return out


def test_what_captions_taught_is_kept(adapted, tiny_encoder, wardrobe_world):
    before, after = load_encoder(str(tiny_encoder), threads=1), load_encoder(str(adapted), threads=1)
    pictures = sorted((wardrobe_world / "images").iterdir())[:20]
    pixels = np.stack([before.prepare(open_picture(path)) for path in pictures])
    old, new = before.encode_pictures(pixels), after.encode_pictures(pixels)
    shared = new[:, : -after.instance_dim]
    assert new.shape == (20, before.dim + after.instance_dim) == (20, after.dim)
    np.testing.assert_allclose(np.linalg.norm(new, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(unit(shared), old, atol=1e-4)
    # Logits between pictures and texts, and the odds of words, are what they were.
    texts = ["a red dress", "short blue skirt"]
    np.testing.assert_allclose(
        after.logit_scale * new @ after.encode_texts(texts).T,
        before.logit_scale * old @ before.encode_texts(texts).T,
        atol=1e-2,
    )
    words = ["red", "dress"]
    np.testing.assert_allclose(after.lexicon.log_odds(new, words), before.lexicon.log_odds(old, words), atol=2e-2)


@pytest.mark.slow
def test_a_recoloured_item_is_found_again(tiny_encoder, wardrobe_world, tmp_path):
    options = AdaptOptions(steps=60, batch_size=32)
    images = wardrobe_world / "images"
    adapt_encoder(images, tmp_path / "long", options, encoder=str(tiny_encoder), runtime=ONE_THREAD)
    after = load_encoder(str(tmp_path / "long"), threads=1)
    pictures = sorted((wardrobe_world / "images").iterdir())[:60]
    pixels = np.stack([after.prepare(open_picture(path)) for path in pictures])
    other = recolour(torch.from_numpy(pixels), torch.Generator().manual_seed(1)).numpy()
    plain, changed = after.encode_pictures(pixels), after.encode_pictures(other)

    def found(part: slice) -> int:
        cosines = unit(changed[:, part]) @ unit(plain[:, part]).T
        return int((cosines.argmax(axis=1) == np.arange(60)).sum())

    assert found(slice(-after.instance_dim, None)) > found(slice(0, -after.instance_dim))


def test_recolouring_leaves_the_background_and_the_shape():
    item = Image.new("RGB", (32, 32), "white")
    item.paste((200, 30, 30), (8, 8, 24, 24))
    pixels = torch.tensor(np.asarray(item).transpose(2, 0, 1) / 127.5 - 1, dtype=torch.float32).repeat(64, 1, 1, 1)
    changed = recolour(pixels, torch.Generator().manual_seed(0))
    assert changed.shape == pixels.shape
    assert changed.abs().max() <= 1
    torch.testing.assert_close(changed[:, :, :8], pixels[:, :, :8])
    inside = changed[:, :, 8:24, 8:24]
    torch.testing.assert_close(inside, inside[:, :, :1, :1].expand_as(inside))  # one colour stays one colour
    moved = (inside[:, :, 0, 0] - pixels[:, :, 10, 10]).abs().amax(dim=1) > 0.1
    assert 0.6 < moved.float().mean() < 0.95


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_weights(adapted, tiny_encoder, wardrobe_world, tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "_CHECKPOINT_STEPS", 2)
    done = 0

    def stop(*args, **options):
        nonlocal done
        done += 1
        save_checkpoint(*args, **options)
        if done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("triptych.training.loop.save_checkpoint", stop)
    ask = {"encoder": str(tiny_encoder), "runtime": ONE_THREAD}
    with pytest.raises(KeyboardInterrupt):
        adapt_encoder(wardrobe_world / "images", tmp_path / "out", TINY, **ask)
    assert not (tmp_path / "out" / "config.json").exists()
    done = 10
    adapt_encoder(wardrobe_world / "images", tmp_path / "out", TINY, **ask)
    again, first = tmp_path / "out" / "model.safetensors", adapted / "model.safetensors"
    assert again.read_bytes() == first.read_bytes()
    assert not (tmp_path / "out" / "checkpoint.safetensors").exists()


@pytest.mark.slow
def test_spoilt_pictures_are_skipped_and_counted(tiny_encoder, wardrobe_world, tmp_path, capfd):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for path in sorted((wardrobe_world / "images").iterdir())[:25]:
        shutil.copy(path, pictures)
    (pictures / "spoilt.jpg").write_bytes(b"no picture")
    options = AdaptOptions(steps=1, batch_size=8)
    result = adapt_encoder(pictures, tmp_path / "out", options, encoder=str(tiny_encoder), runtime=ONE_THREAD)
    assert (result.pictures, result.skipped) == (25, 1)
    assert "spoilt.jpg" in capfd.readouterr().err
    assert json.loads((tmp_path / "out" / "config.json").read_text())["made_by"]["command"] == "adapt-encoder"


def test_too_few_pictures(tiny_encoder, wardrobe_world, tmp_path):
    (tmp_path / "few").mkdir()
    shutil.copy(next((wardrobe_world / "images").iterdir()), tmp_path / "few")
    with pytest.raises(DataError, match="1 usable pictures"):
        adapt_encoder(tmp_path / "few", tmp_path / "out", encoder=str(tiny_encoder))


@pytest.mark.parametrize("setting", [{"steps": 0}, {"batch_size": 1}])
def test_settings_that_make_no_sense(setting):
    with pytest.raises(UsageError):
        AdaptOptions(**setting)


def test_an_adapted_encoder_is_not_adapted_again(adapted, wardrobe_world, tmp_path):
    with pytest.raises(UsageError, match="pretrain"):
        adapt_encoder(wardrobe_world / "images", tmp_path / "out", encoder=str(adapted))


def test_an_encoder_is_not_adapted_where_it_lies(tiny_encoder, wardrobe_world):
    with pytest.raises(UsageError, match="holds the encoder to adapt"):
        adapt_encoder(wardrobe_world / "images", tiny_encoder, TINY, encoder=str(tiny_encoder), runtime=ONE_THREAD)
