"""The closet benchmark: queries by rule over annotated photos, divided by sender."""

import csv
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from triptych.benchmarks.datasets.closet.benchmark import ATTRIBUTES, closet_truth, load_closet, load_photos
from triptych.benchmarks.datasets.closet.phrasings import TEST, VAL
from triptych.benchmarks.datasets.queries import load_queries
from triptych.core.errors import DataError

EXAMPLE = Path(__file__).parent.parent / "examples" / "closet"
FEW = [
    ("a.jpg", "t-shirt", "red", "melange", "short", "test"),
    ("b.jpg", "t-shirt", "blue", "plain", "short", "test"),
    ("c.jpg", "trousers", "red", "denim", "na", "test"),
    ("d.jpg", "shirt", "red", "plain", "long", "test"),
    ("e.jpg", "t-shirt", "blue", "lace", "short", "test"),
    ("f.jpg", "skirt", "green", "floral", "na", "val"),
]


def write(root: Path, rows: list[tuple[str, ...]]) -> Path:
    (root / "photos").mkdir(parents=True)
    for row in rows:
        Image.new("RGB", (8, 8)).save(root / "photos" / row[0])
    for name, columns, places in (
        ("annotations.csv", ("image", "kind", "colour", "pattern", "sleeve", "sender"), (0, 1, 2, 3, 4, 5)),
        ("split.csv", ("image", "split"), (0, 5)),
    ):
        with (root / name).open("w", newline="") as file:
            csv.writer(file).writerows([columns, *([row[place] for place in places] for row in rows)])
    return root


def test_queries_by_rule(tmp_path: Path) -> None:
    task = load_closet(write(tmp_path / "few", FEW), "test")
    assert task.gallery == ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg")
    found = {(query.reference, *(query.change or {}).items()): set(query.targets) for query in task.queries}
    # Melange and lace count as plain; both blue ones answer.
    assert found["a.jpg", ("colour", "blue")] == {"b.jpg", "e.jpg"}
    # Trousers have no sleeves, and a t-shirt's are short without a word; a shirt's long ones are asked for.
    assert found["a.jpg", ("kind", "trousers")] == {"c.jpg"}
    assert found["c.jpg", ("kind", "t-shirt")] == {"a.jpg"}
    assert found["a.jpg", ("kind", "shirt"), ("sleeve", "long sleeves")] == {"d.jpg"}
    assert ("a.jpg", ("kind", "shirt")) not in found


def test_targets_are_all_photos_of_exactly_the_resulting_values() -> None:
    photos = {photo.image: dict(zip(ATTRIBUTES, photo.values, strict=True)) for photo in load_photos(EXAMPLE)}
    words = closet_truth(EXAMPLE)
    for split, count in (("val", 200), ("test", 600)):
        task = load_closet(EXAMPLE, split)
        assert len(task.gallery) == count
        for query in task.queries:
            change = query.change or {}
            assert 1 <= len(change) <= 2
            (values,) = {tuple(photos[target].values()) for target in query.targets}
            assert query.targets == {name for name in task.gallery if tuple(photos[name].values()) == values}
            for name, word in words[min(query.targets)].items():
                expected = change.get(name, words[query.reference].get(name))
                assert word == expected or (name == "sleeve" and "kind" in change)
            assert query.reference not in query.targets


def test_splits_share_no_sender_and_no_phrasing() -> None:
    photos = load_photos(EXAMPLE)
    senders = [{photo.sender for photo in photos if photo.split == split} for split in ("val", "test")]
    assert not senders[0] & senders[1]
    with (EXAMPLE / "labels.csv").open() as file:
        assert not {row["sender"] for row in csv.DictReader(file)} & (senders[0] | senders[1])
    ways = [{way for many in phrasings.values() for way in many} for phrasings in (VAL, TEST)]
    assert not ways[0] & ways[1]
    assert VAL.keys() == TEST.keys()


def test_its_choices_depend_on_names_alone(tmp_path: Path) -> None:
    tasks = [load_closet(write(tmp_path / f"{turn}", rows), "test") for turn, rows in enumerate((FEW, FEW[::-1]))]
    assert tasks[0].queries == tasks[1].queries
    assert all(first.id < second.id for first, second in pairwise(tasks[0].queries))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "photos" / "b.jpg").unlink(), r"annotations.csv:3: names b.jpg, which is not in"),
        (
            lambda root: (root / "annotations.csv").write_text("image\n"),
            "no column kind, colour, pattern, sleeve",
        ),
        (lambda root: (root / "annotations.csv").unlink(), "annotations.csv: cannot be read"),
    ],
)
def test_a_folder_that_is_not_whole(spoil, message: str, tmp_path: Path) -> None:
    root = write(tmp_path / "few", FEW)
    spoil(root)
    with pytest.raises(DataError, match=message):
        load_closet(root, "test")


def test_the_example_holds_no_place_and_no_camera() -> None:
    photos = sorted((EXAMPLE / "photos").iterdir())
    assert len(photos) == 1500
    for path in photos:
        with Image.open(path) as picture:
            assert not picture.getexif()
            assert max(picture.size) <= 256


def test_the_requests_written_by_hand_are_a_queries_file(tmp_path: Path) -> None:
    listed = (EXAMPLE / "requests-gallery.txt").read_text("utf-8").split()
    for name in listed:
        (tmp_path / name).touch()
    task = load_queries(EXAMPLE / "requests.jsonl", EXAMPLE / "requests-gallery.txt", tmp_path)
    assert (len(task.queries), len(task.gallery)) == (300, 800)
    assert all(query.reference not in query.targets for query in task.queries)
    assert len({query.modification for query in task.queries}) == 300
