"""A second round: what a composer finds implausible, what it is weak at, and mining after it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from triptych.catalog.catalog import Catalog
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, UsageError
from triptych.mining import refinement as refining
from triptych.mining.options import MineOptions, RefineOptions
from triptych.mining.pipeline import mine
from triptych.mining.refinement import RefineResult, refine
from triptych.mining.rounds import PreviousRounds
from triptych.triplets.file import read_triplets, write_triplets

WRONG = 0.2  # share of the accepted triplets that get another target


@pytest.fixture(scope="module")
def corrupted(tiny_triplets, tiny_catalog, tmp_path_factory) -> tuple[Path, list[bool]]:
    """The triplets with some targets replaced by any picture, and of each whether that was done to it."""
    path = tmp_path_factory.mktemp("refining") / "corrupted.parquet"
    random, names = np.random.default_rng(0), Catalog(tiny_catalog).names
    triplets, note = read_triplets(tiny_triplets)
    spoilt = [one.accepted and random.random() < WRONG for one in triplets]
    for number in np.flatnonzero(spoilt):
        one = triplets[number]
        others = [name for name in names if name not in (one.reference, one.target, *one.other_targets)]
        triplets[number] = replace(one, target=others[int(random.integers(len(others)))], other_targets=())
    write_triplets(path, triplets, note)
    return path, spoilt


@pytest.fixture(scope="module")
def refined(corrupted, tiny_catalog, vocabulary_file) -> tuple[Path, RefineResult]:
    out = corrupted[0].with_name("refined.parquet")
    options = RefineOptions(vocabulary=vocabulary_file, epochs=4)
    return out, refine(corrupted[0], tiny_catalog, out, options, runtime=Runtime(threads=1))


@pytest.mark.slow
def test_corrupted_triplets_are_found_far_more_often_than_others(refined, corrupted):
    before, after = read_triplets(corrupted[0])[0], read_triplets(refined[0])[0]
    assert len(after) == len(before)
    found = [old.accepted and not new.accepted for old, new in zip(before, after, strict=True)]
    of_wrong = np.mean([hit for hit, wrong in zip(found, corrupted[1], strict=True) if wrong])
    of_others = np.mean(
        [hit for hit, wrong, old in zip(found, corrupted[1], before, strict=True) if old.accepted and not wrong]
    )
    assert of_wrong > 0.4
    assert of_wrong > 3 * of_others


@pytest.mark.slow
def test_what_is_refused_says_why_and_nothing_else_changes(refined, corrupted):
    before, after = read_triplets(corrupted[0])[0], read_triplets(refined[0])[0]
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == refined[1].refused_here > 0
    for new in changed:
        assert not new.accepted
        assert new.reason.startswith("implausible: ")
        assert new.changes[0].wanted in new.reason
    assert {one.round for one in after} == {1}
    note = read_triplets(refined[0])[1]
    assert note["command"] == "refine"
    assert note["mined"]["command"] == "mine"
    for group, phrases in note["mined"]["phrases"].items():
        assert phrases.items() <= note["phrases"][group].items()
    assert refined[0].with_name("refined.parquet.partial").exists() is False


@pytest.mark.slow
def test_the_weak_question_types_get_more_weight(refined):
    types = refined[1].question_types
    assert sum(one.triplets for one in types) == refined[1].accepted
    assert [one.weight for one in types] == sorted((one.weight for one in types), reverse=True)
    assert types[0].weight > 1 > types[-1].weight
    assert types[0].recall < types[-1].recall
    noted = read_triplets(refined[0])[1]["question_types"]
    assert [(one["attributes"], one["weight"]) for one in noted] == [([*one.attributes], one.weight) for one in types]


@pytest.mark.slow
def test_another_round_of_mining(refined, tiny_catalog, vocabulary_file, tmp_path):
    first = read_triplets(refined[0])[0]
    out = tmp_path / "second.parquet"
    options = MineOptions(vocabulary=vocabulary_file, limit=150, changes=2, refined=refined[0])
    mine(tiny_catalog, out, options, runtime=Runtime(threads=1))
    both = read_triplets(out)[0]
    assert both[: len(first)] == first
    added = both[len(first) :]
    assert len(added) > 50
    assert {one.round for one in added} == {2}
    known = {(one.reference, one.target, one.changes) for one in first}
    assert not known & {(one.reference, one.target, one.changes) for one in added}
    mine(tiny_catalog, tmp_path / "again.parquet", options, runtime=Runtime(threads=1))
    assert read_triplets(tmp_path / "again.parquet")[0] == both


@pytest.mark.slow
def test_a_question_type_of_more_weight_is_asked_more_often(refined, tiny_catalog, vocabulary_file, tmp_path):
    """The same round twice, with much and with equal weight for one type of question."""
    triplets, note = read_triplets(refined[0])
    wanted = max(note["question_types"], key=lambda one: one["triplets"])["attributes"]

    def asked(weight: float, name: str) -> float:
        types = [{**one, "weight": weight if one["attributes"] == wanted else 1.0} for one in note["question_types"]]
        write_triplets(tmp_path / f"{name}.in", triplets, {**note, "question_types": types})
        options = MineOptions(refined=tmp_path / f"{name}.in", vocabulary=vocabulary_file, limit=100, changes=1)
        mine(tiny_catalog, tmp_path / name, options, runtime=Runtime(threads=1))
        added = read_triplets(tmp_path / name)[0][len(triplets) :]
        return sum([change.attribute for change in one.changes] == wanted for one in added) / len(added)

    assert asked(1000.0, "much") > 0.6 > 0.4 > asked(1.0, "plain")


@pytest.mark.slow
def test_an_interrupted_run_goes_on(
    corrupted, tiny_catalog, tiny_composer, vocabulary_file, tmp_path, monkeypatch, capfd
):
    """The composers are copies of one: it is about which of them are asked for."""
    trained: list[str] = []

    def stand_in(file, catalog, folder, *options, **others):
        if len(trained) == 1 and not (tmp_path / "go on").exists():
            raise KeyboardInterrupt
        trained.append(folder.name)
        shutil.copytree(tiny_composer, folder)

    def run(name: str, **options) -> RefineResult:
        chosen = RefineOptions(vocabulary=vocabulary_file, **options)
        return refine(corrupted[0], tiny_catalog, tmp_path / name, chosen, runtime=Runtime(threads=1))

    monkeypatch.setattr(refining, "train_composer", stand_in)
    with pytest.raises(KeyboardInterrupt):
        run("refined")
    assert not (tmp_path / "refined").exists()
    (tmp_path / "go on").touch()
    facts = run("refined")
    assert trained == ["composer-0", "composer-1"]
    assert run("scratch") == facts
    assert read_triplets(tmp_path / "refined")[0] == read_triplets(tmp_path / "scratch")[0]
    assert {path.name for path in tmp_path.iterdir()} == {"go on", "refined", "scratch"}

    (tmp_path / "go on").unlink()
    trained.clear()
    with pytest.raises(KeyboardInterrupt):
        run("other")
    (tmp_path / "go on").touch()
    run("other", top_k=5)
    assert trained == ["composer-0", "composer-0", "composer-1"]
    assert "starting over" in capfd.readouterr().err


@pytest.mark.slow
def test_a_round_is_in_the_words_of_the_last(refined, vocabulary_file, tmp_path):
    earlier = PreviousRounds.read(refined[0])
    assert earlier.vocabulary == vocabulary_file
    assert PreviousRounds().vocabulary is None


def test_rounds_need_a_refined_file(tiny_triplets, tiny_catalog, vocabulary_file, tmp_path):
    with pytest.raises(DataError, match="triptych refine"):
        mine(tiny_catalog, tmp_path / "t", MineOptions(refined=tiny_triplets, vocabulary=vocabulary_file))
    for setting in ({"folds": 1}, {"top_k": 0}):
        with pytest.raises(UsageError):
            RefineOptions(**setting)
    assert not list(tmp_path.iterdir())
