"""The rows about metrics: those of CIRR's and CIRCO's sizes, beside the validation of SEARLE written anew."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import evaluate
from peer_rows.turns import Timed, turns


def cirr(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    return _beside("cirr", "plain", options.rounds)


def circo(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    return _beside("circo", "searle", options.rounds)


def _beside(size: str, peer: str, rounds: int) -> Iterator[str]:
    case, found = evaluate.make_case(size), {}

    def side(variant: str) -> Timed:
        def run() -> None:
            found[variant] = evaluate.VARIANTS[size, variant](case)

        return run

    queries, pictures = evaluate.SIZES[size]
    label = f"metrics of {size}, {queries:,} queries among {pictures:,}"
    yield from turns({label: side("ours"), "SEARLE's validation": side(peer)}, rounds)
    if any(abs(found["ours"][name] - value) > 1e-9 for name, value in found[peer].items()):
        raise SystemExit(f"{size}: metrics differ: {found}")
