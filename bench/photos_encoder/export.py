"""Write the encoder folder from trained weights.

    python export.py DATA WEIGHTS.safetensors OUT [--size 128] [--without-products]

The weights were trained on larger pictures than the encoder reads, to be fast: what the trunk's features are measured
by (means, scales, the item's directions) is fitted again at the size that it reads. How the parts of a picture's vector
are balanced comes after: balance.py.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from classes import Bank, fit_statistics, trunk_features
from packed import decode
from safetensors import safe_open
from safetensors.torch import load_file
from tokenizers import Tokenizer
from training_data import training_jpegs

from triptych.core.files import made_by
from triptych.encoders.lexicon import Lexicon
from triptych.encoders.native import save_encoder
from triptych.encoders.networks.photo_encoder import PhotoEncoder, PhotoShape

PHOTOS = 2000  # to fit statistics on, of each source as many as of all


def sample(data: Path, products: bool) -> list[bytes]:
    """JPEG bytes of training photos."""
    names = ("products", "homes", "drawn") if products else ("homes", "drawn")
    sources = [training_jpegs(data, name) for name in names]
    total = sum(map(len, sources))
    random = np.random.default_rng(0)
    return [
        jpegs[place]
        for jpegs in sources
        for place in random.choice(len(jpegs), min(len(jpegs), round(PHOTOS * len(jpegs) / total)), replace=False)
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--without-products", action="store_true")
    given = parser.parse_args()
    torch.manual_seed(0)
    weights = load_file(given.weights)
    lexicon_weight, lexicon_bias = weights.pop("words.weight"), weights.pop("words.bias")
    with safe_open(given.weights, "pt") as file:
        values = json.loads(file.metadata()["values"])
    model = PhotoEncoder(PhotoShape(size=given.size, vocabulary=len(weights["text.sentence.tokens.weight"])))
    model.load_state_dict(weights)
    pixels = torch.from_numpy(
        np.stack([decode(jpeg, given.size) for jpeg in sample(given.data, not given.without_products)])
    )
    classifier = load_file(given.data / "trunk.safetensors")
    features = trunk_features(model.picture.trunk, pixels).clone()
    bank = Bank(features, classifier["classes.weight"].float(), classifier["classes.bias"].float(), 4)
    fit_statistics(model.picture, pixels, features, bank)
    terms: dict[str, int] = {}  # as a lexicon writes them: "off-white" is one word
    for row, value in enumerate(values):
        terms.setdefault(value.split("=")[1].replace("-", ""), row)
    rows, dim = list(terms.values()), model.shape.dim
    lexicon = Lexicon(list(terms), lexicon_weight[rows].numpy() * dim**0.5, lexicon_bias[rows].numpy())
    lexicon = lexicon.widened(dim + model.shape.instance_dim, float(model.picture.parts[0]))
    note = made_by("bench/photos_encoder.sh", {"weights": given.weights.name})
    save_encoder(given.out, model, Tokenizer.from_file(str(given.data / "tokenizer.json")), lexicon, note)


if __name__ == "__main__":
    main()
