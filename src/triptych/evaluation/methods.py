"""The methods that `evaluate` measures: baselines and composers, each with its encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from triptych.benchmarks.benchmark import Benchmark
from triptych.composers.baselines import DEFAULT_WEIGHT, METHODS, baseline
from triptych.composers.captions import CaptionEdit
from triptych.composers.joint import JointQuery
from triptych.composers.protocol import Composer, attach_encoder, encoder_fingerprint_of, encoder_name_of
from triptych.composers.registry import load_composer
from triptych.composers.scored import SCORED, scored_method
from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import DEFAULT, load_encoder
from triptych.evaluation.chat_helper import ChatHelper
from triptych.evaluation.options import EvaluateOptions
from triptych.tagging.vocabulary import Vocabulary, load_vocabulary


def method_names(given: Sequence[str]) -> list[str]:
    """Replace "all" by the names of all baselines."""
    return [name for each in given for name in (METHODS if each == "all" else (each,))]


@dataclass(frozen=True)
class Methods:
    """Baselines and composers, each attached to its encoder."""

    baselines: Sequence[Composer]
    composers: Sequence[Composer]
    encoder: Encoder
    """The encoder of the baselines, and of composers without an encoder of their own."""
    encoders: Mapping[str, Encoder]
    """All encoders by fingerprint; `encoder` is the first."""

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        composers: Sequence[Composer | Path | str],
        encoder: Encoder | str | None,
        options: EvaluateOptions,
        benchmark: Benchmark | None,
        runtime: Runtime,
        helper: ChatHelper | None = None,
    ) -> Self:
        """Load the baselines of `names` and the `composers`. `helper` makes the method `compile`.

        Raises:
            UsageError: a name is unknown, or none is given.
            MismatchError: a composer's encoder has changed.
        """
        if not names and not composers:
            raise UsageError(f"give a --method ({', '.join(METHODS)}, all) or a --composer")
        loaded = [load_composer(each) for each in composers]
        first = _first_encoder(encoder, loaded, runtime)
        encoders = _attach(loaded, first, runtime)
        own = benchmark.vocabulary if benchmark else None
        words = load_vocabulary(Path(options.vocabulary) if options.vocabulary else own)
        captions = CaptionEdit(first, words)
        weight = DEFAULT_WEIGHT if options.weight is None else options.weight
        made = [
            helper.compiler(first, weight)
            if helper and name == "compile"
            else _method(name, first, words, weight, captions)
            for name in dict.fromkeys(names)
        ]
        return cls(made, loaded, first, encoders)

    @property
    def all(self) -> list[Composer]:
        """The baselines, followed by the composers."""
        return [*self.baselines, *self.composers]

    def encoder_of(self, method: Composer) -> Encoder:
        """The encoder that a method is attached to."""
        fingerprint = encoder_fingerprint_of(method)
        return self.encoder if fingerprint is None else self.encoders[fingerprint]


def _method(name: str, encoder: Encoder, words: Vocabulary, weight: float, captions: CaptionEdit) -> Composer:
    """Make a method by its name: a baseline, a method of scores without vectors, or the encoder's own joint query."""
    if name in SCORED:
        return scored_method(name, encoder)
    if name == "joint":
        return JointQuery(encoder)
    if name == "compile":
        raise UsageError("--method compile needs --compile-model MODEL and --base-url URL")
    if name not in METHODS:
        known = ", ".join((*METHODS, *SCORED, "joint", "compile"))
        raise UsageError(f"--method {name}: there is no such method; use {known}, or all for those before product")
    return baseline(name, encoder, words, weight, captions=captions)


def _first_encoder(given: Encoder | str | None, composers: Sequence[Composer], runtime: Runtime) -> Encoder:
    if given is not None:
        return load_encoder(given, threads=runtime.threads, device=runtime.device)
    named = next((name for composer in composers if (name := encoder_name_of(composer))), None)
    return load_encoder(named or DEFAULT, threads=runtime.threads, device=runtime.device, from_file=named is not None)


def _attach(composers: Sequence[Composer], first: Encoder, runtime: Runtime) -> dict[str, Encoder]:
    """Attach each composer to its encoder, its own or `first`. Returns the encoders by fingerprint."""
    encoders = {first.fingerprint: first}
    for composer in composers:
        wanted, name = encoder_fingerprint_of(composer), encoder_name_of(composer)
        if wanted is not None and wanted not in encoders and name is not None:
            own = load_encoder(name, threads=runtime.threads, device=runtime.device, from_file=True)
            attach_encoder(composer, own)
            encoders[own.fingerprint] = own
        attach_encoder(composer, first if wanted is None else encoders.get(wanted, first))
    return encoders
