"""The built-in reasoner beside pretend chat models of given accuracy: correct triplets, and what composers learn.

    python bench/reasoners.py RUN [--accuracy 1 0.9 0.7] [--references N] [--targets T] [--epochs E] [--seeds 0 1 2]

The chat models are those of pretend_model.py, behind a loopback server, on the demo's wardrobe, whose attributes are
known. Each model judges its own proposals. Those of the least accurate model are also judged by the most accurate one
and, with --vote, by three others of its own accuracy. All reasoners get the same references, in groups that the
wardrobe's vocabulary widened, and the built-in one makes as many proposals for each. The correct triplets are counted.
Then composers learn from equally many accepted triplets, drawn by their seeds, and are evaluated on val and test.

Triplets differ in more than their correctness. With --controls composers also learn from the same draws without one
such difference: those of the built-in reasoner with one target and one wording of each style, like a chat model's; and
those of the most accurate model in the built-in reasoner's wordings. With --plenty one more composer learns from all
triplets that the built-in reasoner finds with the demo's settings on these references, in about as many steps.

Everything lies in RUN; what exists is not made again. With --page the tables go into that page, between the markers
of `reasoners`. Tokens are counted as `mine-chat --dry-run` counts them.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np

import triptych
from loopback import Loopback
from paired_composers import draw, evaluate, retrieval_tables, train
from pretend_model import PretendModel
from triptych.benchmarks.datasets.wardrobe.garments import VOCABULARY
from triptych.benchmarks.registry import load_truth
from triptych.catalog.catalog import Catalog
from triptych.core.files import atomic, read_json, write_json
from triptych.demonstration.demo import LINES
from triptych.mining.wording.wordings import Wordings
from triptych.tagging.vocabulary import load_vocabulary
from triptych.training.options import TrainOptions
from triptych.triplets.file import Triplet, read_triplets
from write_results import put

METRICS = ("R@1", "R@10", "mAP@10")
PLENTY = {"changes": 20, "triplets_per_change": 2}
"""The demo's settings for the built-in reasoner."""


@dataclass(frozen=True)
class Variant:
    """A reasoner with its critic."""

    name: str
    label: str
    """Its name in tables."""
    reasoner: str
    judge: str | None = None
    plenty: bool = False
    """Whether it may make more proposals than the others, and its composer learns from all."""


@dataclass(frozen=True)
class Control:
    """The triplets of a variant with one thing changed."""

    name: str
    label: str
    """Its name in tables."""
    variant: Variant
    change: Callable[[Triplet], Triplet]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--accuracy", type=float, nargs="+", default=[1.0, 0.9, 0.7], help="of each chat model, 0 to 1")
    parser.add_argument(
        "--consistency", type=float, default=0.5, help="share of perceptions that are the same in every call, 0 to 1"
    )
    parser.add_argument("--references", type=int, default=800)
    parser.add_argument("--targets", type=int, default=2, help="most proposals for a reference")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument(
        "--batch-size", type=int, default=64, help="smaller than the default, so that few triplets make some steps"
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="of the composers; none trains none")
    parser.add_argument("--vote", action="store_true", help="also let three models judge the least accurate one")
    parser.add_argument("--controls", action="store_true", help="also learn from the same draws with one thing changed")
    parser.add_argument("--plenty", action="store_true", help="also learn from all that the built-in reasoner finds")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--page", type=Path)
    asked = parser.parse_args()
    if not all(0 <= value <= 1 for value in [*asked.accuracy, asked.consistency]):
        parser.error("--accuracy and --consistency are probabilities, from 0 to 1")
    settings = ("consistency", "references", "targets", "epochs", "batch_size")
    _claim(asked.run, {name: getattr(asked, name) for name in settings})
    prepare(asked.run, asked.threads)
    chosen = variants(sorted(asked.accuracy, reverse=True), vote=asked.vote, plenty=asked.plenty)
    mine(asked.run, chosen, asked)
    text = proposals(asked.run, chosen)
    if asked.seeds:
        text += "\n" + "\n".join(learnt(asked.run, chosen, asked))
    print(text)
    if asked.page:
        put(asked.page, "reasoners", text)


