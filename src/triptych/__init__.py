"""Zero-shot composed image retrieval: find a picture from another picture and a few words, with no labelled data.

Nearly each command of the program is a function here, with the same words (docs/python.md has the exceptions):

    import triptych
    triptych.index("pictures", "catalog")
    hits = triptych.search("catalog", image="jacket.jpg", text="but in red")

What goes wrong raises a TriptychError, whose message says what, where and what to do.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from triptych.errors import TriptychError
from triptych.version import __version__

if TYPE_CHECKING:
    from triptych.ablation import ablate
    from triptych.agent import Bars, mine, mine_status
    from triptych.benchmarks.evaluate import evaluate
    from triptych.benchmarks.fashion_products import prepare_fashion_products
    from triptych.benchmarks.overlap import leakage
    from triptych.benchmarks.preflight import check_pictures
    from triptych.benchmarks.scoring import score
    from triptych.catalog import Catalog, index
    from triptych.chat import ChatSettings
    from triptych.composers import TrainedComposer
    from triptych.composers.training import train
    from triptych.curation import (
        triplets_compare,
        triplets_export,
        triplets_import,
        triplets_review,
        triplets_sample,
        triplets_stats,
    )
    from triptych.demonstration import demo
    from triptych.diagnosis import doctor
    from triptych.encoders import load_encoder
    from triptych.encoders.adapting import adapt
    from triptych.encoders.pretraining import pretrain
    from triptych.exporting import export_onnx
    from triptych.inversion import invert
    from triptych.refining import refine
    from triptych.reproduction import reproduce
    from triptych.results import compare, table
    from triptych.searching import Hit, Library, Picture, open_catalog, search
    from triptych.serving import make_key, serve
    from triptych.stores.exporting import export
    from triptych.wardrobe import write_world

__all__ = [
    "Bars",
    "Catalog",
    "ChatSettings",
    "Hit",
    "Library",
    "Picture",
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
    "export",
    "export_onnx",
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
    "Bars": "triptych.agent",
    "Catalog": "triptych.catalog",
    "ChatSettings": "triptych.chat",
    "Hit": "triptych.searching",
    "Library": "triptych.searching",
    "Picture": "triptych.searching",
    "TrainedComposer": "triptych.composers",
    "ablate": "triptych.ablation",
    "adapt": "triptych.encoders.adapting",
    "check_pictures": "triptych.benchmarks.preflight",
    "compare": "triptych.results",
    "demo": "triptych.demonstration",
    "doctor": "triptych.diagnosis",
    "evaluate": "triptych.benchmarks.evaluate",
    "export": "triptych.stores.exporting",
    "export_onnx": "triptych.exporting",
    "index": "triptych.catalog",
    "invert": "triptych.inversion",
    "leakage": "triptych.benchmarks.overlap",
    "load_encoder": "triptych.encoders",
    "make_key": "triptych.serving",
    "mine": "triptych.agent",
    "mine_status": "triptych.agent",
    "open_catalog": "triptych.searching",
    "prepare_fashion_products": "triptych.benchmarks.fashion_products",
    "pretrain": "triptych.encoders.pretraining",
    "refine": "triptych.refining",
    "reproduce": "triptych.reproduction",
    "score": "triptych.benchmarks.scoring",
    "search": "triptych.searching",
    "table": "triptych.results",
    "serve": "triptych.serving",
    "train": "triptych.composers.training",
    "triplets_compare": "triptych.curation",
    "triplets_export": "triptych.curation",
    "triplets_import": "triptych.curation",
    "triplets_review": "triptych.curation",
    "triplets_sample": "triptych.curation",
    "triplets_stats": "triptych.curation",
    "write_world": "triptych.wardrobe",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'triptych' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
