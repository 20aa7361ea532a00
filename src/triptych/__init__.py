"""Zero-shot composed image retrieval: find a picture from another picture and a few words, with no labelled data.

Nearly each command of the program is a function here, with the same words (docs/how-to/python.md has the exceptions):

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
    from triptych.catalog.indexing import IndexResult, index
    from triptych.catalog.options import IndexOptions, ReencodeOptions, UpdateOptions
    from triptych.catalog.reencoding import ReencodeResult, reencode
    from triptych.catalog.updating import UpdateResult, update
    from triptych.chat.settings import ChatBatch, ChatBudget, ChatEndpoint, ChatJudge, ChatRequest, ChatSettings
    from triptych.composers.protocol import Composer
    from triptych.composers.registry import load_composer
    from triptych.composers.trained import TrainedComposer
    from triptych.composers.truth import TruthQueries, TruthQuery, Verdict
    from triptych.core.cluster import ClusterOptions
    from triptych.core.environment import Runtime, doctor
    from triptych.core.progress import progress_log
    from triptych.demonstration.demo import demo
    from triptych.demonstration.options import DemoOptions
    from triptych.encoders.known import KNOWN_ENCODERS
    from triptych.encoders.open_clip import ConvertEncoderResult, convert_encoder
    from triptych.encoders.protocol import Encoder, TextReading
    from triptych.encoders.registry import load_encoder
    from triptych.evaluation.ablation.options import AblateOptions
    from triptych.evaluation.ablation.running import ablate
    from triptych.evaluation.ablation.showing import AblationResult
    from triptych.evaluation.evaluate import EvaluateResult, evaluate
    from triptych.evaluation.inspection import InspectResult, inspect
    from triptych.evaluation.leakage import LeakageResult, leakage
    from triptych.evaluation.options import (
        CompareOptions,
        EvaluateChatOptions,
        EvaluateOptions,
        InspectOptions,
        LeakageOptions,
    )
    from triptych.evaluation.reasoners import ReasonerComparison, compare_reasoners
    from triptych.evaluation.reproduction.running import ReproduceResult, reproduce
    from triptych.evaluation.results.comparison import CompareResult, compare
    from triptych.evaluation.results.row import ResultRow
    from triptych.evaluation.results.tables import table
    from triptych.evaluation.scoring import ScoreResult, score
    from triptych.evaluation.truth import truth_of_pairs, truth_queries
    from triptych.exporting.models import ExportModelsResult, export_models
    from triptych.exporting.sharing import PullResult, PushResult, pull, push
    from triptych.exporting.vectors import ExportVectorsResult, export_vectors
    from triptych.mining.chat.pipeline import mine_chat
    from triptych.mining.chat.results import ChatMineResult, CostEstimate, MineStatus
    from triptych.mining.chat.status import mine_status
    from triptych.mining.options import ChatMineOptions, CriticOptions, MineOptions, RefineOptions
    from triptych.mining.pipeline import MineResult, mine
    from triptych.mining.refinement import RefineResult, refine
    from triptych.retrieval.open_catalog import OpenCatalog
    from triptych.retrieval.options import EngineOptions, RerankOptions, SearchOptions
    from triptych.retrieval.query import SearchQuery
    from triptych.retrieval.results import Hit, Hits, Picture
    from triptych.retrieval.searching import open_catalog, search
    from triptych.serving.keys import make_key
    from triptych.serving.options import ServeOptions
    from triptych.serving.server import serve
    from triptych.training.adapting import adapt_encoder
    from triptych.training.composer import train
    from triptych.training.finetuning import finetune
    from triptych.training.inversion.trainer import train_inversion
    from triptych.training.options import (
        AdaptOptions,
        FinetuneOptions,
        InversionOptions,
        LogOptions,
        LossOptions,
        PretrainOptions,
        SoftLabelOptions,
        TrainOptions,
    )
    from triptych.training.pretraining import pretrain
    from triptych.training.results import AdaptResult, FinetuneResult, InversionResult, PretrainResult, TrainResult
    from triptych.training.verdict import judge_composer
    from triptych.triplets.exporting import ExportResult, triplets_export
    from triptych.triplets.importing import ImportResult, triplets_import
    from triptych.triplets.options import ReviewOptions, SampleOptions
    from triptych.triplets.review import ApplyReviewResult, ReviewResult, triplets_apply_review, triplets_review
    from triptych.triplets.sampling import SampleResult, triplets_sample
    from triptych.triplets.statistics import TripletStatistics, triplets_stats

__all__ = [
    "KNOWN_ENCODERS",
    "AblateOptions",
    "AblationResult",
    "AdaptOptions",
    "AdaptResult",
    "ApplyReviewResult",
    "Benchmark",
    "Catalog",
    "ChatBatch",
    "ChatBudget",
    "ChatEndpoint",
    "ChatJudge",
    "ChatMineOptions",
    "ChatMineResult",
    "ChatRequest",
    "ChatSettings",
    "CheckResult",
    "ClusterOptions",
    "CompareOptions",
    "CompareResult",
    "Composer",
    "ConvertEncoderResult",
    "CostEstimate",
    "CriticOptions",
    "DemoOptions",
    "Encoder",
    "EngineOptions",
    "EvaluateChatOptions",
    "EvaluateOptions",
    "EvaluateResult",
    "ExportModelsResult",
    "ExportResult",
    "ExportVectorsResult",
    "FinetuneOptions",
    "FinetuneResult",
    "Hit",
    "Hits",
    "ImportResult",
    "IndexOptions",
    "IndexResult",
    "InspectOptions",
    "InspectResult",
    "InversionOptions",
    "InversionResult",
    "LeakageOptions",
    "LeakageResult",
    "LogOptions",
    "LossOptions",
    "MetricCutoffs",
    "MineOptions",
    "MineResult",
    "MineStatus",
    "OpenCatalog",
    "Picture",
    "PretrainOptions",
    "PretrainResult",
    "PullResult",
    "PushResult",
    "Query",
    "ReasonerComparison",
    "ReencodeOptions",
    "ReencodeResult",
    "RefineOptions",
    "RefineResult",
    "ReproduceResult",
    "RerankOptions",
    "ResultRow",
    "ReviewOptions",
    "ReviewResult",
    "Runtime",
    "SampleOptions",
    "SampleResult",
    "ScoreResult",
    "SearchOptions",
    "SearchQuery",
    "ServeOptions",
    "SoftLabelOptions",
    "Task",
    "TextReading",
    "TrainOptions",
    "TrainResult",
    "TrainedComposer",
    "TripletStatistics",
    "TriptychError",
    "TruthQueries",
    "TruthQuery",
    "UpdateOptions",
    "UpdateResult",
    "Verdict",
    "WardrobeResult",
    "__version__",
    "ablate",
    "adapt_encoder",
    "check_benchmark",
    "compare",
    "compare_reasoners",
    "convert_encoder",
    "demo",
    "doctor",
    "evaluate",
    "export_models",
    "export_vectors",
    "finetune",
    "index",
    "inspect",
    "judge_composer",
    "leakage",
    "load_composer",
    "load_encoder",
    "make_key",
    "mine",
    "mine_chat",
    "mine_status",
    "open_catalog",
    "prepare_fashion_products",
    "pretrain",
    "progress_log",
    "pull",
    "push",
    "reencode",
    "refine",
    "reproduce",
    "score",
    "search",
    "serve",
    "table",
    "train",
    "train_inversion",
    "triplets_apply_review",
    "triplets_export",
    "triplets_import",
    "triplets_review",
    "triplets_sample",
    "triplets_stats",
    "truth_of_pairs",
    "truth_queries",
    "update",
    "write_wardrobe",
]

# No module here may have the name of a public function: importing the module would replace the function.
# Looked up when first used, so that `triptych --help` does not wait for numerical libraries.
_HOME = {
    "AblateOptions": "triptych.evaluation.ablation.options",
    "AblationResult": "triptych.evaluation.ablation.showing",
    "AdaptOptions": "triptych.training.options",
    "AdaptResult": "triptych.training.results",
    "ApplyReviewResult": "triptych.triplets.review",
    "Benchmark": "triptych.benchmarks.benchmark",
    "Catalog": "triptych.catalog.catalog",
    "ChatBatch": "triptych.chat.settings",
    "ChatBudget": "triptych.chat.settings",
    "ChatEndpoint": "triptych.chat.settings",
    "ChatJudge": "triptych.chat.settings",
    "ChatMineOptions": "triptych.mining.options",
    "ChatMineResult": "triptych.mining.chat.results",
    "ChatRequest": "triptych.chat.settings",
    "ChatSettings": "triptych.chat.settings",
    "CheckResult": "triptych.benchmarks.checking",
    "ClusterOptions": "triptych.core.cluster",
    "CompareOptions": "triptych.evaluation.options",
    "CompareResult": "triptych.evaluation.results.comparison",
    "Composer": "triptych.composers.protocol",
    "ConvertEncoderResult": "triptych.encoders.open_clip",
    "CostEstimate": "triptych.mining.chat.results",
    "CriticOptions": "triptych.mining.options",
    "DemoOptions": "triptych.demonstration.options",
    "Encoder": "triptych.encoders.protocol",
    "EngineOptions": "triptych.retrieval.options",
    "EvaluateChatOptions": "triptych.evaluation.options",
    "EvaluateOptions": "triptych.evaluation.options",
    "EvaluateResult": "triptych.evaluation.evaluate",
    "ExportModelsResult": "triptych.exporting.models",
    "ExportResult": "triptych.triplets.exporting",
    "ExportVectorsResult": "triptych.exporting.vectors",
    "FinetuneOptions": "triptych.training.options",
    "FinetuneResult": "triptych.training.results",
    "Hit": "triptych.retrieval.results",
    "Hits": "triptych.retrieval.results",
    "ImportResult": "triptych.triplets.importing",
    "IndexOptions": "triptych.catalog.options",
    "IndexResult": "triptych.catalog.indexing",
    "InspectOptions": "triptych.evaluation.options",
    "InspectResult": "triptych.evaluation.inspection",
    "InversionOptions": "triptych.training.options",
    "InversionResult": "triptych.training.results",
    "KNOWN_ENCODERS": "triptych.encoders.known",
    "LeakageOptions": "triptych.evaluation.options",
    "LeakageResult": "triptych.evaluation.leakage",
    "OpenCatalog": "triptych.retrieval.open_catalog",
    "LogOptions": "triptych.training.options",
    "LossOptions": "triptych.training.options",
    "MetricCutoffs": "triptych.benchmarks.task",
    "MineOptions": "triptych.mining.options",
    "MineResult": "triptych.mining.pipeline",
    "MineStatus": "triptych.mining.chat.results",
    "Picture": "triptych.retrieval.results",
    "PretrainOptions": "triptych.training.options",
    "PretrainResult": "triptych.training.results",
    "PullResult": "triptych.exporting.sharing",
    "PushResult": "triptych.exporting.sharing",
    "Query": "triptych.benchmarks.task",
    "ReasonerComparison": "triptych.evaluation.reasoners",
    "ReencodeOptions": "triptych.catalog.options",
    "ReencodeResult": "triptych.catalog.reencoding",
    "RefineOptions": "triptych.mining.options",
    "RefineResult": "triptych.mining.refinement",
    "ReproduceResult": "triptych.evaluation.reproduction.running",
    "RerankOptions": "triptych.retrieval.options",
    "ResultRow": "triptych.evaluation.results.row",
    "ReviewOptions": "triptych.triplets.options",
    "ReviewResult": "triptych.triplets.review",
    "Runtime": "triptych.core.environment",
    "SampleOptions": "triptych.triplets.options",
    "SampleResult": "triptych.triplets.sampling",
    "ScoreResult": "triptych.evaluation.scoring",
    "SearchOptions": "triptych.retrieval.options",
    "SearchQuery": "triptych.retrieval.query",
    "ServeOptions": "triptych.serving.options",
    "SoftLabelOptions": "triptych.training.options",
    "Task": "triptych.benchmarks.task",
    "TextReading": "triptych.encoders.protocol",
    "TrainOptions": "triptych.training.options",
    "TrainResult": "triptych.training.results",
    "TrainedComposer": "triptych.composers.trained",
    "TripletStatistics": "triptych.triplets.statistics",
    "TruthQueries": "triptych.composers.truth",
    "TruthQuery": "triptych.composers.truth",
    "UpdateOptions": "triptych.catalog.options",
    "UpdateResult": "triptych.catalog.updating",
    "Verdict": "triptych.composers.truth",
    "WardrobeResult": "triptych.benchmarks.datasets.wardrobe.world",
    "ablate": "triptych.evaluation.ablation.running",
    "adapt_encoder": "triptych.training.adapting",
    "check_benchmark": "triptych.benchmarks.checking",
    "compare": "triptych.evaluation.results.comparison",
    "compare_reasoners": "triptych.evaluation.reasoners",
    "convert_encoder": "triptych.encoders.open_clip",
    "demo": "triptych.demonstration.demo",
    "doctor": "triptych.core.environment",
    "evaluate": "triptych.evaluation.evaluate",
    "export_models": "triptych.exporting.models",
    "export_vectors": "triptych.exporting.vectors",
    "finetune": "triptych.training.finetuning",
    "index": "triptych.catalog.indexing",
    "inspect": "triptych.evaluation.inspection",
    "judge_composer": "triptych.training.verdict",
    "leakage": "triptych.evaluation.leakage",
    "load_composer": "triptych.composers.registry",
    "load_encoder": "triptych.encoders.registry",
    "make_key": "triptych.serving.keys",
    "mine": "triptych.mining.pipeline",
    "mine_chat": "triptych.mining.chat.pipeline",
    "mine_status": "triptych.mining.chat.status",
    "open_catalog": "triptych.retrieval.searching",
    "prepare_fashion_products": "triptych.benchmarks.datasets.fashion_products.products",
    "pretrain": "triptych.training.pretraining",
    "pull": "triptych.exporting.sharing",
    "push": "triptych.exporting.sharing",
    "progress_log": "triptych.core.progress",
    "reencode": "triptych.catalog.reencoding",
    "refine": "triptych.mining.refinement",
    "reproduce": "triptych.evaluation.reproduction.running",
    "score": "triptych.evaluation.scoring",
    "search": "triptych.retrieval.searching",
    "serve": "triptych.serving.server",
    "table": "triptych.evaluation.results.tables",
    "train": "triptych.training.composer",
    "train_inversion": "triptych.training.inversion.trainer",
    "triplets_apply_review": "triptych.triplets.review",
    "triplets_export": "triptych.triplets.exporting",
    "triplets_import": "triptych.triplets.importing",
    "triplets_review": "triptych.triplets.review",
    "triplets_sample": "triptych.triplets.sampling",
    "triplets_stats": "triptych.triplets.statistics",
    "truth_of_pairs": "triptych.evaluation.truth",
    "truth_queries": "triptych.evaluation.truth",
    "update": "triptych.catalog.updating",
    "write_wardrobe": "triptych.benchmarks.datasets.wardrobe.world",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'triptych' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
