"""`invert`: a composer that turns the reference into a pseudo-word, learnt from unlabelled pictures or from texts."""

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.composers.trained import FORMAT_WITH_PROMPTS
from triptych.core.environment import require_extra
from triptych.core.errors import FailureError, UsageError
from triptych.core.files import atomic, locked, made_by, write_json
from triptych.core.onnx_graph import export_graph
from triptych.core.progress import progress
from triptych.encoders.protocol import Encoder, ReadsWords
from triptych.tagging.tagger import Tagger
from triptych.tagging.vocabulary import Vocabulary, load_vocabulary
from triptych.training.data.pairs import hash_file_or_fail, read_pairs
from triptych.training.inversion.texts import MARK, Concepts, Keywords, SlottedIds, draw_titles
from triptych.training.loop import learning_curve

if TYPE_CHECKING:
    from triptych.composers.networks.inversion import Phi
    from triptych.training.inversion.methods import Method, Reader

METHODS = ("pic2word", "searle", "lincir")
PROMPTS = {"pic2word": "a photo of * ,", "searle": "a photo of * that", "lincir": "a photo of * that"}
"""What the papers put before the modification; encoders with a frame (CLIP) were trained on such sentences."""
TITLE_PROMPT = "* * *"
"""The same for our own encoders, which were trained on titles: the best of those tried on validation queries."""
BARE_PROMPTS = ("*", "* *", "* * *", "* * * *")
"""What else `eval` tries: a tower that averages over tokens gives the picture more weight for every mark."""

_PEAK_RATE = 1e-3
_WEIGHT_DECAY = 0.01
_CHECKPOINT_STEPS = 50
_TITLES = 20_000  # texts drawn for LinCIR
_PHOTO = ("a photo of *",)  # what encoders with a frame match to pictures
_TEMPLATES = (*_PHOTO, "a photo of a *", "this photo contains a *", "we see a * in this picture", "a * photo", "*")
"""The same for SEARLE, which draws from many (section 3.1), lest a picture's word suit one sentence alone."""
_TRAINED_WITH = ("*", "* *", "* * *", "a photo of *")  # sentences that own encoders match to pictures
_SHOWN = 1000  # pictures whose words are looked at in the end


