"""What the critic is worth to retrieval: composers trained on what it accepted, and on as many triplets from before it.

    python bench/critic_effect.py fashion-products RUN --root ROOT
    python bench/critic_effect.py wardrobe RUN…

A RUN holds `catalog/`, `triplets.parquet` and composers, as bench/fashion_products.sh and each seed of
bench/wardrobe.sh leave them; the wardrobe's world is in RUN/world. Beside each composer of the run, which learnt from
the accepted triplets, another is trained alike, with the same seed, on as many triplets drawn (by that seed) from all
that the agent drafted, accepted and refused. What an accepted one's critic found out about its group stays with it when
it is drawn. Both are evaluated on val and test.

What is there already, in RUN/critic, is not made again. The table goes into docs/history/results-2026-11.md, between
the markers of `critic-NAME`. With --limit N only N triplets are used on either side, by composers of its own, which
takes less time; --seeds names those to train with, where they are not to be those of the run's composers.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from arms import draw, measured, retrieval, train
from triptych.benchmarks.registry import load_truth
from triptych.benchmarks.task import Truth
from triptych.evaluation.reasoners import shares
from triptych.evaluation.results.row import ResultRow
from triptych.training.options import LossOptions, TrainOptions
from triptych.triplets.file import Triplet, read_triplets
from write_results import put, span

ARMS = {"accepted": "after the critic", "drafts": "as many from before it"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=["wardrobe", "fashion-products"])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--root", type=Path, help="the benchmark's folder; RUN/world if not given")
    parser.add_argument("--limit", type=int, help="triplets on either side")
    parser.add_argument("--seeds", type=int, nargs="+")
    page = Path(__file__).parents[1] / "docs" / "history" / "results-2026-11.md"
    parser.add_argument("--page", type=Path, default=page)
    asked = parser.parse_args()
    rows: list[ResultRow] = []
    facts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in asked.runs:
        root = asked.root or run / "world"
        out = run / ("critic" if asked.limit is None else f"critic-{asked.limit}")
        triplets, _ = read_triplets(run / "triplets.parquet")
        truth = load_truth(asked.name, root)
        usual = {settings_of(composer)["seed"]: composer for composer in run.glob("composer*")}
        kept = options_of(settings_of(min(usual.values()))) if usual else TrainOptions()
        for seed in asked.seeds or sorted(usual):
            for arm, chosen in choose(triplets, seed, asked.limit).items():
                facts[ARMS[arm]].append(described(chosen, truth))
                composer = out / f"{arm}-{seed}"
                if arm == "accepted" and asked.limit is None and seed in usual:
                    composer = usual[seed]
                else:
                    train(chosen, run / "catalog", composer, "bench/critic_effect.py", replace(kept, seed=seed))
                rows += measured(asked.name, root, out / f"{arm}-{seed}", ARMS[arm], composers=[composer])
    text = tables(rows, facts)
    print(text)
    put(asked.page, f"critic-{asked.name}", text)


def settings_of(composer: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((composer / "config.json").read_text())["made_by"]["settings"]
    return settings


def options_of(settings: dict[str, Any]) -> TrainOptions:
    """The options that a composer was trained with, as far as an arm is to have them, too."""
    loss = settings.get("loss", settings)  # version 0.1.0 has all options side by side, and another name for one
    batch_size = settings.get("batch_size", settings.get("batch"))
    return TrainOptions(epochs=settings["epochs"], batch_size=batch_size, loss=LossOptions(loss["temperature"]))


def choose(triplets: Sequence[Triplet], seed: int, limit: int | None) -> dict[str, list[Triplet]]:
    """The triplets of either side, as many of each, in the order of the file."""
    accepted = [one for one in triplets if one.accepted]
    count = min(len(accepted), limit or len(accepted))
    return {"accepted": draw(accepted, count, seed), "drafts": draw(triplets, count, seed)}


def described(triplets: Sequence[Triplet], truth: Truth) -> dict[str, Any]:
    refused = sum(not one.accepted for one in triplets)
    return {"triplets": len(triplets), "refused": refused, **asdict(shares(triplets, truth))}


def tables(rows: Sequence[ResultRow], facts: dict[str, list[dict[str, Any]]]) -> str:
    """What was learnt from, and a table for each task and split; several runs as mean ± standard deviation."""
    parts = ["| learnt from | triplets | refused among them | true, % | true and telling, % |\n|---|--:|--:|--:|--:|"]
    for arm, found in facts.items():
        cells = [span([each[name] for each in found]) for name in ("triplets", "refused", "true", "true_and_telling")]
        parts.append(f"| {arm} | {' | '.join(cells)} |")
    parts += retrieval(rows)
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
