"""Inputs that don't fit a plan of one float64[3], each with the field at fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradwire.v1.tensor_pb2 import Tensor


def _tensor(**fields: Any) -> Tensor:
    return Tensor(**{"dtype": 13, "shape": [3], "data": bytes(24), **fields})


BAD_INPUTS: Mapping[str, tuple[list[Tensor], str]] = {
    "none": ([], "inputs"),
    "one_too_many": ([_tensor(), _tensor()], "inputs"),
    "another_length": ([_tensor(shape=[4], data=bytes(32))], "inputs[0]"),
    "another_rank": ([_tensor(shape=[3, 1])], "inputs[0]"),
    "a_scalar": ([_tensor(shape=[], data=bytes(8))], "inputs[0]"),
    "another_dtype": ([_tensor(dtype=12, data=bytes(12))], "inputs[0]"),
    "same_bytes_of_another_dtype": ([_tensor(dtype=5)], "inputs[0]"),
    "a_byte_too_few": ([_tensor(data=bytes(23))], "inputs[0].data"),
    "a_byte_too_many": ([_tensor(data=bytes(25))], "inputs[0].data"),
    "no_bytes": ([_tensor(data=b"")], "inputs[0].data"),
    "no_dtype": ([_tensor(dtype=0)], "inputs[0].dtype"),
    "unknown_dtype": ([_tensor(dtype=16)], "inputs[0].dtype"),
    "negative_dim": ([_tensor(shape=[-3])], "inputs[0].shape"),
    "two_negative_dims": ([_tensor(shape=[-3, -1])], "inputs[0].shape"),
    "vast_dim": ([_tensor(shape=[2**62])], "inputs[0].shape"),
    "vast_product": ([_tensor(shape=[2**31 - 1] * 3)], "inputs[0].shape"),
    "vast_empty": ([_tensor(shape=[0, 2**31 - 1, 2**31 - 1], data=b"")], "inputs[0].shape"),
    "33_axes": ([_tensor(shape=[1] * 33)], "inputs[0].shape"),
    "truth_value_2": ([_tensor(dtype=1, data=b"\0\1\2")], "inputs[0].data"),
}
