"""What several pictures, weights, `--not`, `--unlike` and `--unique` do, beside the plain sum of one picture and words.

    python bench/query_language.py examples/closet [--split test] [--encoder photos] [--queries 200] [--seed 0]
    python bench/query_language.py WARDROBE --encoder wardrobe     # a folder that `triptych wardrobe` wrote

The gallery is the annotated pictures of one split; of a wardrobe one view of each garment, since another one would be
an answer too easy. Queries are made of their annotations, and answers are judged by them: the share of the first ten
that has a word, in percent. The share subtracted of pictures to be unlike, and the cosine of near-duplicates, were
chosen on val of the photos. Takes two to four minutes of one core.
"""

import argparse
import csv
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from triptych.composers.signed_texts import UNWANTED
from triptych.core.images import open_picture
from triptych.core.vectors import Vectors, nearest, unit
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import load_encoder
from triptych.retrieval import query as asking
from triptych.retrieval.query import Reference, SearchQuery, query_vectors

FIRST = 10
Labels = dict[str, str]


def photos_of(root: Path, split: str) -> tuple[list[Labels], Path]:
    """The annotations of a split of the closet, and the folder of its photos."""
    with (root / "split.csv").open(encoding="utf-8") as table:
        names = {row["image"] for row in csv.DictReader(table) if row["split"] == split}
    with (root / "annotations.csv").open(encoding="utf-8") as table:
        return [row for row in csv.DictReader(table) if row["image"] in names], root / "photos"


def garments_of(root: Path, split: str) -> tuple[list[Labels], Path]:
    """The annotations of a split of a wardrobe, one view of each garment, and the folder of its pictures."""
    with (root / "garments.csv").open(encoding="utf-8") as table:
        rows = sorted((row for row in csv.DictReader(table) if row["split"] == split), key=lambda row: row["image"])
    return [*{row["garment"]: row for row in rows}.values()], root / "images"


class Closet:
    """The pictures of a split, their annotations and their vectors."""

    def __init__(self, root: Path, split: str, encoder: Encoder) -> None:
        read = garments_of if (root / "garments.csv").exists() else photos_of
        self.labels, folder = read(root, split)
        self.files = [folder / row["image"] for row in self.labels]
        self.encoder = encoder
        self.vectors = encoded(encoder, [open_picture(file) for file in self.files])

    def rows(self, **wanted: str) -> list[int]:
        """The photos with these words."""
        return [row for row, one in enumerate(self.labels) if all(one[group] == word for group, word in wanted.items())]

    def reference(self, row: int, weight: float = 1.0) -> Reference:
        """A photo as part of a query."""
        return Reference(self.vectors[row], str(row), weight=weight)

    def answers(
        self, queries: Sequence[SearchQuery], without: Sequence[Sequence[int]] | None = None
    ) -> list[list[int]]:
        """The first ten of each query, without the pictures that it names, and those of `without`."""
        vectors = np.stack(query_vectors(queries, self.encoder, None, 0.5))
        found, _ = nearest(vectors, self.vectors, FIRST + asking.MOST_PICTURES)
        named = [{int(one.sha256) for one in (*query.references, *query.unlike)} for query in queries]
        named = [own | set(others) for own, others in zip(named, without or [[]] * len(named), strict=True)]
        return [
            [row for row in rows.tolist() if row not in own][:FIRST] for rows, own in zip(found, named, strict=True)
        ]

    def share(self, answers: Sequence[Sequence[int]], wanted: Sequence[Labels]) -> float:
        """Of all answers, those with the words that their query wanted, in percent."""
        fits = [
            all(self.labels[row][group] == word for group, word in words.items())
            for rows, words in zip(answers, wanted, strict=True)
            for row in rows
        ]
        return 100 * float(np.mean(fits))


def encoded(encoder: Encoder, pictures: Sequence[Image.Image]) -> Vectors:
    """Vectors `(n, d)` of pictures."""
    pixels = [encoder.prepare(picture) for picture in pictures]
    blocks = [encoder.encode_pictures(np.stack(pixels[start : start + 32])) for start in range(0, len(pixels), 32)]
    return np.concatenate(blocks)


def several(closet: Closet, draw: np.random.Generator, count: int) -> None:
    """One, two and four pictures that share kind and colour: how many answers share both."""
    groups = {(one["kind"], one["colour"]) for one in closet.labels}
    large = sorted(pair for pair in groups if len(closet.rows(kind=pair[0], colour=pair[1])) >= 8)
    picked = [large[place] for place in draw.integers(len(large), size=count)]
    chosen = [draw.permutation(closet.rows(kind=kind, colour=colour))[:4].tolist() for kind, colour in picked]
    wanted = [{"kind": kind, "colour": colour} for kind, colour in picked]
    for number in (1, 2, 4):
        queries = [SearchQuery(more_references=tuple(map(closet.reference, rows[:number]))) for rows in chosen]
        print(
            f"{number} pictures of one kind and colour: {closet.share(closet.answers(queries), wanted):.1f} share both"
        )


def weights(closet: Closet, draw: np.random.Generator, count: int) -> None:
    """Two pictures of two kinds: how many answers are of the first one's kind, and of the second one's."""
    pairs = [pair for pair in draw.integers(len(closet.labels), size=(4 * count, 2)).tolist() if _differ(closet, pair)]
    pairs = pairs[:count]
    first, second = ([{"kind": closet.labels[pair[side]]["kind"]} for pair in pairs] for side in (0, 1))
    for weight in (1.0, 0.5, 0.25):
        queries = [
            SearchQuery(more_references=(closet.reference(one), closet.reference(other, weight)))
            for one, other in pairs
        ]
        answers = closet.answers(queries)
        shares = closet.share(answers, first), closet.share(answers, second)
        print(f"A and B:{weight:g}: {shares[0]:.1f} of A's kind, {shares[1]:.1f} of B's")


