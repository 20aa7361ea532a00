"""The evaluation of rankings beside the plain way of published code, on random vectors of two benchmarks' sizes.

    python bench/evaluate.py [RUNS]

The plain way uses the same libraries: it sorts the whole matrix of similarities and turns it into an array of names,
masks the reference, and looks for the targets' names. For CIRR it follows the validation of CLIP4Cir and SEARLE step by
step. For CIRCO it does the same over all queries at once; beside it is SEARLE's own, which goes through the queries one
by one. Each variant runs RUNS times (default 3), each time in a process of its own. The best time and the highest peak
are shown. Peak memory is what lies above the vectors, which are in memory before the clock starts, like the libraries.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from triptych.core.vectors import unit
from triptych.metrics.measures import means, per_query
from triptych.metrics.ranking import ranks_of_targets

DIM = 768
SIZES = {"cirr": (4_181, 2_297), "circo": (800, 123_403)}  # queries and pictures: CIRR's val split, CIRCO's test split
CIRR_K, SUBSET_K, CIRCO_K = (1, 5, 10, 50), (1, 2, 3), (5, 10, 25, 50)
GROUP = 6
LABELS = {"ours": "triptych", "plain": "plain way", "searle": "SEARLE"}

Case = dict[str, np.ndarray[Any, Any]]
Metrics = dict[str, float]


def main() -> None:
    if len(sys.argv) > 2:
        run_one(*sys.argv[1:])
        return
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(f"{len(os.sched_getaffinity(0))} processor(s), numpy {np.__version__}, best of {runs} runs")
    with tempfile.TemporaryDirectory() as folder:
        for size, (queries, pictures) in SIZES.items():
            path = Path(folder) / f"{size}.npz"
            np.savez(path, **make_case(size))
            print(f"\n{size}: {queries:,} queries, {pictures:,} x {DIM} gallery")
            found = {name: measure(size, name, path, runs) for of, name in VARIANTS if of == size}
            ours = found["ours"]
            for name, each in found.items():
                times = f"{each['seconds']:8.2f} s wall  {each['processor']:8.2f} s processor"
                print(f"  {LABELS[name]:<10} {times}  {each['mib']:8,.0f} MiB above the vectors")
            for name in [name for name in found if name != "ours"]:
                wall, processor, mib = (found[name][fact] / ours[fact] for fact in ("seconds", "processor", "mib"))
                print(f"  {LABELS[name]} / triptych  {wall:.1f} wall  {processor:.1f} processor  {mib:.1f} memory")
                if any(abs(value - ours["metrics"][metric]) > 1e-9 for metric, value in found[name]["metrics"].items()):
                    sys.exit(f"  metrics DIFFER: {shown(found[name]['metrics'])}, not {shown(ours['metrics'])}")
            print(f"  metrics identical: {shown(ours['metrics'])}")


def make_case(size: str) -> Case:
    """Random vectors, with queries near enough to their targets that no metric is 0 or 100."""
    random = np.random.default_rng(0)
    queries, pictures = SIZES[size]
    gallery = unit(random.standard_normal((pictures, DIM), np.float32))
    noise = unit(random.standard_normal((queries, DIM), np.float32))
    # A group of pictures for each query: the reference, and those that may be targets.
    groups = np.stack([random.choice(pictures, 2 * GROUP, replace=False) for _ in range(queries)])
    counts = np.ones(queries, int) if size == "cirr" else np.minimum(1 + random.poisson(3.53, queries), 2 * GROUP - 1)
    aims = np.stack([gallery[row[1 : 1 + n]].sum(axis=0) for row, n in zip(groups, counts, strict=True)])
    vectors = unit(0.1 * aims + random.uniform(0.5, 1.5, (queries, 1)) * noise)
    return {"gallery": gallery, "queries": vectors, "groups": groups, "counts": counts}


def measure(size: str, variant: str, path: Path, runs: int) -> dict[str, Any]:
    found = []
    for _ in range(runs):
        command = [sys.executable, str(Path(__file__).resolve()), size, variant, str(path)]
        found.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    return {
        "seconds": min(each["seconds"] for each in found),
        "processor": min(each["processor"] for each in found),
        "mib": max(each["mib"] for each in found),
        "metrics": found[0]["metrics"],
    }


def run_one(size: str, variant: str, path: str) -> None:
    with np.load(path) as file:
        case = {name: file[name] for name in file.files}
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is used now
    before = peak_kib()
    started, processor = time.monotonic(), time.process_time()
    metrics = VARIANTS[size, variant](case)
    spent = {"seconds": time.monotonic() - started, "processor": time.process_time() - processor}
    print(json.dumps({**spent, "mib": (peak_kib() - before) / 1024, "metrics": metrics}))


def peak_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def ours_cirr(case: Case) -> Metrics:
    groups = case["groups"][:, :GROUP]
    targets, references, open_lists = groups[:, 1:2], groups[:, :1], [None] * len(groups)
    ranks = ranks_of_targets(case["queries"], case["gallery"], targets, references, open_lists)
    within = ranks_of_targets(case["queries"], case["gallery"], targets, references, groups)
    subset = means(per_query(within, recall=SUBSET_K, map_at=()))
    return means(per_query(ranks, recall=CIRR_K, map_at=())) | {
        f"subset {name}": value for name, value in subset.items()
    }


def plain_cirr(case: Case) -> Metrics:
    """CIRR's validation as CLIP4Cir and SEARLE have it (`cirr_compute_val_metrics` in src/validate.py of both)."""
    names = np.array([f"dev-{number // 4}-{number % 4}-img0" for number in range(len(case["gallery"]))])
    group_members = names[case["groups"][:, :GROUP]]
    reference_names, target_names = group_members[:, 0], group_members[:, 1]
    predicted, index = torch.from_numpy(case["queries"]), torch.from_numpy(case["gallery"])
    distances = 1 - predicted @ index.T
    sorted_indices = torch.argsort(distances, dim=-1)
    sorted_names = names[sorted_indices]
    count, size = sorted_names.shape
    reference_mask = torch.tensor(sorted_names != np.repeat(reference_names, size).reshape(count, -1))
    sorted_names = sorted_names[reference_mask].reshape(count, size - 1)
    labels = torch.tensor(sorted_names == np.repeat(target_names, size - 1).reshape(count, -1))
    group_mask = (sorted_names[..., None] == group_members[:, None, :]).sum(-1).astype(bool)
    group_labels = labels[group_mask].reshape(count, -1)
    assert torch.equal(torch.sum(labels, dim=-1).int(), torch.ones(count).int())
    assert torch.equal(torch.sum(group_labels, dim=-1).int(), torch.ones(count).int())
    recalls = {f"R@{k}": torch.sum(labels[:, :k]).item() / count * 100 for k in CIRR_K}
    return recalls | {f"subset R@{k}": torch.sum(group_labels[:, :k]).item() / count * 100 for k in SUBSET_K}


