"""What a verifier of stated accuracy brings at the top of a ranking, and what it costs; no real model is here.

    python bench/verifying.py wardrobe=DIR closet=DIR [--queries 500] [--accuracy 1 0.9 0.7] [--top 10 50 100]

A pretend verifier says of each of a method's first answers whether it is right. With accuracy s it knows with
probability s, and else says yes or no by the toss of a coin, the same whenever it is asked about the same pair. Grades
are 10 or 0.
The order is then that of `triptych eval --rerank`, with its own weight for every line, chosen on val. The method is the
sum of picture and words. Calls and tokens are as `mine-chat --dry-run` counts them.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from triptych.benchmarks.registry import load_tasks
from triptych.chat.cost import tokens_in
from triptych.chat.endpoint import ChatEndpoint
from triptych.chat.judging import schema_of
from triptych.chat.request import CallPicture
from triptych.chat.settings import ChatSettings
from triptych.composers.baselines import TextOnly, WeightedSum
from triptych.composers.protocol import Composer
from triptych.core.limits import DEFAULT_LIMITS
from triptych.encoders.registry import load_encoder
from triptych.evaluation import chat_verifier
from triptych.evaluation.answers import Answers, Reordered
from triptych.evaluation.asking import Asker, Spent
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.verification import Graded, best_fusion

METRICS = ("R@1", "R@10", "mAP@10")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("roots", nargs="+", metavar="NAME=DIR")
    parser.add_argument("--queries", type=int, default=500, help="of each split, the first ones")
    parser.add_argument("--accuracy", type=float, nargs="+", default=[1.0, 0.9, 0.7])
    parser.add_argument("--top", type=int, nargs="+", default=[10, 50, 100])
    parser.add_argument("--encoder", action="append", default=[], metavar="NAME=ENCODER")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    encoders = {"wardrobe": "wardrobe", **dict(each.split("=", 1) for each in asked.encoder)}
    print(f"| benchmark | verifier | first | weight | {' | '.join(METRICS)} | calls | tokens in |")
    print("|---|---|---|---|" + "---|" * (len(METRICS) + 2))
    for each in asked.roots:
        name, _, root = each.partition("=")
        encoder = load_encoder(encoders.get(name, "photos"), threads=asked.threads)
        sides = []
        for split in ("test", "val"):
            (task,) = load_tasks(name, Path(root), split)
            sides.append(EncodedTask(replace(task, queries=task.queries[: asked.queries]), encoder))
        method = WeightedSum("sum", TextOnly(encoder))
        answers = [side.answers(method) for side in sides]
        print(_line(name, "none", "", "", _figures(sides[0], method, answers[0]), "", ""))
        for top in asked.top:
            tokens = _tokens(sides[0].queries[0].modification)
            calls = len(sides[0].queries) * top
            for accuracy in asked.accuracy:
                graded = [grade(side, each, top, accuracy) for side, each in zip(sides, answers, strict=True)]
                weight = best_fusion(sides[1], answers[1], graded[1])
                order = Reordered(answers[0], graded[0].order(weight))
                figures = _figures(sides[0], method, order)
                print(_line(name, f"accuracy {accuracy:g}", top, weight, figures, f"{calls:,}", f"{calls * tokens:,}"))


def grade(side: EncodedTask, answers: Answers, top: int, accuracy: float) -> Graded:
    """What a verifier of this accuracy says of a method's first answers."""
    first = side.first_rows(answers, top)
    grades = [
        np.array([verdict(query.id, side.gallery_names[row], query.targets, accuracy) for row in rows])
        for query, rows in zip(side.queries, first, strict=True)
    ]
    return Graded(first, grades, Spent(), 0)


def verdict(query: str, picture: str, targets: frozenset[str], accuracy: float) -> float:
    """1 if the verifier says that a picture answers a query, else 0; the same whenever it is asked."""
    drawn = sha256(f"{query} {picture}".encode()).digest()
    sees, coin = int.from_bytes(drawn[:4], "big") / 2**32, drawn[4] % 2
    return float(picture in targets) if sees < accuracy else float(coin)


def _figures(side: EncodedTask, method: Composer, answers: Answers) -> Sequence[float]:
    found = side.values(method, answers)
    return [100 * float(np.mean(found[name])) for name in METRICS]


def _tokens(wish: str) -> int:
    """Of one question."""
    chat = ChatSettings(endpoint=ChatEndpoint(base_url="http://localhost"))
    asker = Asker("m", chat, Path("ledger"), DEFAULT_LIMITS)
    pictures = tuple(CallPicture(label, label, "0") for label in ("Reference", "Candidate"))
    text = chat_verifier.PROMPT.replace("{wish}", wish)
    return tokens_in(asker.call("verification", "1", text, pictures, schema_of(chat_verifier.Grade)), chat)


def _line(*cells: object) -> str:
    *before, figures, calls, tokens = cells
    assert isinstance(figures, list)
    return "| " + " | ".join([*map(str, before), *(f"{each:.1f}" for each in figures), str(calls), str(tokens)]) + " |"


if __name__ == "__main__":
    main()
