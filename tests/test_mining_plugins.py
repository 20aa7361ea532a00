"""Reasoners and critics of one's own, as objects and by name, with the built-in ones for the rest."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import triptych
import triptych.cli
from triptych import MineOptions
from triptych.catalog.catalog import Catalog
from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.mining.critic import DraftVerdict
from triptych.mining.proposer import Proposal
from triptych.mining.reasoner import Draft
from triptych.mining.registry import MiningContext
from triptych.triplets.file import Change, Modification, Triplet, read_triplets


class Nearest:
    """Takes the first candidate, in free words or with the changes given."""

    name = "nearest"

    def __init__(self, *changes: Change) -> None:
        self.changes = changes

    def reason(self, proposal: Proposal) -> Sequence[Draft]:
        wording = Modification("sentence", "something like it")
        return [Draft(proposal, int(proposal.candidates[0]), self.changes, (wording,))]

    def reverse(self, proposal: Proposal, target: int, changes: Sequence[Change]) -> Draft | None:
        return Draft(proposal, target, tuple(changes), (Modification("sentence", "the one before"),))


class Lenient:
    """Accepts drafts of even targets."""

    def judge(self, drafts: Sequence[Draft]) -> list[DraftVerdict]:
        return [
            DraftVerdict(True, "", 0.5, (), (one.proposal.reference,))
            if one.target % 2 == 0
            else DraftVerdict(False, "odd", 0, ())
            for one in drafts
        ]


@pytest.fixture
def mine(shown_catalog: Path, tmp_path: Path):
    def run(**options: object) -> tuple[list[Triplet], dict]:
        plugins = {key: options.pop(key) for key in ("reasoner", "critic") if key in options}
        chosen = MineOptions(**{"limit": 30, "changes": 2, **options})
        triptych.mine(shown_catalog, tmp_path / "t.parquet", chosen, **plugins, runtime=Runtime(threads=1))
        return read_triplets(tmp_path / "t.parquet")

    return run


def test_a_reasoner_and_a_critic_of_ones_own(mine, shown_catalog: Path) -> None:
    triplets, note = mine(reasoner=Nearest(), critic=Lenient())
    assert 50 < len(triplets) <= 60
    row_of = Catalog(shown_catalog).row_of
    assert all(triplet.accepted is (row_of[triplet.target] % 2 == 0) for triplet in triplets)
    assert {triplet.reason for triplet in triplets} == {"", "odd"}
    assert all(triplet.other_targets == (triplet.reference,) for triplet in triplets if triplet.accepted)
    assert {triplet.reasoner for triplet in triplets} == {"nearest"}
    assert (note["settings"]["reasoner"], note["settings"]["critic"]["name"]) == ("nearest", "Lenient")


def test_a_custom_critic_judges_the_built_in_reasoner(mine) -> None:
    triplets, note = mine(critic=Lenient)  # a class makes one
    assert {triplet.reasoner for triplet in triplets} == {"tags"}
    assert {triplet.reason for triplet in triplets} == {"", "odd"}
    assert note["settings"]["critic"]["name"] == "Lenient"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ((), "it names no change that tags could confirm"),
        ((Change("colour", "red", "octarine"),), "the tags lack the words: octarine"),
        ((Change("mood", "sad", "glad"), Change("colour", "blue", "red")), "the tags lack the words: glad"),
    ],
)
def test_the_built_in_critic_refuses_what_tags_cannot_judge(
    mine, changes: tuple[Change, ...], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(triptych.TriptychError, match=r"none of \d+ drafts"):
        mine(reasoner=Nearest(*changes))
    triplets = read_triplets(tmp_path / "t.parquet")[0]
    assert {(triplet.accepted, triplet.reason, triplet.confidence) for triplet in triplets} == {(False, reason, 0.0)}
    assert all(triplet.negatives for triplet in triplets)


def test_a_context_is_given_to_what_asks_for_one(mine) -> None:
    seen: list[MiningContext] = []

    class Informed(Nearest):
        def __init__(self, context: MiningContext) -> None:
            super().__init__()
            seen.append(context)

    mine(reasoner=Informed, critic=Lenient(), seed=7)
    [context] = seen
    assert (context.seed, context.options.limit) == (7, 30)
    assert context.tags["colour"].shape == (len(context.catalog.names), len(context.vocabulary.groups["colour"]))


def test_the_reverse_of_a_custom_reasoner(mine) -> None:
    class OneWay:
        name = "one way"
        reason = Nearest().reason

    class Colours(Nearest):
        def reason(self, proposal: Proposal) -> Sequence[Draft]:
            return super().reason(proposal) if proposal.plan == ("colour",) else []

    triplets, note = mine(reasoner=Colours(Change("colour", "red", "blue")), critic=Lenient(), limit=None, reverse=True)
    back = [one for one in triplets if one.modifications[0].text == "the one before"]
    assert note["reversed"] == sum(one.accepted for one in back)
    there = {(one.reference, one.target) for one in triplets if one not in back}
    assert back
    assert {(one.target, one.reference) for one in back} <= there
    with pytest.raises(UsageError, match="--reverse: the reasoner one way has no method reverse"):
        mine(reasoner=OneWay(), critic=Lenient(), reverse=True)


@pytest.mark.parametrize(
    ("plugins", "message"),
    [
        ({"reasoner": "oracle"}, "--reasoner oracle: there is no such reasoner; there are tags, MODULE:ATTRIBUTE"),
        ({"critic": "oracle"}, "--critic oracle: there is no such critic; there are encoder, MODULE:ATTRIBUTE"),
        ({"reasoner": Lenient()}, "Lenient: is no reasoner; it lacks name, reason"),
        ({"critic": Nearest()}, "Nearest: is no critic; it lacks judge"),
    ],
)
def test_what_is_lacking_is_one_line(mine, plugins: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        mine(**plugins)


def test_a_target_must_be_a_candidate(mine) -> None:
    class Wild(Nearest):
        def reason(self, proposal: Proposal) -> Sequence[Draft]:
            return [Draft(proposal, proposal.reference, (), ())]

    with pytest.raises(UsageError, match="is not one of its candidates"):
        mine(reasoner=Wild(), critic=Lenient())


def test_by_name_on_the_command_line(shown_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    out = tmp_path / "t.parquet"
    plugins = ["--reasoner", "test_mining_plugins:Nearest", "--critic", "test_mining_plugins:Lenient"]
    command = ["mine", "--catalog", shown_catalog, "--out", out, "--limit", 10, "--threads", 1, *plugins]
    monkeypatch.setattr(sys, "argv", ["triptych", *map(str, command)])
    with pytest.raises(SystemExit) as ended:
        triptych.cli.main()
    assert not ended.value.code
    assert {triplet.reasoner for triplet in read_triplets(out)[0]} == {"nearest"}
