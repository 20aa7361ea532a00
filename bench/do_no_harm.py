"""Does a composer harm? Each encoder on each catalog: index, mine, train, and what true labels say of the result.

    python bench/do_no_harm.py OUT [--encoder photos wardrobe hf:FOLDER] [--cells photos/closet …] [--limit 1000]

For each cell (an encoder on a catalog of harm_worlds.py) `mine` and `train` run with their defaults, seed 0 and the
default vocabulary, but for `--limit` references. The composer is measured as it is, and judged by 100 queries with true
answers as `train --validate-by` does, which also chooses how far to trust what was learnt. R@10 in percent: of picture,
text, their sum at the default weight, the composer without truth, and the one that was judged.

*ahead*: the composer against the best of picture, text and sum on these very queries, with the 95 % interval of a
bootstrap over references. A cell is harmed where the interval of a test lies below 0. *refused*: mining or training
found nothing to learn from, or the verdict is that the composer lost, so that `search` takes the sum. A verdict is
right where it has the sign of the difference on the larger set: queries of the same kind, with other references.

Each cell leaves a folder in OUT with `result.json`; what is there is not made again, so a killed run goes on. The
tables are of all results that are there. `--encoder hf:NAME` measures a model of the Hugging Face hub.
"""

import argparse
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import triptych
from harm_tables import tables
from harm_worlds import World, find_world
from triptych.benchmarks.task import Task
from triptych.catalog.catalog import Catalog
from triptych.composers.baselines import DEFAULT_WEIGHT, PictureOnly, TextOnly, WeightedSum
from triptych.composers.protocol import Composer, attach_encoder
from triptych.composers.registry import load_composer
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError
from triptych.core.files import read_json, write_json
from triptych.core.progress import say
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask, known_vectors
from triptych.metrics.resampling import bootstrap_intervals
from triptych.mining.options import MineOptions

DATA = Path(os.environ.get("TRIPTYCH_DATA", "../shared/data"))
CATALOGS = ("closet", "products-500", "products-2500", "domains", "wardrobe", "products-all")
BASELINES = ("picture", "text", "sum")
METRIC = "R@10"
RESAMPLES = 4000

