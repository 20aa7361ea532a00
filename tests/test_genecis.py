import numpy as np
import pytest
from PIL import Image

from made_benchmarks import evaluate, read, write, write_genecis
from triptych.benchmarks.datasets.genecis import TASKS
from triptych.benchmarks.pictures import crop_square, pad_to_ratio
from triptych.benchmarks.registry import load_tasks
from triptych.core.errors import DataError, PictureError
from triptych.core.images import open_picture
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask


@pytest.fixture
def root(tmp_path):
    return write_genecis(tmp_path / "GeneCIS")


@pytest.fixture(scope="module")
def engine():
    return load_encoder("wardrobe", threads=1)


class Constant:
    """A method to which everything looks alike."""

    name = "constant"

    def compose(self, references, modifications, changes=None):
        return np.tile(np.eye(1, 8, dtype=np.float32), (len(references), 1))

    def gallery(self, vectors):
        return np.tile(np.eye(1, 8, dtype=np.float32), (len(vectors), 1))


def test_four_tasks_and_their_mean(root):
    rows = evaluate("genecis", root=root, split="test", methods=["picture"], threads=1).rows
    assert [row.task for row in rows] == [*TASKS, "mean"]
    assert all(set(row.metrics) == {"R@1", "R@2", "R@3"} for row in rows)
    assert all(row.unreadable == 0 for row in rows)


def test_only_the_gallery_of_the_query_is_ranked(root, engine):
    task = EncodedTask(load_tasks("genecis", root, "test")[2], engine)
    assert task.task.name == "focus_object"
    templates = read(root / "genecis" / "focus_object.json")
    found = task.ranks(task.references, task.gallery)
    for template, ranks in zip(templates, found, strict=True):
        numbers = [item["val_image_id"] for item in (template["target"], *template["gallery"], template["reference"])]
        files = [root / "coco2017" / "val2017" / f"{number:012d}.jpg" for number in numbers]
        vectors = engine.encode_pictures(np.stack([engine.prepare(open_picture(file)) for file in files]))
        scores = vectors[:-1] @ vectors[-1]
        assert ranks.tolist() == [1 + int((scores[1:] >= scores[0]).sum())]


def test_a_constant_feature_finds_nothing(root, engine):
    # The authors put the target first, where it would find everything.
    for task in load_tasks("genecis", root, "test"):
        row = EncodedTask(task, engine).row(Constant(), engine)
        assert row.metrics == {"R@1": 0, "R@2": 0, "R@3": 0}


def test_objects_are_cut_out_as_the_authors_do(root):
    task = load_tasks("genecis", root, "test")[0]
    query = task.queries[1]
    assert query.reference == "51 5 4 20 16"
    assert task.file(query.reference) == root / "Visual_Genome" / "VG_100K" / "51.jpg"
    assert task.file("52 6 4 20 16") == root / "Visual_Genome" / "VG_100K_2" / "52.jpg"
    # 0.7 of its size to the left and above, as far as there is picture, and 1.7 of it from there.
    assert task.boxes[query.reference] == (0, 0, 34, 27.2)
    picture = Image.new("RGB", (64, 48), "red")
    part = crop_square(picture, task.boxes[query.reference])
    assert part.size == (34, 34)
    assert [part.getpixel((10, row)) for row in (0, 2, 3, 29, 30)] == [(0, 0, 0)] * 2 + [(255, 0, 0)] * 2 + [(0, 0, 0)]
    assert crop_square(picture, (50, 40, 90, 60)).size == (14, 14)
    with pytest.raises(PictureError, match="outside the picture"):
        crop_square(picture, (64, 0, 90, 60))


def test_crops_of_one_picture_differ(root, engine):
    path = root / "genecis" / "change_attribute.json"
    templates = read(path)
    templates[0]["gallery"][0] = {"image_id": "51", "instance_bbox": [40, 30, 10, 10]}
    write(path, templates[:1])
    task = EncodedTask(load_tasks("genecis", root, "test")[1], engine)
    one, other = (task.gallery_names.index(name) for name in ("51 5 4 20 16", "51 40 30 10 10"))
    assert not np.allclose(task.gallery[one], task.gallery[other])


def test_a_distractor_that_stands_there_twice_takes_two_places(root, engine):
    path = root / "genecis" / "focus_object.json"
    (template,) = write_back = read(path)[:1]
    reference, target = template["reference"], template["target"]
    template["gallery"] = [reference, reference, reference, target]
    write(path, write_back)
    task = EncodedTask(load_tasks("genecis", root, "test")[2], engine)
    # The reference is nearer to itself than the target is, three times; the target's copy is the target.
    assert [ranks.tolist() for ranks in task.ranks(task.references, task.gallery)] == [[4]]
    assert len(task.gallery_names) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": {"image_id": "50"}}, 'target: "instance_bbox" is missing'),
        ({"target": {"image_id": "50", "instance_bbox": [1, 2, 3]}}, "must be left, top, width and height"),
        ({"target": {"image_id": "50", "instance_bbox": [1, 2, 0, 3]}}, "must be left, top, width and height"),
        ({"target": {"image_id": "../50", "instance_bbox": [1, 2, 3, 4]}}, "leads outside"),
        ({"gallery": [{"image_id": None}]}, 'gallery 1: "image_id" must be a number or a string'),
        ({"gallery": []}, '"gallery" contains only the target'),
        ({"condition": 5}, '"condition" must be a string'),
    ],
)
def test_a_wrong_entry_is_named(root, change, message):
    path = root / "genecis" / "focus_attribute.json"
    entries = read(path)
    entries[1] |= change
    write(path, entries)
    with pytest.raises(DataError) as caught:
        load_tasks("genecis", root, "test")
    assert str(caught.value).startswith(f"{path}: entry 2")
    assert message in str(caught.value)


def test_missing_templates_are_named_with_their_source(root):
    (root / "genecis" / "change_object.json").unlink()
    with pytest.raises(DataError, match=r"change_object\.json: missing; .*facebookresearch/genecis"):
        load_tasks("genecis", root, "test")


def test_padding_reaches_the_ratio():
    wide = pad_to_ratio(Image.new("RGB", (200, 80), "red"), 1.25)
    assert wide.size == (200, 160)
    assert [wide.getpixel((5, row)) for row in (39, 40, 119, 120)] == [(0, 0, 0), (255, 0, 0), (255, 0, 0), (0, 0, 0)]
    assert pad_to_ratio(Image.new("RGB", (80, 200)), 1.25).size == (160, 200)
    assert pad_to_ratio(Image.new("RGB", (100, 81)), 1.25).size == (100, 81)


def test_padding_changes_what_an_encoder_sees(root, engine):
    plain, padded = (
        EncodedTask(load_tasks("genecis", root, "test", settings)[3], engine) for settings in ([], ["picture=padded"])
    )
    assert np.allclose(plain.gallery, padded.gallery) is True  # 48x40 is within the ratio
    narrow = root / "coco2017" / "val2017" / f"{905:012d}.jpg"
    open_picture(narrow).resize((96, 40)).save(narrow)
    plain, padded = (
        EncodedTask(load_tasks("genecis", root, "test", settings)[3], engine) for settings in ([], ["picture=padded"])
    )
    row = plain.gallery_names.index(f"{905:012d}")
    assert not np.allclose(plain.gallery[row], padded.gallery[row])
    assert padded.task.protocol["picture"] == "padded"
