"""`mine_chat`: the ledger holds every step, and the triplet file is written from the ledger."""

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.chat.ledger import Ledger, ledger_path, open_ledger, total
from triptych.chat.settings import JUDGEMENT, REASONING, ChatSettings, require_chat_libraries
from triptych.core.cluster import ClusterOptions, workers_of
from triptych.core.environment import JUDGE_KEYS, Runtime
from triptych.core.errors import FailureError, UsageError
from triptych.core.files import locked, made_by, output_file
from triptych.core.progress import progress, say
from triptych.core.results import known_fields
from triptych.core.text import truncate
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder
from triptych.mining.chat.results import ChatMineResult, CostEstimate
from triptych.mining.options import ChatMineOptions
from triptych.triplets.file import kind_of_reason, kinds_of_reasons, triplet_of, write_triplets

if TYPE_CHECKING:  # they need the extra `chat`
    from triptych.chat.server import ServerConnection
    from triptych.mining.chat.session import ChatSession

_REASONS = 3  # reasons named in one line of output


def mine_chat(
    catalog: Path | str,
    out: Path | str,
    model: str,
    chat: ChatSettings,
    options: ChatMineOptions = ChatMineOptions(),
    *,
    encoder: Encoder | str | None = None,
    runtime: Runtime = Runtime(),
    cluster: ClusterOptions = ClusterOptions(),
) -> ChatMineResult | CostEstimate:
    """Make triplets with a multimodal chat model, which reasons about groups of pictures and judges its drafts.

    A ledger beside `out` keeps every reply, so no answered call is made again. If a budget is spent, a server fails, or
    the run is interrupted, references stay pending for the next run. `mine_status` reports progress.

    Args:
        catalog: folder of the catalog.
        out: triplet file to write (.parquet).
        model: the model's name at the endpoint, such as qwen2.5-vl-7b-instruct.
        chat: how the model is reached, what it is shown, and what it may cost.
        options: how triplets are made. A vocabulary only adds to the pictures that are proposed.
        encoder: the catalog's encoder, or its name; by default the one that the catalog names. Only a vocabulary needs
            it.
        runtime: what the encoder computes with.
        cluster: whether workers of a Ray cluster find the groups of pictures. All calls are made from here, so there
            is one ledger, and one budget for all.

    Returns:
        Counts, tokens and cost over all runs; with `chat.dry_run` an estimate of what a run takes.

    Raises:
        UsageError: the extra `chat` is not installed, or a batch file has no results yet.
        FailureError: the catalog is too small, the server fails for good, or nothing was accepted.
    """
    require_chat_libraries()
    from triptych.mining.chat.session import ChatSession

    opened = Catalog(Path(catalog))
    order: list[int] = np.random.default_rng(options.seed).permutation(len(opened.names)).tolist()
    views = [opened.compared_vectors]
    if options.vocabulary:
        known = opened.encoder(encoder, threads=runtime.threads, device=runtime.device)
        views += _attribute_views(opened, options.vocabulary, known)
    references = order[: options.limit]
    out = output_file(out, ".parquet")
    # An estimate looks at a single group.
    with workers_of(ClusterOptions() if chat.dry_run else cluster, runtime.threads) as workers:
        settings = (model, chat, options)
        return _run(ChatSession(opened, out, *settings, references=references, views=views, workers=workers))


def _run(session: "ChatSession") -> ChatMineResult | CostEstimate:
    """Run what the settings ask for, and write the triplets that exist by then."""
    if session.settings.dry_run:
        from triptych.mining.chat.cost import estimate_cost

        return estimate_cost(session)
    path = ledger_path(session.out)
    with locked(path.parent), open_ledger(path) as ledger:
        if ledger.begin(session.facts, [session.catalog.names[row] for row in session.references]):
            say(f"{path}: an earlier run had other settings or pictures; starting over, on the replies there are")
        added: dict[str, Any] = {}
        stopped = ""
        started = time.monotonic()
        try:
            if session.settings.batch.used:
                from triptych.mining.chat.batch import batch_round

                ledger.record_live_run(0.0)
                added = batch_round(session, ledger)
            else:
                stopped = _live(session, ledger)
        finally:
            ledger.add_seconds(time.monotonic() - started)
            result = _write(session, ledger, added)
            if not session.settings.batch.used:
                _report_pending(result)
        reasons = ledger.reasons()
    if not result.accepted and not result.pending:
        raise FailureError(f"{session.out}: no triplet was accepted: {_counted(reasons)}")
    if stopped:
        say(f"mine: stopped: {stopped}")
    return result


def _report_pending(result: ChatMineResult) -> None:
    """How many references are left, however the run ended, and why."""
    if result.pending:
        because = _counted(result.pending_because)
        say(f"mine: {result.pending} of {result.references} references are pending{because and f': {because}'}")


def _counted(reasons: Mapping[str, int]) -> str:
    """The most frequent reasons in one line."""
    first = sorted(reasons.items(), key=lambda item: -item[1])[:_REASONS]
    more = "" if len(reasons) <= _REASONS else f"; and {len(reasons) - _REASONS} other reasons"
    return "; ".join(f"{count} times {truncate(reason, 200)}" for reason, count in first) + more


