"""`mine`: the agent at work over a catalog, from unlabelled pictures to a file of triplets."""

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.chat.settings import ChatSettings, need_chat_libraries
from triptych.core.errors import FailureError, UsageError
from triptych.core.files import claim_run, hash_file, locked, made_by
from triptych.core.progress import progress, say
from triptych.core.vectors import unit
from triptych.mining.agent import Agent
from triptych.mining.critic import EncoderCritic
from triptych.mining.options import USUAL, Bars
from triptych.mining.proposer import Band, Proposer
from triptych.mining.reasoner import TagsReasoner
from triptych.mining.rounds import Earlier
from triptych.tagging.tags import tag
from triptych.tagging.vocabulary import DEFAULT, load_vocabulary
from triptych.triplets.file import join_triplets, kind_of_reason, read_triplets, write_triplets

_CHUNK = 256  # references a commit


def mine(
    catalog: Path | str,
    out: Path | str,
    *,
    reasoner: str = "tags",
    chat: ChatSettings | None = None,
    vocabulary: Path | str | None = None,
    limit: int | None = None,
    plans: int = 12,
    targets: int = 2,
    width: int = 4000,
    group: int = 8,
    band: Band | None = None,
    bars: Bars = USUAL,
    reversed: bool = False,
    after: Path | str | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Any]:
    """Build triplets from the pictures of `catalog` and write them to `out`, the refused ones with the reason.

    For each reference (the first `limit` of a seeded order) the agent makes `plans` of what could change, proposes the
    `width` most apt candidates for each, drafts up to `targets` triplets and judges each within a group of `group`.
    A run that was interrupted or killed goes on where it stopped and ends with the same file.

    A `band` of likeness leaves only candidates whose cosine to the reference, apart from what is to change, is from its
    first to its second number: neither near-duplicates nor strangers (MegaPairs, Zhou et al. 2024, takes 0.8 to 0.96).
    The `bars` are what the critic asks of a draft. With `reversed`, each accepted triplet is also asked the other way
    round, from its target to its reference: worded anew, judged like any other, and after all others in the file.

    With `after`, a file that `refine` wrote, it is another round: the triplets there come first, and for each reference
    the agent draws other questions, the kinds that the composer answered worst the most often, in that file's words
    unless a `vocabulary` is given. What a file holds already, accepted or refused, is not written again.

    With `reasoner="chat:MODEL"` a multimodal model at `chat.base_url` reasons about groups of `group` pictures and
    judges up to `targets` drafts for each reference; `plans` plays no part, and `width` is at most 300. A ledger beside
    `out` holds every reply, so no answered call is made again; a budget, a server that is gone, or Ctrl-C leaves
    references pending for the next run. `mine_status` tells how far it is.

    Returns counts: references, accepted, refused, by reason; with `reversed` how many of those were accepted; with a
    chat model also pending, calls, tokens, cost.
    Raises UsageError for an unknown reasoner or options that make no sense, DataError where `after` was not refined,
    FailureError where the catalog is too small or nothing was accepted.
    """
    catalog, out = Path(catalog), Path(out)
    vocabulary = Path(vocabulary) if vocabulary else None
    after = Path(after) if after else None
    who, _, model = reasoner.partition(":")
    if who != "chat" and reasoner != "tags":
        raise UsageError(f"--reasoner {reasoner}: there is no such reasoner; there are tags and chat:MODEL")
    if who != "chat" and chat is not None:
        raise UsageError(f"--reasoner {reasoner}: takes no options of a chat model; use chat:MODEL")
    if who == "chat" and after:
        raise UsageError("--after: a chat model makes no plans; use --reasoner tags")
    if who == "chat" and (reversed or band is not None or bars != USUAL):
        raise UsageError("--reversed, --band, --sure, --new-by and --beaten-by are for --reasoner tags")
    if band is not None:
        _require_band(band)
    if min(plans, targets, width, group, 1 if limit is None else limit) < 1:
        raise UsageError("limit, plans, targets, width and group must be at least 1")
    opened = Catalog(catalog)
    if who == "chat":
        need_chat_libraries()
        from triptych.mining.chat.pipeline import mine_by_chat

        return mine_by_chat(
            opened,
            out,
            model,
            chat or ChatSettings(),
            vocabulary=vocabulary,
            limit=limit,
            targets=targets,
            width=width,
            group=group,
            seed=seed,
            threads=threads,
        )
    encoder = opened.encoder(threads=threads)
    if len(opened.names) < 20:
        raise FailureError(f"{catalog}: holds {len(opened.names)} usable pictures; mining needs at least 20")
    earlier = Earlier.read(after) if after else Earlier()
    vocabulary = vocabulary or earlier.vocabulary
    words = load_vocabulary(vocabulary)
    settings = {
        "catalog": catalog,
        "reasoner": reasoner,
        "vocabulary": vocabulary,
        "limit": limit,
        "plans": plans,
    }
    settings |= {"targets": targets, "width": width, "group": group, "band": band, "bars": bars, "reversed": reversed}
    settings |= {"after": after, "seed": seed}

    started = time.monotonic()
    tags = tag(opened.vectors, encoder, words)
    groups = tuple(tags)
    items = unit(opened.vectors[:, -encoder.identity :])  # all of it where the encoder has no such part
    draws = seed + (earlier.rounds << 32)  # another round draws other questions
    agent = Agent(
        opened.names,
        opened.row_of,
        Proposer(items, tags, groups, width=width, seed=draws, wanted=earlier.wanted, band=band),
        TagsReasoner(tags, words, targets_each=targets, seed=draws),
        EncoderCritic(opened.vectors, tags, words, encoder, bars=bars, group_size=group),
    )

    parts = out.with_name(out.name + ".partial")
    run = settings | {"digest": hash_file(after) if after else None}
    run |= {"words": hash_file(vocabulary or DEFAULT)}
    with locked(parts):
        run |= {"pictures": opened.digest, "encoder": encoder.fingerprint}
        if not claim_run(parts, run, ["part-*.parquet"]):
            say(f"{parts}: an unfinished run had other settings or pictures; starting over")
        references = _references(len(opened.names), limit, draws)
        starts = range(0, len(references), _CHUNK)
        files = [parts / f"part-{start:09d}.parquet" for start in starts]
        waiting = [(start, file) for start, file in zip(starts, files, strict=True) if not file.exists()]
        ahead = progress(
            waiting, "mine", total=len(starts), unit=f"x{_CHUNK} references", done=len(starts) - len(waiting)
        )
        for start, file in ahead:
            write_triplets(file, earlier.added(agent.ask(references[start : start + _CHUNK], plans)), {})
        ways_back = _ways_back(files, agent, earlier) if reversed else []
        files = [*([after] if after else []), *files, *ways_back]
        facts = _count(files) | {"references": len(references), "groups": groups}
        if reversed:
            facts["reversed"] = _count(ways_back)["accepted"]
        # Of a run that went on where another stopped, nobody knows how long both took.
        spent = {"seconds": round(time.monotonic() - started, 1)} if len(waiting) == len(starts) else {}
        asked_as = {"phrases": {group: words.phrases[group] for group in groups}}  # a composer starts from them, too
        note = made_by("mine", settings, encoder_fingerprint=encoder.fingerprint, **asked_as, **facts, **spent)
        join_triplets(out, files, note)
        shutil.rmtree(parts)
    if not facts["accepted"]:
        remedy = f"{'widen --band, ' if band else ''}use more pictures, or a vocabulary of their words"
        raise FailureError(f"{out}: none of {facts['refused']} drafts was accepted; {remedy}")
    return facts


