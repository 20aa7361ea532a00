"""`pretrain --from`: a photo encoder is trained further on titled pictures and
compared with the encoder it started from."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from triptych.composers.truth import TruthQueries
from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.core.files import locked, made_by, read_json, write_json
from triptych.core.progress import say
from triptych.encoders.lexicon import Lexicon
from triptych.encoders.native import NativeEncoder, load_model, save_encoder
from triptych.encoders.protocol import short_name
from triptych.encoders.reading import report_texts
from triptych.encoders.registry import load_encoder
from triptych.training.callbacks import callbacks_of
from triptych.training.data.pairs import CaptionedPictures, hash_file_or_fail, hold_out_products, load_pairs
from triptych.training.data.titles import title_texts
from triptych.training.encoder_verdict import EncodedPairs, HeldOut, judge_queries, judge_titles, keep_statistics
from triptych.training.options import Log, PretrainOptions
from triptych.training.results import PretrainResult
from triptych.training.settings import Settings
from triptych.training.trainable import linear_map

if TYPE_CHECKING:
    from triptych.training.learners.continuing import ContinuingLearner

_EPOCHS = 30  # default of --epochs with a pretrained encoder
_HELD_OUT, _MAX_HELD_OUT = 0.1, 500  # share of the pairs that is held out, and the most pairs held out
_MEMORY = 1 << 30  # bytes that the outputs of the frozen parts may take
_CHECKPOINT_STEPS = 100  # steps between checkpoints
_VIEWS = 2  # augmented views of each photo, if they fit in memory
_HELD_FRAMES = ("{}", "in {}")


@dataclass(frozen=True)
class _Given:
    """The encoder that a run starts from, and its data."""

    encoder: NativeEncoder
    data: CaptionedPictures
    learnt: NDArray[np.int64]
    """The rows of the pairs to learn from."""
    held_out: HeldOut
    truth: TruthQueries | None


def continue_pretraining(
    pairs: Path,
    images: Path,
    out: Path,
    options: PretrainOptions,
    *,
    truth: Callable[[Sequence[str]], TruthQueries] | None,
    runtime: Runtime,
    log: Log,
) -> PretrainResult:
    """Train an encoder further. The arguments are those of `pretrain`."""
    import torch

    from triptych.training.loop import fit

    started = time.monotonic()
    device = runtime.torch_device()
    options = replace(options, tune=options.tune or "frozen", epochs=options.epochs or _EPOCHS)
    settings = Settings(options, pairs=hash_file_or_fail(pairs))
    given = _given(pairs, images, out, options, truth, runtime)
    settings |= {"encoder": given.encoder.fingerprint}
    settings |= {"pictures": hashlib.sha256(given.data.pixels.data).hexdigest()}
    with locked(out):
        before = EncodedPairs.of(given.encoder, given.held_out)
        learner = _learner(given, options, device)
        start = _meanings(learner)
        run = fit(learner, learner.loop, out, settings, callbacks_of(log))
        lexicon = _lexicon(given.encoder, learner, start)
        note = made_by("pretrain", settings, torch=torch.__version__)
        save_encoder(out, learner.model, given.encoder.tokenizer, lexicon, note)
        made = NativeEncoder(out, str(out), runtime.threads)
        keep_statistics(made, given.data.pixels, given.learnt)
        after = EncodedPairs.of(made, given.held_out)
        result = PretrainResult(
            start=given.encoder.name,
            pairs=len(given.data.captions),
            skipped=given.data.skipped,
            parameters=sum(weight.numel() for weight in learner.model.parameters()),
            words=len(lexicon.terms) if lexicon else 0,
            held_out=len(given.held_out.names),
            held_out_recall=_percent(after),
            start_recall=_percent(before),
            verdict=judge_titles(before, after),
            query_verdict=judge_queries(before, after, given.truth) if given.truth else None,
            seconds=round(time.monotonic() - started, 1),
        )
        _note(out, result)
        run.clean()
    return result


def _given(
    pairs: Path,
    images: Path,
    out: Path,
    options: PretrainOptions,
    truth: Callable[[Sequence[str]], TruthQueries] | None,
    runtime: Runtime,
) -> _Given:
    """Read everything.

    Raises:
        UsageError: the encoder cannot be trained further, or there are too few queries.
    """
    known = load_encoder(options.start, threads=runtime.threads, device=runtime.device)
    if not isinstance(known, NativeEncoder) or not known.is_photo_encoder:
        raise UsageError(f"--from {options.start}: takes photos, a folder that such a run wrote, or scratch")
    if out.resolve() == known.folder.resolve():
        raise UsageError(f"--out {out}: is the folder of the encoder to start from; choose another")
    data = load_pairs(pairs, images, known.size, runtime.threads, options.limits)
    wanted = min(_MAX_HELD_OUT, max(10, int(len(data.captions) * _HELD_OUT)))
    learnt, held = hold_out_products(data, wanted, options.seed)
    names = [data.names[row] for row in held]
    asked = truth(list(dict.fromkeys(names))) if truth else None
    if asked:
        texts = [query.text for query in asked.queries]
        report_texts(texts, known, f"--validate-by, {asked.source}", short_name(known))
    return _Given(known, data, learnt, HeldOut(names, data.pixels[held], [data.captions[row] for row in held]), asked)


def _learner(given: _Given, options: PretrainOptions, device: Any) -> "ContinuingLearner":
    """Make the learner: the trained parts, and the outputs of the frozen parts, computed once."""
    import torch

    from triptych.encoders.networks.photo_encoder import PhotoEncoder
    from triptych.training.learners.continuing import ContinuingLearner, TunedParts, frozen_features
    from triptych.training.loop import LoopOptions

    model = load_model(given.encoder.folder)
    assert isinstance(model, PhotoEncoder)
    assert options.tune
    assert options.epochs
    model.to(device)
    tuned = TunedParts.of(model, options.tune)
    pixels = torch.from_numpy(given.data.pixels[given.learnt])
    views = max(1, min(_VIEWS, _MEMORY // (len(pixels) * tuned.bytes_of_a_view())))
    say(f"pretrain: computing frozen features of {len(pixels)} photos, {views} views of each")
    features = frozen_features(model, pixels, tuned, views, options.seed)
    texts = title_texts([given.data.captions[row] for row in given.learnt], options.seed)
    lexicon = given.encoder.lexicon
    known = {*texts.terms}
    held = [term for term in (lexicon.terms if lexicon else ()) if term not in known]
    ids = given.encoder.token_ids([*texts.texts, *(frame.format(term) for term in held for frame in _HELD_FRAMES)])
    batch_size = options.batch_size if len(pixels) >= 2 * options.batch_size else max(2, len(pixels) // 2)
    torch.manual_seed(options.seed)
    steps = options.epochs * (len(pixels) // batch_size)
    loop = LoopOptions(steps, seed=options.seed, checkpoint_every=_CHECKPOINT_STEPS)
    return ContinuingLearner(model, tuned, features, texts, ids, loop, batch_size)


def _meanings(learner: "ContinuingLearner") -> NDArray[np.float32]:
    """Unit vectors `(n, dim)` of the photos' meanings."""
    import torch

    with torch.no_grad():
        rows = torch.split(torch.arange(len(learner.texts.title_of)), 256)
        return torch.cat([learner.meanings(0, some) for some in rows]).float().cpu().numpy()


