"""`triptych serve` with one of our own encoders on torch, as in training, for comparison with the graphs."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

import triptych.retrieval.searching
from triptych.cli import main
from triptych.encoders.native import NativeEncoder, load_model
from triptych.encoders.protocol import Encoder


class TorchEncoder(NativeEncoder):
    """An encoder's folder, run from its weights instead of its graphs."""

    def __init__(self, folder: Path, name: str, threads: int | None) -> None:
        super().__init__(folder, name, threads)
        torch.set_num_threads(threads or torch.get_num_threads())
        self._model = load_model(folder)

    @cached_property
    def _picture_graph(self) -> Callable[[Any], Any]:  # type: ignore[override]
        return _runs(self._model.full_picture)

    @cached_property
    def _text_graph(self) -> Callable[[Any], Any]:  # type: ignore[override]
        return _runs(self._model.text)


def _runs(tower: torch.nn.Module) -> Callable[[Any], Any]:
    def run(values: np.ndarray[Any, Any]) -> Any:
        with torch.inference_mode():
            return tower(torch.from_numpy(values)).numpy()

    return run


def load_encoder(name: str, *, threads: int | None = None, **_: object) -> Encoder:
    return TorchEncoder(Path(name), name, threads)


if __name__ == "__main__":
    triptych.encoders.registry.load_encoder = load_encoder
    main()
