"""Balance the parts of a photo encoder's picture vectors, beside weights that stay as they are.

    python balance.py DATA FOLDER [--parts 0.15 0.15] [--power 0.7]

`--parts` are the squares of the meaning and of the item's part in a picture's vector; the rest is the constant. Each
component of the item's part is divided by its standard deviation over training photos, to the power of `--power`, after
its mean is taken away: 0 leaves the components as they are, 1 whitens them. Writes `balance.safetensors`, the picture
graph, the words' scale and `config.json`; the statistics of bench/training_statistics.py must be made again afterwards.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from packed import decode
from training_data import training_jpegs

from triptych.core.files import write_json
from triptych.encoders.lexicon import Lexicon
from triptych.encoders.native import load_model, save_balance
from triptych.encoders.networks.photo_encoder import PhotoEncoder, PhotoTower

_PHOTOS = {
    "products": 1500,
    "homes": 1113,
    "drawn": 600,
}  # of each source about as many: a shop's must not decide alone
_LEAST = 0.01  # of the largest deviation: components that hardly vary are noise
_BLOCK = 64


def training_items(data: Path, tower: PhotoTower, size: int) -> torch.Tensor:
    """The item's part `(n, item_dim)` of training photos, as it is before it is balanced."""
    random, found = np.random.default_rng(1), []
    for name, count in _PHOTOS.items():
        jpegs = training_jpegs(data, name)
        chosen = random.permutation(len(jpegs))[:count]
        for start in range(0, len(chosen), _BLOCK):
            pixels = np.stack([decode(jpegs[place], size) for place in chosen[start : start + _BLOCK]])
            features = tower.maps(torch.from_numpy(pixels).float() / 127.5 - 1)[2]
            found.append(tower.item(tower.standardise(features)))
    return torch.cat(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", type=float, nargs=2, default=(0.15, 0.15))
    parser.add_argument("--power", type=float, default=0.7)
    given = parser.parse_args()
    model = load_model(given.folder)
    assert isinstance(model, PhotoEncoder), "only an encoder of photos has such parts"
    lexicon, config = Lexicon.load(given.folder), json.loads((given.folder / "config.json").read_text())
    tower, before = model.picture, float(model.picture.parts[0])
    with torch.no_grad():
        tower.item_mean.zero_()
        tower.item_scale.fill_(1)
        items = training_items(given.data, tower, model.shape.size)
        deviation = items.std(dim=0)
        tower.item_mean.copy_(items.mean(dim=0))
        tower.item_scale.copy_((deviation + _LEAST * deviation.max()) ** given.power)
        tower.parts.copy_(torch.tensor([*given.parts, 1 - sum(given.parts)]).sqrt())
    save_balance(given.folder, model)
    if lexicon:
        factor = before / float(tower.parts[0])
        Lexicon(lexicon.terms, lexicon.weight * factor, lexicon.bias).save(given.folder)
    parts = [round(float(part) ** 2, 3) for part in tower.parts]
    config["made_by"]["settings"] |= {"parts": parts, "power of the item's scales": given.power}
    write_json(given.folder / "config.json", config | {"logit_scale": round(model.scale.item(), 4)})


if __name__ == "__main__":
    main()
