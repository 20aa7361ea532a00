"""The benchmark over Kaggle's Fashion Product Images."""

from pathlib import Path

from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.datasets.fashion_products.products import (
    load_fashion_products,
    prepare_fashion_products,
    read_truth,
)

FASHION_PRODUCTS = Benchmark(
    "fashion-products",
    lambda root, split, _: [load_fashion_products(root, split, task) for task in ("colourway", "attribute")],
    ("val", "test", "all"),
    {"val": "val", "test": "val"},
    # The table's own words, with which the text intermediary, a baseline, works best.
    vocabulary=Path(__file__).parent / "vocabulary.json",
    truth=read_truth,
    attributes=("gender", "colour", "kind"),
    prepare=prepare_fashion_products,
)
