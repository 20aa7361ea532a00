"""Draw the README's picture: what the default encoder finds among the example photos, without training.

    python bench/readme_picture.py docs/pictures/search.jpg [REFERENCE TEXT …]

Each row is a reference, the words, and the first answers.
"""

import sys
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageDraw, ImageFont

import triptych
from triptych.core.images import open_picture, pad_square

PHOTOS = Path(__file__).parents[1] / "examples" / "closet" / "photos"
QUERIES = [
    ("68fc2f45-6c5d-4a57-a3e7-2f6a72a4c486.jpg", "but in red"),
    ("4c5766ba-bad6-4703-877b-140991c8af87.jpg", "striped and with long sleeves"),
    ("b6fed6f7-dcb2-4263-9c85-e45f85b06c76.jpg", "as shorts"),
    ("3e9d7e85-075c-4720-bd0e-7735d30859a1.jpg", "anything but blue"),
]
SIDE, WORDS, GAP, ANSWERS = 132, 150, 10, 5


def main() -> None:
    out, given = Path(sys.argv[1]), sys.argv[2:]
    queries = list(zip(given[::2], given[1::2], strict=True)) or QUERIES
    rows = []
    with TemporaryDirectory() as folder:
        triptych.index(PHOTOS, folder)
        for name, text in queries:
            hits = triptych.search(folder, image=PHOTOS / name, text=text, options=triptych.SearchOptions(k=ANSWERS))
            rows.append(draw(PHOTOS / name, text, [Path(hit.path) for hit in hits]))
    sheet = Image.new("RGB", (rows[0].width, len(rows) * (SIDE + GAP) + GAP), "white")
    for place, row in enumerate(rows):
        sheet.paste(row, (0, GAP + place * (SIDE + GAP)))
    sheet.save(out, quality=88)


def draw(reference: Path, text: str, answers: list[Path]) -> Image.Image:
    """A reference, the words, and the answers."""
    row = Image.new("RGB", (GAP + SIDE + WORDS + len(answers) * (SIDE + GAP), SIDE), "white")
    row.paste(pad_square(open_picture(reference), SIDE), (GAP, 0))
    left = GAP + SIDE + WORDS
    for place, answer in enumerate(answers):
        row.paste(pad_square(open_picture(answer), SIDE), (left + place * (SIDE + GAP), 0))
    pen, middle = ImageDraw.Draw(row), (GAP + SIDE + WORDS / 2, SIDE / 2)
    words = "\n".join(textwrap.wrap(text, 16))
    pen.multiline_text(middle, words, "#222", ImageFont.load_default(17), "mm", align="center")
    return row


if __name__ == "__main__":
    main()
