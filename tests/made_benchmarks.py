"""Tiny versions of the official benchmarks, in their layout on disk, with made pictures; and how tests measure."""

import json
import random
from dataclasses import fields
from pathlib import Path
from typing import Any

from PIL import Image

import triptych
from triptych.core.environment import Runtime
from triptych.evaluation.evaluate import EvaluateResult
from triptych.evaluation.options import EvaluateOptions

CATEGORIES = ("dress", "shirt", "toptee")


def evaluate(benchmark: Any, *, threads: int | None = None, **given: Any) -> EvaluateResult:
    """`triptych.evaluate` with its options by name beside its other arguments."""
    chosen = {item.name: given.pop(item.name) for item in fields(EvaluateOptions) if item.name in given}
    options = EvaluateOptions(**{name: tuple(one) if isinstance(one, list) else one for name, one in chosen.items()})
    if not given.get("composers"):  # made pictures tell nothing of an encoder, and the small one is quick
        given.setdefault("encoder", "wardrobe")
    return triptych.evaluate(benchmark, options, **given, runtime=Runtime(threads))


def write_picture(path: Path, seed: int, size: tuple[int, int] = (48, 40)) -> None:
    """Coloured squares that are another picture for every seed."""
    colours = random.Random(seed)
    small = Image.new("RGB", (4, 4))
    small.putdata([tuple(colours.randrange(256) for _ in range(3)) for _ in range(16)])
    path.parent.mkdir(parents=True, exist_ok=True)
    small.resize(size, Image.Resampling.NEAREST).save(path)


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")
    return path


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def write_fashioniq(root: Path, pictures: int = 14, queries: int = 6) -> Path:
    """Three categories; the last picture of each is a .png."""
    for start, category in enumerate(CATEGORIES):
        names = [f"B{category.upper()}{number:02}" for number in range(pictures)]
        write(root / "image_splits" / f"split.{category}.val.json", names)
        captions = [
            {
                "candidate": names[number],
                "target": names[number + 3],
                "captions": [f" is redder than {number}?", f"has {number} buttons. "],
            }
            for number in range(queries)
        ]
        write(root / "captions" / f"cap.{category}.val.json", captions)
        for number, name in enumerate(names):
            suffix = "png" if number == pictures - 1 else "jpg"
            write_picture(root / "images" / f"{name}.{suffix}", 1000 * start + number)
    return root


def write_cirr(root: Path, split: str = "val", groups: int = 3) -> Path:
    """Groups of six; in each two queries over it."""
    part = {"val": "dev", "test1": "test1"}[split]
    files, captions = {}, []
    for group in range(groups):
        members = [f"{part}-{group}-{number}-img0" for number in range(6)]
        files |= {name: f"./{part}/{name}.png" for name in members}
        for number in range(2):
            caption = {
                "pairid": 100 * (split == "test1") + 10 * group + number,
                "reference": members[number],
                "caption": f"show {number} dogs in group {group}",
                "img_set": {"id": group, "members": members, "reference_rank": number},
            }
            if split == "val":
                caption |= {"target_hard": members[number + 3], "target_soft": {members[number + 3]: 1.0}}
            captions.append(caption)
    write(root / "captions" / f"cap.rc2.{split}.json", captions)
    write(root / "image_splits" / f"split.rc2.{split}.json", files)
    for seed, path in enumerate(files.values()):
        write_picture(root / "img_raw" / path, seed + 100 * (split == "test1"))
    return root


def write_circo(root: Path, pictures: int = 60) -> Path:
    """COCO's list and pictures, four queries of val and two of test."""
    coco = root / "COCO2017_unlabeled"
    ids = [7 + 3 * number for number in range(pictures)]
    images = [{"id": number, "file_name": f"{number:012d}.jpg", "width": 48} for number in ids]
    write(coco / "annotations" / "image_info_unlabeled2017.json", {"images": images})
    for number in ids:
        write_picture(coco / "unlabeled2017" / f"{number:012d}.jpg", number)
    val = [
        {
            "reference_img_id": ids[query],
            "target_img_id": ids[10 + query],
            "relative_caption": f"has {query} dogs",
            "shared_concept": "a park",
            "gt_img_ids": [ids[10 + query], *ids[20 + query : 20 + 3 * query : 2]],
            "id": query,
            "semantic_aspects": ["addition", "negation"][: 1 + query % 2],
        }
        for query in range(4)
    ]
    write(root / "annotations" / "val.json", val)
    hidden = ("target_img_id", "gt_img_ids", "semantic_aspects")
    test = [{name: value for name, value in query.items() if name not in hidden} for query in val[:2]]
    write(root / "annotations" / "test.json", test)
    return root


def write_genecis(root: Path, queries: int = 3) -> Path:
    """Attributes on boxes of Visual Genome's pictures, in its two folders; objects on COCO's."""
    for task in ("focus_attribute", "change_attribute"):
        crops = [{"image_id": str(50 + number), "instance_bbox": [4 + number, 4, 20, 16]} for number in range(9)]
        write(root / "genecis" / f"{task}.json", [_template(crops, query) for query in range(queries)])
    for task in ("focus_object", "change_object"):
        pictures = [{"val_image_id": 900 + number} for number in range(9)]
        write(root / "genecis" / f"{task}.json", [_template(pictures, query) for query in range(queries)])
    for number in range(9):
        folder = "VG_100K" if number % 2 else "VG_100K_2"
        write_picture(root / "Visual_Genome" / folder / f"{50 + number}.jpg", number, (64, 48))
        write_picture(root / "coco2017" / "val2017" / f"{900 + number:012d}.jpg", number)
    return root


def _template(pictures: list[dict[str, Any]], query: int) -> dict[str, Any]:
    return {
        "reference": pictures[query],
        "target": pictures[query + 1],
        "gallery": pictures[query + 2 :],
        "condition": "colour",
    }