def invert(
    method: str,
    catalog: Path | str,
    out: Path | str,
    *,
    prompt: str | None = None,
    captions: Path | str | None = None,
    vocabulary: Path | str | None = None,
    limit: int | None = None,
    steps: int = 400,
    batch: int = 256,
    word_steps: int = 100,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Any]:
    """Train a rival of the family of textual inversion on the pictures of `catalog`, and write it as a composer.

    `method` is pic2word, searle or lincir. `prompt` is what stands before the modification, with `*` for the
    pseudo-word. Without one the composer knows several, the paper's and bare pseudo-words, among which `eval` chooses
    on validation queries; elsewhere it takes the paper's for CLIP, and for our own encoders what was best on such.
    It learns from all pictures, or from `limit` of them.
    LinCIR reads texts only: titles made of the `vocabulary`, or the captions of a CSV (image,caption), in which the
    vocabulary's words are the keywords that it masks. SEARLE first looks for each picture's word by `word_steps` steps
    of optimisation. A run that was interrupted or killed goes on where it stopped and ends with the same weights.

    Returns what it saw: pictures, texts, the last loss, the mean cosine between a picture and its word, seconds.
    Raises UsageError for an unknown method or an encoder that takes no pseudo-words, DataError for a damaged file.
    """
    catalog, out = Path(catalog), Path(out)
    captions, vocabulary = (Path(path) if path else None for path in (captions, vocabulary))
    if method not in METHODS:
        raise UsageError(f"{method}: there is no such method of inversion; there are {', '.join(METHODS)}")
    if captions and method != "lincir":
        raise UsageError(f"--captions: {method} learns from pictures; lincir reads texts")
    if prompt is not None and MARK not in prompt:
        raise UsageError(f"--prompt {prompt!r}: must hold a {MARK}, which stands for the pseudo-word")
    if min(steps, word_steps) < 1 or batch < 2 or (limit is not None and limit < 2):
        raise UsageError("--steps and --word-steps must be at least 1, --batch and --limit at least 2")
    require_extra("train", "invert")
    import torch

    from triptych.composers.networks.inversion import Phi
    from triptych.core.environment import best_device
    from triptych.training.checkpoints import load_checkpoint, save_checkpoint
    from triptych.training.inversion.methods import LinCIR, Pic2Word, Reader, Searle, invert_by_optimisation

    started = time.monotonic()
    if threads:
        torch.set_num_threads(threads)
    opened = Catalog(catalog)
    encoder = opened.encoder(threads=threads)
    if len(opened.names) < 20:
        raise FailureError(f"{catalog}: holds {len(opened.names)} usable pictures; inversion needs at least 20")
    reads = _reads_words(encoder)
    framed = reads.text_frame != (0, 0)
    ids = SlottedIds(reads)
    if prompt is not None:
        _require_room(prompt, ids, reads, encoder.name)
    prompts = _prompts(method, framed=framed) if prompt is None else (prompt,)
    settings: dict[str, Any] = {"method": method, "steps": steps, "batch": batch, "seed": seed}
    settings |= {"word_steps": word_steps if method == "searle" else None, "encoder": encoder.fingerprint}
    settings |= {"captions": hash_file_or_fail(captions) if captions else None, "pictures": opened.digest}
    settings |= {"limit": limit}
    words = load_vocabulary(vocabulary)
    settings |= {"words": {group: dict(said) for group, said in words.phrases.items()}}

    device = best_device()
    reader = Reader(ids, reads.text_tower().requires_grad_(False).eval().to(device), device)
    chosen = np.random.default_rng(seed).permutation(len(opened.names))[:limit]
    vectors = opened.vectors[chosen]
    pictures = torch.from_numpy(vectors).to(device)
    templates = _TRAINED_WITH if not framed else _TEMPLATES if method == "searle" else _PHOTO
    with locked(out):
        torch.manual_seed(seed)
        phi = Phi(opened.dim, reads.word_width).to(device)
        optimizer = torch.optim.AdamW(phi.parameters(), lr=_PEAK_RATE, weight_decay=_WEIGHT_DECAY)
        checkpoint = out / "checkpoint.safetensors"
        resumed = load_checkpoint(checkpoint, phi, optimizer, settings=settings) or {"step": 0, "losses": []}
        losses: list[float] = resumed["losses"]
        source: Method
        if method == "lincir":
            source = LinCIR(reader, _texts(words, captions, seed), Keywords(words), encoder, batch, seed)
        elif method == "pic2word":
            source = Pic2Word(reader, pictures, encoder.logit_scale, templates, batch, seed)
        else:
            concepts = Concepts(Tagger(encoder, words)(vectors), words)
            blocks = out / f"words-{_digest(settings)}"
            found = invert_by_optimisation(
                reader,
                encoder,
                pictures,
                concepts,
                templates,
                blocks,
                width=reads.word_width,
                steps=word_steps,
                seed=seed,
            )
            source = Searle(reader, encoder, pictures, found, concepts, batch, seed)
        for step in progress(range(resumed["step"], steps), method, total=steps, unit="step", done=resumed["step"]):
            torch.manual_seed(seed * 1_000_003 + step)  # for dropout
            for group in optimizer.param_groups:
                group["lr"] = _PEAK_RATE * learning_curve(step, steps)
            loss = source.loss(phi.train(), step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(round(loss.item(), 5))
            if (step + 1) % _CHECKPOINT_STEPS == 0:
                save_checkpoint(checkpoint, phi, optimizer, settings=settings, step=step + 1, losses=losses)
        facts = {
            "pictures": len(pictures),
            "prompt": prompts[0],
            "loss": round(float(np.mean(losses[-20:])), 4),
            "likeness": _likeness(phi, reader, opened, prompts[0]),
            "seconds": round(time.monotonic() - started, 1),
        }
        asked = {"catalog": catalog, "captions": captions, "vocabulary": vocabulary}
        asked |= {name: settings[name] for name in ("method", "limit", "steps", "batch", "word_steps", "seed")}
        _save(out, phi, reader, encoder, prompts, losses, made_by("invert", asked, torch=torch.__version__, **facts))
        checkpoint.unlink(missing_ok=True)
        for block in out.glob("words-*.safetensors"):
            block.unlink()
    return facts


def _prompts(method: str, *, framed: bool) -> tuple[str, ...]:
    """What `eval` may choose from, the one to take otherwise first."""
    first = PROMPTS[method] if framed else TITLE_PROMPT
    return tuple(dict.fromkeys((first, PROMPTS[method], *BARE_PROMPTS)))


def _require_room(prompt: str, ids: SlottedIds, encoder: ReadsWords, name: str) -> None:
    """Raise UsageError where a prompt leaves no room for words."""
    (content,) = ids.contents([prompt])
    room = encoder.token_ids([MARK]).shape[1] - (2 if encoder.text_frame[0] else 0)
    if len(content) >= room:
        raise UsageError(f"--prompt {prompt!r}: {name} reads {room} tokens, and this leaves none for words; shorten it")


def _reads_words(encoder: Encoder) -> ReadsWords:
    if not isinstance(encoder, ReadsWords):
        raise UsageError(
            f"{encoder.name}: its text tower takes no pseudo-words; use one of our own encoders, or a CLIP"
        )
    return encoder


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _texts(vocabulary: Vocabulary, captions: Path | None, seed: int) -> list[str]:
    """What LinCIR reads: captions, or titles of the vocabulary's words."""
    if captions is None:
        return draw_titles(vocabulary, _TITLES, np.random.default_rng(seed))
    texts = [caption.replace(MARK, " ") for _, caption in read_pairs(captions)]
    return [text for text in texts if text.strip()]


def _likeness(phi: "Phi", reader: "Reader", catalog: Catalog, prompt: str) -> float:
    """The mean cosine between a picture and the vector of the prompt with its pseudo-word, over some pictures."""
    import torch

    pictures = torch.tensor(catalog.vectors[:_SHOWN], device=reader.device)
    with torch.inference_mode():
        found = reader([prompt] * len(pictures), phi.eval()(pictures))
    return round((found * pictures).sum(dim=-1).mean().item(), 4)


def _save(
    out: Path,
    phi: "Phi",
    reader: "Reader",
    encoder: Encoder,
    prompts: Sequence[str],
    losses: list[float],
    note: dict[str, Any],
) -> None:
    """Write the folder of a composer; `config.json` comes last, so a folder that has it is whole."""
    import torch
    from safetensors.torch import save_file

    from triptych.composers.networks.inversion import InvertedQuery
    from triptych.composers.networks.mixture import SameSpace

    phi = phi.eval().cpu()
    assert isinstance(encoder, ReadsWords)
    (out / "config.json").unlink(missing_ok=True)
    with atomic(out / "model.safetensors") as temporary:
        save_file({name: tensor.contiguous() for name, tensor in phi.state_dict().items()}, temporary)
    query = InvertedQuery(phi, reader.tower.cpu())
    vectors = torch.nn.functional.normalize(torch.randn(2, encoder.dim), dim=-1)
    example = torch.from_numpy(encoder.token_ids(["a text", "another one"]))
    export_graph(query, [vectors, example], out / "query.onnx", half=True)
    export_graph(SameSpace(), [vectors], out / "gallery.onnx")
    write_json(
        out / "config.json",
        {
            "format": FORMAT_WITH_PROMPTS,
            "composer": note["settings"]["method"],
            "architecture": {"dim": encoder.dim, "width": encoder.word_width},
            "text_tower": True,
            "prompts": dict(zip(prompts, reader.ids.contents(prompts), strict=True)),
            "encoder": {"name": encoder.name, "fingerprint": encoder.fingerprint},
            "losses": losses[:: max(1, len(losses) // 100)],
            "made_by": note,
        },
    )
