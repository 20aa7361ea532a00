"""What a query compiler of stated accuracy brings (`triptych eval --method compile`); no real model is here.

    python bench/compiling.py wardrobe=DIR closet=DIR [--queries 500] [--accuracy 1 0.9 0.7]

A pretend model sees each attribute of a query's reference rightly with probability s, and else another value that the
gallery has; it understands the words. From what it saw it writes the target as a caption of its attributes, what stays,
and what must not be seen, and the program searches with its one vector as it does for a real model. Weights are chosen
on val, of the sum too. A query is one call.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from triptych.benchmarks.registry import load_tasks, load_truth
from triptych.benchmarks.task import Query, Truth
from triptych.chat.endpoint import ChatEndpoint
from triptych.chat.settings import ChatSettings
from triptych.composers.baselines import TextOnly, WeightedSum
from triptych.core.limits import DEFAULT_LIMITS
from triptych.encoders.registry import load_encoder
from triptych.evaluation.chat_calls import ChatCaller
from triptych.evaluation.compiling import CompiledText, Phrases
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.selection import tuned

METRICS = ("R@1", "R@10", "mAP@10")
SAID = ("colour", "pattern", "kind", "sleeve")
"""The attributes that a caption names, in its order."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("roots", nargs="+", metavar="NAME=DIR")
    parser.add_argument("--queries", type=int, default=500, help="of each split, the first ones")
    parser.add_argument("--accuracy", type=float, nargs="+", default=[1.0, 0.9, 0.7])
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    print(f"| benchmark | method | weight | {' | '.join(METRICS)} |")
    print("|---|---|---|" + "---|" * len(METRICS))
    chat = ChatSettings(endpoint=ChatEndpoint(base_url="http://localhost"))
    for each in asked.roots:
        name, _, root = each.partition("=")
        encoder = load_encoder("wardrobe" if name == "wardrobe" else "photos", threads=asked.threads)
        truth = load_truth(name, Path(root))
        values = {name: sorted({each.get(name, "") for each in truth.values()}) for name in SAID}
        sides = []
        for split in ("test", "val"):
            (task,) = load_tasks(name, Path(root), split)
            sides.append(EncodedTask(replace(task, queries=task.queries[: asked.queries]), encoder))
        methods = {"sum": WeightedSum("sum", TextOnly(encoder))}
        for accuracy in asked.accuracy:
            text = CompiledText(encoder, ChatCaller("m", chat, Path("ledger"), DEFAULT_LIMITS))
            for side in sides:
                text.take(side, {query.id: [compiled(query, truth, values, accuracy)] for query in side.queries})
            methods[f"compile, accuracy {accuracy:g}"] = WeightedSum("compile", text)
        for label, method in methods.items():
            best, facts = tuned(method, sides[1], None)
            found = sides[0].values(best)
            figures = [f"{100 * float(np.mean(found[metric])):.1f}" for metric in METRICS]
            print(f"| {name} | {label} | {facts.get('weight')} | {' | '.join(figures)} |")


def compiled(query: Query, truth: Truth, values: Mapping[str, Sequence[str]], accuracy: float) -> Phrases:
    """What the pretend model writes for a query."""
    target = truth[min(query.targets)]
    seen = {name: _seen(query.reference, name, truth, each, accuracy) for name, each in values.items()}
    changed = {name for name in SAID if target.get(name, "") != truth[query.reference].get(name, "")}
    wanted = {**seen, **{name: target.get(name, "") for name in changed}}
    return Phrases(
        caption(wanted),
        tuple(seen[name] for name in SAID if name not in changed and seen[name]),
        tuple(seen[name] for name in SAID if name in changed and seen[name]),
    )


def caption(values: Mapping[str, str]) -> str:
    """Such as "a red striped dress, sleeveless"."""
    first = " ".join(values[name] for name in SAID[:3] if values.get(name))
    return ", ".join(filter(None, [f"a {first}", values.get("sleeve", "")]))


def _seen(picture: str, name: str, truth: Truth, values: Sequence[str], accuracy: float) -> str:
    """What the model takes an attribute for; the same whenever it looks."""
    drawn = sha256(f"{picture} {name}".encode()).digest()
    right = int.from_bytes(drawn[:4], "big") / 2**32 < accuracy
    true = truth[picture].get(name, "")
    others = [value for value in values if value != true]
    return true if right or not others else others[drawn[4] % len(others)]


if __name__ == "__main__":
    main()
