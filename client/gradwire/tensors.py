"""Arrays and their types between NumPy and the wire. Shared with the server."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from gradwire.errors import InvalidInputError
from gradwire.v1 import tensor_pb2

Array = npt.NDArray[Any]
Dtype = np.dtype[Any]

BFLOAT16: Dtype = np.dtype(ml_dtypes.bfloat16)

_WIRE_NAMES = {
    "bool": tensor_pb2.DTYPE_BOOL,
    "int8": tensor_pb2.DTYPE_INT8,
    "int16": tensor_pb2.DTYPE_INT16,
    "int32": tensor_pb2.DTYPE_INT32,
    "int64": tensor_pb2.DTYPE_INT64,
    "uint8": tensor_pb2.DTYPE_UINT8,
    "uint16": tensor_pb2.DTYPE_UINT16,
    "uint32": tensor_pb2.DTYPE_UINT32,
    "uint64": tensor_pb2.DTYPE_UINT64,
    "float16": tensor_pb2.DTYPE_FLOAT16,
    "bfloat16": tensor_pb2.DTYPE_BFLOAT16,
    "float32": tensor_pb2.DTYPE_FLOAT32,
    "float64": tensor_pb2.DTYPE_FLOAT64,
    "complex64": tensor_pb2.DTYPE_COMPLEX64,
    "complex128": tensor_pb2.DTYPE_COMPLEX128,
}
TO_WIRE: dict[Dtype, tensor_pb2.Dtype] = {
    BFLOAT16 if name == "bfloat16" else np.dtype(name): number
    for name, number in _WIRE_NAMES.items()
}
_WIRE_DTYPES: dict[Dtype, Dtype] = {
    dtype: dtype if dtype == BFLOAT16 else dtype.newbyteorder("<") for dtype in TO_WIRE
}
"""How the elements of each dtype are stored: little endian."""

FROM_WIRE: dict[int, Dtype] = {int(number): dtype for dtype, number in TO_WIRE.items()}

MAX_DIM = 2**31 - 1
"""The longest axis, and the most elements, that any tensor may have: XLA
aborts the process on indices past 31 bits."""


@dataclass(frozen=True, slots=True)
class TensorType:
    """Dtype and shape of an array."""

    dtype: Dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """The number of bytes of all elements."""
        return self.size * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"


def type_of(array: Array) -> TensorType:
    """Returns the type of a NumPy array."""
    return TensorType(array.dtype, array.shape)


def is_inexact(dtype: Dtype) -> bool:
    """Says whether a dtype is floating or complex: one that has derivatives."""
    return dtype.kind in "fc" or dtype == BFLOAT16


def is_complex(dtype: Dtype) -> bool:
    """Says whether a dtype is complex."""
    return dtype.kind == "c"


def supported_dtype(dtype: Dtype) -> Dtype:
    """Returns the dtype in native byte order.

    Raises:
        InvalidInputError: the wire has no such dtype.
    """
    if dtype in TO_WIRE and dtype.isnative:
        return dtype
    native = dtype.newbyteorder("=")
    if native not in TO_WIRE:
        raise InvalidInputError(
            f"an array must have one of the dtypes {', '.join(_WIRE_NAMES)}; got {dtype}"
        )
    return native


def encode_type(tensor_type: TensorType) -> tensor_pb2.TensorType:
    """Writes a type."""
    return tensor_pb2.TensorType(dtype=TO_WIRE[tensor_type.dtype], shape=tensor_type.shape)


def decode_type(message: tensor_pb2.TensorType | tensor_pb2.Tensor, field: str) -> TensorType:
    """Reads the type of a message.

    Raises:
        InvalidInputError: unknown dtype, an axis that is negative or over
            2**31 - 1, or more than 2**31 - 1 elements. ``field`` names it.
    """
    dtype = FROM_WIRE.get(message.dtype)
    if dtype is None:
        raise InvalidInputError(
            f"`{field}.dtype` must be a value of Dtype other than 0; got {int(message.dtype)}",
            field=f"{field}.dtype",
        )
    shape = tuple(message.shape)
    check_shape(shape, f"{field}.shape")
    return TensorType(dtype, shape)


def check_shape(shape: tuple[int, ...], field: str) -> None:
    """Checks that each axis, and the product of the non-zero ones, is in range.

    The product leaves empty axes out, since XLA computes strides from them.

    Raises:
        InvalidInputError: it isn't. ``field`` names the shape.
    """
    if len(shape) > 32:
        raise InvalidInputError(
            f"`{field}` must have at most 32 axes; got {len(shape)}", field=field
        )
    if any(not 0 <= length <= MAX_DIM for length in shape):
        raise InvalidInputError(
            f"`{field}` must hold axes from 0 to 2**31 - 1; got {shape}", field=field
        )
    elements = math.prod(length for length in shape if length)
    if elements > MAX_DIM:
        raise InvalidInputError(
            f"`{field}` must describe at most 2**31 - 1 elements; got {shape}, {elements}",
            field=field,
        )


def encode_tensor(array: Array) -> tensor_pb2.Tensor:
    """Writes an array.

    Raises:
        InvalidInputError: the wire has no such dtype.
    """
    native = supported_dtype(array.dtype)
    data = array.astype(_WIRE_DTYPES[native], copy=False).tobytes()
    return tensor_pb2.Tensor(dtype=TO_WIRE[native], shape=array.shape, data=data)


def decode_tensor(message: tensor_pb2.Tensor, field: str) -> Array:
    """Reads an array: a read-only view of the message's bytes.

    Raises:
        InvalidInputError: the type is invalid (see ``decode_type``), the bytes
            don't fit the shape, or a truth value is neither 0 nor 1.
    """
    tensor_type = decode_type(message, field)
    data = message.data  # each access copies
    if len(data) != tensor_type.nbytes:
        raise InvalidInputError(
            f"`{field}.data` must hold {tensor_type.nbytes} bytes for {tensor_type}; "
            f"got {len(data)}",
            field=f"{field}.data",
        )
    dtype = tensor_type.dtype
    if dtype.kind == "b":
        raw = np.frombuffer(data, np.uint8)
        if raw.size and raw.max() > 1:
            raise InvalidInputError(
                f"`{field}.data` must hold the bytes 0 and 1 for bool; got {raw.max()}",
                field=f"{field}.data",
            )
    array = np.frombuffer(data, _WIRE_DTYPES[dtype]).reshape(tensor_type.shape)
    return array.astype(dtype, copy=False)
