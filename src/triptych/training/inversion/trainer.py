"""`train-inversion`: train a composer that turns the reference into a pseudo-word, from pictures or from texts."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.composers.trained import FORMAT_WITH_PROMPTS
from triptych.core.environment import Runtime, require_extra, require_one_process
from triptych.core.errors import FailureError, UsageError
from triptych.core.files import locked, made_by, write_bytes, write_json
from triptych.core.onnx_graph import export_graph
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import AcceptsPseudoWords, Encoder, short_name
from triptych.encoders.reading import report_texts
from triptych.tagging.tags import tag_pictures
from triptych.tagging.vocabulary import Vocabulary, load_vocabulary, understood_words
from triptych.training.callbacks import callbacks_of
from triptych.training.data.pairs import hash_file_or_fail, read_pairs
from triptych.training.inversion.texts import Keywords, PictureConcepts, SlottedIds, draw_titles
from triptych.training.options import MARK, InversionOptions, Log
from triptych.training.results import InversionResult
from triptych.training.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from triptych.composers.networks.inversion import MappingNetwork
    from triptych.training.inversion.methods import InversionLearner, Method, Reader

PROMPTS = {"pic2word": "a photo of * ,", "searle": "a photo of * that", "lincir": "a photo of * that"}
"""What the papers put before the modification, for encoders such as CLIP, which were trained on such sentences."""
TITLE_PROMPT = "* * *"
"""The same for encoders of `pretrain`, which were trained on titles: the best of several on validation queries."""
BARE_PROMPTS = ("*", "* *", "* * *", "* * * *")
"""What `eval` tries besides. In a text tower that averages over tokens, each mark adds to the picture's weight."""

_TITLES = 20_000  # titles drawn for LinCIR; not tuned
_MIN_PICTURES = 20  # the fewest pictures to train on; an estimate
_PHOTO = ("a photo of *",)  # the training sentence for encoders such as CLIP
_TEMPLATES = (*_PHOTO, "a photo of a *", "this photo contains a *", "we see a * in this picture", "a * photo", "*")
"""The same for SEARLE, which draws from several (section 3.1), so that a word does not fit one sentence only."""
_TRAINED_WITH = ("*", "* *", "* * *", "a photo of *")  # training sentences for encoders of `pretrain`
_CHECKED = 1000  # pictures over which the similarity of words and pictures is reported


def train_inversion(
    method: str,
    catalog: Path | str,
    out: Path | str,
    options: InversionOptions = InversionOptions(),
    *,
    encoder: Encoder | str | None = None,
    runtime: Runtime = Runtime(),
    log: Log = None,
) -> InversionResult:
    """Train a textual-inversion baseline on the pictures of a catalog. The result is a composer.

    LinCIR reads only texts: titles made of the vocabulary, or captions, in which it masks the vocabulary's words.
    SEARLE first finds each picture's word by optimisation. A run that was killed can be resumed.

    Args:
        method: pic2word, searle or lincir.
        catalog: the folder of the pictures' catalog.
        out: the folder to write.
        options: how to train.
        encoder: the catalog's encoder, or its name; by default the one that the catalog names.
        runtime: what to compute with.
        log: a file of JSON lines for the losses, or `LogOptions`.

    Returns:
        Counts, the loss, the similarity of pseudo-words to their pictures, and the duration.

    Raises:
        UsageError: the method is unknown, the encoder takes no pseudo-words, or torch is missing.
        FailureError: there are too few pictures.
        DataError: the captions or the vocabulary cannot be read.
    """
    catalog, out = Path(catalog), Path(out)
    _check(method, options)
    require_extra("train", "train-inversion")
    require_one_process("train-inversion")
    import torch

    from triptych.training.loop import fit, require_same_run

    started = time.monotonic()
    device = runtime.torch_device()
    opened = Catalog(catalog)
    known = opened.encoder(encoder, threads=runtime.threads, device=runtime.device)
    material = _prepare(opened, known, options, device)
    prompts = _prompts(method, options.prompt, material)
    settings = _settings(method, options, opened, material.words)
    with locked(out):
        require_same_run(out, settings)
        learner = _learner(method, material, out / f"words-{_digest(settings)}")
        run = fit(learner, learner.loop, out, settings, callbacks_of(log))
        result = InversionResult(
            pictures=len(material.pictures),
            prompt=prompts[0],
            loss=round(float(np.mean(run.losses[-20:])), 4),
            similarity=_similarity(learner.mapping, material.reader, opened, prompts[0]),
            seconds=round(time.monotonic() - started, 1),
        )
        choices = {"catalog": catalog, "method": method, **asdict(options)}
        note = made_by("train-inversion", choices, torch=torch.__version__, **asdict(result))
        _save(out, learner.mapping, material.reader, known, prompts, run.losses, note)
        run.clean()
        _remove(out.glob("words-*.safetensors"))
    return result


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink()


