import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import triptych
from triptych.catalog.catalog import Catalog
from triptych.core.errors import DataError, UsageError
from triptych.retrieval.options import EngineOptions, SearchOptions


def reference(catalog: Path) -> Path:
    opened = Catalog(catalog)
    return opened.path(opened.names[3])


def test_the_reference_is_never_a_result(tiny_catalog: Path, tmp_path: Path) -> None:
    picture = reference(tiny_catalog)
    everything = triptych.search(tiny_catalog, image=picture, options=SearchOptions(k=10_000))
    assert len(everything) == len(Catalog(tiny_catalog).names) - 1
    assert str(picture) not in {hit.path for hit in everything}
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(picture.read_bytes())
    assert str(picture) not in {
        hit.path for hit in triptych.search(tiny_catalog, image=copy, options=SearchOptions(k=10_000))
    }


def test_results_are_ranked_and_scored(tiny_catalog: Path) -> None:
    hits = triptych.search(tiny_catalog, image=reference(tiny_catalog), text="but in red", options=SearchOptions(k=7))
    assert [hit.rank for hit in hits] == list(range(1, 8))
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_words_and_weight_matter(tiny_catalog: Path) -> None:
    picture = reference(tiny_catalog)

    def names(image: Path | None = None, text: str = "", weight: float | None = None) -> list[str]:
        options = SearchOptions(weight=weight, k=20)
        return [hit.name for hit in triptych.search(tiny_catalog, image, text, options=options)]

    assert names(image=picture, text="red", weight=0) == names(image=picture)
    assert names(image=picture, text="red", weight=0.7) != names(image=picture)
    assert set(names(image=picture, text="red", weight=1)) <= {*names(text="red"), *names(text="red")[:20]}


def test_a_composer_answers_in_its_own_space(tiny_catalog: Path, tiny_composer: Path) -> None:
    picture = reference(tiny_catalog)
    hits = triptych.search(
        tiny_catalog,
        image=picture,
        text="in red",
        options=SearchOptions(k=5),
        engine=EngineOptions(composer=tiny_composer),
    )
    plain = triptych.search(tiny_catalog, image=picture, text="in red", options=SearchOptions(k=5))
    assert len(hits) == 5
    assert [hit.score for hit in hits] != [hit.score for hit in plain]


def test_filters_apply_before_the_choice(wardrobe_world: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    pictures = wardrobe_world / "images"
    table = wardrobe_world / "garments.csv"
    catalog = tmp_path / "catalog"
    triptych.index(wardrobe_world / "val.txt", catalog, encoder=str(tiny_encoder), root=pictures, metadata=table)
    colours = Catalog(catalog).metadata.column("colour").to_pylist()
    rarest = min(set(colours), key=colours.count)
    picture = pictures / Catalog(catalog).names[0]
    hits = triptych.search(catalog, image=picture, options=SearchOptions(where=[f"colour={rarest}"], k=10_000))
    own = Catalog(catalog).metadata.column("colour").to_pylist()[0] == rarest
    assert len(hits) == colours.count(rarest) - own


def test_contact_sheet_and_json(tiny_catalog: Path, tmp_path: Path) -> None:
    picture = reference(tiny_catalog)
    for name, form in (("sheet.png", "PNG"), ("sheet.jpg", "JPEG"), ("sheet.webp", "WEBP")):
        triptych.search(tiny_catalog, image=picture, text="in red", output=tmp_path / name, options=SearchOptions(k=4))
        with Image.open(tmp_path / name) as sheet:
            assert sheet.format == form
            assert np.asarray(sheet.convert("RGB")).std() > 5
    hits = triptych.search(
        tiny_catalog, image=picture, text="in red", output=tmp_path / "hits.json", options=SearchOptions(k=4)
    )
    written = json.loads((tmp_path / "hits.json").read_text(encoding="utf-8"))
    assert [result["name"] for result in written["results"]] == [hit.name for hit in hits]
    assert written["query"] == {"image": str(picture), "text": "in red"}


def test_a_vanished_result_does_not_spoil_the_contact_sheet(
    wardrobe_world: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in (wardrobe_world / "val.txt").read_text(encoding="utf-8").split()[:5]:
        (pictures / name).write_bytes((wardrobe_world / "images" / name).read_bytes())
    triptych.index(pictures, tmp_path / "catalog", encoder=str(tiny_encoder))
    first, *others = sorted(pictures.iterdir())
    os.unlink(others[0])
    triptych.search(tmp_path / "catalog", image=first, output=tmp_path / "sheet.png", options=SearchOptions(k=4))
    assert (tmp_path / "sheet.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({}, UsageError),
        ({"image": None, "text": "  "}, UsageError),
        ({"text": "red", "k": 0}, UsageError),
        ({"text": "red", "weight": 2}, UsageError),
        ({"text": "red", "composer": Path("nowhere")}, UsageError),
        ({"text": "red", "where": ["nonsense"]}, UsageError),
        ({"text": "red", "output": Path("x.pdf")}, UsageError),
        ({"image": Path("nowhere.jpg")}, DataError),
        ({"image": Path(__file__), "text": "red"}, DataError),
    ],
)
def test_bad_requests(tiny_catalog: Path, asked: dict, error: type[Exception]) -> None:
    choices = {name: asked[name] for name in ("k", "weight", "where") if name in asked}
    engine = EngineOptions(composer=asked.get("composer"))
    given = {name: asked[name] for name in ("image", "text", "output") if name in asked}

    def run() -> None:
        triptych.search(tiny_catalog, **given, options=SearchOptions(**choices), engine=engine)

    with pytest.raises(error) as raised:
        run()
    assert "\n" not in str(raised.value)
