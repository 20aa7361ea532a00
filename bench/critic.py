"""What a critic is worth: how many accepted and refused triplets are true, where the truth is known.

    python bench/critic.py TRIPLETS wardrobe WORLD
    python bench/critic.py TRIPLETS fashion-products ROOT

As `triptych triplets compare --truth`, and by reason of refusal. The *new* words are right if the target bears them
all. A triplet is *true* of the pair if the reference bears the old ones, too. It is *telling* if no other picture of
its group answers as well: bears all new words, and is as the reference in all other attributes. The agent never saw
these tables. An accepted triplet's group lacks the pictures that its critic took for answers, too.
"""

import sys
from dataclasses import asdict
from pathlib import Path

from triptych.benchmarks.registry import load_truth
from triptych.evaluation.reasoners import shares
from triptych.triplets.file import read_triplets

SHARES = ("new", "true", "telling", "true_and_telling")


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
    print(f"{'percent':<58}{'checked':>9}" + "".join(f"{share.replace('_', ' '):>18}" for share in SHARES))
    for label, chosen in rows:
        found = asdict(shares(chosen, truth))
        cells = ["–" if found[share] is None else str(found[share]) for share in SHARES]
        print(f"{label:<58}{found['checked']:>9}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