def _require_band(band: Band) -> None:
    """Raise UsageError for what is no band of likeness; one from a file of recipes may be anything."""
    sound = isinstance(band, (tuple, list)) and len(band) == 2 and all(isinstance(end, (int, float)) for end in band)
    if not sound or not -1 <= band[0] < band[1] <= 1:
        raise UsageError("--band needs two cosines, the least likeness and the greatest, such as 0.8 0.96")


def _references(count: int, limit: int | None, seed: int) -> list[int]:
    order: list[int] = np.random.default_rng(seed).permutation(count).tolist()
    return order[:limit]


def _ways_back(files: Sequence[Path], agent: Agent, earlier: Earlier) -> list[Path]:
    """Beside each part, where it is not there yet, write a part with its accepted triplets the other way round."""
    asked = earlier.joined_by(files)  # what is asked anyway is known only now, and need not be asked again
    written = [file.with_stem(f"{file.stem}-back") for file in files]
    waiting = [(file, back) for file, back in zip(files, written, strict=True) if not back.exists()]
    done = len(files) - len(waiting)
    for file, back in progress(waiting, "mine back", total=len(files), unit=f"x{_CHUNK} references", done=done):
        write_triplets(back, asked.added(agent.ask_back(read_triplets(file)[0])), {})
    return written


def _count(files: list[Path]) -> dict[str, Any]:
    import pyarrow.parquet as pq

    reasons: Counter[str] = Counter()
    accepted = 0
    for file in files:
        for row in pq.read_table(file, columns=["accepted", "reason"]).to_pylist():
            accepted += row["accepted"]
            if not row["accepted"]:
                reasons[kind_of_reason(row["reason"])] += 1
    return {"accepted": accepted, "refused": sum(reasons.values()), "reasons": dict(reasons.most_common())}
