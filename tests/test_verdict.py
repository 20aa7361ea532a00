"""Whether a composer helps: queries with known answers, the verdict that it keeps, and what searches make of it."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import triptych
from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.cli import main
from triptych.composers.baselines import PictureOnly, TextOnly, WeightedSum
from triptych.composers.trained import TrainedComposer
from triptych.composers.truth import TruthQueries, Verdict
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, FailureError, UsageError
from triptych.core.files import read_json, write_json
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import load_encoder
from triptych.evaluation.truth import truth_queries
from triptych.retrieval.options import EngineOptions, SearchOptions
from triptych.training.composer import train_composer
from triptych.training.options import FinetuneOptions, TrainOptions
from triptych.training.verdict import LOG_RANK, METRIC, Space, _Asked, _Baselines, _compare, judge

ONE_THREAD = Runtime(threads=1)


@pytest.fixture(scope="module")
def described(wardrobe_world: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalog of the unlabelled pictures, with what they show as metadata."""
    out = tmp_path_factory.mktemp("verdict") / "catalog"
    names, root = wardrobe_world / "unlabelled.txt", wardrobe_world / "images"
    index(
        names, out, encoder=str(tiny_encoder), metadata=wardrobe_world / "garments.csv", root=root, runtime=ONE_THREAD
    )
    return out


@pytest.fixture(scope="module")
def space(described: Path, tiny_encoder: Path) -> Space:
    catalog = Catalog(described)
    return Space(load_encoder(str(tiny_encoder), threads=1), catalog.names, catalog.vectors, catalog.root)


@pytest.fixture(scope="module")
def truth(described: Path) -> TruthQueries:
    return truth_queries(described, "kind,colour")


@pytest.fixture(scope="module")
def judged(
    described: Path, tiny_triplets: Path, tmp_path_factory: pytest.TempPathFactory, truth: TruthQueries
) -> tuple[Path, triptych.TrainResult]:
    """A composer with a verdict, and what `train` returned."""
    out = tmp_path_factory.mktemp("verdict") / "composer"
    options = TrainOptions(epochs=1, batch_size=64)
    return out, triptych.train(tiny_triplets, described, out, options, truth=truth, runtime=ONE_THREAD)


class Opposite(WeightedSum):
    """Searches for what is least like the sum."""

    def compose(self, references, modifications, changes=None):
        return -super().compose(references, modifications, changes)


class Told(WeightedSum):
    """Knows the answers."""

    def __init__(self, truth: TruthQueries, space: Space) -> None:
        row_of = {name: row for row, name in enumerate(space.names)}
        answer = {(query.reference, query.text): row_of[min(query.targets)] for query in truth.queries}
        object.__setattr__(self, "rows", [answer[query.reference, query.text] for query in truth.queries])
        object.__setattr__(self, "vectors", space.vectors)

    def compose(self, references, modifications, changes=None):
        return self.vectors[self.rows]


def test_targets_are_all_pictures_with_exactly_those_values(described: Path, truth: TruthQueries) -> None:
    catalog = Catalog(described)
    rows = catalog.metadata.select(["kind", "colour"]).to_pylist()
    shown = {name: (row["kind"], row["colour"]) for name, row in zip(catalog.names, rows, strict=True)}
    assert len(truth.queries) > 100
    assert len({query.text.split()[0] for query in truth.queries}) >= 4
    changed = []
    for query in truth.queries:
        before, after = shown[query.reference], {shown[name] for name in query.targets}
        assert len(after) == 1
        (values,) = after
        differs = [place for place in range(2) if values[place] != before[place]]
        assert len(differs) == 1
        assert values[differs[0]] in query.text
        assert query.targets == {name for name in shown if shown[name] == values}
        changed += differs
    assert set(changed) == {0, 1}
    assert truth == truth_queries(described, "kind, colour")


