"""Textual inversion with CLIP's text tower."""

import numpy as np
import pytest

from tiny_clip import WORDS, build_clip
from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.composers.trained import TrainedComposer
from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.encoders.registry import load_encoder
from triptych.training.inversion.texts import SlottedIds
from triptych.training.inversion.trainer import train_inversion
from triptych.training.options import InversionOptions

transformers = pytest.importorskip("transformers", reason="needs the extra hf")
torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return load_encoder(f"hf:{build_clip(tmp_path_factory.mktemp('clip'))}", threads=1)


@pytest.fixture(scope="module")
def catalog(clip, few_garments, tmp_path_factory):
    out = tmp_path_factory.mktemp("clip") / "catalog"
    names = sorted(path.name for path in (few_garments / "images").iterdir())[:40]
    listed = out.parent / "names.txt"
    listed.write_text("\n".join(names), encoding="utf-8")
    index(listed, out, encoder=clip.name, root=few_garments / "images", runtime=Runtime(threads=1))
    return out


def test_a_token_embedding_in_a_slot_is_that_token(clip):
    tower, ids = clip.text_tower(), SlottedIds(clip)
    words = tower.model.embeddings.token_embedding.weight[[WORDS.index("red")] * 3]
    texts = ["a * dress", "* *", "is blue, *"]
    with torch.inference_mode():
        found = tower(torch.from_numpy(ids(texts)), words).numpy()
        alone = tower(torch.from_numpy(clip.token_ids(["in red"]))).numpy()
    np.testing.assert_allclose(found, clip.encode_texts([text.replace("*", "red") for text in texts]), atol=2e-2)
    np.testing.assert_allclose(alone, clip.encode_texts(["in red"]), atol=2e-2)
    # The encoder's own tower is as it was.
    assert not clip.model.text_model.embeddings.token_embedding._forward_hooks


def test_long_texts_stay_closed(clip):
    ids = SlottedIds(clip)(["red " * 40])
    assert ids.shape == (1, 12)
    assert (ids[0, 0], ids[0, -1]) == (1, len(WORDS) - 1)
    np.testing.assert_array_equal(ids, clip.token_ids(["red " * 40]))


@pytest.mark.slow
def test_an_inverted_composer_reads_the_papers_prompt(clip, catalog, vocabulary_file, tmp_path):
    options = InversionOptions(vocabulary=vocabulary_file, steps=3, batch_size=8)
    result = train_inversion("pic2word", catalog, tmp_path, options, runtime=Runtime(threads=1))
    assert result.prompt == "a photo of * ,"
    composer = TrainedComposer(tmp_path, threads=1)
    composer.attach(clip)
    pictures = Catalog(catalog).vectors[:3].copy()
    found = composer.compose(pictures, ["in red", "is a blue dress", "red " * 40])
    from safetensors.torch import load_file

    from triptych.composers.networks.inversion import MappingNetwork

    phi = MappingNetwork(clip.dim, clip.word_width)
    phi.load_state_dict(load_file(tmp_path / "model.safetensors"))
    ids = SlottedIds(clip)([f"a photo of * , {text}" for text in ("in red", "is a blue dress", "red " * 40)])
    with torch.inference_mode():
        wanted = clip.text_tower()(torch.from_numpy(ids), phi.eval()(torch.from_numpy(pictures))).numpy()
    np.testing.assert_allclose(found, wanted, atol=5e-3)


def test_a_siglip_is_refused(clip, monkeypatch):
    monkeypatch.setattr(clip, "_family", "siglip")
    with pytest.raises(UsageError, match="need an encoder of `pretrain` or a CLIP"):
        clip.text_tower()
