"""`mine`: the agent at work over a catalog, from unlabelled pictures to a file of triplets."""

import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from triptych.agent.criticism import EncoderCritic
from triptych.agent.earlier import Earlier
from triptych.agent.proposing import Proposer
from triptych.agent.reasoning import Draft, TagsReasoner
from triptych.catalog import Catalog
from triptych.chat import ChatSettings, need_chat_libraries
from triptych.encoders import Encoder, unit
from triptych.errors import FailureError, UsageError
from triptych.files import claimed, hash_file, locked, made_by
from triptych.progress import progress, say
from triptych.tagging import DEFAULT, Tagger, Tags, Vocabulary, agreed, load_vocabulary, shows
from triptych.triplets import Triplet, join_triplets, kind_of_reason, write_triplets

_CHUNK = 256  # references a commit
_SURE = 0.03  # least probability that the target shows what the words say; rare words are never sure
_DECISIVE = 0.4  # least mean probability of the likeliest word, for a group to be used
_DECISIVE_BY_NAME = 0.25  # the same where it was learnt, and not guessed with more certainty than there is


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
    after: Path | str | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Any]:
    """Build triplets from the pictures of `catalog` and write them to `out`, the refused ones with the reason.

    For each reference (the first `limit` of a seeded order) the agent makes `plans` of what could change, proposes the
    `width` most apt candidates for each, drafts up to `targets` triplets and judges each within a group of `group`.
    A run that was interrupted or killed goes on where it stopped and ends with the same file.

    With `after`, a file that `refine` wrote, it is another round: the triplets there come first, and for each reference
    the agent draws other questions, the kinds that the composer answered worst the most often, in that file's words
    unless a `vocabulary` is given. What a file holds already, accepted or refused, is not written again.

    With `reasoner="chat:MODEL"` a multimodal model at `chat.base_url` reasons about groups of `group` pictures and
    judges up to `targets` drafts for each reference; `plans` plays no part, and `width` is at most 300. A ledger beside
    `out` holds every reply, so no answered call is made again; a budget, a server that is gone, or Ctrl-C leaves
    references pending for the next run. `mine_status` tells how far it is.

    Returns counts: references, accepted, refused, by reason; with a chat model also pending, calls, tokens, cost.
    Raises UsageError for an unknown reasoner, DataError where `after` was not refined, FailureError where the catalog
    is too small or nothing was accepted.
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
    if min(plans, targets, width, group, 1 if limit is None else limit) < 1:
        raise UsageError("limit, plans, targets, width and group must be at least 1")
    opened = Catalog(catalog)
    if who == "chat":
        need_chat_libraries()
        from triptych.agent.chatting import mine_by_chat

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
    settings |= {"targets": targets, "width": width, "group": group, "after": after, "seed": seed}

    started = time.monotonic()
    tags = tag(opened, encoder, words)
    groups = tuple(tags)
    items = unit(opened.vectors[:, -encoder.identity :])  # all of it where the encoder has no such part
    draws = seed + (earlier.rounds << 32)  # another round draws other questions
    proposer = Proposer(items, tags, groups, width=width, seed=draws, wanted=earlier.wanted)
    reasons = TagsReasoner(tags, words, targets_each=targets, seed=draws)
    critic = EncoderCritic(opened.vectors, tags, words, encoder, sure=_SURE, group_size=group)

    parts = out.with_name(out.name + ".partial")
    run = settings | {"digest": hash_file(after) if after else None}
    run |= {"words": hash_file(vocabulary or DEFAULT)}
    with locked(parts):
        run |= {"pictures": opened.digest, "encoder": encoder.fingerprint}
        if not claimed(parts, run, ["part-*.parquet"]):
            say(f"{parts}: an unfinished run had other settings or pictures; starting over")
        references = _references(len(opened.names), limit, draws)
        starts = range(0, len(references), _CHUNK)
        files = [parts / f"part-{start:09d}.parquet" for start in starts]
        waiting = [(start, file) for start, file in zip(starts, files, strict=True) if not file.exists()]
        ahead = progress(
            waiting, "mine", total=len(starts), unit=f"x{_CHUNK} references", done=len(starts) - len(waiting)
        )
        for start, file in ahead:
            proposals = proposer.propose(references[start : start + _CHUNK], plans)
            drafts = [draft for proposal in proposals for draft in reasons.reason(proposal)]
            judged = _judged(drafts, critic, opened.names, reasons.name)
            write_triplets(file, earlier.added(judged), {})
        if after:
            files.insert(0, after)
        facts = _count(files) | {"references": len(references), "groups": groups}
        # Of a run that went on where another stopped, nobody knows how long both took.
        spent = {"seconds": round(time.monotonic() - started, 1)} if len(waiting) == len(starts) else {}
        note = made_by("mine", settings, encoder_fingerprint=encoder.fingerprint, **facts, **spent)
        join_triplets(out, files, note)
        shutil.rmtree(parts)
    if not facts["accepted"]:
        raise FailureError(
            f"{out}: none of {facts['refused']} drafts was accepted; use more pictures, or a vocabulary of their words"
        )
    return facts


def tag(catalog: Catalog, encoder: Encoder, words: Vocabulary) -> Tags:
    """Tags of a catalog's pictures, of the groups that the encoder can tell apart.

    Raises FailureError where there is none.
    """
    tagger = Tagger(encoder, words)
    tags = tagger(catalog.vectors)
    groups = decisive_groups(tags, tagger.named)
    # What the encoder can name it knows better than a picture's neighbours do.
    guessed = agreed({name: tags[name] for name in groups if name not in tagger.named}, catalog.vectors)
    return {name: guessed.get(name, tags[name]) for name in groups}


def decisive_groups(tags: Tags, named: Collection[str] = ()) -> tuple[str, ...]:
    """The groups that the encoder can tell apart on the pictures that show them; `named` are those it learnt to name.

    Raises FailureError where there is none.
    """
    shown = {group: values[shows(values)] for group, values in tags.items()}
    sure = {group: float(values.max(axis=1).mean()) if len(values) else 0.0 for group, values in shown.items()}
    least = {group: _DECISIVE_BY_NAME if group in named else _DECISIVE for group in sure}
    kept = tuple(group for group, mean in sure.items() if mean >= least[group])
    for group in (name for name in sure if name not in kept):
        say(f"mine: leaving out {group!r}: the encoder is not sure of its words ({sure[group]:.2f} on average)")
    if not kept:
        raise FailureError("mine: the encoder is not sure of any group of the vocabulary; use words of these pictures")
    return kept


def _references(count: int, limit: int | None, seed: int) -> list[int]:
    order: list[int] = np.random.default_rng(seed).permutation(count).tolist()
    return order[:limit]


def _judged(drafts: list[Draft], critic: EncoderCritic, names: list[str], reasoner: str) -> Iterable[Triplet]:
    for draft, verdict in zip(drafts, critic.judge(drafts), strict=True):
        row = draft.proposal.candidates.tolist().index(draft.target)
        yield Triplet(
            reference=names[draft.proposal.reference],
            target=names[draft.target],
            modifications=draft.modifications,
            changes=draft.changes,
            group=tuple(names[picture] for picture in verdict.group),
            accepted=verdict.accepted,
            reason=verdict.reason,
            confidence=verdict.confidence,
            likeness=float(draft.proposal.likeness[row]),
            reasoner=reasoner,
            also=tuple(names[picture] for picture in verdict.also),
        )


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
