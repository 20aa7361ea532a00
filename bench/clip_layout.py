"""A small CLIP, trained from scratch on titled product photos and saved in the Hugging Face layout.

    python bench/clip_layout.py OUT [--epochs 10] [--seed 0] [--threads 1]

It stands in for the CLIP models that people download, where none can be had: the same classes of transformers, CLIP's
tokenizer, and files that `--encoder hf:OUT` loads. Its quality is its own, and far from theirs. It learns from the
photos and titles of fashion-products' pretrain split alone, by CLIP's loss (Radford et al. 2021).

How good it is:

    triptych eval fashion-products --root DIR --split val --encoder hf:OUT --method picture --method text --method sum
"""

import argparse
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from triptych.benchmarks.datasets.fashion_products.products import load_products, split_of
from triptych.core.images import open_picture

DATA = Path(os.environ.get("TRIPTYCH_DATA", "../shared/data"))
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
SIDE, PATCH = 64, 16
PICTURES = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 3}
TEXTS = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 2}
DIM = 192
BATCH = 256
MOST_TOKENS = 24  # of a title in training; the model reads CLIP's 77
RATE, DECAY, WARM_UP = 1e-3, 0.1, 0.08
SHIFT = 4  # pixels by which a picture is moved in training
KEPT_WORDS = 0.5  # the least share of a title's words that training keeps


def build(tokenizer: Any) -> "transformers.CLIPModel":
    """The model with random weights, and CLIP's ids for the ends of texts."""
    ends = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.eos_token_id,
    }
    config = transformers.CLIPConfig(
        text_config=TEXTS | ends | {"vocab_size": len(tokenizer), "max_position_embeddings": 77},
        vision_config=PICTURES | {"image_size": SIDE, "patch_size": PATCH},
        projection_dim=DIM,
    )
    return transformers.CLIPModel(config)


def read_pairs(root: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """Pictures `(n, 3, side, side)` and titles of the pretrain split."""
    products = [product for product in load_products(root) if split_of(product.line) == "pretrain"]
    pixels = np.empty((len(products), 3, SIDE, SIDE), np.uint8)
    for row, product in enumerate(products):
        picture = open_picture(root / "images" / product.picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        pixels[row] = np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
    return pixels, [product.title for product in products]


def moved(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Each picture mirrored or not, and moved by some pixels; its edge goes on."""
    wide = np.pad(pixels, ((0, 0), (0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)), mode="edge")
    out = np.empty_like(pixels)
    for row, (top, left) in enumerate(random.integers(2 * SHIFT + 1, size=(len(pixels), 2))):
        view = wide[row, :, top : top + SIDE, left : left + SIDE]
        out[row] = view[:, :, ::-1] if random.random() < 0.5 else view
    return out


def thinned(title: str, random: np.random.Generator) -> str:
    """Half of the titles as they are, of the others some of the words: people ask in fewer."""
    words = title.split()
    if random.random() < 0.5 or len(words) < 2:
        return title
    kept = max(1, round(random.uniform(KEPT_WORDS, 1) * len(words)))
    return " ".join(words[place] for place in np.sort(random.permutation(len(words))[:kept]))


def batches(
    pixels: NDArray[np.uint8], titles: list[str], processor: Any, tokenizer: Any, random: np.random.Generator
) -> Iterator[dict[str, torch.Tensor]]:
    """One pass over the pairs, as the model reads them."""
    mean, std = (np.array(part, np.float32)[:, None, None] for part in (processor.image_mean, processor.image_std))
    order = random.permutation(len(titles))
    for start in range(0, len(order) - BATCH + 1, BATCH):
        rows = order[start : start + BATCH]
        values = (moved(pixels[rows], random).astype(np.float32) / 255 - mean) / std
        texts = [thinned(titles[row], random) for row in rows]
        tokens = tokenizer(texts, padding="longest", truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
        yield {"pixel_values": torch.from_numpy(values), **tokens}


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms and the temperature do not."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    return [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]


def train(model: "transformers.CLIPModel", epochs: int, make_epoch: Any, steps_each: int) -> None:
    """AdamW over a cosine, in bfloat16 where the processor has it; prints the mean loss of each pass."""
    optimizer = torch.optim.AdamW(parameter_groups(model), lr=RATE, betas=(0.9, 0.98))
    total = epochs * steps_each
    warm = max(1, round(WARM_UP * total))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warm, 0.5 * (1 + np.cos(np.pi * max(0, step - warm) / max(1, total - warm)))),
    )
    for epoch in range(1, epochs + 1):
        started, losses = time.monotonic(), []
        for batch in make_epoch():
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(**batch, return_loss=True).loss
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, np.log(100))
            losses.append(loss.item())
        print(f"epoch {epoch}/{epochs}: loss {np.mean(losses):.3f}, {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--products", type=Path, default=DATA / "fashion-products", help="holds styles.csv and images/")
    parser.add_argument("--tokenizer", type=Path, default=DATA / "clip-vit-base-patch32-tokenizer", help="of CLIP")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    random = np.random.default_rng(given.seed)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(given.tokenizer, local_files_only=True)
    # The whole picture, squeezed: a middle square would cut the ends of shoes and dresses.
    processor = transformers.CLIPImageProcessorPil(size={"height": SIDE, "width": SIDE}, do_center_crop=False)
    pixels, titles = read_pairs(given.products)
    model = build(tokenizer).train()
    train(
        model,
        given.epochs,
        lambda: batches(pixels, titles, processor, tokenizer, random),
        len(titles) // BATCH,
    )
    given.out.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(given.out)
    processor.save_pretrained(given.out)
    for name in TOKENIZER_FILES:
        shutil.copyfile(given.tokenizer / name, given.out / name)
    print(f"{len(titles)} pairs, {sum(each.numel() for each in model.parameters()):,} weights: {given.out}")


if __name__ == "__main__":
    main()
