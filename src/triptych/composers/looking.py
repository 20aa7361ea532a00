"""Looking at references: in batches, and for a training run once, with what was seen kept on disk."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych.catalog import Catalog
from triptych.composers.protocol import Patches
from triptych.encoders import Encoder, Pixels
from triptych.errors import DataError, PictureError
from triptych.images import load_pictures
from triptych.progress import progress

if TYPE_CHECKING:
    from torch import Tensor

    from triptych.encoders.towers import PatchTower

FILES = "patches-*.f16"
"""What their files are called."""

_BATCH = 256

Rows = NDArray[np.int64]
"""Row numbers of pictures in a catalog."""
See = Callable[[Rows], tuple[Any, ...]]
"""What a composer reads of references beside their vectors, as tensors."""


def see_nothing(rows: Rows) -> "tuple[Tensor, ...]":
    """For a composer to which the vectors are enough."""
    return ()


class Sight:
    """The patches of the pictures at `rows` of a catalog, in half precision in a file in `folder`.

    A file that an interrupted run left is completed. Raises DataError where a picture cannot be read any more.
    """

    def __init__(
        self,
        tower: "PatchTower",
        catalog: Catalog,
        encoder: Encoder,
        rows: Rows,
        folder: Path,
        threads: int,
    ) -> None:
        self._rows = np.unique(rows)
        self._device = next(tower.parameters()).device
        names = [catalog.names[row] for row in self._rows]
        known = sha256(
            "\n".join([encoder.fingerprint, *(catalog.hashes[row] for row in self._rows)]).encode()
        ).hexdigest()[:16]
        path = folder / FILES.replace("*", known)
        self._patches = _look(tower.eval(), catalog.root, names, encoder, path, threads)

    def __call__(self, rows: Rows) -> "tuple[Tensor, ...]":
        """Patches `(n, positions, channels)` of some of these pictures."""
        import torch

        return (torch.from_numpy(self._patches[np.searchsorted(self._rows, rows)]).to(self._device),)


def _look(
    tower: "PatchTower", root: Path, names: list[str], encoder: Encoder, path: Path, threads: int
) -> "np.memmap[Any, np.dtype[np.float16]]":
    import torch

    device = next(tower.parameters()).device

    @torch.inference_mode()
    def look(pixels: Pixels) -> Patches:
        patches: Patches = tower(torch.from_numpy(pixels).to(device)).cpu().numpy()
        return patches

    shape = look(blank(encoder)[None]).shape[1:]
    row = 2 * int(np.prod(shape))
    done = path.stat().st_size // row if path.exists() else 0
    if done < len(names):
        # Whole batches alone: patches depend, in their last bits, on what they are computed with.
        done -= done % _BATCH
        loaded = load_pictures(root, names[done:], threads=threads, prepare=encoder.prepare)
        shown = progress(loaded, "look", total=len(names), unit="picture", done=done)
        with path.open("ab") as out:
            out.truncate(done * row)
            for pixels in in_batches(shown, lambda name: root / name):
                out.write(look(pixels).tobytes())
    return np.memmap(path, np.float16, "r", shape=(len(names), *shape))


def in_batches(loaded: Iterable[tuple[str, Pixels | PictureError]], path_of: Callable[[str], Path]) -> Iterator[Pixels]:
    """The pixels `(n, 3, h, w)` of references, some hundred at a time. Raises DataError for one that cannot be read."""
    waiting: list[Pixels] = []
    for name, pixels in loaded:
        if isinstance(pixels, PictureError):
            raise DataError(f"{path_of(name)}: {pixels}; the composer looks at the reference itself, so put it back")
        waiting.append(pixels)
        if len(waiting) == _BATCH:
            yield np.stack(waiting)
            waiting.clear()
    if waiting:
        yield np.stack(waiting)


def blank(encoder: Encoder) -> Pixels:
    """Pixels `(3, h, w)` of a picture that shows nothing."""
    return encoder.prepare(Image.new("RGB", (64, 64), "white"))
