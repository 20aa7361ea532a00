"""How many accepted and refused triplets are correct, by reason of refusal, on data with known attributes.

    python bench/critic.py TRIPLETS wardrobe WORLD
    python bench/critic.py TRIPLETS fashion-products ROOT

The columns are those of `triptych triplets compare --truth`. A *target is correct* if it shows all the new words. A
*change is correct* if the reference also shows the old ones. A triplet is *unambiguous* if no negative shows all new
words and equals the reference in all other attributes. The agent never saw the known attributes. The negatives of an
accepted triplet lack the pictures that its critic took for further targets.
"""

import sys
from dataclasses import asdict
from pathlib import Path

from triptych.benchmarks.registry import load_truth
from triptych.evaluation.reasoners import shares
from triptych.triplets.file import read_triplets

SHARES = ("target_correct", "change_correct", "unambiguous", "correct_and_unambiguous")


def main() -> None:
    file, name, root = sys.argv[1:]
    truth = load_truth(name, Path(root))
    triplets, _ = read_triplets(Path(file))
    refused = [one for one in triplets if not one.accepted]
    rows = [("before the critic: all", triplets)]
    rows += [("after it: accepted", [one for one in triplets if one.accepted]), ("refused", refused)]
    reasons = sorted({one.reason.partition(":")[0] for one in refused})
    rows += [(f"  {why}", [one for one in refused if one.reason.partition(":")[0] == why]) for why in reasons]
    print(f"{name}: {len(triplets)} triplets")
    print(f"{'percent':<58}{'checked':>9}" + "".join(f"{share.replace('_', ' '):>25}" for share in SHARES))
    for label, chosen in rows:
        found = asdict(shares(chosen, truth))
        cells = ["–" if found[share] is None else str(found[share]) for share in SHARES]
        print(f"{label:<58}{found['checked']:>9}" + "".join(f"{cell:>25}" for cell in cells))


if __name__ == "__main__":
    main()
