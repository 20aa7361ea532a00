"""What is wrong with the answers on fashion-products: the colour, the kind of garment, both, or only the line."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from triptych.benchmarks.encoded import EncodedTask
from triptych.benchmarks.fashion_products import Product, load_products
from triptych.benchmarks.protocol import Query
from triptych.benchmarks.words import word_for
from triptych.composers.protocol import Composer

KINDS = ("target", "another line", "gender", "colour", "kind", "colour and kind")
"""What an answer is: a target, right in all three attributes and yet none, or by which of them it is wrong."""


def count_mistakes(
    task: EncodedTask, methods: Mapping[str, Composer], products: Mapping[str, Product], depths: Sequence[int] = (1, 10)
) -> list[dict[str, Any]]:
    """For each method and depth the share of the first answers that are of each kind, in percent.

    `products` are those of the benchmark, by picture.
    """
    rows = []
    for name, method in methods.items():
        answers = task.best(task.compose(method), method.gallery(task.gallery), max(depths))
        for depth in depths:
            counts = Counter(
                kind_of_answer(query, products[query.reference], products[picture])
                for query in task.queries
                for picture in answers[query.id][:depth]
            )
            whole = counts.total()
            shares = {kind: round(100 * counts[kind] / whole, 1) for kind in KINDS}
            rows.append({"task": task.task.name, "method": name, "depth": depth, "shares": shares})
    return rows


def kind_of_answer(query: Query, reference: Product, answer: Product) -> str:
    """One of KINDS. What the query does not change is to be as the reference has it."""
    if answer.picture in query.targets:
        return "target"
    change = query.change or {}
    wrong = {
        attribute
        for attribute in ("gender", "colour", "kind")
        if word_for(attribute, getattr(answer, attribute))
        != change.get(attribute, word_for(attribute, getattr(reference, attribute)))
    }
    if {"colour", "kind"} <= wrong:
        return "colour and kind"
    return next((attribute for attribute in ("kind", "colour", "gender") if attribute in wrong), "another line")


def products_by_picture(root: Path) -> dict[str, Product]:
    """The products of the benchmark's folder."""
    return {product.picture: product for product in load_products(root)}


def format_mistakes(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table for each task and depth."""
    parts = []
    for task, depth in dict.fromkeys((row["task"], row["depth"]) for row in rows):
        lines = [
            f"**{task}**, first {depth} answers" if depth > 1 else f"**{task}**, first answer",
            "",
            f"| method | {' | '.join(KINDS)} |",
            f"|---|{'--:|' * len(KINDS)}",
        ]
        for row in rows:
            if (row["task"], row["depth"]) == (task, depth):
                shares = " | ".join(f"{row['shares'][kind]:.1f}" for kind in KINDS)
                lines.append(f"| {row['method']} | {shares} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
