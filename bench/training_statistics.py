"""Write the statistics of what the built-in encoders were trained on into their folders.

    python bench/training_statistics.py photos DATA     (DATA: what bench/photos_encoder/prepare.py and texts.py wrote)
    python bench/training_statistics.py wardrobe

photos: 250 training pictures of each of the three sources, and 1,000 features made up for ImageNet's classes, which it
was trained on for things that are no clothes. wardrobe: 1,000 garments of a world that is drawn anew (seed 0), as its
own was.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from triptych.benchmarks.datasets.wardrobe.world import write_wardrobe
from triptych.core.images import open_picture
from triptych.core.vectors import Vectors
from triptych.encoders.native import NativeEncoder, load_model
from triptych.encoders.registry import load_encoder
from triptych.encoders.training_statistics import TrainingStatistics

EACH = 250
BLOCK = 64


def of_photos(encoder: NativeEncoder, data: Path) -> Vectors:
    """Vectors of training photos and of made-up features, as training read them."""
    import torch

    sys.path.insert(0, str(Path(__file__).parent / "photos_encoder"))
    from classes import Bank
    from packed import decode
    from safetensors.torch import load_file
    from training_data import training_jpegs

    random = np.random.default_rng(0)
    torch.manual_seed(0)
    jpegs = []
    for name in ("products", "homes", "drawn"):
        allowed = training_jpegs(data, name)
        jpegs += [allowed[place] for place in random.choice(len(allowed), EACH, replace=False)]
    pixels = torch.from_numpy(np.stack([decode(jpeg, encoder.size) for jpeg in jpegs])).float() / 127.5 - 1
    tower = load_model(encoder.folder).picture
    with torch.no_grad():
        maps = [tower.maps(block) for block in torch.split(pixels, BLOCK)]
        pooled = torch.cat([tower.pooled(early, tuned) for early, tuned, _ in maps])
        features = torch.cat([found for *_, found in maps])
        classifier = load_file(data / "trunk.safetensors")
        weight, bias = classifier["classes.weight"].float(), classifier["classes.bias"].float()
        made_up = Bank(features, weight, bias, 1).features[:, 0].float()
        strange = pooled[torch.randint(len(pooled), (len(made_up),))]
        standard = tower.standardise(torch.cat([features, made_up]))
        meaning, item = tower.meaning(torch.cat([pooled, strange]), standard), tower.item(standard)
        constant = torch.ones_like(item[:, :1])
        parts = (meaning * tower.parts[0], item * tower.parts[1], constant * tower.parts[2])
        return np.asarray(torch.cat(parts, dim=1).numpy(), np.float32)


def of_garments(encoder: NativeEncoder) -> Vectors:
    """Vectors of drawn garments."""
    with TemporaryDirectory() as folder:
        world = Path(folder) / "world"
        write_wardrobe(world, lines={"pretrain": 260}, views=1, workers=1)
        pixels = [encoder.prepare(open_picture(path)) for path in sorted((world / "images").iterdir())[:1000]]
    blocks = [np.stack(pixels[start : start + BLOCK]) for start in range(0, len(pixels), BLOCK)]
    return np.concatenate([encoder.encode_pictures(block) for block in blocks])


def main() -> None:
    encoder = load_encoder(sys.argv[1])
    assert isinstance(encoder, NativeEncoder)
    vectors = of_photos(encoder, Path(sys.argv[2])) if encoder.is_photo_encoder else of_garments(encoder)
    statistics = TrainingStatistics.of(vectors)
    assert statistics is not None
    statistics.save(encoder.folder)
    print(f"{encoder.name}: {statistics.pictures} pictures, far beyond {statistics.far:.2f}")


if __name__ == "__main__":
    main()
