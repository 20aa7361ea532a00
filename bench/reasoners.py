"""What a reasoner's eyes are worth: the embedded one and pretend chat models of given sight, where the truth is known.

    python bench/reasoners.py RUN [--sight 1 0.9 0.7] [--references N] [--targets T] [--epochs E] [--seeds 0 1 2]

There is no real model here: seeing.py plays one, behind a loopback server of the same protocol, on the demo's wardrobe.
Models judge themselves; besides, what the weakest proposes is judged by the strongest and, with --vote, by three others
as weak. All look at the same references, in groups that the wardrobe's vocabulary widened; the embedded reasoner makes
as many proposals for each. How many triplets are true is counted of all; then composers learn from equally many
accepted ones, drawn by their seeds, and are measured on the wardrobe's val and test.

Triplets differ in more than their truth. With --controls composers also learn from the same draws where only that is
taken away: the embedded reasoner's with one target and one wording of each style, as a chat model's are, and those of
the best sight in the embedded reasoner's wordings. With --plenty one more learns from all that the embedded reasoner
finds with the demo's settings on these references, in about as many steps.

Everything lies in RUN; what is there is not made again. With --page the tables go into that page, between the markers
of `reasoners`. Tokens are as `mine --dry-run` counts them.
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
from arms import draw, measured, retrieval, train
from loopback import Loopback
from seeing import Seer
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
"""As the demo mines with the embedded reasoner."""


@dataclass(frozen=True)
class Arm:
    """A reasoner with its critic."""

    name: str
    shown: str
    reasoner: str
    judge: str | None = None
    plenty: bool = False
    """Whether it may make more proposals than the others, and learns from all."""


@dataclass(frozen=True)
class Control:
    """What an arm's triplets are with one thing changed."""

    name: str
    shown: str
    arm: Arm
    changed: Callable[[Triplet], Triplet]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--sight", type=float, nargs="+", default=[1.0, 0.9, 0.7])
    parser.add_argument("--steady", type=float, default=0.5, help="how far a model sees a picture as it always does")
    parser.add_argument("--references", type=int, default=800)
    parser.add_argument("--targets", type=int, default=2, help="most proposals for a reference")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument(
        "--batch-size", type=int, default=64, help="less than usual, so that few triplets make some steps"
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="of the composers; none trains none")
    parser.add_argument("--vote", action="store_true", help="also let three weak models judge what a weak one proposes")
    parser.add_argument("--controls", action="store_true", help="also learn from the same draws with one thing changed")
    parser.add_argument("--plenty", action="store_true", help="also learn from all that the embedded reasoner finds")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--page", type=Path)
    asked = parser.parse_args()
    if not all(0 <= sight <= 1 for sight in [*asked.sight, asked.steady]):
        parser.error("--sight and --steady are probabilities, from 0 to 1")
    _claim(
        asked.run, {name: getattr(asked, name) for name in ("steady", "references", "targets", "epochs", "batch_size")}
    )
    prepare(asked.run, asked.threads)
    chosen = arms(sorted(asked.sight, reverse=True), vote=asked.vote, plenty=asked.plenty)
    mine(asked.run, chosen, asked)
    text = proposals(asked.run, chosen)
    if asked.seeds:
        text += "\n" + "\n".join(learnt(asked.run, chosen, asked))
    print(text)
    if asked.page:
        put(asked.page, "reasoners", text)


def arms(sights: Sequence[float], *, vote: bool, plenty: bool) -> list[Arm]:
    """What is compared, by the models' sights, the best first."""

    def model(sight: float) -> str:
        return f"sight-{round(100 * sight)}"

    best, weak = sights[0], sights[-1]
    found = [Arm("tags", "tags", "tags")]
    found += [Arm(model(sight), f"sight {sight:g}, judging itself", f"chat:{model(sight)}") for sight in sights]
    proposing = found[-1].reasoner
    if best != weak:
        judge = model(best)
        found.append(Arm(f"{model(weak)}-by-{judge}", f"sight {weak:g}, judged by sight {best:g}", proposing, judge))
    if vote:
        three = ",".join(f"{model(weak)}-{letter}" for letter in "bcd")
        found.append(Arm(f"{model(weak)}-vote", f"sight {weak:g}, judged by three others of it", proposing, three))
    if plenty:
        found.append(Arm("tags-plenty", "tags, all that it finds", "tags", plenty=True))
    return found


def controls(chosen: Sequence[Arm]) -> list[Control]:
    """Of the embedded reasoner and the best sight, which come first."""
    tags, best = chosen[:2]
    wordings = Wordings(load_vocabulary(VOCABULARY), most=1_000_000)

    def bare(triplet: Triplet) -> Triplet:
        styles = {wording.style: wording for wording in triplet.modifications}
        return replace(triplet, other_targets=(), modifications=tuple(styles.values()))

    def reworded(triplet: Triplet) -> Triplet:
        said = wordings.of(
            triplet.changes, np.random.default_rng([*triplet.reference.encode(), *triplet.target.encode()])
        )
        return replace(triplet, modifications=said)

    return [
        Control("tags-bare", f"{tags.shown}, one target and four wordings", tags, bare),
        Control(f"{best.name}-reworded", f"{best.shown}, in the wordings of tags", best, reworded),
    ]


