"""Queries over galleries, and how methods are measured on them."""

from triptych.benchmarks.fashion_products import load_fashion_products, prepare_fashion_products
from triptych.benchmarks.protocol import Query, Task
from triptych.benchmarks.queries import load_queries
from triptych.benchmarks.registry import BENCHMARKS, Benchmark, load_tasks
from triptych.benchmarks.wardrobe import load_wardrobe

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "Query",
    "Task",
    "load_fashion_products",
    "load_queries",
    "load_tasks",
    "load_wardrobe",
    "prepare_fashion_products",
]