def _differ(closet: Closet, pair: Sequence[int]) -> bool:
    one, other = (closet.labels[row] for row in pair)
    return one["kind"] != other["kind"]


def excluding(closet: Closet, draw: np.random.Generator, count: int) -> None:
    """A picture and "not COLOUR", its own colour: how many answers show it still, and how many are of its kind."""
    rows = draw.permutation(len(closet.labels))[:count].tolist()
    colour = [{"colour": closet.labels[row]["colour"]} for row in rows]
    kind = [{"kind": closet.labels[row]["kind"]} for row in rows]
    encode = closet.encoder.encode_texts
    plain = unit(closet.vectors[rows] + encode([f"not {one['colour']}" for one in colour]))
    found, _ = nearest(plain, closet.vectors, FIRST + 1)
    unsigned = [[row for row in one.tolist() if row != own][:FIRST] for one, own in zip(found, rows, strict=True)]
    asked: dict[str, list[list[int]]] = {
        "the picture alone": closet.answers([SearchQuery(closet.reference(row)) for row in rows]),
        'the plain sum with "not COLOUR"': unsigned,
        "--not COLOUR": closet.answers(
            [
                SearchQuery(closet.reference(row), unwanted=(one["colour"],))
                for row, one in zip(rows, colour, strict=True)
            ]
        ),
    }
    for name, answers in asked.items():
        shares = closet.share(answers, colour), closet.share(answers, kind)
        print(f"{name}: {shares[0]:.1f} still of the colour, {shares[1]:.1f} of the kind")


def unlike(closet: Closet, draw: np.random.Generator, count: int) -> None:
    """The word for a kind, and a result of it that is disliked for its colour: how many answers have the colour."""
    kinds = sorted({one["kind"] for one in closet.labels if len(closet.rows(kind=one["kind"])) >= 8})
    picked = [kinds[place] for place in draw.integers(len(kinds), size=count)]
    disliked = [int(draw.permutation(closet.rows(kind=kind))[0]) for kind in picked]
    colour = [{"colour": closet.labels[row]["colour"]} for row in disliked]
    likes = [int(draw.permutation([row for row in closet.rows(kind=k) if row != d])[0])
             for k, d in zip(picked, disliked, strict=True)]  # fmt: skip
    kind = [{"kind": one} for one in picked]
    chosen = asking.UNLIKE
    for share in (0.0, 0.2, 0.3, 0.4, 0.6):
        asking.UNLIKE = share
        words = closet.answers(
            [
                SearchQuery(text=one.replace("-", " "), unlike=(closet.reference(row),))
                for one, row in zip(picked, disliked, strict=True)
            ]
        )
        pictures = closet.answers(
            [
                SearchQuery(closet.reference(one), unlike=(closet.reference(row),))
                for one, row in zip(likes, disliked, strict=True)
            ]
        )
        said = [f"{closet.share(found, colour):.1f} of its colour, {closet.share(found, kind):.1f} of the kind"
                for found in (words, pictures)]  # fmt: skip
        print(f"--unlike, {share:g} subtracted: words {said[0]}; a picture {said[1]}{' (default)' * (share == chosen)}")
    asking.UNLIKE = chosen


def near_duplicates(closet: Closet, draw: np.random.Generator, count: int) -> None:
    """The cosines of photos and what becomes of them in a shop's hands, and of photos and their nearest other one."""
    rows = draw.permutation(len(closet.labels))[: min(60, count)].tolist()
    changes: dict[str, Callable[[Image.Image], Image.Image]] = {
        "JPEG of quality 50": lambda picture: _saved(picture, 50),
        "half the size": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
        "3% cut off each side": _trimmed,
    }
    for name, change in changes.items():
        changed = encoded(closet.encoder, [change(open_picture(closet.files[row])) for row in rows])
        _tell(name, (closet.vectors[rows] * changed).sum(axis=1))
    _, scores = nearest(closet.vectors, closet.vectors, 2)
    _tell("the nearest other photo", scores[:, 1])


def _trimmed(picture: Image.Image) -> Image.Image:
    across, down = round(0.03 * picture.width), round(0.03 * picture.height)
    return picture.crop((across, down, picture.width - across, picture.height - down))


def _saved(picture: Image.Image, quality: int) -> Image.Image:
    out = BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return open_picture(out.getvalue())


def _tell(name: str, cosines: np.ndarray) -> None:
    least, few, half, most = np.quantile(cosines, (0, 0.05, 0.5, 0.99))
    print(f"{name}: cosine {least:.3f} at least, {few:.3f} at 5%, {half:.3f} in the middle, {most:.3f} at 99%")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--split", default="test", choices=["val", "test"])
    parser.add_argument("--encoder", default="photos")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    closet = Closet(given.root, given.split, load_encoder(given.encoder))
    print(
        f"{given.root.name}, {given.split}: {len(closet.labels)} pictures, {given.queries} queries, encoder "
        f"{given.encoder}, {UNWANTED:g} of words excluded"
    )
    for measure in (several, weights, excluding, unlike, near_duplicates):
        measure(closet, np.random.default_rng(given.seed), given.queries)


if __name__ == "__main__":
    main()
