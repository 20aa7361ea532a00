"""Products of 8-bit matrices, several times as fast as those of single precision."""

import os

import numpy as np
from numpy.typing import NDArray

from triptych.core.onnx_graph import open_session

Codes = NDArray[np.int8]
MOST = 127  # the largest 8-bit code
BASE = 64  # is added to 7-bit digits, so that they are not negative; sums of products of 8 and 7 bits are exact


class IntegerProduct:
    """The product of 8-bit codes `(n, d)` with digits, by onnxruntime.

    Args:
        codes: from -127 to 127.
        threads: the threads of one product; by default those of `OMP_NUM_THREADS`, or all cores.
    """

    def __init__(self, codes: Codes, threads: int | None = None) -> None:
        asked = os.environ.get("OMP_NUM_THREADS", "")
        if threads is None and asked.isdecimal():
            threads = int(asked)  # as for NumPy's products
        self._session = open_session(_graph(np.ascontiguousarray(codes.T)), threads)

    def __call__(self, digits: NDArray[np.uint8]) -> NDArray[np.int32]:
        """The products `(m, n)` for digits `(m, d)` from 1 to 127, from which `BASE` is subtracted first."""
        sums: NDArray[np.int32] = self._session.run(None, {"digits": digits})[0]
        return sums


def _graph(matrix: Codes) -> bytes:
    """The ONNX graph of a product with a matrix `(d, n)`, in protobuf's wire format (onnx.proto3).

    It is written by hand, since the package `onnx` is needed only for training.
    """
    uint8, int8, int32 = 2, 3, 6
    node = _field(1, b"digits") + _field(1, b"matrix") + _field(1, b"zero") + _field(2, b"sums")
    given, made = ((b"digits", uint8), (b"sums", int32))
    graph = (
        _field(1, node + _field(4, b"MatMulInteger"))
        + _field(2, b"product")
        + _field(5, _tensor(b"matrix", int8, matrix.shape, matrix.tobytes()))
        + _field(5, _tensor(b"zero", uint8, (), bytes([BASE])))
        + _field(11, _value(*given, (None, matrix.shape[0])))
        + _field(12, _value(*made, (None, matrix.shape[1])))
    )
    return _field(1, 8) + _field(8, _field(2, 13)) + _field(7, graph)


def _tensor(name: bytes, kind: int, shape: tuple[int, ...], content: bytes) -> bytes:
    return b"".join(_field(1, size) for size in shape) + _field(2, kind) + _field(8, name) + _field(9, content)


def _value(name: bytes, kind: int, shape: tuple[int | None, ...]) -> bytes:
    sizes = b"".join(_field(1, _field(2, b"rows") if size is None else _field(1, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, sizes)))


def _field(number: int, content: int | bytes) -> bytes:
    """A field of a message: a whole number, or bytes with their length."""
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
