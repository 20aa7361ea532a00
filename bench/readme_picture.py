"""Draw the README's picture from a finished demo: triplets that the agent built, as triptychs.

python bench/readme_picture.py demo docs/triptychs.png
"""

import sys
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from triptych.triplets.file import Triplet, read_triplets

SIDE, WORDS, GAP, COLUMNS, ROWS = 120, 190, 18, 2, 3


def main() -> None:
    demo, out = Path(sys.argv[1]), Path(sys.argv[2])
    triplets, _ = read_triplets(demo / "triplets.parquet")
    sure = sorted(
        (triplet for triplet in triplets if triplet.accepted),
        key=lambda triplet: -triplet.confidence * triplet.similarity,
    )
    step = max(1, len(sure) // (2 * COLUMNS * ROWS))
    width, height = 2 * SIDE + WORDS, SIDE + GAP
    sheet = Image.new("RGB", (COLUMNS * (width + GAP) + GAP, ROWS * height + GAP), "white")
    for place, triplet in enumerate(sure[::step][: COLUMNS * ROWS]):
        column, row = place % COLUMNS, place // COLUMNS
        panel = draw(triplet, demo / "world" / "images")
        sheet.paste(panel, (GAP + column * (width + GAP), GAP + row * height))
    sheet.save(out)


def draw(triplet: Triplet, pictures: Path) -> Image.Image:
    """Reference, words, target."""
    panel = Image.new("RGB", (2 * SIDE + WORDS, SIDE), "white")
    for name, left in ((triplet.reference, 0), (triplet.target, SIDE + WORDS)):
        with Image.open(pictures / name) as picture:
            panel.paste(picture.convert("RGB").resize((SIDE, SIDE)), (left, 0))
    text = "\n".join(textwrap.wrap(triplet.modifications[1].text, 24))
    pen = ImageDraw.Draw(panel)
    pen.multiline_text((SIDE + WORDS / 2, SIDE / 2), text, "#333", ImageFont.load_default(15), "mm", align="center")
    return panel


if __name__ == "__main__":
    main()