def variants(accuracies: Sequence[float], *, vote: bool, plenty: bool) -> list[Variant]:
    """The variants to compare, given the models' accuracies in descending order."""

    def model(accuracy: float) -> str:
        return f"accuracy-{round(100 * accuracy)}"

    best, weak = accuracies[0], accuracies[-1]
    found = [Variant("tags", "tags", "tags")]
    found += [
        Variant(model(accuracy), f"accuracy {accuracy:g}, judging itself", f"chat:{model(accuracy)}")
        for accuracy in accuracies
    ]
    reasoner = found[-1].reasoner
    if best != weak:
        judge, label = model(best), f"accuracy {weak:g}, judged by accuracy {best:g}"
        found.append(Variant(f"{model(weak)}-by-{judge}", label, reasoner, judge))
    if vote:
        three = ",".join(f"{model(weak)}-{letter}" for letter in "bcd")
        label = f"accuracy {weak:g}, judged by three others of the same accuracy"
        found.append(Variant(f"{model(weak)}-vote", label, reasoner, three))
    if plenty:
        found.append(Variant("tags-plenty", "tags, all that it finds", "tags", plenty=True))
    return found


def controls(chosen: Sequence[Variant]) -> list[Control]:
    """The controls of the built-in reasoner and of the most accurate model, which come first."""
    tags, best = chosen[:2]
    wordings = Wordings(load_vocabulary(VOCABULARY), most=1_000_000)

    def bare(triplet: Triplet) -> Triplet:
        styles = {wording.style: wording for wording in triplet.modifications}
        return replace(triplet, other_targets=(), modifications=tuple(styles.values()))

    def reworded(triplet: Triplet) -> Triplet:
        random = np.random.default_rng([*triplet.reference.encode(), *triplet.target.encode()])
        return replace(triplet, modifications=wordings.of(triplet.changes, random))

    return [
        Control("tags-bare", f"{tags.label}, one target and four wordings", tags, bare),
        Control(f"{best.name}-reworded", f"{best.label}, in the wordings of tags", best, reworded),
    ]


def prepare(run: Path, threads: int | None) -> None:
    """Make the demo's world, a catalog of the unlabelled pictures, and a catalog of the pictures that are searched."""
    world = run / "world"
    triptych.write_wardrobe(world, seed=0, lines=LINES, workers=threads)
    lists = [world / f"{split}.txt" for split in ("val", "test")]
    with atomic(run / "searched.txt") as temporary:
        temporary.write_text("".join(file.read_text(encoding="utf-8") for file in lists), encoding="utf-8")
    for names, catalog in ((world / "unlabelled.txt", "catalog"), (run / "searched.txt", "searched")):
        triptych.index(names, run / catalog, root=world / "images", runtime=triptych.Runtime(threads=threads))


def mine(run: Path, chosen: Sequence[Variant], asked: argparse.Namespace) -> None:
    """Mine the triplets of each variant that has none, or not all."""
    waiting = [one for one in chosen if not _triplets(run, one).exists() or _pending(_triplets(run, one))]
    if not waiting:
        return
    catalog, truth = Catalog(run / "catalog"), load_truth("wardrobe", run / "world")
    pretend = PretendModel(catalog, truth, consistency=asked.consistency)
    common: dict[str, Any] = {"vocabulary": VOCABULARY, "limit": asked.references}
    runtime = triptych.Runtime(threads=asked.threads)
    with Loopback(respond=pretend.answer) as server:
        server.keep_bodies = False
        for variant in waiting:
            out = _triplets(run, variant)
            if variant.reasoner == "tags":
                # One triplet for each change, so that the questions are as varied as possible.
                how = PLENTY if variant.plenty else {"changes": asked.targets, "triplets_per_change": 1}
                triptych.mine(run / "catalog", out, triptych.MineOptions(**common, **how), runtime=runtime)
            else:
                endpoint, judge = triptych.ChatEndpoint(server.url), triptych.ChatJudge(variant.judge)
                options = triptych.ChatMineOptions(**common, triplets=asked.targets)
                chat = triptych.ChatSettings(endpoint, judge=judge)
                model = variant.reasoner.removeprefix("chat:")
                triptych.mine_chat(run / "catalog", out, model, chat, options, runtime=runtime)