def _check(method: str, options: InversionOptions) -> None:
    """Check the method, and that captions are given only to a method that reads them.

    Raises:
        UsageError: they are not.
    """
    if method not in METHODS:
        raise UsageError(f"{method}: there is no such inversion method; use one of {', '.join(METHODS)}")
    if options.captions and method != "lincir":
        raise UsageError(f"--captions: only lincir learns from texts; {method} learns from pictures")


@dataclass(frozen=True)
class _Material:
    """The inputs of a method: encoder, pictures and texts."""

    reader: "Reader"
    encoder: Encoder
    accepts: AcceptsPseudoWords
    """The encoder, as one that accepts pseudo-words."""
    vectors: Vectors
    """The pictures' vectors `(n, d)`."""
    pictures: "Tensor"
    """The same vectors on the reader's device."""
    words: Vocabulary
    options: InversionOptions

    @property
    def framed(self) -> bool:
        """Whether the encoder's texts have start and end tokens, as CLIP's do."""
        return self.accepts.text_frame != (0, 0)


def _prepare(catalog: Catalog, encoder: Encoder, options: InversionOptions, device: "torch.device") -> _Material:
    """Collect what a method learns from.

    Raises:
        UsageError: the encoder accepts no pseudo-words.
        FailureError: there are too few pictures.
    """
    import torch

    from triptych.training.inversion.methods import Reader

    count = len(catalog.names)
    if count < _MIN_PICTURES:
        raise FailureError(f"{catalog.folder}: holds {count} usable pictures; inversion needs at least {_MIN_PICTURES}")
    accepts = _accepts_words(encoder)
    reader = Reader(SlottedIds(accepts), accepts.text_tower().requires_grad_(False).eval().to(device), device)
    chosen = np.random.default_rng(options.seed).permutation(count)[: options.limit]
    vectors = catalog.vectors[chosen]
    pictures = torch.from_numpy(vectors).to(device)
    words = load_vocabulary(options.vocabulary)
    if options.vocabulary:
        words = understood_words(words, encoder, str(options.vocabulary))
    return _Material(reader, encoder, accepts, vectors, pictures, words, options)


def _settings(method: str, options: InversionOptions, catalog: Catalog, words: Vocabulary) -> Settings:
    """The settings that decide the weights, for the checkpoint. Files are given by a hash of their content. Prompts are
    left out, since they do not change the weights."""
    settings = Settings(
        options,
        method=method,
        captions=hash_file_or_fail(options.captions) if options.captions else None,
        word_steps=options.word_steps if method == "searle" else None,
        encoder=catalog.fingerprint,
        pictures=catalog.digest,
        vocabulary={group: dict(said) for group, said in words.phrases.items()},
    )
    settings["prompt"] = None
    return settings


def _learner(method: str, material: _Material, blocks: Path) -> "InversionLearner":
    """Make a new mapping network with its method."""
    import torch

    from triptych.composers.networks.inversion import MappingNetwork
    from triptych.training.inversion.methods import InversionLearner

    torch.manual_seed(material.options.seed)
    mapping = MappingNetwork(material.encoder.dim, material.accepts.word_width).to(material.reader.device)
    return InversionLearner(mapping, METHODS[method](material, blocks), method, material.options)


def _pic2word(material: _Material, blocks: Path) -> "Method":
    from triptych.training.inversion.methods import Pic2Word

    templates = _PHOTO if material.framed else _TRAINED_WITH
    scale, options = material.encoder.logit_scale, material.options
    return Pic2Word(material.reader, material.pictures, scale, templates, options.batch_size, options.seed)


