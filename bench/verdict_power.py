"""How often a verdict by 100 queries is decided, and right: simulated by drawing from larger sets.

    python bench/verdict_power.py OUT [--draws 40] [--queries 100]

OUT is what do_no_harm.py wrote. For each cell the rank of the first right answer to every query of the larger set is
measured once (`ranks.npz`), for the composer without truth and for what needs no training. Then 100 queries of
different references are drawn many times, and each rule decides. *half*: one half chooses the baseline, the other
measures; *crossed*: each half chooses for the other. *R@10* or the logarithm of the *rank* is compared; *either* takes
both, unless they disagree. Right is the sign of the difference in R@10 on the whole set, against the best baseline.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from do_no_harm import DATA, methods_of, remember_texts
from harm_worlds import find_world
from triptych.catalog.catalog import Catalog
from triptych.composers.baselines import TextOnly, WeightedSum
from triptych.core.environment import Runtime
from triptych.core.files import read_json
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask, known_vectors
from triptych.metrics.resampling import bootstrap_intervals

Ranks = dict[str, NDArray[np.int64]]
WEIGHTS = (0.3, 0.4, 0.6, 0.7)  # of the sum, beside the default
RESAMPLES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--queries", type=int, default=100)
    given = parser.parse_args()
    random = np.random.default_rng(0)
    total: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for cell in sorted(path.parent for path in given.out.glob("*/*/result.json")):
        if not (cell / "composer" / "config.json").exists():
            continue
        if not (cell / "ranks.npz").exists():
            np.savez(cell / "ranks.npz", **measure(cell, given.data, given.out))
        ranks = dict(np.load(cell / "ranks.npz"))
        references = ranks.pop("refs")
        every = np.arange(len(references))
        names = [name for name in ranks if name not in ("composer", "judged")]
        best = choose(ranks, names, every)
        ahead = 100 * ((ranks["composer"] <= 10).mean() - (ranks[best] <= 10).mean())
        print(f"{cell.parent.name}/{cell.name}: {ahead:+.1f} points of R@10 against {best}, {len(every)} queries")
        found: dict[str, list[int]] = defaultdict(list)
        for _ in range(given.draws):
            order = random.permutation(every)
            one_each = order[np.sort(np.unique(references[order], return_index=True)[1])][: given.queries]
            for rule, decided in decide(ranks, names, one_each).items():
                found[rule].append(decided)
        for rule, decided in found.items():
            share = float(np.mean(np.array(decided) != 0))
            right = float(np.mean(np.array(decided) == np.sign(ahead)))
            total[rule].append((share, right))
            print(f"    {rule:<14} decided {100 * share:5.1f} %, right {100 * right:5.1f} %")
    for rule, shares in total.items():
        share, right = (fmean(each) for each in zip(*shares, strict=True))
        print(f"all: {rule:<14} decided {100 * share:5.1f} %, right of these {100 * right / max(share, 1e-9):5.1f} %")


def measure(cell: Path, data: Path, out: Path) -> Ranks:
    """The rank of the first right answer to each query of the cell's larger set, by method; and the references."""
    encoder = load_encoder(read_json(cell / "result.json", "result")["encoder"], threads=1)
    remember_texts(encoder)
    _, larger = find_world(cell.name, data, out).queries(cell / "catalog")
    methods = methods_of(encoder, {"composer": cell / "composer"}, None, Runtime(threads=1))
    methods |= {f"sum{weight}": WeightedSum("sum", TextOnly(encoder), weight) for weight in WEIGHTS}
    task = EncodedTask(larger, encoder, known_vectors(Catalog(cell / "catalog"), [larger]))
    ranks = {
        name: np.array([int(rank[0]) for rank in task.ranks(task.compose(method), task.gallery_for(method))])
        for name, method in methods.items()
    }
    return ranks | {"refs": np.array([query.reference for query in task.queries])}


def choose(ranks: Ranks, names: list[str], rows: NDArray[np.int64]) -> str:
    """The baseline that is best on some queries, by R@10, and by the mean reciprocal rank between equals."""
    return max(names, key=lambda name: ((ranks[name][rows] <= 10).mean(), (1 / ranks[name][rows]).mean()))


def decide(ranks: Ranks, names: list[str], rows: NDArray[np.int64]) -> dict[str, int]:
    """Each rule's verdict on the composer by these queries: 1 better, -1 worse, 0 undecided."""
    halves = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    against = [choose(ranks, names, half) for half in halves]
    found = {}
    for label, value in (("R@10", lambda rank: (rank <= 10) * 1.0), ("rank", lambda rank: -np.log2(rank))):
        first = value(ranks["composer"][halves[1]]) - value(ranks[against[0]][halves[1]])
        second = value(ranks["composer"][halves[0]]) - value(ranks[against[1]][halves[0]])
        found[f"half {label}"] = _sign(first)
        found[f"crossed {label}"] = _sign(np.concatenate([first, second]))
    points, places = found["crossed R@10"], found["crossed rank"]
    return found | {"crossed either": 0 if points * places < 0 else points or places}


def _sign(differences: NDArray[np.float64]) -> int:
    low, high = bootstrap_intervals(differences[:, None], resamples=RESAMPLES)[0]
    return 1 if low > 0 else -1 if high < 0 else 0


if __name__ == "__main__":
    main()