def test_queries_of_a_file(described: Path, truth: TruthQueries, tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    lines = [
        {"reference": query.reference, "modification": query.text, "targets": sorted(query.targets)}
        for query in truth.queries[:40]
    ]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    own = truth_queries(described, str(file))
    assert own.source == "file own.jsonl"
    assert [(query.reference, query.text, query.targets) for query in own.queries] == [
        (query.reference, query.text, query.targets) for query in truth.queries[:40]
    ]
    lines[2]["targets"] = ["nowhere.jpg"]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with pytest.raises(DataError, match=r"own\.jsonl:3: the target 'nowhere\.jpg'"):
        truth_queries(described, str(file))


def test_what_makes_no_truth_is_said_in_one_line(
    described: Path, tiny_catalog: Path, truth: TruthQueries, tmp_path: Path
) -> None:
    file = tmp_path / "few.jsonl"
    first = truth.queries[0]
    line = json.dumps({"reference": first.reference, "modification": "in red", "targets": [min(first.targets)]})
    file.write_text("\n".join([line] * 19), encoding="utf-8")
    for by, catalog, said in (
        ("kind,price", described, "there is no column 'price'; there are split, line"),
        ("kind", tiny_catalog, "the catalog has no metadata"),
        ("kind,split", described, "column 'split' has fewer than two values"),
        ("kind,kind", described, "each once"),
        (",", described, "name columns of the metadata"),
        (str(file), described, "file few.jsonl: 19 queries with 1 references; a verdict needs at least 20 queries"),
    ):
        with pytest.raises(UsageError) as raised:
            truth_queries(catalog, by)
        assert said in str(raised.value)
        assert "\n" not in str(raised.value)


def test_the_verdict_is_right_where_the_truth_is_known(truth: TruthQueries, space: Space) -> None:
    texts = TextOnly(space.encoder)
    best = judge(Told(truth, space), truth, space)
    worst = judge(Opposite("opposite", texts), truth, space)
    assert best is not None
    assert worst is not None
    assert (best.decided, best.recall) == ("better", 100.0)
    assert worst.decided == "worse"
    assert best.interval[0] <= best.difference <= best.interval[1]
    assert best.difference == pytest.approx(best.recall - best.baseline_recall, abs=0.011)
    assert best.baseline_recall == worst.baseline_recall > 0
    assert 0 < best.sum_weight == worst.sum_weight < 1
    assert best.queries == len(truth.queries)
    assert best.rank_ratio is not None
    assert worst.rank_ratio is not None
    assert worst.rank_ratio < 1 < best.rank_ratio
    assert "is better than the" in str(best)
    assert f"the first right answer comes {best.rank_ratio:.2f} times as early (" in str(best)
    same = {"sum": WeightedSum("sum", texts, best.sum_weight), "picture": PictureOnly(), "text": texts}[best.against]
    drawn = judge(same, truth, space)
    assert drawn is not None
    assert drawn.decided == "undecided"
    assert abs(drawn.difference) < 2  # each half is compared with what is best on the other one


def test_a_reference_counts_once(truth: TruthQueries, space: Space) -> None:
    composer = Opposite("opposite", TextOnly(space.encoder))
    once = judge(composer, truth, space)
    thrice = judge(composer, replace(truth, queries=truth.queries * 3), space)
    assert once is not None
    assert thrice is not None
    assert thrice == replace(once, queries=3 * once.queries)


@pytest.mark.parametrize(
    ("points", "ranks", "decided"),
    [(0.0, 0.3, "better"), (0.0, -0.3, "worse"), (0.1, -0.3, "undecided"), (0.1, 0.0, "better")],
)
def test_recall_and_ranks_decide_together(
    points: float, ranks: float, decided: str, truth: TruthQueries, space: Space
) -> None:
    """What answers each query so much better than what it is compared with, one as the other."""
    asked = _Asked.of(replace(truth, queries=truth.queries[:100]), space.names)
    baselines = _Baselines.of(asked, space, None)
    other = asked.crossed(lambda half: baselines.best(half)[1])
    found = _compare(asked, {METRIC: other[METRIC] + points, LOG_RANK: other[LOG_RANK] + ranks}, baselines, "own")
    assert found.decided == decided
    assert found.difference == pytest.approx(100 * points, abs=0.01)
    assert found.rank_ratio == pytest.approx(2**ranks, abs=0.001)


def test_an_older_verdict_knows_no_ranks() -> None:
    old = Verdict("better", "sum", 50.0, 40.0, 10.0, (5.0, 15.0), 50, "columns kind", 0.5)
    stored = {name: value for name, value in asdict(old).items() if not name.startswith("rank_ratio")}
    read = Verdict.from_json(json.loads(json.dumps(stored)))
    assert read == old
    assert "times as early" not in str(read)


def test_baselines_of_another_encoder_count_too(truth: TruthQueries, space: Space) -> None:
    """A composer is not better because its own encoder has become worse."""
    random = np.random.default_rng(0).normal(size=space.vectors.shape).astype(np.float32)
    spoiled = replace(space, vectors=random / np.linalg.norm(random, axis=1, keepdims=True))
    before = replace(space, label=" with the encoder of before")
    found = judge(PictureOnly(), truth, spoiled, before=before)
    assert found is not None
    assert found.decided == "worse"
    assert found.against.endswith(" with the encoder of before")


class Looking(PictureOnly):
    """Reads the pictures themselves, and is to be given those of its references."""

    reads_pixels = True

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def look(self, pixels):
        return self._encoder.encode_pictures(pixels)

    def compose(self, references, modifications, changes=None, patches=None):
        np.testing.assert_allclose(patches, references, atol=1e-3)
        return references


def test_a_composer_that_looks_at_pictures_is_judged(truth: TruthQueries, space: Space) -> None:
    own = judge(Looking(space.encoder), truth, space, threads=1)
    assert own == judge(PictureOnly(), truth, space)


@pytest.mark.slow
def test_finetune_is_judged_with_the_encoder_that_it_made(
    described: Path, tiny_triplets: Path, truth: TruthQueries, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned"
    options = FinetuneOptions(epochs=1, batch_size=64)
    verdict = triptych.finetune(tiny_triplets, described, out, options, truth=truth, runtime=ONE_THREAD).verdict
    assert verdict is not None
    assert verdict == TrainedComposer(out).verdict
    assert capfd.readouterr().err.count("finetune: this composer") == 1


def test_queries_of_pictures_that_are_not_there_give_no_verdict(truth: TruthQueries, space: Space) -> None:
    few = replace(space, names=space.names[:3], vectors=space.vectors[:3])
    assert judge(PictureOnly(), truth, few) is None


def test_train_keeps_the_verdict(judged: tuple[Path, triptych.TrainResult], truth: TruthQueries) -> None:
    out, result = judged
    assert result.verdict is not None
    assert result.verdict.source == truth.source == "columns kind, colour"
    assert result.verdict.decided in ("better", "worse", "undecided")
    assert TrainedComposer(out).verdict == result.verdict
    stored = read_json(out / "config.json", "composer")
    assert stored["verdict"]["interval"] == list(result.verdict.interval)
    assert "no_verdict" not in stored


@pytest.mark.slow
def test_without_truth_nobody_knows(
    tiny_catalog: Path, tiny_triplets: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "composer"
    options = TrainOptions(epochs=1, batch_size=64)
    result = triptych.train(tiny_triplets, tiny_catalog, out, options, runtime=ONE_THREAD)
    said = capfd.readouterr().err
    assert result.verdict is None
    assert said.count("it is unknown whether this composer helps") == 1
    assert "better than" not in said
    stored = read_json(out / "config.json", "composer")
    assert stored["verdict"] is None
    assert "--validate-by" in stored["no_verdict"]
    name = Catalog(tiny_catalog).names[0]
    options = SearchOptions(like=name)
    triptych.search(tiny_catalog, text="red", options=options, engine=EngineOptions(composer=out), runtime=ONE_THREAD)
    assert capfd.readouterr().err.count("it is unknown whether this composer helps") == 1
    del stored["verdict"], stored["no_verdict"]  # as an earlier version wrote it
    write_json(out / "config.json", stored)
    assert TrainedComposer(out).verdict is None


def test_a_composer_that_lost_is_not_used_unless_forced(
    judged: tuple[Path, triptych.TrainResult], described: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lost = Verdict("worse", "sum", 10.0, 40.0, -30.0, (-40.0, -20.0), 50, "columns kind, colour", 0.3)
    out = tmp_path / "composer"
    shutil.copytree(judged[0], out)
    config = read_json(out / "config.json", "composer")
    write_json(out / "config.json", config | {"verdict": vars(lost)})
    like, text = Catalog(described).names[5], "in red"

    def names(engine: EngineOptions, weight: float | None = None) -> list[str]:
        options = SearchOptions(like=like, weight=weight, k=20)
        hits = triptych.search(described, text=text, options=options, engine=engine, runtime=ONE_THREAD)
        return [hit.name for hit in hits]

    capfd.readouterr()
    assert names(EngineOptions(composer=out)) == names(EngineOptions(), 0.3)
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    assert "not used" in said[0]
    assert "is worse than the weighted sum by 50 queries" in said[0]
    assert names(EngineOptions(composer=out), 0.8) == names(EngineOptions(), 0.8)
    assert names(EngineOptions()) == names(EngineOptions(), 0.5)
    capfd.readouterr()
    forced = names(EngineOptions(composer=out, force=True))
    assert capfd.readouterr().err == ""
    assert forced == names(EngineOptions(composer=TrainedComposer(out), force=True)) != names(EngineOptions(), 0.3)
    with triptych.open_catalog(described, composer=out, runtime=ONE_THREAD) as opened:
        assert (opened.composer, opened.weight) == (None, 0.3)
    with triptych.open_catalog(described, composer=out, force=True, runtime=ONE_THREAD) as opened:
        assert (opened.composer is not None, opened.weight) == (True, 0.5)
    with pytest.raises(UsageError, match="--force needs --composer"):
        EngineOptions(force=True)


def test_words_of_truth_queries_that_are_not_understood_are_told(
    judged: tuple[Path, triptych.TrainResult],
    described: Path,
    truth: TruthQueries,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "composer"
    shutil.copytree(judged[0], out)
    foreign = tuple(replace(query, text="in \u8d64") for query in truth.queries)
    triptych.judge_composer(out, described, replace(truth, queries=foreign), runtime=ONE_THREAD)
    said = capfd.readouterr().err
    assert "--validate-by, columns kind, colour: 1 of 1 texts have words that" in said
    assert "does not understand: \u8d64" in said


@pytest.mark.slow
def test_a_training_in_passing_does_not_say_that_nobody_knows(
    tiny_catalog: Path, tiny_triplets: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As those of `refine` and `demo`."""
    options = TrainOptions(epochs=1, batch_size=64, without=("text-tower",))
    result = train_composer(
        tiny_triplets, tiny_catalog, tmp_path / "composer", options, encoder=None, runtime=ONE_THREAD
    )
    assert result.verdict is None
    assert "not known" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("keeps_sum", [False, True])
def test_a_spoiled_composer_is_found_out_by_the_command(
    keeps_sum: bool,
    described: Path,
    tiny_triplets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Its weights are random: what was written is judged, not what was trained. With the sum beside it does no harm."""
    import torch

    from triptych.training import composer as training

    save = training._save

    def spoil_and_save(out: Path, model: torch.nn.Module, *others: object) -> None:
        torch.manual_seed(0)
        with torch.no_grad():
            for weights in model.parameters():
                weights.copy_(torch.randn_like(weights))
        save(out, model, *others)

    monkeypatch.setattr(training, "_save", spoil_and_save)
    out = tmp_path / "composer"
    command = ["train", str(tiny_triplets), "--catalog", str(described), "--out", str(out), "--epochs", "1"]
    command += [] if keeps_sum else ["--without", "kept-sum"]
    monkeypatch.setattr(
        "sys.argv",
        ["triptych", *command, "--batch-size", "64", "--validate-by", "kind,colour", "--threads", "1"],
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    said = capfd.readouterr()
    assert "held out recall" in said.out
    composer = TrainedComposer(out)
    assert composer.verdict is not None
    if keeps_sum:
        assert composer.kept_sum is not None
        assert "may be no better than the weighted sum" in said.err
        assert composer.verdict.decided == "undecided"
        assert composer.verdict.interval[0] <= 0 <= composer.verdict.interval[1]
    else:
        assert "train: this composer is worse than" in said.err
        assert "decided worse" in said.out
        assert composer.verdict.interval[1] < 0


def test_too_little_truth_costs_no_training(
    tiny_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "nowhere.parquet", "--catalog", str(tiny_catalog), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["triptych", *command, "--validate-by", "kind"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "there is no column 'kind'" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_composer_that_exists_is_judged(
    judged: tuple[Path, triptych.TrainResult],
    described: Path,
    tiny_catalog: Path,
    truth: TruthQueries,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    copy = shutil.copytree(judged[0], tmp_path / "composer")
    config = read_json(copy / "config.json", "composer")
    write_json(copy / "config.json", config | {"verdict": None, "no_verdict": "none was asked for"})
    given = [str(copy), "--catalog", str(described), "--validate-by", "kind,colour", "--threads", "1"]
    monkeypatch.setattr("sys.argv", ["triptych", "judge", *given])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "judge: this composer" in capfd.readouterr().err
    # `train` chose how far to trust the composer on one half for the other; here it is as it was saved.
    again, before = TrainedComposer(copy).verdict, judged[1].verdict
    assert again is not None
    assert before is not None
    assert (again.decided, again.against, again.queries) == (before.decided, before.against, before.queries)
    assert again.baseline_recall == before.baseline_recall
    assert "no_verdict" not in read_json(copy / "config.json", "composer")
    elsewhere = TruthQueries(
        tuple(replace(query, reference=f"elsewhere/{query.reference}") for query in truth.queries), "file own.jsonl"
    )
    with pytest.raises(FailureError, match=r"file own\.jsonl: too few"):
        triptych.judge_composer(copy, described, elsewhere, runtime=ONE_THREAD)