Stages = dict[str, dict[str, Any]]
Values = dict[str, NDArray[np.float64]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--encoder", nargs="+", default=["photos", "wardrobe"])
    parser.add_argument("--cells", nargs="*", help="such as photos/closet; a folder goes by its last name")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--limit", type=int, default=1000, help="references that mining asks about")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    runtime = Runtime(threads=given.threads)
    for name in given.encoder:
        label = Path(name.removeprefix("hf:")).name
        cells = [f"{label}/{catalog}" for catalog in CATALOGS]
        due = [cell for cell in cells if not given.cells or cell in given.cells]
        due = [cell for cell in due if not (given.out / cell / "result.json").exists()]
        if not due:
            continue
        encoder = load_encoder(name, threads=given.threads)
        remember_texts(encoder)
        for cell in due:
            world = find_world(cell.partition("/")[2], given.data, given.out)
            say(f"{cell}: {len(world.pictures)} pictures, {len(world.labelled)} of them labelled")
            found = measure_cell(encoder, world, given.out / cell, given.limit, runtime)
            write_json(given.out / cell / "result.json", {"cell": cell} | found)
    results = [read_json(path, "result") for path in sorted(given.out.glob("*/*/result.json"))]
    order = {label: place for place, label in enumerate(CATALOGS)}
    print(tables(sorted(results, key=lambda one: (one["encoder"], order[one["catalog"]]))))


def measure_cell(encoder: Encoder, world: World, folder: Path, limit: int, runtime: Runtime) -> dict[str, Any]:
    """Everything about a cell, as JSON."""
    catalog, triplets = folder / "catalog", folder / "triplets.parquet"
    names, table = world.write(folder)
    triptych.index(names, catalog, encoder=encoder, metadata=table, root=world.root, runtime=runtime)
    truth, larger = world.queries(catalog)
    options = MineOptions(limit=min(limit, len(world.pictures)))
    composer, judged = folder / "composer", folder / "judged"

    def judge() -> Any:
        shutil.rmtree(judged, ignore_errors=True)
        shutil.copytree(composer, judged)
        return triptych.judge_composer(judged, catalog, truth, encoder=encoder, runtime=runtime)

    stages: Stages = {}
    for name, make in (
        ("mine", lambda: triptych.mine(catalog, triplets, options, encoder=encoder, runtime=runtime)),
        ("train", lambda: triptych.train(triplets, catalog, composer, encoder=encoder, runtime=runtime)),
        ("judge", judge),
    ):
        stages[name] = stage(folder / f"{name}.json", make)
        if "gave_up" in stages[name]:
            break
    verdict = stages.get("judge", {})
    composers = {"composer": composer} if "best_epoch" in stages.get("train", {}) else {}
    composers |= {"judged": judged} if "decided" in verdict else {}
    methods = methods_of(encoder, composers, verdict.get("sum_weight"), runtime)
    tests = world.tests({query.reference for query in truth.queries})
    elsewhere = folder.parent / f"test-{world.name.partition('-')[0]}" if world.elsewhere else catalog
    encoded = [(task, elsewhere) for task in tests] + [(larger, catalog)]
    return {
        "encoder": encoder.name,
        "catalog": world.name,
        "pictures": len(world.pictures),
        "limit": options.limit,
        "stages": stages,
        "truth_queries": len(truth.queries),
        "trust": {name: trust_of(path) for name, path in composers.items()},
        "tests": [measure_task(task, where, encoder, methods, runtime) for task, where in encoded],
    }


def stage(path: Path, make: Callable[[], Any]) -> dict[str, Any]:
    """What a stage returns, or why it refused, and how long it took; kept in a file, and not made again."""
    if not path.exists():
        started = time.monotonic()
        try:
            found = asdict(make())
        except FailureError as error:
            found = {"gave_up": str(error)}
        write_json(path, found | {"wall_s": round(time.monotonic() - started, 1)})
    known: dict[str, Any] = read_json(path, "result of a stage")
    return known


def methods_of(
    encoder: Encoder, composers: dict[str, Path], weight: float | None, runtime: Runtime
) -> dict[str, Composer]:
    """The baselines, the sum at the weight that the truth chose, and the composers, each with the encoder."""
    methods: dict[str, Composer] = {
        "picture": PictureOnly(),
        "text": TextOnly(encoder),
        "sum": WeightedSum("sum", TextOnly(encoder), DEFAULT_WEIGHT),
    }
    if weight is not None:
        methods["sum by truth"] = WeightedSum("sum", TextOnly(encoder), weight)
    for name, folder in composers.items():
        methods[name] = load_composer(folder, threads=runtime.threads)
        attach_encoder(methods[name], encoder)
    return methods


def trust_of(composer: Path) -> float | None:
    """How much what was learnt counts beside the sum; None where it has no say in that."""
    kept = read_json(composer / "config.json", "composer").get("kept_sum")
    return None if kept is None else float(kept["trust"])


def measure_task(
    task: Task, where: Path, encoder: Encoder, methods: dict[str, Composer], runtime: Runtime
) -> dict[str, Any]:
    """R@10 of each method, and how far the composers are ahead; `where` is a catalog of the task's pictures."""
    index_task(task, where, encoder, runtime)
    encoded = EncodedTask(task, encoder, known_vectors(Catalog(where), [task]))
    values = {name: encoded.values(method)[METRIC] for name, method in methods.items()}
    references = [query.reference for query in encoded.queries]
    best = max(BASELINES, key=lambda name: values[name].mean())
    strongest = max((best, "sum by truth"), key=lambda name: values[name].mean() if name in values else -1.0)
    pairs = {"composer": ("composer", best), "judged": ("judged", best), "verdict": ("judged", strongest)}
    pairs = {name: pair for name, pair in pairs.items() if pair[0] in values}
    return {
        "task": task.name,
        "queries": len(references),
        "gallery": len(encoded.gallery_names),
        "unreadable": encoded.unreadable,
        "recall": {name: round(100 * float(each.mean()), 2) for name, each in values.items()},
        "best": best,
        "ahead": ahead(values, pairs, references) if pairs else {},
    }


def index_task(task: Task, where: Path, encoder: Encoder, runtime: Runtime) -> None:
    """Make a catalog of a task's pictures, unless it is there."""
    if not Catalog.exists(where):
        names = where.with_suffix(".txt")
        names.parent.mkdir(parents=True, exist_ok=True)
        names.write_text("".join(f"{name}\n" for name in task.names), encoding="utf-8")
        triptych.index(names, where, encoder=encoder, root=task.root, runtime=runtime)


def ahead(
    values: Values, pairs: dict[str, tuple[str, str]], references: Sequence[str]
) -> dict[str, tuple[float, float, float]]:
    """By how many points of R@10 the first of each pair is ahead of the second, and the ends of its 95 % interval.

    References are drawn anew, each with all of its queries.
    """
    _, place = np.unique(references, return_inverse=True)
    table = np.zeros((int(place.max()) + 1, len(pairs)))
    np.add.at(table, place, np.stack([values[one] - values[other] for one, other in pairs.values()], axis=1))
    table *= len(table) / len(references)  # so that the mean over references is that over queries
    intervals = 100 * bootstrap_intervals(table, resamples=RESAMPLES)
    means = 100 * table.mean(axis=0)
    return {
        name: (round(float(mean), 2), round(float(low), 2), round(float(high), 2))
        for name, mean, (low, high) in zip(pairs, means, intervals, strict=True)
    }


def remember_texts(encoder: Encoder) -> None:
    """Let an encoder encode each text once in this run: every method and test asks the same ones again."""
    known: dict[str, NDArray[np.float32]] = {}
    encode = encoder.encode_texts

    def encode_texts(texts: Sequence[str]) -> NDArray[np.float32]:
        fresh = [text for text in dict.fromkeys(texts) if text not in known]
        if fresh or not texts:
            made = encode(fresh)
            known.update(zip(fresh, made, strict=True))
            if not texts:
                return made
        return np.stack([known[text] for text in texts])

    encoder.__dict__["encode_texts"] = encode_texts


if __name__ == "__main__":
    main()
