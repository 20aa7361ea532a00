"""`export-models`: write an encoder and a composer as graphs, for searching and serving without torch."""

from dataclasses import dataclass
from pathlib import Path

from triptych.composers.trained import TrainedComposer
from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.core.files import copy_own, locked, made_by, read_json, write_json
from triptych.core.onnx_graph import quantize_graph
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import load_encoder
from triptych.exporting.encoders import export_encoder


@dataclass(frozen=True)
class ExportModelsResult:
    """The result of `export_models`."""

    picture_cosine: float
    """The lowest cosine between the exported encoder's vectors of made-up pictures and the encoder's own."""
    text_cosine: float
    """The same for texts."""
    bytes: int
    """The size of all files."""


def export_models(
    out: Path | str,
    *,
    encoder: Encoder | str | None = None,
    composer: Path | str | None = None,
    int8: bool = False,
    runtime: Runtime = Runtime(),
) -> ExportModelsResult:
    """Write an encoder, and a composer if one is given, as ONNX graphs that run without torch.

    Every command accepts `out/encoder` as `--encoder` and `out/composer` as `--composer`. In single precision the
    folder stands for the encoder, so its catalogs and composers remain valid.

    Args:
        out: the folder to write to.
        encoder: an encoder or its name; by default the composer's.
        composer: the folder of a trained composer. Its gallery side is copied unchanged, since it runs once per
            catalog; so is the graph of convolutions that reads reference pictures.
        int8: whether matrices have 8 bits. The result is another encoder, with which pictures must be indexed again,
            and the composer is written for that encoder.
        runtime: what the encoder computes with while it is compared with its export.

    Raises:
        UsageError: neither encoder nor composer is given, or an extra is missing.
        MismatchError: the composer was made for another encoder.
        DataError: a link leads out of the composer's or the encoder's folder.
        FailureError: the exported vectors differ from the encoder's own.
    """
    out = Path(out)
    composer = Path(composer) if composer else None
    trained = TrainedComposer(composer) if composer else None
    given = encoder if encoder is not None or trained is None else trained.encoder_name
    if given is None:
        raise UsageError("export-models needs an --encoder or a --composer")
    source = load_encoder(given, threads=runtime.threads, device=runtime.device, from_file=encoder is None)
    if trained:
        trained.attach(source)
    for made, kept in ((out / "encoder", getattr(source, "folder", None)), (out / "composer", composer)):
        if kept and made.resolve() == Path(kept).resolve():
            raise UsageError(f"{made}: cannot be exported into itself; give another folder than {out}")
    with locked(out):
        agreement = export_encoder(source, out / "encoder", int8=int8)
        if composer:
            _export_composer(composer, out, int8=int8)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    return ExportModelsResult(agreement.pictures, agreement.texts, size)


def _export_composer(composer: Path, out: Path, *, int8: bool) -> None:
    folder = out / "composer"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").unlink(missing_ok=True)  # comes last: a folder that has it is whole
    for name in ("gallery.onnx", "patches.onnx"):
        (folder / name).unlink(missing_ok=True)
        if (composer / name).exists():
            copy_own(composer, name, folder / name)
    copy_own(composer, "query.onnx", folder / "query.onnx")
    if int8:
        quantize_graph(folder / "query.onnx", folder / "query.onnx")
    config = read_json(composer / "config.json", "composer")
    encoder = load_encoder(str(out / "encoder"))
    config["trained_on"] = config.get("trained_on", config["encoder"])
    config["encoder"] = {"name": encoder.name, "fingerprint": encoder.fingerprint}
    config["made_by"] = made_by("export-models", {"composer": composer, "int8": int8}, trained=config["made_by"])
    write_json(folder / "config.json", config)
