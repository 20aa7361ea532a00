"""Export torch modules to ONNX graphs, round graphs to 8 bits, and run graphs without torch.

Importing torch takes longer than a whole search should. So models that were trained with torch run without it.
"""

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triptych.core.errors import DataError
from triptych.core.files import atomic

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto
    from onnxruntime import InferenceSession
    from torch import Tensor, nn

_BATCH = 64  # rows a run; more leave the processor's caches and gain nothing
_ROWS = "rows"  # a metadata key of a graph: the largest number of rows in one run
_MATRICES = ("MatMul", "Gemm", "Gather")  # whose weights 8 bits do for; the runtime's 8-bit convolutions are slow


def export_graph(
    module: "nn.Module",
    inputs: Sequence["Tensor"],
    path: Path,
    *,
    half: bool = False,
    free: int = 1,
    traced: bool = False,
) -> None:
    """Write a torch module as one self-contained ONNX graph, atomically.

    Args:
        module: the module.
        inputs: example inputs, of at least two rows each.
        path: the file to write.
        half: whether matrices are stored in half precision, which halves the file. The graph still computes in single
            precision.
        free: how many leading dimensions of every input may vary.
        traced: whether to record one run of the module, which is twenty times as fast. It is right for layers that do
            the same with any number of rows.
    """
    import torch

    axes = ("rows", "columns")[:free]
    names = [f"input{index}" for index in range(len(inputs))]
    # The exporter prints its every step, and each missing package, on the user's terminal.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with atomic(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        varying: dict[str, Any]
        if traced:
            varying = {"dynamic_axes": {name: dict(enumerate(axes)) for name in (*names, "output")}}
        else:
            dims = {axis: torch.export.Dim(name) for axis, name in enumerate(axes)}
            varying = {"dynamic_shapes": tuple(dims for _ in inputs), "external_data": False}
        torch.onnx.export(
            module.eval(),
            tuple(inputs),
            str(temporary),
            input_names=names,
            output_names=["output"],
            dynamo=not traced,
            verbose=False,
            **varying,
        )
        tidy_graph(temporary, half=half)


def tidy_graph(path: Path, *, half: bool = False) -> None:
    """Remove the exporter's notes from a graph file, since they name source files of the machine that exported it."""
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:], model.graph.metadata_props[:]
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer)
    for part in (model.graph, *model.graph.node, *values):
        part.doc_string = ""
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    if half:
        _halve_matrices(model)
    onnx.save(model, path)


def _halve_matrices(model: "ModelProto") -> None:
    """Round a graph's matrices to half precision. The runtime widens them once, when it loads the graph."""
    from onnx import TensorProto, helper, numpy_helper

    matrices = [
        tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1
    ]
    for tensor in matrices:
        name = f"{tensor.name}_half"
        rounded = numpy_helper.to_array(tensor).astype(np.float16)
        model.graph.initializer.append(numpy_helper.from_array(rounded, name))
        model.graph.node.insert(0, helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
        model.graph.initializer.remove(tensor)


def quantize_graph(source: Path, target: Path) -> None:
    """Write a graph with 8-bit matrices and 8-bit matrix products, atomically.

    Weights have a scale for each column and use 7 of the 8 bits, which no processor's arithmetic overflows. Inputs of a
    product are rounded by their range in one run. So the graph is run row by row, and a row's result does not depend on
    other rows. A graph of convolutions is copied unchanged, since it would become slower.

    Raises:
        DataError: `source` is no graph.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    try:
        model = onnx.load(source)
    except Exception as error:  # what protobuf raises has no common parent
        raise DataError(f"{source}: not a graph ({type(error).__name__}); make it again") from None
    with atomic(target) as temporary:
        if not _is_mostly_matrices(model):
            onnx.save(model, temporary)
            return
        _widen_matrices(model)
        logging.disable(logging.WARNING)  # it advises steps that the exporter has done
        try:
            quantize_dynamic(
                model,
                temporary,
                op_types_to_quantize=list(_MATRICES),
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
        finally:
            logging.disable(logging.NOTSET)
        model = onnx.load(temporary)
        onnx.helper.set_model_props(model, {_ROWS: "1"})
        onnx.save(model, temporary)


def _halved(model: "ModelProto") -> "dict[str, NodeProto]":
    """The nodes that widen a matrix of half precision, by the name of their output."""
    names = {tensor.name for tensor in model.graph.initializer}
    return {node.output[0]: node for node in model.graph.node if node.op_type == "Cast" and node.input[0] in names}


def _is_mostly_matrices(model: "ModelProto") -> bool:
    """Whether most weights are factors of matrix products, or rows of look-up tables."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    tensors |= {name: tensors[node.input[0]] for name, node in _halved(model).items()}
    sizes = {name: int(np.prod(tensor.dims)) for name, tensor in tensors.items() if len(tensor.dims) > 1}
    nodes = [node for node in model.graph.node if node.op_type != "Cast"]
    used = {name: node.op_type for node in nodes for name in node.input if name in sizes}
    return 2 * sum(sizes[name] for name, kind in used.items() if kind in _MATRICES) > sum(sizes[name] for name in used)


def _widen_matrices(model: "ModelProto") -> None:
    """Undo `_halve_matrices` for factors of matrix products, which could not be rounded further otherwise."""
    from onnx import numpy_helper

    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    halved = _halved(model)
    for name in {name for node in model.graph.node if node.op_type in _MATRICES for name in node.input}:
        if cast := halved.get(name):
            half = stored[cast.input[0]]
            model.graph.initializer.append(
                numpy_helper.from_array(numpy_helper.to_array(half).astype(np.float32), name)
            )
            model.graph.initializer.remove(half)
            model.graph.node.remove(cast)


def open_session(graph: str | bytes, threads: int | None = None) -> "InferenceSession":
    """Open a graph on the CPU, silently and without telemetry. All sessions are opened here.

    Args:
        graph: the path of a file, or the graph itself.
        threads: processor threads; by default the runtime chooses.
    """
    # Read at the import. Without it, onnxruntime stores an id of the machine and sends events to its makers.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Idle threads that spin would take the cores from other requests.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class Graph:
    """An exported graph, run on the CPU.

    Raises:
        DataError: the file is no graph.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        try:
            self._session = open_session(str(path), threads)
        except Exception as error:  # onnxruntime raises classes of its own, without a common parent
            reason = str(error).splitlines()[0]
            raise DataError(f"{path}: not a graph that can be run ({reason}); make it again") from None
        self._rows = int(self._session.get_modelmeta().custom_metadata_map.get(_ROWS, _BATCH))

    @property
    def width(self) -> int:
        """The length of the output's rows."""
        return int(self._session.get_outputs()[0].shape[1])

    def __call__(self, *inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Run the graph on inputs with the same number of rows, block by block, and return its output."""
        if not len(inputs[0]):
            # An exported graph may fail with zero rows.
            return np.zeros((0, *self._session.get_outputs()[0].shape[1:]), np.float32)
        names = [field.name for field in self._session.get_inputs()]
        count = len(inputs[0])
        outputs = np.empty((count, 0), np.float32)
        for start in range(0, count, self._rows):
            rows = slice(start, start + self._rows)
            block = self._session.run(None, {name: values[rows] for name, values in zip(names, inputs, strict=True)})[0]
            if start == 0:  # one place for all, so that they never lie in memory twice
                outputs = np.empty((count, *block.shape[1:]), block.dtype)
            outputs[rows] = block
        return outputs
