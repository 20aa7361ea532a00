"""Zero-shot composed image retrieval: find a picture from another picture and a few words, with no labelled data.

Nearly each command of the program is a function here, with the same words (docs/python.md has the exceptions):

    import triptych
    triptych.index("pictures", "catalog")
    hits = triptych.search("catalog", image="jacket.jpg", text="but in red")

What goes wrong raises a TriptychError, whose message says what, where and what to do.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from triptych.core.errors import TriptychError
from triptych.core.version import __version__

if TYPE_CHECKING:
    from triptych.benchmarks.benchmark import Benchmark
    from triptych.benchmarks.checking import CheckResult, check_benchmark
    from triptych.benchmarks.datasets.fashion_products.products import prepare_fashion_products
    from triptych.benchmarks.datasets.wardrobe.world import WardrobeResult, write_wardrobe
    from triptych.benchmarks.task import MetricCutoffs, Query, Task
    from triptych.catalog.catalog import Catalog
    from triptych.catalog.indexing import index
    from triptych.chat.settings import ChatSettings
    from triptych.composers.protocol import Composer
    from triptych.composers.registry import load_composer
    from triptych.composers.trained import TrainedComposer
    from triptych.core.environment import Runtime, doctor
    from triptych.demonstration.demo import demo
    from triptych.demonstration.options import DemoOptions
    from triptych.encoders.protocol import Encoder
    from triptych.encoders.registry import load_encoder
    from triptych.evaluation.ablation.running import ablate
    from triptych.evaluation.evaluate import EvaluateResult, evaluate
    from triptych.evaluation.leakage import LeakageResult, leakage
    from triptych.evaluation.options import CompareOptions, EvaluateOptions, LeakageOptions
    from triptych.evaluation.reasoners import CompareReasonersResult, compare_reasoners
    from triptych.evaluation.reproduction.running import ReproduceResult, reproduce
    from triptych.evaluation.results.comparison import CompareResult, compare
    from triptych.evaluation.results.row import ResultRow
    from triptych.evaluation.results.tables import table
    from triptych.evaluation.scoring import ScoreResult, score
    from triptych.exporting.models import export_onnx
    from triptych.exporting.vectors import export
    from triptych.mining.chat.status import mine_status
    from triptych.mining.options import Bars
    from triptych.mining.pipeline import mine
    from triptych.mining.refinement import refine
    from triptych.retrieval.library import Library
    from triptych.retrieval.results import Hit, Picture
    from triptych.retrieval.searching import open_catalog, search
    from triptych.serving.keys import make_key
    from triptych.serving.server import serve
    from triptych.training.adapting import adapt
    from triptych.training.composer import train
    from triptych.training.inversion.trainer import invert
    from triptych.training.pretraining import pretrain
    from triptych.triplets.exporting import triplets_export
    from triptych.triplets.importing import triplets_import
    from triptych.triplets.review import triplets_review
    from triptych.triplets.sampling import triplets_sample
    from triptych.triplets.statistics import triplets_stats

__all__ = [
    "Bars",
    "Benchmark",
    "Catalog",
    "ChatSettings",
    "CheckResult",
    "CompareOptions",
    "CompareReasonersResult",
    "CompareResult",
    "Composer",
    "DemoOptions",
    "Encoder",
    "EvaluateOptions",
    "EvaluateResult",
    "Hit",
    "LeakageOptions",
    "LeakageResult",
    "Library",
    "MetricCutoffs",
    "Picture",
    "Query",
    "ReproduceResult",
    "ResultRow",
    "Runtime",
    "ScoreResult",
    "Task",
    "TrainedComposer",
    "TriptychError",
    "WardrobeResult",
    "__version__",
    "ablate",
    "adapt",
    "check_benchmark",
    "compare",
    "compare_reasoners",
    "demo",
    "doctor",
    "evaluate",
    "export",
    "export_onnx",
    "index",
    "invert",
    "leakage",
    "load_composer",
    "load_encoder",
    "make_key",
    "mine",
    "mine_status",
    "open_catalog",
    "prepare_fashion_products",
    "pretrain",
    "refine",
    "reproduce",
    "score",
    "search",
    "serve",
    "table",
    "train",
    "triplets_export",
    "triplets_import",
    "triplets_review",
    "triplets_sample",
    "triplets_stats",
    "write_wardrobe",
]

# No module here may bear the name of a function: importing it would put it in the function's place.
# Looked up when first used, so that `triptych --help` does not wait for numerical libraries.
_HOME = {
    "Bars": "triptych.mining.options",
    "Benchmark": "triptych.benchmarks.benchmark",
    "Catalog": "triptych.catalog.catalog",
    "ChatSettings": "triptych.chat.settings",
    "CheckResult": "triptych.benchmarks.checking",
    "CompareOptions": "triptych.evaluation.options",
    "CompareReasonersResult": "triptych.evaluation.reasoners",
    "CompareResult": "triptych.evaluation.results.comparison",
    "Composer": "triptych.composers.protocol",
    "DemoOptions": "triptych.demonstration.options",
    "Encoder": "triptych.encoders.protocol",
    "EvaluateOptions": "triptych.evaluation.options",
    "EvaluateResult": "triptych.evaluation.evaluate",
    "Hit": "triptych.retrieval.results",
    "LeakageOptions": "triptych.evaluation.options",
    "LeakageResult": "triptych.evaluation.leakage",
    "Library": "triptych.retrieval.library",
    "MetricCutoffs": "triptych.benchmarks.task",
    "Picture": "triptych.retrieval.results",
    "Query": "triptych.benchmarks.task",
    "ReproduceResult": "triptych.evaluation.reproduction.running",
    "ResultRow": "triptych.evaluation.results.row",
    "Runtime": "triptych.core.environment",
    "ScoreResult": "triptych.evaluation.scoring",
    "Task": "triptych.benchmarks.task",
    "TrainedComposer": "triptych.composers.trained",
    "WardrobeResult": "triptych.benchmarks.datasets.wardrobe.world",
    "ablate": "triptych.evaluation.ablation.running",
    "adapt": "triptych.training.adapting",
    "check_benchmark": "triptych.benchmarks.checking",
    "compare": "triptych.evaluation.results.comparison",
    "compare_reasoners": "triptych.evaluation.reasoners",
    "demo": "triptych.demonstration.demo",
    "doctor": "triptych.core.environment",
    "evaluate": "triptych.evaluation.evaluate",
    "export": "triptych.exporting.vectors",
    "export_onnx": "triptych.exporting.models",
    "index": "triptych.catalog.indexing",
    "invert": "triptych.training.inversion.trainer",
    "leakage": "triptych.evaluation.leakage",
    "load_composer": "triptych.composers.registry",
    "load_encoder": "triptych.encoders.registry",
    "make_key": "triptych.serving.keys",
    "mine": "triptych.mining.pipeline",
    "mine_status": "triptych.mining.chat.status",
    "open_catalog": "triptych.retrieval.searching",
    "prepare_fashion_products": "triptych.benchmarks.datasets.fashion_products.products",
    "pretrain": "triptych.training.pretraining",
    "refine": "triptych.mining.refinement",
    "reproduce": "triptych.evaluation.reproduction.running",
    "score": "triptych.evaluation.scoring",
    "search": "triptych.retrieval.searching",
    "serve": "triptych.serving.server",
    "table": "triptych.evaluation.results.tables",
    "train": "triptych.training.composer",
    "triplets_export": "triptych.triplets.exporting",
    "triplets_import": "triptych.triplets.importing",
    "triplets_review": "triptych.triplets.review",
    "triplets_sample": "triptych.triplets.sampling",
    "triplets_stats": "triptych.triplets.statistics",
    "write_wardrobe": "triptych.benchmarks.datasets.wardrobe.world",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'triptych' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
