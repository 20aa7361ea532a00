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
    from triptych.benchmarks.checking import check_pictures
    from triptych.benchmarks.datasets.fashion_products.products import prepare_fashion_products
    from triptych.benchmarks.datasets.wardrobe.world import write_world
    from triptych.catalog.catalog import Catalog
    from triptych.catalog.indexing import IndexResult, index
    from triptych.chat.settings import ChatBatch, ChatBudget, ChatEndpoint, ChatJudge, ChatRequest, ChatSettings
    from triptych.composers.trained import TrainedComposer
    from triptych.core.environment import Runtime, doctor
    from triptych.demonstration.demo import demo
    from triptych.encoders.registry import load_encoder
    from triptych.evaluation.ablation.running import ablate
    from triptych.evaluation.evaluate import evaluate
    from triptych.evaluation.leakage import leakage
    from triptych.evaluation.reasoners import ReasonerComparison, compare_reasoners
    from triptych.evaluation.reproduction.running import reproduce
    from triptych.evaluation.results.comparison import compare
    from triptych.evaluation.results.tables import table
    from triptych.evaluation.scoring import score
    from triptych.exporting.models import ExportModelsResult, export_models
    from triptych.exporting.vectors import ExportVectorsResult, export_vectors
    from triptych.mining.chat.pipeline import mine_chat
    from triptych.mining.chat.results import ChatMineResult, CostEstimate, MineStatus
    from triptych.mining.chat.status import mine_status
    from triptych.mining.options import ChatMineOptions, CriticOptions, MineOptions, RefineOptions
    from triptych.mining.pipeline import MineResult, mine
    from triptych.mining.refinement import RefineResult, refine
    from triptych.retrieval.library import Library
    from triptych.retrieval.options import EngineOptions, RerankOptions, SearchOptions
    from triptych.retrieval.query import SearchQuery
    from triptych.retrieval.results import Hit, Picture
    from triptych.retrieval.searching import open_catalog, search
    from triptych.serving.keys import make_key
    from triptych.serving.options import ServeOptions
    from triptych.serving.server import serve
    from triptych.training.adapting import adapt
    from triptych.training.composer import train
    from triptych.training.inversion.trainer import invert
    from triptych.training.pretraining import pretrain
    from triptych.triplets.exporting import ExportResult, triplets_export
    from triptych.triplets.importing import ImportResult, triplets_import
    from triptych.triplets.options import ReviewOptions, SampleOptions
    from triptych.triplets.review import ApplyReviewResult, ReviewResult, triplets_apply_review, triplets_review
    from triptych.triplets.sampling import SampleResult, triplets_sample
    from triptych.triplets.statistics import TripletStatistics, triplets_stats

__all__ = [
    "ApplyReviewResult",
    "Catalog",
    "ChatBatch",
    "ChatBudget",
    "ChatEndpoint",
    "ChatJudge",
    "ChatMineOptions",
    "ChatMineResult",
    "ChatRequest",
    "ChatSettings",
    "CostEstimate",
    "CriticOptions",
    "EngineOptions",
    "ExportModelsResult",
    "ExportResult",
    "ExportVectorsResult",
    "Hit",
    "ImportResult",
    "IndexResult",
    "Library",
    "MineOptions",
    "MineResult",
    "MineStatus",
    "Picture",
    "ReasonerComparison",
    "RefineOptions",
    "RefineResult",
    "RerankOptions",
    "ReviewOptions",
    "ReviewResult",
    "Runtime",
    "SampleOptions",
    "SampleResult",
    "SearchOptions",
    "SearchQuery",
    "ServeOptions",
    "TrainedComposer",
    "TripletStatistics",
    "TriptychError",
    "__version__",
    "ablate",
    "adapt",
    "check_pictures",
    "compare",
    "compare_reasoners",
    "demo",
    "doctor",
    "evaluate",
    "export_models",
    "export_vectors",
    "index",
    "invert",
    "leakage",
    "load_encoder",
    "make_key",
    "mine",
    "mine_chat",
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
    "triplets_apply_review",
    "triplets_export",
    "triplets_import",
    "triplets_review",
    "triplets_sample",
    "triplets_stats",
    "write_world",
]

# No module here may bear the name of a function: importing it would put it in the function's place.
# Looked up when first used, so that `triptych --help` does not wait for numerical libraries.
_HOME = {
    "ApplyReviewResult": "triptych.triplets.review",
    "Catalog": "triptych.catalog.catalog",
    "ChatBatch": "triptych.chat.settings",
    "ChatBudget": "triptych.chat.settings",
    "ChatEndpoint": "triptych.chat.settings",
    "ChatJudge": "triptych.chat.settings",
    "ChatMineOptions": "triptych.mining.options",
    "ChatMineResult": "triptych.mining.chat.results",
    "ChatRequest": "triptych.chat.settings",
    "ChatSettings": "triptych.chat.settings",
    "CostEstimate": "triptych.mining.chat.results",
    "CriticOptions": "triptych.mining.options",
    "EngineOptions": "triptych.retrieval.options",
    "ExportModelsResult": "triptych.exporting.models",
    "ExportResult": "triptych.triplets.exporting",
    "ExportVectorsResult": "triptych.exporting.vectors",
    "Hit": "triptych.retrieval.results",
    "ImportResult": "triptych.triplets.importing",
    "IndexResult": "triptych.catalog.indexing",
    "Library": "triptych.retrieval.library",
    "MineOptions": "triptych.mining.options",
    "MineResult": "triptych.mining.pipeline",
    "MineStatus": "triptych.mining.chat.results",
    "Picture": "triptych.retrieval.results",
    "ReasonerComparison": "triptych.evaluation.reasoners",
    "RefineOptions": "triptych.mining.options",
    "RefineResult": "triptych.mining.refinement",
    "RerankOptions": "triptych.retrieval.options",
    "ReviewOptions": "triptych.triplets.options",
    "ReviewResult": "triptych.triplets.review",
    "Runtime": "triptych.core.environment",
    "SampleOptions": "triptych.triplets.options",
    "SampleResult": "triptych.triplets.sampling",
    "SearchOptions": "triptych.retrieval.options",
    "SearchQuery": "triptych.retrieval.query",
    "ServeOptions": "triptych.serving.options",
    "TrainedComposer": "triptych.composers.trained",
    "TripletStatistics": "triptych.triplets.statistics",
    "ablate": "triptych.evaluation.ablation.running",
    "adapt": "triptych.training.adapting",
    "check_pictures": "triptych.benchmarks.checking",
    "compare": "triptych.evaluation.results.comparison",
    "compare_reasoners": "triptych.evaluation.reasoners",
    "demo": "triptych.demonstration.demo",
    "doctor": "triptych.core.environment",
    "evaluate": "triptych.evaluation.evaluate",
    "export_models": "triptych.exporting.models",
    "export_vectors": "triptych.exporting.vectors",
    "index": "triptych.catalog.indexing",
    "invert": "triptych.training.inversion.trainer",
    "leakage": "triptych.evaluation.leakage",
    "load_encoder": "triptych.encoders.registry",
    "make_key": "triptych.serving.keys",
    "mine": "triptych.mining.pipeline",
    "mine_chat": "triptych.mining.chat.pipeline",
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
    "triplets_apply_review": "triptych.triplets.review",
    "triplets_export": "triptych.triplets.exporting",
    "triplets_import": "triptych.triplets.importing",
    "triplets_review": "triptych.triplets.review",
    "triplets_sample": "triptych.triplets.sampling",
    "triplets_stats": "triptych.triplets.statistics",
    "write_world": "triptych.benchmarks.datasets.wardrobe.world",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'triptych' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