def _lexicon(encoder: NativeEncoder, learner: "ContinuingLearner", start: NDArray[np.float32]) -> Lexicon | None:
    """The words that the new encoder can name: those of the titles, and those of the original encoder, fitted to the
    new vectors."""
    shape, scale = learner.model.shape, float(learner.model.picture.parts[0])
    mine, old = Lexicon(learner.texts.terms, *learner.words.linear()), encoder.lexicon
    if old is None:
        return mine.widened(shape.dim + shape.instance_dim, scale) if mine.terms else None
    short = Lexicon(old.terms, old.weight[:, : shape.dim] * scale, old.bias).moved(
        *linear_map(_meanings(learner), start)
    )
    return mine.joined(short).widened(shape.dim + shape.instance_dim, scale)


def _percent(encoded: EncodedPairs) -> dict[str, float]:
    return {name: round(100 * float(values.mean()), 2) for name, values in encoded.titles.items()}


def _note(out: Path, result: PretrainResult) -> None:
    """Store the verdicts in the encoder's folder and print them."""
    config = read_json(out / "config.json", "encoder configuration")
    facts = {name: value for name, value in asdict(result).items() if not name.endswith("verdict")}
    verdicts = {"titles": result.verdict, "queries": result.query_verdict}
    stored = {name: asdict(verdict) for name, verdict in verdicts.items() if verdict}
    write_json(out / "config.json", config | {"made_by": config["made_by"] | facts, "verdicts": stored})
    for verdict in filter(None, verdicts.values()):
        say(f"pretrain: this encoder {verdict}")