def ours_circo(case: Case) -> Metrics:
    count = len(case["queries"])
    targets = [row[1 : 1 + n] for row, n in zip(case["groups"], case["counts"], strict=True)]
    ranks = ranks_of_targets(case["queries"], case["gallery"], targets, [()] * count, [None] * count)
    return means(per_query(ranks, recall=(), map_at=CIRCO_K))


def plain_circo(case: Case) -> Metrics:
    """The same way at CIRCO's size, and the metrics as SEARLE's `circo_compute_val_metrics` has them.

    SEARLE itself takes the 50 best for one query after the other, which needs no more memory than one row.
    """
    names = np.array([str(number) for number in range(len(case["gallery"]))])
    distances = 1 - torch.from_numpy(case["queries"]) @ torch.from_numpy(case["gallery"]).T
    sorted_names = names[torch.argsort(distances, dim=-1)]
    return map_of(sorted_names[:, : max(CIRCO_K)], names, case)


def searle_circo(case: Case) -> Metrics:
    """CIRCO's validation as SEARLE has it (`circo_compute_val_metrics` in its src/validate.py): query by query."""
    names = np.array([str(number) for number in range(len(case["gallery"]))])
    predicted, index = torch.from_numpy(case["queries"]), torch.from_numpy(case["gallery"])
    best = [names[torch.topk(row @ index.T, dim=-1, k=max(CIRCO_K)).indices] for row in predicted]
    return map_of(best, names, case)


def map_of(ranked: Iterable[Any], names: np.ndarray[Any, Any], case: Case) -> Metrics:
    found: dict[int, list[float]] = {k: [] for k in CIRCO_K}
    for row, members, count in zip(ranked, names[case["groups"]], case["counts"], strict=True):
        labels = torch.tensor(np.isin(row, members[1 : 1 + count]), dtype=torch.uint8)
        precisions = torch.cumsum(labels, dim=0) * labels / torch.arange(1, len(labels) + 1).double()
        for k in CIRCO_K:
            found[k].append(float(torch.sum(precisions[:k]) / min(count, k)))
    return {f"mAP@{k}": float(np.mean(values)) * 100 for k, values in found.items()}


VARIANTS: dict[tuple[str, str], Callable[[Case], Metrics]] = {
    ("cirr", "ours"): ours_cirr,
    ("cirr", "plain"): plain_cirr,
    ("circo", "ours"): ours_circo,
    ("circo", "plain"): plain_circo,
    ("circo", "searle"): searle_circo,
}


def shown(metrics: Metrics) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in metrics.items())


if __name__ == "__main__":
    main()
