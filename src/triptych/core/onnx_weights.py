"""Weights stored once: a safetensors file for training, and ONNX graphs that read their matrices in it.

ONNX stores an external tensor as a file name, an offset and a length. A safetensors file is a header and raw tensors,
so a graph can point into it. Its matrices are in half precision, or in 8 bits with a scale for each row. The runtime
widens them once, when it loads the graph.
"""

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import DataError
from triptych.core.files import atomic

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

_SCALE = ".scale_of_rows"  # suffix of the name of an 8-bit matrix
_HEADER = 100_000_000  # bytes of a safetensors header at most; the library has the same limit
_LEAST = 1024  # values; smaller tensors stay in the graph's file

Array = NDArray[Any]


def round_to_8_bits(name: str, matrix: Array) -> dict[str, Array]:
    """Round a matrix to 8 bits.

    Returns:
        Tensors to store by name: whole numbers from -127 to 127, and the factor of each row.
    """
    scale = np.maximum(np.abs(matrix.reshape(len(matrix), -1)).max(axis=1), 1e-8).astype(np.float32) / np.float32(127)
    rounded = np.rint(matrix / _per_row(scale, matrix.ndim)).astype(np.int8)
    return {name: rounded, name + _SCALE: scale}


def read_weights(path: Path) -> dict[str, Array]:
    """Read the tensors of a safetensors file by name, in single precision. Raises what safetensors raises."""
    from safetensors.numpy import load_file

    stored = load_file(path)
    return {name: _widened(name, stored) for name in stored if not name.endswith(_SCALE)}


def _widened(name: str, stored: dict[str, Array]) -> Array:
    values = stored[name]
    if name + _SCALE in stored:
        return values.astype(np.float32) * _per_row(stored[name + _SCALE], values.ndim)
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _per_row(scale: Array, dims: int) -> Array:
    return scale.reshape(-1, *[1] * (dims - 1))


def share_weights(graph: Path, weights: Path) -> None:
    """Let a graph read the tensors that it shares with a safetensors file beside it from that file.

    Tensors are matched by their values in single precision, or by those of their transpose, since exporters rename and
    transpose. Tensors that the file lacks stay in the graph.

    Args:
        graph: the ONNX file, which is rewritten.
        weights: the safetensors file in the same folder.
    """
    import onnx

    model = onnx.load(graph)
    stored = read_weights(weights)
    known: dict[bytes, tuple[str, bool]] = {}
    for name, values in stored.items():
        if values.size >= _LEAST:
            known[_key(values)] = (name, False)
            if values.ndim == 2:
                known.setdefault(_key(values.T), (name, True))
    places = places_of_tensors(weights)
    for tensor in list(model.graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        if values.size >= _LEAST and (found := known.get(_key(values))):
            _refer(model, tensor, *found, weights.name, places)
    with atomic(graph) as temporary:
        onnx.save(model, temporary)


def _key(values: Array) -> bytes:
    return json.dumps(values.shape).encode() + np.ascontiguousarray(values, np.float32).tobytes()


class _Place(NamedTuple):
    """Where a tensor lies in a safetensors file."""

    kind: str
    shape: list[int]
    offset: int
    length: int


def places_of_tensors(weights: Path) -> dict[str, _Place]:
    """Where each tensor of a safetensors file lies, by name.

    Raises:
        DataError: the file is no safetensors file.
    """
    with weights.open("rb") as file:
        try:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _HEADER:
                raise ValueError(f"a header of {length} bytes")
            return {
                name: _Place(stated["dtype"], stated["shape"], 8 + length + first, end - first)
                for name, stated in json.loads(file.read(length)).items()
                if name != "__metadata__"
                for first, end in [stated["data_offsets"]]
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
            raise DataError(f"{weights}: not a safetensors file ({type(error).__name__}: {error})") from None


def _refer(
    model: "ModelProto", tensor: "TensorProto", name: str, transposed: bool, file: str, places: dict[str, _Place]
) -> None:
    """Replace a tensor of the graph by nodes that read and widen a stored tensor."""
    from onnx import TensorProto, helper

    graph = model.graph
    graph.initializer.remove(tensor)
    steps: list[NodeProto] = []

    def step(kind: str, *inputs: str, **attributes: Any) -> str:
        made = f"{tensor.name}_{kind}"
        steps.append(helper.make_node(kind, list(inputs), [made], **attributes))
        return made

    now = _outside(model, name, file, places[name])
    if places[name].kind != "F32":
        now = step("Cast", now, to=int(TensorProto.FLOAT))
    if scale := places.get(name + _SCALE):
        rows = [*scale.shape, *[1] * (len(places[name].shape) - 1)]
        now = step("Mul", now, _outside(model, name + _SCALE, file, scale._replace(shape=rows)))
    if transposed:
        now = step("Transpose", now, perm=[1, 0])
    step("Identity", now)
    steps[-1].output[0] = tensor.name
    for node in reversed(steps):
        graph.node.insert(0, node)


def _outside(model: "ModelProto", name: str, file: str, place: _Place) -> str:
    """Declare a stored tensor in the graph once, and return its name there."""
    from onnx import TensorProto

    inside = f"stored.{name}"
    if not any(other.name == inside for other in model.graph.initializer):
        kind = {"F32": TensorProto.FLOAT, "F16": TensorProto.FLOAT16, "I8": TensorProto.INT8}[place.kind]
        given = TensorProto(name=inside, data_type=kind, dims=place.shape, data_location=TensorProto.EXTERNAL)
        for key, value in (("location", file), ("offset", place.offset), ("length", place.length)):
            given.external_data.add(key=key, value=str(value))
        model.graph.initializer.append(given)
    return inside