def _live(session: "ChatSession", ledger: Ledger) -> str:
    """Ask a server. Returns why it stopped before everything was asked; empty if it did not."""
    from triptych.chat.client import INTERRUPTED, DialogueRunner, run

    settings = session.settings
    _warn_of_far_servers(settings)
    if (asked := ledger.count("batched")) and not settings.batch.resend:
        raise UsageError(
            f"{session.out}: a batch file asks {asked} calls already; read its results with --batch-in, or give "
            "--batch-resend to ask them here all the same"
        )
    ledger.record_live_run(time.time())
    waiting = ledger.pending()
    done = len(session.references) - len(waiting)
    bar = progress(session.groups(waiting), "mine", total=len(session.references), unit="reference", done=done)
    dialogues = ((group.reference, session.agent.dialogue(group)) for group in bar)

    async def work() -> str:
        async with AsyncExitStack() as stack:
            connections = await _connections(settings, stack, works=ledger.count("answered") > 0)
            runner = DialogueRunner(ledger, session.urls, settings, connections)
            await runner.run(
                dialogues,
                lambda reference, outcome: session.settle(ledger, reference, outcome),
                lambda reference, error: ledger.settle(reference, "rejected", f"unreadable: {error}", []),
            )
            return runner.why_stopped

    try:
        stopped = run(work)
    finally:
        dialogues.close()
    if stopped == INTERRUPTED:
        raise KeyboardInterrupt
    return str(stopped)


def _warn_of_far_servers(settings: ChatSettings) -> None:
    from triptych.chat.endpoint import LOCAL

    urls = (settings.endpoint.base_url, settings.judge.base_url)
    hosts = dict.fromkeys(urlsplit(url).hostname for url in urls if url)
    if far := [str(host) for host in hosts if host not in LOCAL]:
        say(f"mine: pictures are sent to {' and '.join(far)}")


async def _connections(
    settings: ChatSettings, stack: AsyncExitStack, *, works: bool
) -> "Mapping[str, ServerConnection]":
    """The connection of each step, closed with the `stack`. `works`: the server has answered such calls before."""
    from triptych.chat.endpoint import Endpoint
    from triptych.chat.server import ServerConnection

    endpoint = await stack.enter_async_context(Endpoint(settings.endpoint.base_url, settings.endpoint))
    connection = ServerConnection(endpoint, settings, works=works)
    if not settings.judge.base_url:
        return {REASONING: connection, JUDGEMENT: connection}
    other = await stack.enter_async_context(Endpoint(settings.judge.base_url, settings.endpoint, JUDGE_KEYS))
    return {REASONING: connection, JUDGEMENT: ServerConnection(other, settings, works=works)}


def _write(session: "ChatSession", ledger: Ledger, added: Mapping[str, Any]) -> ChatMineResult:
    """Write the triplet file from the ledger. Returns the result."""
    states, steps = ledger.states(), ledger.steps()
    # The ledger is read twice, so that its triplets are never all in memory.
    reasons = Counter("" if row["accepted"] else kind_of_reason(row["reason"]) for row in ledger.triplets())
    accepted = reasons.pop("", 0)
    result = ChatMineResult(
        accepted=accepted,
        refused=sum(reasons.values()),
        reasons=dict(reasons.most_common()),
        references=len(session.references),
        references_accepted=states["accepted"],
        references_rejected=states["rejected"],
        rejected_because=kinds_of_reasons(ledger.reasons()),
        pending=states["pending"],
        pending_because=dict(ledger.pending_because().most_common()),
        calls=int(total(steps.values(), "attempts")),
        tokens_in=int(total(steps.values(), "tokens_in")),
        tokens_out=int(total(steps.values(), "tokens_out")),
        cost=round(total(steps.values(), "cost"), 6),
        **added,
    )
    if states["accepted"] + states["rejected"]:
        facts = {name: value for name, value in known_fields(result).items() if name not in added}
        note = made_by(
            "mine-chat",
            _settings(session),
            encoder_fingerprint=session.catalog.fingerprint,
            **facts,
            seconds=round(ledger.seconds(), 1),
        )
        write_triplets(session.out, map(triplet_of, ledger.triplets()), note)
    return result


def _settings(session: "ChatSession") -> dict[str, Any]:
    """The settings as the note records them."""
    return {
        "catalog": session.catalog.folder,
        **asdict(session.options),
        "model": session.model,
        "judge": session.settings.judge.models,
        "prompts": session.prompts.version,
        "base_url": session.settings.endpoint.base_url,
        "judge_base_url": session.settings.judge.base_url,
    }


def _attribute_views(catalog: Catalog, vocabulary: Path, encoder: Encoder) -> list[Vectors]:
    """One view for each group of words, in which pictures that differ only in that group are alike."""
    from triptych.mining.proposer import remove_attributes
    from triptych.tagging.tagger import Tagger
    from triptych.tagging.vocabulary import load_vocabulary, understood_words

    words = load_vocabulary(vocabulary)
    words = understood_words(words, encoder, str(vocabulary))
    tags = Tagger(encoder, words, catalog.vectors)(catalog.vectors)
    return [remove_attributes((group,), catalog.compared_vectors, tags) for group in tags]