def _searle(material: _Material, blocks: Path) -> "Method":
    from triptych.training.inversion.methods import PhraseLoss, Searle, invert_by_optimisation

    tagged = tag_pictures(material.vectors, material.encoder, material.words)
    concepts = PictureConcepts(tagged.tags, tagged.vocabulary)
    phrases, options = PhraseLoss(material.reader, material.encoder, concepts), material.options
    found = invert_by_optimisation(
        phrases,
        material.pictures,
        _TEMPLATES if material.framed else _TRAINED_WITH,
        blocks,
        width=material.accepts.word_width,
        steps=options.word_steps,
        seed=options.seed,
    )
    return Searle(phrases, material.pictures, found, options.batch_size, options.seed)


def _lincir(material: _Material, blocks: Path) -> "Method":
    from triptych.training.inversion.methods import LinCIR

    words, options = material.words, material.options
    texts = _texts(words, options.captions, options.seed)
    if options.captions:
        report_texts(texts, material.encoder, str(options.captions), short_name(material.encoder), cut=True)
    return LinCIR(material.reader, texts, Keywords(words), material.encoder, options.batch_size, options.seed)


METHODS: Mapping[str, "Callable[[_Material, Path], Method]"] = {
    "pic2word": _pic2word,
    "searle": _searle,
    "lincir": _lincir,
}
"""The methods by name. SEARLE stores the pseudo-words that it has found in files whose names begin with the path."""


def _prompts(method: str, prompt: str | None, material: _Material) -> tuple[str, ...]:
    """The prompts that `eval` may choose from, the default first.

    Raises:
        UsageError: a prompt is too long.
    """
    if prompt is not None:
        _require_room(prompt, material.reader.ids, material.accepts, material.encoder.name)
        return (prompt,)
    first = PROMPTS[method] if material.framed else TITLE_PROMPT
    return tuple(dict.fromkeys((first, PROMPTS[method], *BARE_PROMPTS)))


def _require_room(prompt: str, ids: SlottedIds, encoder: AcceptsPseudoWords, name: str) -> None:
    """Check that a prompt leaves room for the modification.

    Raises:
        UsageError: it does not.
    """
    (content,) = ids.contents([prompt])
    room = encoder.token_ids([MARK]).shape[1] - (2 if encoder.text_frame[0] else 0)
    if len(content) >= room:
        raise UsageError(f"--prompt {prompt!r}: leaves no room for words; {name} reads {room} tokens; shorten it")


def _accepts_words(encoder: Encoder) -> AcceptsPseudoWords:
    if not isinstance(encoder, AcceptsPseudoWords):
        raise UsageError(
            f"{encoder.name}: its text tower accepts no pseudo-words; use an encoder of `triptych pretrain`, or a CLIP"
        )
    return encoder


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _texts(vocabulary: Vocabulary, captions: Path | None, seed: int) -> list[str]:
    """The texts that LinCIR learns from: captions, or titles of the vocabulary's words."""
    if captions is None:
        return draw_titles(vocabulary, _TITLES, np.random.default_rng(seed))
    texts = [caption.replace(MARK, " ") for _, caption in read_pairs(captions)]
    return [text for text in texts if text.strip()]


def _similarity(mapping: "MappingNetwork", reader: "Reader", catalog: Catalog, prompt: str) -> float:
    """The mean cosine between a picture and the vector of the prompt with its pseudo-word, over some pictures."""
    import torch

    pictures = torch.tensor(catalog.vectors[:_CHECKED], device=reader.device)
    with torch.inference_mode():
        found = reader([prompt] * len(pictures), mapping.eval()(pictures))
    return round((found * pictures).sum(dim=-1).mean().item(), 4)


def _save(
    out: Path,
    mapping: "MappingNetwork",
    reader: "Reader",
    encoder: Encoder,
    prompts: Sequence[str],
    losses: list[float],
    note: dict[str, Any],
) -> None:
    """Write the folder of a composer. `config.json` is written last, so a folder that has it is complete."""
    import torch
    from safetensors.torch import save

    from triptych.composers.networks.inversion import InvertedQuery
    from triptych.composers.networks.mixture import SameSpace

    mapping = mapping.eval().cpu()
    assert isinstance(encoder, AcceptsPseudoWords)
    (out / "config.json").unlink(missing_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in mapping.state_dict().items()}
    write_bytes(out / "model.safetensors", save(weights))
    query = InvertedQuery(mapping, reader.tower.cpu())
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