def proposals(run: Path, chosen: Sequence[Variant]) -> str:
    """A table of proposed, accepted and correct triplets, and of calls and tokens, for each variant."""
    compared = triptych.compare_reasoners(
        [_triplets(run, one) for one in chosen], truth=("wardrobe", run / "world"), output=run / "compared.json"
    )
    parts = [
        "| reasoner and critic | proposed | accepted, % | target correct, of all, % | of the accepted, % | "
        "change correct, of all, % | of the accepted, % | correct and unambiguous, of the accepted, % | calls | "
        "tokens in | tokens out |\n|---|" + "--:|" * 10
    ]
    for variant, row in zip(chosen, compared.reasoners, strict=True):
        assert row.truth is not None
        every, kept = row.truth.proposed, row.truth.accepted
        counts = [row.proposed, row.accepted_percent]
        shares = [every.target_correct, kept.target_correct, every.change_correct, kept.change_correct]
        shares.append(kept.correct_and_unambiguous)
        spent = [row.calls, row.tokens_in, row.tokens_out]
        cells = ["" if value is None else f"{value:,}" for value in [*counts, *shares, *spent]]
        parts.append(f"| {variant.label} | {' | '.join(cells)} |")
    return "\n".join(parts) + "\n"


def learnt(run: Path, chosen: Sequence[Variant], asked: argparse.Namespace) -> list[str]:
    """Tables of composers that learnt from equally many accepted triplets of each variant."""
    accepted = {
        one: [triplet for triplet in read_triplets(_triplets(run, one))[0] if triplet.accepted] for one in chosen
    }
    count = min(map(len, accepted.values()))
    pools: dict[Variant | Control, list[Triplet]] = {**accepted}
    if asked.controls:
        pools |= {one: [one.change(triplet) for triplet in accepted[one.variant]] for one in controls(chosen)}
    where = ("wardrobe", run / "world")
    searched = {"catalog": run / "searched", "threads": asked.threads}
    rows = evaluate(*where, run / "sum", "nothing: the weighted sum", methods=["sum"], **searched)
    for seed in asked.seeds:
        for one, pool in pools.items():
            drawn = pool if isinstance(one, Variant) and one.plenty else draw(pool, count, seed)
            composer = run / f"{one.name}-{seed}"
            epochs = max(1, round(asked.epochs * count / len(drawn)))
            options = TrainOptions(epochs=epochs, batch_size=asked.batch_size, seed=seed)
            train(drawn, run / "catalog", composer, "bench/reasoners.py", options, asked.threads)
            label = f"{one.label}: {len(drawn):,} triplets"
            rows += evaluate(*where, composer, label, composers=[composer], **searched)
    return retrieval_tables(rows, METRICS)


def _triplets(run: Path, variant: Variant) -> Path:
    return run / f"{variant.name}.parquet"


def _pending(file: Path) -> bool:
    """Whether a chat run was interrupted."""
    return bool(read_triplets(file)[1].get("pending"))


def _claim(run: Path, settings: dict[str, Any]) -> None:
    """End the program if the folder holds a run of other settings."""
    note = run / "settings.json"
    if not note.exists():
        write_json(note, settings)
    elif read_json(note, "note of a run's settings") != settings:
        sys.exit(f"{run}: holds a run of other settings; choose another folder or delete this one")


if __name__ == "__main__":
    main()
