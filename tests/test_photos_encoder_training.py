"""The stages of bench/photos_encoder.sh that train and export, on a handful of made-up photos."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from triptych.encoders.native import load_model
from triptych.encoders.networks.photo_encoder import PhotoEncoder
from triptych.encoders.registry import PHOTOS, load_encoder

BENCH = Path(__file__).parents[1] / "bench"
SCRIPTS = BENCH / "photos_encoder"
VALUES = ["colour=blue", "colour=red", "kind=dress", "kind=shirt", "pattern=plain", "sleeve=long", "gender=women"]
WORDS = 8  # tokens of a text
EACH = 24  # photos of each source


def run(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / script), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def jpegs(count: int, random: np.random.Generator) -> list[bytes]:
    files = []
    for _ in range(count):
        out = io.BytesIO()
        Image.fromarray(random.integers(0, 255, (12, 12, 3), np.uint8)).resize((48, 48)).save(out, "JPEG")
        files.append(out.getvalue())
    return files


def write_data(folder: Path) -> None:
    """What prepare.py, texts.py and distil.py write."""
    sys.path.insert(0, str(SCRIPTS))
    from packed import pack

    random = np.random.default_rng(0)
    colour, kind = random.integers(0, 2, (2, 3, EACH))
    truth = np.full((3, EACH, len(VALUES)), -1, np.int8)
    for value in range(2):
        truth[:, :, value], truth[:, :, 2 + value] = colour == value, kind == value
    truth[1, :, :2] = -1  # of home photos the kind is known, and nothing else
    truth[0, :, 4] = 1
    masks = np.packbits(random.random((EACH, 80 * 60)) < 0.5, axis=1)
    pack(folder / "products.npz", jpegs(EACH, random), truth=truth[0], line=np.arange(EACH) // 3, masks=masks)
    pack(folder / "homes.npz", jpegs(EACH, random), truth=truth[1], sender=np.array(["nobody"] * EACH))
    pack(folder / "drawn.npz", jpegs(EACH, random), truth=truth[2])
    pack(folder / "products_large.npz", jpegs(4, random), row=np.array([0, 3, 5, 9]))
    (folder / "known.json").write_text(json.dumps({"values": VALUES, "titles": ["a thing"] * EACH}))

    singles = [(value,) for value in range(len(VALUES))]
    pairs = [(a, b) for a in range(2) for b in (2, 3)]
    sets = np.array([(*facts, -1, -1)[:3] for facts in [*singles, *pairs]])
    counts = {"general": 40, "wishes": 2 * len(sets), "titles": EACH, "anchors": 12_000}
    texts = {name: random.integers(4, 400, (count, WORDS)).astype(np.int32) for name, count in counts.items()}
    np.savez(folder / "texts.npz", **texts, sets=sets, ends=2 * np.arange(1, len(sets) + 1))
    total = sum(counts.values())
    torch.save(torch.nn.functional.normalize(torch.randn(total, 384), dim=-1).half(), folder / "teacher.pt")

    encoder = load_encoder(PHOTOS)
    model = load_model(encoder.folder)
    assert isinstance(model, PhotoEncoder)
    trunk = {name: tensor.contiguous() for name, tensor in model.picture.trunk.state_dict().items()}
    classes = {"classes.weight": torch.randn(1000, 1280) * 0.05, "classes.bias": torch.zeros(1000)}
    save_file(trunk | classes, folder / "trunk.safetensors")
    save_file(
        {name: tensor.contiguous() for name, tensor in model.text.sentence.state_dict().items()},
        folder / "student.safetensors",
    )
    (folder / "tokenizer.json").write_bytes((encoder.folder / "tokenizer.json").read_bytes())


@pytest.mark.slow
def test_training_and_export_make_an_encoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    write_data(tmp_path)
    said = run("train.py", tmp_path, tmp_path / "weights", "--seed", 1, "--steps", 3, "--size", 32, "--batch", 24)
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", said)]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    run("export.py", tmp_path, tmp_path / "weights.safetensors", tmp_path / "encoder", "--size", 64)
    run("balance.py", tmp_path, tmp_path / "encoder")
    made = load_encoder(str(tmp_path / "encoder"), threads=1)
    vectors = made.encode_texts(["a red dress", "in blue"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_each_stage_of_the_script_is_there_and_takes_its_arguments() -> None:
    lines = (BENCH / "photos_encoder.sh").read_text().splitlines()
    stages = [line.split()[1:] for line in lines if line.startswith('"$python" ')]
    assert [stage[0] for stage in stages] == [
        "prepare.py",
        "texts.py",
        "distil.py",
        "train.py",
        "export.py",
        "balance.py",
    ]
    for script, *arguments in stages:
        source = (SCRIPTS / script).read_text()
        compile(source, script, "exec")
        flags = [argument for argument in arguments if argument.startswith("--")]
        assert all(f'add_argument("{flag}"' in source for flag in flags), script
        plain = [argument for argument in arguments if argument.startswith('"$')]
        if "argparse" in source:
            assert len(plain) == len(re.findall(r'add_argument\("[a-z]', source)), script
        else:
            assert f"sys.argv[1:{len(plain) + 1}]" in source or len(plain) == 1, script
