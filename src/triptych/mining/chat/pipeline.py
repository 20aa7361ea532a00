"""`mine` with a chat model: the ledger holds every step, and the triplet file is written from the ledger."""

import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.chat.ledger import Ledger, ledger_of, opened, total
from triptych.chat.settings import JUDGEMENT, REASONING, ChatSettings
from triptych.core.environment import JUDGE_KEYS
from triptych.core.errors import FailureError, UsageError
from triptych.core.files import locked, made_by
from triptych.core.progress import progress, say
from triptych.core.vectors import Vectors
from triptych.mining.chat.session import ChatSession
from triptych.triplets.file import kind_of_reason, kinds_of_reasons, triplet_of, write_triplets

_LEAST = 20  # usable pictures
_WIDTH = 300  # nearest pictures that a group is chosen from; beyond them, a person would not call them alike


def run_session(session: ChatSession) -> dict[str, Any]:
    """Do what the settings say, and write the triplets there are by then. See `triptych.mine`."""
    if session.settings.dry_run:
        from triptych.mining.chat.cost import forecast

        return forecast(session)
    path = ledger_of(session.out)
    with locked(path.parent), opened(path) as ledger:
        if ledger.begin(session.facts, [session.catalog.names[row] for row in session.references]):
            say(f"{path}: an earlier run had other settings or pictures; starting over, on the replies there are")
        added: dict[str, Any] = {}
        started = time.monotonic()
        try:
            if session.settings.batch_in or session.settings.batch_out:
                from triptych.mining.chat.batch import batch_round

                ledger.live(0.0)
                added = batch_round(session, ledger)
            else:
                _live(session, ledger)
        finally:
            ledger.worked(time.monotonic() - started)
            facts = _write(session, ledger) | added
    if not facts["accepted"] and not facts["pending"]:
        raise FailureError(f"{session.out}: no triplet was accepted; `triptych mine --status --out FILE` tells why")
    return facts


def _live(session: ChatSession, ledger: Ledger) -> None:
    from triptych.chat.client import Desk, run
    from triptych.chat.endpoint import LOCAL, Endpoint
    from triptych.chat.server import Line

    settings = session.settings
    hosts = dict.fromkeys(urlsplit(url).hostname for url in (settings.base_url, settings.judge_base_url) if url)
    if far := [str(host) for host in hosts if host not in LOCAL]:
        say(f"mine: pictures leave this machine, for {' and '.join(far)}")
    if (asked := ledger.count("batched")) and not settings.batch_again:
        raise UsageError(
            f"{session.out}: a batch file asks {asked} calls already; take its results in with --batch-in, or give "
            "--batch-again to ask them here all the same"
        )
    ledger.live(time.time())
    waiting = ledger.pending()
    done = len(session.references) - len(waiting)
    bar = progress(session.groups(waiting), "mine", total=len(session.references), unit="reference", done=done)
    talks = ((group.reference, session.agent.talk(group)) for group in bar)

    async def work() -> str:
        async with AsyncExitStack() as stack:
            endpoint = await stack.enter_async_context(Endpoint(settings.base_url, settings))
            works = ledger.count("answered") > 0
            line = Line(endpoint, settings, works=works)
            lines = {REASONING: line, JUDGEMENT: line}
            if settings.judge_base_url:
                other = await stack.enter_async_context(Endpoint(settings.judge_base_url, settings, JUDGE_KEYS))
                lines[JUDGEMENT] = Line(other, settings, works=works)
            desk = Desk(ledger, session.painter, settings, lines)
            await desk.run(
                talks,
                lambda reference, outcome: session.settle(ledger, reference, outcome),
                lambda reference, error: ledger.settle(reference, "rejected", f"unreadable: {error}", []),
            )
            return desk.why_stopped

    try:
        stopped = run(work)
    finally:
        talks.close()
    if stopped == "interrupted":
        raise KeyboardInterrupt
    if stopped:
        say(f"mine: stopped: {stopped}")


def _write(session: ChatSession, ledger: Ledger) -> dict[str, Any]:
    """The triplet file, out of the ledger, and what there is to tell."""
    states, steps = ledger.states(), ledger.steps()
    # Twice through the ledger rather than all of it in memory.
    reasons = Counter("" if row["accepted"] else kind_of_reason(row["reason"]) for row in ledger.triplets())
    accepted = reasons.pop("", 0)
    facts: dict[str, Any] = {
        "accepted": accepted,
        "refused": sum(reasons.values()),
        "reasons": dict(reasons.most_common()),
        "references": len(session.references),
        "references_accepted": states["accepted"],
        "references_rejected": states["rejected"],
        "rejected_because": kinds_of_reasons(ledger.reasons()),
        "pending": states["pending"],
        "calls": int(total(steps.values(), "attempts")),
        "tokens_in": int(total(steps.values(), "tokens_in")),
        "tokens_out": int(total(steps.values(), "tokens_out")),
        "cost": round(total(steps.values(), "cost"), 6),
    }
    if states["accepted"] + states["rejected"]:
        settings = session.options | {
            "model": session.model,
            "judge": session.settings.judge,
            "prompts": session.prompts.version,
            "base_url": session.settings.base_url,
            "judge_base_url": session.settings.judge_base_url,
        }
        spent = {"seconds": round(ledger.seconds(), 1)}
        note = made_by("mine", settings, encoder_fingerprint=session.catalog.fingerprint, **facts, **spent)
        write_triplets(session.out, map(triplet_of, ledger.triplets()), note)
    return facts


def mine_by_chat(
    catalog: Catalog,
    out: Path,
    model: str,
    settings: ChatSettings,
    *,
    vocabulary: Path | None,
    limit: int | None,
    targets: int,
    width: int,
    group: int,
    seed: int,
    threads: int | None,
) -> dict[str, Any]:
    """`triptych.mine` with a chat model. A vocabulary, if there is one, only widens what is proposed."""
    options = {"catalog": catalog.folder, "vocabulary": str(vocabulary) if vocabulary else None, "limit": limit}
    options |= {"targets": targets, "width": min(width, _WIDTH), "group": group, "seed": seed}
    order: list[int] = np.random.default_rng(seed).permutation(len(catalog.names)).tolist()
    views = [catalog.vectors]
    if vocabulary:
        views += _views_apart(catalog, vocabulary, threads)
    return run_session(
        ChatSession(catalog, out, model, settings, references=order[:limit], views=views, options=options)
    )


def _views_apart(catalog: Catalog, vocabulary: Path, threads: int | None) -> list[Vectors]:
    """One view for each group of words: in it, pictures are alike that differ in that group alone."""
    from triptych.mining.proposer import apart_from
    from triptych.tagging.tagger import Tagger
    from triptych.tagging.vocabulary import load_vocabulary

    tags = Tagger(catalog.encoder(threads=threads), load_vocabulary(vocabulary))(catalog.vectors)
    return [apart_from((group,), catalog.vectors, tags) for group in tags]
