"""Composers by name: baselines that need only an encoder, trained folders, and plug-ins."""

from pathlib import Path

from triptych.composers.protocol import Composer
from triptych.core.plugins import Registry


def load_composer(given: Composer | Path | str, *, threads: int | None = None) -> Composer:
    """Load a composer by name. Before it composes, `attach_encoder` must set its encoder.

    Args:
        given: a composer, or a name: a folder that `train`, `finetune`, `train-inversion` or `export-models` wrote; one
            of the baselines `picture`, `text`, `sum`, `signed-sum` and `slerp`; the name of an installed plug-in; or
            `module:attribute`.
        threads: processor threads of its graphs.

    Raises:
        UsageError: there is no such composer, or the object is no composer.
        DataError: its folder is damaged.
    """
    return COMPOSERS.get(given, threads=threads)


def _picture() -> Composer:
    from triptych.composers.baselines import PictureOnly

    return PictureOnly()


def _text() -> Composer:
    from triptych.composers.baselines import TextOnly

    return TextOnly()


def _sum() -> Composer:
    from triptych.composers.baselines import TextOnly, WeightedSum

    return WeightedSum("sum", TextOnly())


def _signed_sum() -> Composer:
    from triptych.composers.baselines import TextOnly, WeightedSum

    return WeightedSum("signed-sum", TextOnly(signed=True))


def _slerp() -> Composer:
    from triptych.composers.baselines import Slerp, TextOnly

    return Slerp("slerp", TextOnly())


def _folder(folder: Path, threads: int | None) -> Composer:
    from triptych.composers.trained import TrainedComposer

    return TrainedComposer(folder, threads)


COMPOSERS: Registry[Composer] = Registry("composer", Composer, "triptych.composers", flag="--composer", folder=_folder)
COMPOSERS.register("picture", _picture)
COMPOSERS.register("text", _text)
COMPOSERS.register("sum", _sum)
COMPOSERS.register("signed-sum", _signed_sum)
COMPOSERS.register("slerp", _slerp)
