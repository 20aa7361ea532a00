"""What a critic is worth: how many accepted and refused triplets are true, where the truth is known.

    python bench/critic.py TRIPLETS wardrobe WORLD
    python bench/critic.py TRIPLETS fashion-products ROOT

The *new* words are right if the target bears them all. A triplet is *true* of the pair if the reference bears the old
ones, too. It is *telling* if no other picture of its group answers as well: bears all new words, and is as the
reference in all other attributes. The agent never saw these tables. An accepted triplet's group lacks the pictures that
its critic took for answers, too.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from triptych.triplets import Triplet, read_triplets
from truth import WORLDS, Truth


def is_new(triplet: Triplet, truth: Truth) -> bool:
    return all(truth[triplet.target][one.group] == one.new for one in triplet.changes)


def is_true(triplet: Triplet, truth: Truth) -> bool:
    reference = truth[triplet.reference]
    return is_new(triplet, truth) and all(reference[one.group] == one.old for one in triplet.changes)


def is_telling(triplet: Triplet, truth: Truth) -> bool:
    wanted = {**truth[triplet.reference], **{one.group: one.new for one in triplet.changes}}
    return not any(truth[other] == wanted for other in triplet.group)


def main() -> None:
    file, name, root = sys.argv[1:]
    truth = WORLDS[name](Path(root))
    triplets, _ = read_triplets(Path(file))
    known = [one for one in triplets if {one.reference, one.target, *one.group} <= truth.keys()]
    print(f"{name}: {len(known)} triplets with known truth, of {len(triplets)}")
    accepted = [one for one in known if one.accepted]
    rows = [("before the critic: all", known), ("after it: accepted", accepted)]
    reasons = {one.reason.partition(":")[0] for one in known if not one.accepted}
    rows.append(("refused", [one for one in known if not one.accepted]))
    rows += [(f"  {why}", [one for one in known if one.reason.partition(":")[0] == why]) for why in sorted(reasons)]
    print(f"{'percent':<58}{'triplets':>9}{'new':>7}{'true':>7}{'telling':>9}{'true and telling':>18}")
    for label, chosen in rows:
        new, true, telling = (share(chosen, truth, test) for test in (is_new, is_true, is_telling))
        both = share(chosen, truth, lambda one, facts: is_true(one, facts) and is_telling(one, facts))
        print(f"{label:<58}{len(chosen):>9}{new:>7.1f}{true:>7.1f}{telling:>9.1f}{both:>18.1f}")


def share(triplets: Iterable[Triplet], truth: Truth, test: Callable[[Triplet, Truth], bool]) -> float:
    found = [test(one, truth) for one in triplets]
    return 100 * sum(found) / len(found) if found else float("nan")


if __name__ == "__main__":
    main()
