"""Torch modules exported to ONNX graphs, and the graphs run without torch.

Importing torch takes longer than a whole search should, so whatever is trained with torch is run without it.
"""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triptych.errors import DataError
from triptych.files import atomic

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import Tensor, nn

_BATCH = 64  # rows a run; more leave the processor's caches and gain nothing


def export_graph(module: "nn.Module", inputs: Sequence["Tensor"], path: Path, *, half: bool = False) -> None:
    """Write `module` as one self-contained graph, free in the first dimension of every input, atomically.

    `inputs` are examples of at least two rows each. With `half` the matrices lie in half precision, in half the space;
    the graph computes in single precision all the same.
    """
    import torch

    rows = torch.export.Dim("rows")
    names = [f"input{index}" for index in range(len(inputs))]
    # The exporter reports its every step, and each package that it finds missing, to the user's terminal.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with atomic(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(inputs),
            str(temporary),
            input_names=names,
            dynamic_shapes=tuple({0: rows} for _ in inputs),
            external_data=False,
            dynamo=True,
            verbose=False,
        )
        tidy_graph(temporary, half=half)


def tidy_graph(path: Path, *, half: bool = False) -> None:
    """Take the exporter's notes out of a graph file, which name the source files of whoever exported it."""
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
    """Round a graph's matrices to half precision; the runtime widens them once, when it loads the graph."""
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


class Graph:
    """An exported graph, run on the CPU. Raises DataError when the file is not one."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own, without a common parent
            reason = str(error).splitlines()[0]
            raise DataError(f"{path}: not a graph that can be run ({reason}); make it again") from None

    @property
    def width(self) -> int:
        """The length of its output's rows."""
        return int(self._session.get_outputs()[0].shape[1])

    def __call__(self, *inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The graph's output for `inputs`, which have the same number of rows, block by block."""
        if not len(inputs[0]):
            # An exported graph need not bear zero rows.
            return np.zeros((0, *self._session.get_outputs()[0].shape[1:]), np.float32)
        names = [field.name for field in self._session.get_inputs()]
        count = len(inputs[0])
        outputs = np.empty((count, 0), np.float32)
        for start in range(0, count, _BATCH):
            rows = slice(start, start + _BATCH)
            block = self._session.run(None, {name: values[rows] for name, values in zip(names, inputs, strict=True)})[0]
            if start == 0:  # one place for all, so that they never lie in memory twice
                outputs = np.empty((count, *block.shape[1:]), block.dtype)
            outputs[rows] = block
        return outputs
