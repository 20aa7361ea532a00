"""Select a method's weight or prompt on the tuning split."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.pictures import Key, require_folder
from triptych.benchmarks.registry import load_tasks
from triptych.benchmarks.task import Task
from triptych.composers.baselines import WEIGHTS, WeightedSum
from triptych.composers.protocol import Composer, HasPrompts, has_prompts
from triptych.core.cluster import Workers
from triptych.core.errors import DataError, TriptychError
from triptych.core.limits import Limits
from triptych.core.progress import say
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder
from triptych.evaluation.encoded_task import EncodedTask, mean_vectors
from triptych.evaluation.options import EvaluateOptions
from triptych.metrics.measures import summarise


def tuned(method: Composer, val: EncodedTask | None, weight: float | None = None) -> tuple[Composer, dict[str, Any]]:
    """Select the weight or prompt that is best on `val`. Also returns the facts for a result row.

    A given `weight`, or the only prompt of a composer, is kept.
    """
    source = "val" if val else "default"
    if isinstance(method, WeightedSum):
        if weight is not None:
            source = "given"
        elif val:
            method = replace(method, weight=best_weight(method, val))
        return method, {"weight": method.weight, "weight_from": source}
    if has_prompts(method):
        if len(method.prompts) == 1:
            source = "given"
        elif val:
            method = method.with_prompt(best_prompt(method, val))
        return method, {"prompt": method.prompt, "prompt_from": source}
    return method, {}


def tuning_tasks(benchmark: Benchmark, root: Path, options: EvaluateOptions) -> dict[str, Task]:
    """Load the tasks of the split on which weights and prompts are selected; empty if there is no other split.

    If `tune_root` is given, loading errors are raised; otherwise they are reported as a missing split.
    """
    split = "val" if options.tune_root else benchmark.tune_split.get(options.split)
    if split is None:
        return {}
    try:
        tasks = load_tasks(benchmark, Path(options.tune_root or root), split, options.settings)
        for task in tasks:
            require_folder(task)
    except TriptychError as error:
        if options.tune_root is not None:
            raise
        _say_defaults(error)
        return {}
    return {task.name: task for task in tasks}


def encode_tuning(
    tasks: Mapping[str, Task],
    encoder: Encoder,
    encoded: dict[Key, Any],
    limits: Limits,
    workers: Workers,
    *,
    required: bool,
) -> dict[str, EncodedTask]:
    """Encode the tasks that have pictures. `workers` encode them.

    Raises:
        DataError: a `required` task has none.
    """
    prepared = {}
    for name, task in tasks.items():
        try:
            prepared[name] = EncodedTask(task, encoder, encoded, limits, workers)
        except DataError as error:
            if required:
                raise
            _say_defaults(error)
    return prepared


def _say_defaults(error: TriptychError) -> None:
    say(f"eval: there is no validation split, so the weight is 0.5 and the prompt is the composer's first ({error})")


def best_weight(method: WeightedSum, task: EncodedTask) -> float:
    """The weight with the highest R@10, then mAP@10."""
    texts = task.compose_wordings(method.text)

    def queries(weight: float) -> Vectors:
        return mean_vectors([method.blend(task.references, wording, weight) for wording in texts])

    return max(WEIGHTS, key=lambda weight: _merit(task, queries(weight), task.gallery))


def best_prompt(composer: HasPrompts, task: EncodedTask) -> str:
    """The composer's prompt with the highest R@10, then mAP@10, then the first one."""
    gallery = task.gallery_for(composer)
    return max(composer.prompts, key=lambda prompt: _merit(task, task.compose(composer.with_prompt(prompt)), gallery))


def _merit(task: EncodedTask, queries: Vectors, gallery: Vectors) -> tuple[float, float]:
    metrics = summarise(task.ranks(queries, gallery))
    return metrics["R@10"], metrics["mAP@10"]
