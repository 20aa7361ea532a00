"""The critic's effect on retrieval: composers trained on accepted triplets, and on as many triplets from before it.

    python bench/critic_effect.py fashion-products RUN --root ROOT
    python bench/critic_effect.py wardrobe RUN…

A RUN holds `catalog/`, `triplets.parquet` and composers, as bench/fashion_products.sh and each seed of
bench/wardrobe.sh leave them; the wardrobe's world is in RUN/world. Each composer of the run learnt from the accepted
triplets. Another composer is trained with the same seed on as many triplets, which that seed draws from all drafts,
accepted and refused. A drawn triplet that was accepted keeps the negatives and further targets that its critic found.
Both composers are evaluated on val and test.

What exists in RUN/critic is not made again. The table goes into docs/history/results-2026-11.md, between the markers
of `critic-NAME`. With --limit N each composer learns from N triplets only, which takes less time. --seeds replaces the
seeds of the run's composers.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from paired_composers import draw, evaluate, retrieval_tables, train
from triptych.benchmarks.registry import load_truth
from triptych.benchmarks.task import Truth
from triptych.evaluation.reasoners import shares
from triptych.evaluation.results.row import ResultRow
from triptych.training.options import LossOptions, TrainOptions
from triptych.triplets.file import Triplet, read_triplets
from write_results import put, span

VARIANTS = {"accepted": "after the critic", "drafts": "as many from before it"}


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
            for variant, chosen in choose(triplets, seed, asked.limit).items():
                facts[VARIANTS[variant]].append(described(chosen, truth))
                composer = out / f"{variant}-{seed}"
                if variant == "accepted" and asked.limit is None and seed in usual:
                    composer = usual[seed]
                else:
                    train(chosen, run / "catalog", composer, "bench/critic_effect.py", replace(kept, seed=seed))
                rows += evaluate(asked.name, root, out / f"{variant}-{seed}", VARIANTS[variant], composers=[composer])
    text = tables(rows, facts)
    print(text)
    put(asked.page, f"critic-{asked.name}", text)


def settings_of(composer: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((composer / "config.json").read_text())["made_by"]["settings"]
    return settings


def options_of(settings: dict[str, Any]) -> TrainOptions:
    """The options of a composer that both variants share."""
    loss = settings.get("loss", settings)  # version 0.1.0 has all options side by side, and another name for one
    batch_size = settings.get("batch_size", settings.get("batch"))
    return TrainOptions(epochs=settings["epochs"], batch_size=batch_size, loss=LossOptions(loss["temperature"]))


def choose(triplets: Sequence[Triplet], seed: int, limit: int | None) -> dict[str, list[Triplet]]:
    """The triplets of each variant, as many for both, in the order of the file."""
    accepted = [one for one in triplets if one.accepted]
    count = min(len(accepted), limit or len(accepted))
    return {"accepted": draw(accepted, count, seed), "drafts": draw(triplets, count, seed)}


def described(triplets: Sequence[Triplet], truth: Truth) -> dict[str, Any]:
    refused = sum(not one.accepted for one in triplets)
    return {"triplets": len(triplets), "refused": refused, **asdict(shares(triplets, truth))}


def tables(rows: Sequence[ResultRow], facts: dict[str, list[dict[str, Any]]]) -> str:
    """A table of the training triplets, and one for each task and split; several runs as mean ± standard deviation."""
    parts = [
        "| learnt from | triplets | refused among them | change correct, % | correct and unambiguous, % |\n"
        "|---|--:|--:|--:|--:|"
    ]
    names = ("triplets", "refused", "change_correct", "correct_and_unambiguous")
    for variant, found in facts.items():
        cells = [span([each[name] for each in found]) for name in names]
        parts.append(f"| {variant} | {' | '.join(cells)} |")
    parts += retrieval_tables(rows)
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
