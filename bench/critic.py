"""What a critic is worth: how many accepted and refused triplets are true, where the truth is known.

    python bench/critic.py TRIPLETS wardrobe WORLD
    python bench/critic.py TRIPLETS fashion-products ROOT

The *new* words are right if the target bears them all. A triplet is *true* of the pair if the reference bears the old
ones, too. It is *telling* if no other picture of its group answers as well: bears all new words, and is as the
reference in all other attributes. The agent never saw these tables. An accepted triplet's group lacks the pictures that
its critic took for answers, too.
"""

import csv
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from triptych.benchmarks.fashion_products import Product, load_products
from triptych.benchmarks.words import word_for
from triptych.triplets import Triplet, read_triplets

Truth = Mapping[str, Mapping[str, str]]
"""Picture to attribute to word."""


def wardrobe(world: Path) -> Truth:
    with (world / "garments.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    return {
        row["image"]: {key: row[key] for key in row if key not in ("image", "split", "line", "garment")} for row in rows
    }


def fashion_products(root: Path) -> Truth:
    def words(product: Product) -> dict[str, str]:
        named = {name: word_for(name, getattr(product, name)) for name in ("gender", "colour", "kind")}
        # As the agent's vocabulary has it.
        named["gender"] = named["gender"].replace("men and women", "unisex")
        return named | {"usage": product.usage.casefold()}

    return {product.picture: words(product) for product in load_products(root)}


WORLDS: Mapping[str, Callable[[Path], Truth]] = {"wardrobe": wardrobe, "fashion-products": fashion_products}


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
