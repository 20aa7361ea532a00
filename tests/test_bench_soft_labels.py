"""What soft_labels.py takes for a request, and for a right answer to it."""

import sys
from pathlib import Path

import pytest

from triptych.triplets.file import Change, Modification, Triplet

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from harm_worlds import World
from soft_labels import answers, requests, spread, wording
from verifying import verdict

LABELS = {
    "a": {"kind": "shirt", "colour": "red"},
    "b": {"kind": "shirt", "colour": "blue"},
    "c": {"kind": "dress", "colour": "blue"},
    "d": {"kind": "shirt", "colour": ""},
}


@pytest.fixture
def world() -> World:
    return World("made", Path("nowhere"), sorted(LABELS), LABELS, ("kind", "colour"), lambda _: [])


def triplet(reference: str, *changes: Change, accepted: bool = True) -> Triplet:
    said = (Modification("shorthand", "but blue"), Modification("sentence", "in blue, please"))
    return Triplet(reference, "b", said, changes, (), accepted, "", 1.0, 0.5, "tags")


def test_an_answer_has_the_new_words_and_all_else_of_the_reference(world: World) -> None:
    blue, other = Change("colour", "red", "blue"), Change("colour", "red", None)
    assert [name for name in "abc" if answers(world, triplet("a", blue), name)] == ["b"]
    assert [name for name in "abc" if answers(world, triplet("a", other), name)] == ["b"]
    both = triplet("a", blue, Change("kind", "shirt", "dress"))
    assert [name for name in "abc" if answers(world, both, name)] == ["c"]


def test_only_what_the_labels_can_judge_is_a_request(world: World) -> None:
    blue = triplet("a", Change("colour", "red", "blue"))
    unknown = [
        triplet("a", Change("colour", "red", "green")),  # no picture is green
        triplet("a", Change("length", "short", "long")),
        triplet("d", Change("kind", "shirt", "dress")),  # its colour is unknown
        triplet("a", Change("colour", "red", "blue"), accepted=False),
    ]
    assert requests([*unknown, blue], world, 10) == [blue]
    assert requests([blue, blue], world, 1) == [blue]
    assert wording(blue) == wording(blue)


def test_a_verifier_of_full_accuracy_is_right_and_another_says_the_same_twice() -> None:
    assert [verdict("q", name, frozenset("b"), 1.0) for name in "abc"] == [0, 1, 0]
    said = [verdict("q", str(number), frozenset(), 0.0) for number in range(200)]
    assert 0.3 < sum(said) / 200 < 0.7
    assert said == [verdict("q", str(number), frozenset(), 0.0) for number in range(200)]
    assert spread([1.0, 2.0, 3.0]) == "2.0 ± 1.0"
    assert spread([1.0]) == "1.0"
