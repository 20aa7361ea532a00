"""What a composer gains if it also trains on a verifier's scores (`train --soft-labels`); no real model is here.

    python bench/soft_labels.py OUT [--catalogs wardrobe closet products-500] [--accuracy 1 0.9 0.7] [--top 10]

The catalogs are those of harm_worlds.py, mined with the defaults. The requests are the mined triplets themselves: their
references, and one of their wordings each. A pretend verifier, as in verifying.py, says of the sum's first answers to
each request whether they are right by the pictures' true labels; it does not know a mined triplet's own target.
Then composers train on the triplets alone, and on the triplets with these scores, with the same seeds. The table has
R@1 and R@10 of other pictures with the benchmark's own queries, as the mean over the seeds, and the difference from the
composers without scores, with its 95 % interval by a bootstrap over references.

Choose with `--split val`; measure with `--split test`. What lies in OUT is not made again.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import triptych
from do_no_harm import DATA, ahead, index_task, remember_texts
from harm_worlds import World, find_world
from triptych.benchmarks.registry import load_tasks
from triptych.benchmarks.task import Task
from triptych.catalog.catalog import Catalog
from triptych.composers.baselines import DEFAULT_WEIGHT, TextOnly, WeightedSum
from triptych.composers.protocol import attach_encoder
from triptych.composers.registry import load_composer
from triptych.core.environment import Runtime
from triptych.core.text import hash_number
from triptych.core.vectors import nearest
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask, known_vectors
from triptych.mining.options import MineOptions
from triptych.training.data.soft_labels import SoftLabel, write_soft_labels
from triptych.training.options import SoftLabelOptions, TrainOptions
from triptych.triplets.file import Change, Triplet, read_triplets
from verifying import verdict

METRICS = ("R@1", "R@10")
BENCHMARKS = {"products": "fashion-products", "closet": "closet", "wardrobe": "wardrobe"}

Values = Mapping[str, NDArray[np.float64]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--catalogs", nargs="+", default=["wardrobe", "closet", "products-500"])
    parser.add_argument("--encoder", default="photos")
    parser.add_argument("--accuracy", type=float, nargs="+", default=[1.0, 0.9, 0.7])
    parser.add_argument("--top", type=int, default=10, help="answers that are verified for each request")
    parser.add_argument("--requests", type=int, default=1000, help="the most requests")
    parser.add_argument("--weight", type=float, nargs="+", default=[1.0], help="as --soft-weight of train")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--split", default="test", choices=["val", "test"])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    encoder = load_encoder(asked.encoder, threads=asked.threads)
    remember_texts(encoder)
    print(f"| catalog, task | trained on | verified | {' | '.join(METRICS)} | R@10, difference |")
    print("|---|---|--:|" + "--:|" * (len(METRICS) + 1))
    for name in asked.catalogs:
        folder, runtime = asked.out / name, Runtime(threads=asked.threads)
        world = find_world(name, asked.data, asked.out)
        prepare(world, folder, encoder, runtime)
        plain = train(folder, encoder, TrainOptions(), asked.seeds, "plain", runtime)
        variants = {("triplets alone", ""): plain}
        for accuracy in asked.accuracy:
            labels = folder / f"soft-{accuracy:g}-{asked.top}-{asked.requests}.jsonl"
            graded, calls = verify(world, folder, encoder, asked.top, accuracy, asked.requests)
            if not labels.exists():
                write_soft_labels(labels, graded)
            for weight in asked.weight:
                options = TrainOptions(soft=SoftLabelOptions(labels=labels, weight=weight))
                label = f"and a verifier of accuracy {accuracy:g}" + (f", weight {weight:g}" if weight != 1 else "")
                found = train(folder, encoder, options, asked.seeds, f"{labels.stem}-{weight:g}", runtime)
                variants[label, f"{calls:,} answers; {len(graded)} requests with a right one"] = found
        for task in tests(name, asked.data, asked.out, asked.split):
            print(table(name, task, asked.out, encoder, variants, runtime), flush=True)


def prepare(world: World, folder: Path, encoder: Encoder, runtime: Runtime) -> None:
    """Index and mine with the defaults, unless that is done."""
    names, _ = world.write(folder)
    catalog, triplets = folder / "catalog", folder / "triplets.parquet"
    if not Catalog.exists(catalog):
        triptych.index(names, catalog, encoder=encoder, root=world.root, runtime=runtime)
    if not triplets.exists():
        options = MineOptions(limit=min(1000, len(world.pictures)))
        triptych.mine(catalog, triplets, options, encoder=encoder, runtime=runtime)


def verify(
    world: World, folder: Path, encoder: Encoder, top: int, accuracy: float, most: int
) -> tuple[list[SoftLabel], int]:
    """The scores that a verifier of this accuracy gives the sum's first answers to the mined requests, and how many
    answers it looks at. A request whose answers are all refused has no scores, as in `eval --rerank-out`."""
    catalog = Catalog(folder / "catalog")
    triplets, _ = read_triplets(folder / "triplets.parquet")
    asked = requests(triplets, world, most)
    known = world.labelled
    rows = np.array([catalog.row_of[name] for name in known])
    texts = [wording(triplet) for triplet in asked]
    references = catalog.vectors[[catalog.row_of[triplet.reference] for triplet in asked]]
    queries = WeightedSum("sum", TextOnly(encoder), DEFAULT_WEIGHT).compose(references, texts)
    found, _ = nearest(queries, catalog.vectors[rows], top + 1)
    labels, calls = [], 0
    for triplet, text, places in zip(asked, texts, found.tolist(), strict=True):
        candidates = [known[place] for place in places if known[place] != triplet.reference][:top]
        right = frozenset(name for name in candidates if answers(world, triplet, name))
        scores = tuple(verdict(f"{triplet.reference} {text}", name, right, accuracy) for name in candidates)
        calls += len(candidates)
        if any(scores):
            labels.append(SoftLabel(triplet.reference, text, tuple(candidates), scores))
    return labels, calls


def requests(triplets: Sequence[Triplet], world: World, most: int) -> list[Triplet]:
    """Accepted triplets whose changes the labels can judge, at most so many, drawn by a hash."""
    labelled = set(world.labelled)
    words = {column: {world.labels[name][column] for name in labelled} for column in world.columns}

    def judged(change: Change) -> bool:
        return (change.old if change.new is None else change.new) in words.get(change.attribute, ())

    usable = [one for one in triplets if one.accepted and one.reference in labelled and all(map(judged, one.changes))]
    return sorted(usable, key=lambda one: hash_number(f"soft labels {one.reference} {one.changes}"))[:most]


def wording(triplet: Triplet) -> str:
    """One of a triplet's wordings, drawn by a hash."""
    drawn = hash_number(f"soft labels {triplet.reference} {triplet.target}")
    return triplet.modifications[drawn % len(triplet.modifications)].text


