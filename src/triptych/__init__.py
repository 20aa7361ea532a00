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
    from triptych.chat.settings import ChatSettings
    from triptych.composers.trained import TrainedComposer
    from triptych.core.environment import Runtime, doctor
    from triptych.demonstration.demo import demo
    from triptych.encoders.registry import load_encoder
    from triptych.evaluation.ablation.running import ablate
    from triptych.evaluation.evaluate import evaluate
    from triptych.evaluation.leakage import leakage
    from triptych.evaluation.reasoners import triplets_compare
    from triptych.evaluation.reproduction.running import reproduce
    from triptych.evaluation.results.comparison import compare
    from triptych.evaluation.results.tables import table
    from triptych.evaluation.scoring import score
    from triptych.exporting.models import ExportModelsResult, export_models
    from triptych.exporting.vectors import ExportVectorsResult, export_vectors
    from triptych.mining.chat.status import mine_status
    from triptych.mining.options import Bars
    from triptych.mining.pipeline import mine
    from triptych.mining.refinement import refine
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
    from triptych.triplets.exporting import triplets_export
    from triptych.triplets.importing import triplets_import
    from triptych.triplets.review import triplets_review
    from triptych.triplets.sampling import triplets_sample
    from triptych.triplets.statistics import triplets_stats

__all__ = [
    "Bars",
    "Catalog",
    "ChatSettings",
    "EngineOptions",
    "ExportModelsResult",
    "ExportVectorsResult",
    "Hit",
    "IndexResult",
    "Library",
    "Picture",
    "RerankOptions",
    "Runtime",
    "SearchOptions",
    "SearchQuery",
    "ServeOptions",
    "TrainedComposer",
    "TriptychError",
    "__version__",
    "ablate",
    "adapt",
    "check_pictures",
    "compare",
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
    "triplets_compare",
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
    "Bars": "triptych.mining.options",
    "Catalog": "triptych.catalog.catalog",
    "ChatSettings": "triptych.chat.settings",
    "EngineOptions": "triptych.retrieval.options",
    "ExportModelsResult": "triptych.exporting.models",
    "ExportVectorsResult": "triptych.exporting.vectors",
    "Hit": "triptych.retrieval.results",
    "IndexResult": "triptych.catalog.indexing",
    "Library": "triptych.retrieval.library",
    "Picture": "triptych.retrieval.results",
    "RerankOptions": "triptych.retrieval.options",
    "Runtime": "triptych.core.environment",
    "SearchOptions": "triptych.retrieval.options",
    "SearchQuery": "triptych.retrieval.query",
    "ServeOptions": "triptych.serving.options",
    "TrainedComposer": "triptych.composers.trained",
    "ablate": "triptych.evaluation.ablation.running",
    "adapt": "triptych.training.adapting",
    "check_pictures": "triptych.benchmarks.checking",
    "compare": "triptych.evaluation.results.comparison",
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
    "triplets_compare": "triptych.evaluation.reasoners",
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