def prepare(run: Path, threads: int | None) -> None:
    """The demo's world, a catalog of the unlabelled pictures, and one of those that are searched."""
    world = run / "world"
    triptych.write_wardrobe(world, seed=0, lines=LINES, workers=threads)
    lists = [world / f"{split}.txt" for split in ("val", "test")]
    with atomic(run / "searched.txt") as temporary:
        temporary.write_text("".join(file.read_text(encoding="utf-8") for file in lists), encoding="utf-8")
    for names, catalog in ((world / "unlabelled.txt", "catalog"), (run / "searched.txt", "searched")):
        triptych.index(names, run / catalog, root=world / "images", runtime=triptych.Runtime(threads=threads))


def mine(run: Path, chosen: Sequence[Arm], asked: argparse.Namespace) -> None:
    """Every arm's triplets."""
    waiting = [arm for arm in chosen if not _triplets(run, arm).exists() or _pending(_triplets(run, arm))]
    if not waiting:
        return
    seer = Seer(Catalog(run / "catalog"), load_truth("wardrobe", run / "world"), steady=asked.steady)
    usual: dict[str, Any] = {"vocabulary": VOCABULARY, "limit": asked.references}
    runtime = triptych.Runtime(threads=asked.threads)
    with Loopback(respond=seer.answer) as server:
        server.keep_bodies = False
        for arm in waiting:
            out = _triplets(run, arm)
            if arm.reasoner == "tags":
                # An idea makes one proposal here, so that the questions are as varied as they can be.
                how = PLENTY if arm.plenty else {"changes": asked.targets, "triplets_per_change": 1}
                triptych.mine(run / "catalog", out, triptych.MineOptions(**usual, **how), runtime=runtime)
            else:
                endpoint, judge = triptych.ChatEndpoint(server.url), triptych.ChatJudge(arm.judge)
                options = triptych.ChatMineOptions(**usual, triplets=asked.targets)
                chat = triptych.ChatSettings(endpoint, judge=judge)
                model = arm.reasoner.removeprefix("chat:")
                triptych.mine_chat(run / "catalog", out, model, chat, options, runtime=runtime)


def proposals(run: Path, chosen: Sequence[Arm]) -> str:
    """What each reasoner proposed, what was accepted, how true that is, and what it took."""
    compared = triptych.compare_reasoners(
        [_triplets(run, arm) for arm in chosen], truth=("wardrobe", run / "world"), output=run / "compared.json"
    )
    parts = [
        "| reasoner and critic | proposed | accepted, % | new words right, of all, % | of the accepted, % | "
        "true, of all, % | of the accepted, % | true and telling, of the accepted, % | calls | tokens in | tokens out |"
        "\n|---|" + "--:|" * 10
    ]
    for arm, row in zip(chosen, compared.reasoners, strict=True):
        assert row.truth is not None
        every, kept = row.truth.proposed, row.truth.accepted
        counts = [row.proposed, row.accepted_percent]
        shares = [every.new, kept.new, every.true, kept.true, kept.true_and_telling]
        spent = [row.calls, row.tokens_in, row.tokens_out]
        cells = ["" if value is None else f"{value:,}" for value in [*counts, *shares, *spent]]
        parts.append(f"| {arm.shown} | {' | '.join(cells)} |")
    return "\n".join(parts) + "\n"


def learnt(run: Path, chosen: Sequence[Arm], asked: argparse.Namespace) -> list[str]:
    """What composers make of as many accepted triplets of each."""
    accepted = {arm: [one for one in read_triplets(_triplets(run, arm))[0] if one.accepted] for arm in chosen}
    count = min(map(len, accepted.values()))
    drawn: dict[Arm | Control, list[Triplet]] = {**accepted}
    if asked.controls:
        drawn |= {one: [one.changed(triplet) for triplet in accepted[one.arm]] for one in controls(chosen)}
    where = ("wardrobe", run / "world")
    searched = {"catalog": run / "searched", "threads": asked.threads}
    rows = measured(*where, run / "sum", "nothing: the weighted sum", methods=["sum"], **searched)
    for seed in asked.seeds:
        for arm, pool in drawn.items():
            taken = pool if isinstance(arm, Arm) and arm.plenty else draw(pool, count, seed)
            composer = run / f"{arm.name}-{seed}"
            epochs = max(1, round(asked.epochs * count / len(taken)))
            options = TrainOptions(epochs=epochs, batch_size=asked.batch_size, seed=seed)
            train(taken, run / "catalog", composer, "bench/reasoners.py", options, asked.threads)
            shown = f"{arm.shown}: {len(taken):,} triplets"
            rows += measured(*where, composer, shown, composers=[composer], **searched)
    return retrieval(rows, METRICS)


def _triplets(run: Path, arm: Arm) -> Path:
    return run / f"{arm.name}.parquet"


def _pending(file: Path) -> bool:
    """Whether a chat run was interrupted."""
    return bool(read_triplets(file)[1].get("pending"))


def _claim(run: Path, settings: dict[str, Any]) -> None:
    """A run is gone on with by the same settings or not at all."""
    note = run / "settings.json"
    if not note.exists():
        write_json(note, settings)
    elif read_json(note, "note of a run's settings") != settings:
        sys.exit(f"{run}: holds a run of other settings; choose another folder or delete this one")


if __name__ == "__main__":
    main()
