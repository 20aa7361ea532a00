"""A CLIP's text tower that `train` trains along by LoRA, over a catalog that stays as it is."""

from pathlib import Path

import numpy as np
import pytest

from tiny_clip import build_clip
from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.composers.trained import TrainedComposer
from triptych.core.environment import Runtime
from triptych.encoders.registry import load_encoder
from triptych.exporting.models import export_models
from triptych.training.composer import train
from triptych.training.options import TrainOptions

transformers = pytest.importorskip("transformers", reason="needs the extra hf")
torch = pytest.importorskip("torch")

ONE_THREAD = Runtime(threads=1, device="cpu")
TEXTS = ["in red", "is a blue dress", "red " * 5]


@pytest.fixture(scope="module")
def catalog(wardrobe_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora")
    (folder / "clip").mkdir()
    build_clip(folder / "clip")
    names, root = wardrobe_world / "unlabelled.txt", wardrobe_world / "images"
    index(names, folder / "catalog", encoder=f"hf:{folder / 'clip'}", root=root, runtime=ONE_THREAD)
    return folder / "catalog"


def test_it_learns_and_runs_without_torch(catalog, tiny_triplets, tmp_path, capsys):
    from safetensors.torch import load_file

    out = tmp_path / "composer"
    options = TrainOptions(epochs=1, batch_size=64, max_steps=3, tune_text=True)
    train(tiny_triplets, catalog, out, options, runtime=ONE_THREAD)
    assert "the text tower of clip is trained along by LoRA" in capsys.readouterr().err
    clip = load_encoder(Catalog(catalog).encoder_name, threads=1)
    before, after = clip.text_tower().state_dict(), load_file(out / "model.safetensors")
    assert {f"text.{name}" for name in before} == {name for name in after if name.startswith("text.")}
    learnt = {name for name, values in before.items() if not torch.equal(values, after[f"text.{name}"])}
    assert learnt
    assert all(name.endswith("_proj.weight") for name in learnt)

    export_models(tmp_path / "exported", composer=out, runtime=ONE_THREAD)
    pictures = Catalog(catalog).vectors[:3].copy()
    found = []
    for folder, encoder in (
        (out, clip),
        (tmp_path / "exported/composer", load_encoder(str(tmp_path / "exported/encoder"))),
    ):
        composer = TrainedComposer(folder, threads=1).with_kept_sum(None)
        composer.attach(encoder)
        found.append(composer.compose(pictures, TEXTS))
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    assert np.abs(found[0][0] - found[0][1]).max() > 1e-3


@pytest.mark.slow
def test_it_stays_as_it_is_on_a_cpu_and_one_line_says_so(catalog, tiny_triplets, tmp_path, capsys):
    train(tiny_triplets, catalog, tmp_path, TrainOptions(epochs=1, batch_size=64, max_steps=1), runtime=ONE_THREAD)
    assert "the text tower of clip is not trained on a CPU; --tune-text trains it by LoRA" in capsys.readouterr().err
    assert not any(name.startswith("text.") for name in _names(tmp_path / "model.safetensors"))


def _names(path: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return list(file.keys())
