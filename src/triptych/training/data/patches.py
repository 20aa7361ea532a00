"""The patches of references: computed once for a training run, and kept on disk."""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych.catalog.catalog import Catalog
from triptych.composers.patches import BATCH, in_batches
from triptych.core.images import load_pictures
from triptych.core.onnx_graph import Graph, export_graph
from triptych.core.progress import progress
from triptych.encoders.protocol import Encoder

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from triptych.encoders.networks.dual_encoder import PatchTower

_FILES = "patches-*"

Rows = NDArray[np.int64]
"""Row numbers of pictures in a catalog."""
PatchReader = Callable[[Rows], tuple[Any, ...]]
"""Maps rows of references to what a composer reads besides their vectors, as tensors."""


def no_patches(rows: Rows) -> "tuple[Tensor, ...]":
    """Return nothing, for composers that need only vectors."""
    return ()


class PatchCache:
    """The patches of the pictures at `rows` of a catalog, in half precision, in a file in `folder`.

    They are computed once, by the ONNX graph that will also be used for queries. The file of an interrupted run is
    completed.

    Raises:
        DataError: a picture can no longer be read.
    """

    def __init__(
        self,
        tower: "PatchTower",
        catalog: Catalog,
        encoder: Encoder,
        rows: Rows,
        folder: Path,
        device: "torch.device",
        threads: int | None,
    ) -> None:
        self._folder = folder
        self._device = device
        self._rows = np.unique(rows)
        content = [encoder.fingerprint, *(catalog.hashes[row] for row in self._rows)]
        self._path = folder / _FILES.replace("*", sha256("\n".join(content).encode()).hexdigest()[:16])
        self._graph = self._path.with_suffix(".onnx")
        names = [catalog.names[row] for row in self._rows]
        self._patches = self._read(tower, catalog, names, encoder, threads)

    def __call__(self, rows: Rows) -> "tuple[Tensor, ...]":
        """The patches `(n, positions, channels)` of pictures, by their rows in the catalog."""
        import torch

        return (torch.from_numpy(self._patches[np.searchsorted(self._rows, rows)]).to(self._device),)

    def close(self, graph: Path) -> None:
        """Remove the cache but keep the graph, as `graph`."""
        del self._patches  # Windows removes no file that is mapped
        self._graph.replace(graph)
        for path in self._folder.glob(_FILES):
            path.unlink()

    def _read(
        self, tower: "PatchTower", catalog: Catalog, names: list[str], encoder: Encoder, threads: int | None
    ) -> "np.memmap[Any, np.dtype[np.float16]]":
        import torch

        blank = encoder.prepare(Image.new("RGB", (64, 64), "white"))
        if not self._graph.exists():
            export_graph(tower, [torch.from_numpy(np.stack([blank, blank]))], self._graph, half=True)
        graph = Graph(self._graph, threads)
        shape = graph(blank[None]).shape[1:]
        row = 2 * int(np.prod(shape))
        done = self._path.stat().st_size // row if self._path.exists() else 0
        if done < len(names):
            # Only whole batches: the last bits of a picture's patches depend on the size of its batch.
            done -= done % BATCH
            loaded = load_pictures(
                catalog.root,
                names[done:],
                threads=threads or os.cpu_count() or 1,
                prepare=encoder.prepare,
                opened=catalog.open_picture,  # checks that the file is the one that was indexed
            )
            shown = progress(loaded, "patches", total=len(names), unit="picture", done=done)
            with self._path.open("ab") as out:
                out.truncate(done * row)
                for pixels in in_batches(shown, catalog.path):
                    out.write(graph(pixels).tobytes())
        return np.memmap(self._path, np.float16, "r", shape=(len(names), *shape))
