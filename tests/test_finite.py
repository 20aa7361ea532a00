"""Numbers are numbers: what is not finite stops the run, names the picture or the step, and is not stored."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from loopback import noise_catalog
from test_loop import Line, run
from triptych.benchmarks.task import Query, Task
from triptych.catalog.catalog import Catalog
from triptych.composers.baselines import TextOnly
from triptych.core.errors import FailureError
from triptych.core.vectors import Vectors, require_finite_rows
from triptych.evaluation.encoded_task import EncodedTask
from triptych.retrieval.open_catalog import OpenCatalog
from triptych.retrieval.query import Reference, SearchQuery, query_vectors
from triptych.tagging.tagger import Tagger
from triptych.tagging.vocabulary import Vocabulary
from triptych.training.callbacks import JsonLines
from triptych.triplets.file import Change, Modification, Triplet, write_triplets

BAD = float("nan")


class Spoilt(Line):
    """Whose loss, gradient or metric is no number at a given step."""

    def __init__(self, what: str, value: float = BAD) -> None:
        super().__init__()
        self.what, self.value = what, value

    def step(self, step: int) -> list[float]:
        losses = super().step(step)
        if step == 7 and self.what == "gradient":
            next(self.module.parameters()).grad.view(-1)[0] = self.value
        return [self.value] if step == 7 and self.what == "loss" else losses

    def validate(self) -> dict[str, float]:
        return {"R@10": self.value if self.what == "R@10" and self.seen[-1] == 7 else 1.0}


@pytest.mark.parametrize("value", [BAD, float("inf")])
@pytest.mark.parametrize("clip", ["all", "group", "none"])
@pytest.mark.parametrize("what", ["loss", "gradient", "R@10"])
def test_training_stops_at_the_step_and_keeps_what_was_before(
    tmp_path: Path, what: str, clip: str, value: float
) -> None:
    log = tmp_path / "log.jsonl"
    where = "R@10 at step 8 of 12" if what == "R@10" else f"the {what} of step 8 of 12"
    with pytest.raises(FailureError, match=f"line: {where} is not finite .*checkpoint"):
        run(
            tmp_path / "out",
            Spoilt(what, value),
            [JsonLines(log)],
            clip=clip,
            epoch_steps=4,
            best_by="R@10",
            checkpoint_every=3,
        )
    for file in (tmp_path / "out").glob("*.safetensors"):
        assert all(torch.isfinite(weight).all() for weight in load_file(file).values())
    assert "NaN" not in log.read_text()
    assert "Infinity" not in log.read_text()


def test_a_row_is_named() -> None:
    vectors = np.ones((4, 3), np.float32)
    require_finite_rows(vectors, str, "it")
    vectors[2, 1], vectors[3, 0] = BAD, np.inf
    with pytest.raises(FailureError, match=r"^2: it made a vector of it that is not finite, like 2 of 4 here"):
        require_finite_rows(vectors, str, "it")
    require_finite_rows(np.full((2, 4), 3e38, np.float32), str, "it")  # large, and yet a number
    vectors[2] = [np.inf, -np.inf, 0]
    with pytest.raises(FailureError):
        require_finite_rows(vectors, str, "it")


def test_a_catalog_of_old_that_holds_such_a_vector(tmp_path: Path) -> None:
    folder = noise_catalog(tmp_path, 5)
    [part] = folder.glob("part-*.parquet")
    table = pq.read_table(part)
    rows = table.column("vector").to_pylist()
    rows[3][0] = BAD
    field = table.schema.field("vector")
    spoilt = table.set_column(table.schema.get_field_index("vector"), field, pa.array(rows, field.type))
    pq.write_table(spoilt, part)
    with pytest.raises(FailureError, match=r"catalog: 0003\.png: encoder none made .* into a new folder"):
        _ = Catalog(folder).vectors


class Texts:
    """An encoder for which some texts are no vector."""

    name, fingerprint, dim, instance_dim, logit_scale, lexicon = "texts", "0" * 64, 16, 0, 10.0, None

    def __init__(self, bad: str = "red") -> None:
        self.bad = bad

    def prepare(self, picture: Any) -> np.ndarray:
        return np.zeros((3, 8, 8), np.float32)

    def encode_pictures(self, pixels: np.ndarray) -> Vectors:
        return np.full((len(pixels), 16), BAD if self.bad == "pictures" else 0.25, np.float32)

    def encode_texts(self, texts: list[str]) -> Vectors:
        return np.array([[BAD if self.bad in text else 0.25] * 16 for text in texts], np.float32).reshape(-1, 16)


def test_a_search_names_the_words_or_the_reference() -> None:
    whole = Reference(np.full(16, 0.25, np.float32), "")
    broken = Reference(np.full(16, BAD, np.float32), "")
    assert len(query_vectors([SearchQuery(whole, "in blue"), SearchQuery(None, "blue")], Texts(), None, 0.5)) == 2
    for queries, message in (
        ([SearchQuery(whole, "in blue"), SearchQuery(None, "in red")], "'in red': encoder texts"),
        ([SearchQuery(whole, "in red")], "the reference and 'in red': encoder texts"),
        ([SearchQuery(broken)], "the reference: encoder texts"),
    ):
        with pytest.raises(FailureError, match=message):
            query_vectors(queries, Texts(), None, 0.5)


def test_adding_stores_nothing_of_it(tmp_path: Path) -> None:
    folder = noise_catalog(tmp_path, 5)
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock")
    opened = OpenCatalog(Catalog(folder), Texts("pictures"))
    picture = (tmp_path / "pictures" / "0000.png").read_bytes()
    with pytest.raises(FailureError, match="picture 1: encoder texts made a vector"):
        opened.add([picture + b" "])
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock") == before


def test_tags_name_the_title() -> None:
    groups = {"colour": ("red", "blue"), "kind": ("shirt", "skirt")}
    words = Vocabulary(groups, {group: {word: word for word in known} for group, known in groups.items()}, {})
    with pytest.raises(FailureError, match=r"'.*red.*': the encoder made a vector"):
        Tagger(Texts(), words)(np.full((3, 16), 0.25, np.float32))


@pytest.mark.parametrize("name", ["confidence", "similarity"])
def test_a_triplet_with_a_score_that_is_none_is_not_written(tmp_path: Path, name: str) -> None:
    facts: dict[str, Any] = {"confidence": 1.0, "similarity": 0.5} | {name: BAD}
    parts = ((Modification("sentence", "in red"),), (Change("colour", "blue", "red"),), ())
    triplet = Triplet("a.png", "b.png", *parts, accepted=True, reason="", reasoner="tags", **facts)
    with pytest.raises(FailureError, match=rf"a\.png to b\.png: the {name} that tags and its critic give"):
        write_triplets(tmp_path / "t.parquet", [triplet], {})
    assert not list(tmp_path.iterdir())


def test_an_evaluation_names_the_picture_or_the_query(tmp_path: Path) -> None:
    noise_catalog(tmp_path, 5)
    names = tuple(f"{number:04d}.png" for number in range(5))
    queries = (Query(id="q1", reference=names[0], modification="in red", targets=frozenset({names[1]})),)
    task = Task(benchmark="own", name="own", split="val", root=tmp_path / "pictures", gallery=names, queries=queries)
    with pytest.raises(FailureError, match=r"0000\.png: encoder texts made a vector"):
        EncodedTask(task, Texts("pictures"))
    encoded = EncodedTask(task, Texts())
    method = TextOnly()
    method.attach(Texts())
    with pytest.raises(FailureError, match=r"query q1: .* made a vector"):
        encoded.values(method)