def answers(world: World, triplet: Triplet, picture: str) -> bool:
    """Whether a picture is what a request asks for: the new words, and all else as in the reference."""
    shown, before = world.labels[picture], world.labels[triplet.reference]
    changed = {change.attribute: change for change in triplet.changes}

    def fits(column: str) -> bool:
        change = changed.get(column)
        if change is None:
            return shown[column] == before[column]
        return shown[column] != change.old if change.new is None else shown[column] == change.new

    return all(map(fits, world.columns))


def train(
    folder: Path, encoder: Encoder, options: TrainOptions, seeds: Sequence[int], name: str, runtime: Runtime
) -> list[Path]:
    """Train a composer for each seed, unless it is there."""
    made = []
    for seed in seeds:
        composer = folder / f"{name}-{seed}"
        if not (composer / "config.json").exists():
            given = TrainOptions(seed=seed, soft=options.soft)
            triptych.train(
                folder / "triplets.parquet", folder / "catalog", composer, given, encoder=encoder, runtime=runtime
            )
        made.append(composer)
    return made


def tests(name: str, data: Path, out: Path, split: str) -> list[Task]:
    """The benchmark's tasks on other pictures than the catalog's."""
    benchmark = BENCHMARKS[name.partition("-")[0]]
    return load_tasks(benchmark, out / "world" if benchmark == "wardrobe" else data / benchmark, split)


def table(
    name: str,
    task: Task,
    out: Path,
    encoder: Encoder,
    variants: Mapping[tuple[str, str], Sequence[Path]],
    runtime: Runtime,
) -> str:
    """A line for each variant on a task."""
    where = out / f"{task.split}-{task.benchmark}"
    index_task(task, where, encoder, runtime)
    encoded = EncodedTask(task, encoder, known_vectors(Catalog(where), [task]))
    references = [query.reference for query in encoded.queries]
    lines: list[str] = []
    before: Values = {}
    for (label, verified), composers in variants.items():
        runs = []
        for folder in composers:
            composer = load_composer(folder, threads=runtime.threads)
            attach_encoder(composer, encoder)
            runs.append(encoded.values(composer))
        found = {metric: np.mean([run[metric] for run in runs], axis=0) for metric in METRICS}
        before = before or found
        cells = [spread([100 * float(run[metric].mean()) for run in runs]) for metric in METRICS]
        pair = {"R@10": found["R@10"], "before": before["R@10"]}
        gain = ahead(pair, {"gain": ("R@10", "before")}, references)["gain"]
        cells.append("{:+.1f} ({:+.1f} to {:+.1f})".format(*gain) if found is not before else "")
        lines.append(f"| {name}, {task.name} | {label} | {verified} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(figures: Sequence[float]) -> str:
    """The mean, with the standard deviation of several."""
    more = f" ± {np.std(figures, ddof=1):.1f}" if len(figures) > 1 else ""
    return f"{np.mean(figures):.1f}{more}"


if __name__ == "__main__":
    main()
