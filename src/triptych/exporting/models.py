"""`export --onnx`: an encoder and a composer as graphs, to search and serve with where there is no torch."""

import shutil
from pathlib import Path
from typing import Any

from triptych.composers.trained import TrainedComposer
from triptych.core.errors import UsageError
from triptych.core.files import locked, made_by, read_json, write_json
from triptych.core.onnx_graph import quantize_graph
from triptych.encoders.registry import load_encoder
from triptych.exporting.encoders import export_encoder


def export_onnx(
    out: Path | str,
    *,
    encoder: str | None = None,
    composer: Path | str | None = None,
    int8: bool = False,
    threads: int | None = None,
) -> dict[str, Any]:
    """Write an encoder, and a composer if one is given, as ONNX graphs into `out`.

    `out/encoder` is what every command takes as `--encoder`, `out/composer` as `--composer`. The encoder defaults to
    the composer's. In single precision the folder stands for the encoder, whose catalogs and composers go on with it.
    With `int8` matrices have 8 bits: the encoder is then another one, by which pictures are to be indexed anew, and the
    composer is written as one of that encoder. A composer's gallery side stays as it is: it is run once for a catalog;
    so does what looks at references, a graph of convolutions.

    Returns the least cosines of the exported encoder's vectors to the encoder's own, and the bytes that were written.
    Raises UsageError where neither is named or an extra is missing, MismatchError where composer and encoder do not
    belong together, FailureError where an encoder cannot be exported faithfully.
    """
    out = Path(out)
    composer = Path(composer) if composer else None
    trained = TrainedComposer(composer) if composer else None
    name = encoder or (trained.encoder_name if trained else None)
    if name is None:
        raise UsageError("export --onnx needs an --encoder or a --composer")
    source = load_encoder(name, threads=threads)
    if trained:
        trained.attach(source)
    for made, given in ((out / "encoder", getattr(source, "folder", None)), (out / "composer", composer)):
        if given and made.resolve() == Path(given).resolve():
            raise UsageError(f"{made}: is what is to be exported; name another folder than {out}")
    with locked(out):
        facts: dict[str, Any] = {"least cosine": export_encoder(source, out / "encoder", int8=int8)}
        if composer:
            _export_composer(composer, out, int8=int8)
    facts["bytes"] = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    return facts


def _export_composer(composer: Path, out: Path, *, int8: bool) -> None:
    folder = out / "composer"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").unlink(missing_ok=True)  # comes last: a folder that has it is whole
    for name in ("gallery.onnx", "patches.onnx"):
        (folder / name).unlink(missing_ok=True)
        if (composer / name).exists():
            shutil.copyfile(composer / name, folder / name)
    if int8:
        quantize_graph(composer / "query.onnx", folder / "query.onnx")
    else:
        shutil.copyfile(composer / "query.onnx", folder / "query.onnx")
    config = read_json(composer / "config.json", "composer")
    encoder = load_encoder(str(out / "encoder"))
    config["trained_on"] = config.get("trained_on", config["encoder"])
    config["encoder"] = {"name": encoder.name, "fingerprint": encoder.fingerprint}
    config["made_by"] = made_by("export", {"composer": composer, "int8": int8}, trained=config["made_by"])
    write_json(folder / "config.json", config)
