"""Count the kinds of wrong answers on data with known attributes: wrong colour, wrong kind, or both."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from triptych.benchmarks.task import Query, Truth
from triptych.composers.protocol import Composer
from triptych.evaluation.encoded_task import EncodedTask


def kinds_over(attributes: Sequence[str]) -> tuple[str, ...]:
    """The classes of answers: a target; right in all attributes, but no target; or the wrong attributes.

    An answer of a wrong kind counts as `kind` or `colour and kind`, whatever else is wrong, since other attributes
    depend on the kind. `several` means two or more wrong attributes, but the right kind.
    """
    return ("target", "another line", *attributes, "colour and kind", "several")


def count_mistakes(
    task: EncodedTask,
    methods: Mapping[str, Composer],
    truth: Truth,
    attributes: Sequence[str],
    depths: Sequence[int] = (1, 10),
) -> list[dict[str, Any]]:
    """The share of each class among the first answers, in percent, for each method and depth."""
    rows = []
    for name, method in methods.items():
        answers = task.best(task.compose(method), task.gallery_for(method), max(depths))
        for depth in depths:
            counts = Counter(
                kind_of_answer(query, picture, truth, attributes)
                for query in task.queries
                for picture in answers[query.id][:depth]
            )
            whole = counts.total()
            shares = {kind: round(100 * counts[kind] / whole, 1) for kind in kinds_over(attributes)}
            rows.append({"task": task.task.name, "method": name, "depth": depth, "shares": shares})
    return rows


def kind_of_answer(query: Query, answer: str, truth: Truth, attributes: Sequence[str]) -> str:
    """Classify an answer as one of `kinds_over(attributes)`. Unchanged attributes must equal the reference's."""
    if answer in query.targets:
        return "target"
    right = truth[query.reference] | {name: truth[min(query.targets)][name] for name in query.change or {}}
    wrong = [name for name in attributes if truth[answer][name] != right[name]]
    if "kind" in wrong:
        return "colour and kind" if "colour" in wrong else "kind"
    if len(wrong) > 1:
        return "several"
    return wrong[0] if wrong else "another line"


def format_mistakes(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format a Markdown table for each task and depth."""
    parts = []
    for task, depth in dict.fromkeys((row["task"], row["depth"]) for row in rows):
        shown = [row for row in rows if (row["task"], row["depth"]) == (task, depth)]
        kinds = list(shown[0]["shares"])
        lines = [
            f"**{task}**, first {depth} answers" if depth > 1 else f"**{task}**, first answer",
            "",
            f"| method | {' | '.join(kinds)} |",
            f"|---|{'--:|' * len(kinds)}",
        ]
        for row in shown:
            shares = " | ".join(f"{row['shares'][kind]:.1f}" for kind in kinds)
            lines.append(f"| {row['method']} | {shares} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
