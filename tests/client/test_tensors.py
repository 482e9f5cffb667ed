"""Arrays and types travel bit by bit, and what doesn't fit is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradwire.errors import InvalidInputError
from gradwire.tensors import (
    FROM_WIRE,
    MAX_DIM,
    TensorType,
    check_shape,
    decode_tensor,
    decode_type,
    encode_tensor,
    encode_type,
    is_complex,
    is_inexact,
    supported_dtype,
)
from gradwire.v1 import tensor_pb2
from programs import vector

DTYPES = pytest.mark.parametrize("dtype", FROM_WIRE.values(), ids=lambda dtype: dtype.name)


@DTYPES
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2)], ids=str)
def test_an_array_comes_back_as_it_was(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Every dtype and shape; what was read can't be written to."""
    array = (np.arange(np.prod(shape, dtype=int)) % 2).reshape(shape).astype(dtype)
    back = decode_tensor(encode_tensor(array), "x")
    assert (back.dtype, back.shape, back.tobytes()) == (dtype, shape, array.tobytes())
    assert not back.flags.writeable
    assert decode_type(encode_type(TensorType(dtype, shape)), "x") == TensorType(dtype, shape)


@pytest.mark.parametrize("order", [">f8", "<f8", ">i2", ">c16"])
def test_the_callers_byte_order_and_layout_do_not_travel(order: str) -> None:
    """The wire is little endian, row by row."""
    array = np.arange(6).reshape(2, 3).astype(order)
    sent = encode_tensor(array.T)
    assert sent.data == array.T.astype(array.dtype.newbyteorder("<")).tobytes()
    np.testing.assert_array_equal(decode_tensor(sent, "x"), array.T)


@pytest.mark.parametrize("name", ["datetime64[s]", "S3", "O", "longdouble", "V2"])
def test_other_dtypes_are_refused(name: str) -> None:
    """With those that there are."""
    dtype = np.dtype(name)
    with pytest.raises(InvalidInputError, match=r"one of the dtypes bool, int8, .*; got "):
        supported_dtype(dtype)


def test_a_type_says_how_much_it_holds() -> None:
    """Elements, axes and bytes; it is written as in messages."""
    found = vector(2, 3, dtype="complex64")
    assert (found.size, found.ndim, found.nbytes, str(found)) == (6, 2, 48, "complex64[2,3]")
    assert (vector().size, vector(0, 3).nbytes, str(vector())) == (1, 0, "float64[]")


@DTYPES
def test_inexact_dtypes_are_those_with_derivatives(dtype: np.dtype[Any]) -> None:
    """bfloat16 is one, although NumPy doesn't know its kind."""
    assert is_inexact(dtype) == (dtype.name.startswith(("float", "bfloat", "complex")))
    assert is_complex(dtype) == dtype.name.startswith("complex")


@pytest.mark.parametrize(
    ("good", "bad", "text"),
    [
        ((1,) * 32, (1,) * 33, "at most 32 axes; got 33"),
        ((MAX_DIM,), (MAX_DIM + 1,), r"axes from 0 to 2\*\*31 - 1"),
        ((0,), (-1,), r"axes from 0 to 2\*\*31 - 1"),
        ((MAX_DIM, 1), (2**16, 2**15), r"at most 2\*\*31 - 1 elements"),
        ((0, MAX_DIM), (0, MAX_DIM, 2), r"at most 2\*\*31 - 1 elements"),
    ],
)
def test_shapes_are_bounded(good: tuple[int, ...], bad: tuple[int, ...], text: str) -> None:
    """Each bound passes and one more doesn't; empty axes don't hide the others' product."""
    check_shape(good, "x.shape")
    with pytest.raises(InvalidInputError, match=text) as caught:
        check_shape(bad, "x.shape")
    assert caught.value.field == "x.shape"


@pytest.mark.parametrize(
    ("message", "field", "text"),
    [
        (tensor_pb2.Tensor(shape=[1], data=b"\0"), "x.dtype", "other than 0; got 0"),
        (tensor_pb2.Tensor(dtype=tensor_pb2.DTYPE_BOOL, shape=[-1]), "x.shape", "axes from 0"),
        (
            tensor_pb2.Tensor(dtype=tensor_pb2.DTYPE_INT16, shape=[2], data=b"\0" * 3),
            "x.data",
            "must hold 4 bytes for int16[2]; got 3",
        ),
        (
            tensor_pb2.Tensor(dtype=tensor_pb2.DTYPE_BOOL, shape=[2], data=b"\1\2"),
            "x.data",
            "the bytes 0 and 1 for bool; got 2",
        ),
    ],
    ids=["dtype", "shape", "length", "truth"],
)
def test_a_message_that_is_no_array_is_refused(
    message: tensor_pb2.Tensor, field: str, text: str
) -> None:
    """With the field at fault, what it must be and what came."""
    with pytest.raises(InvalidInputError) as caught:
        decode_tensor(message, "x")
    assert caught.value.field == field
    assert text in caught.value.message
