"""What the rules of single ops refuse, and which batch axes they prove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from conformance.harness import one_node
from gradwire.errors import InvalidProgramError
from gradwire.ir.binding import bind_attrs
from gradwire.opset import OPS
from gradwire.opset.core import MIXED, Call
from programs import vector

Shape = tuple[int, ...]
CONV = {"strides": (1,), "padding": (0, 0), "dilation": (1,)}
POOL = {"window": (2,), "strides": (1,), "padding": (0, 0)}

REFUSED: tuple[tuple[str, Sequence[Shape], Mapping[str, Any], str], ...] = (
    # op, the shapes of float32 operands, attributes, part of the message
    ("add", [(2,), (3,)], {}, "shapes must broadcast"),
    ("bitcast", [(2,)], {"dtype": np.dtype("i8")}, "size of float32; got int64"),
    ("bitcast", [(2,)], {"dtype": np.dtype("?")}, "`dtype` must be real"),
    ("eye", [], {"dtype": np.dtype("f4"), "n_rows": -1, "n_cols": 2}, "axes from 0"),
    ("full", [(1,)], {"shape": (2,)}, "must be a scalar"),
    ("full", [()], {"shape": (2**20, 2**20)}, "at most 2\\*\\*31 - 1 elements"),
    ("iota", [], {"dtype": np.dtype("f4"), "shape": (2,), "axis": 1}, "`axis` must be from"),
    ("linspace", [(), ()], {"num": -1}, "axes from 0"),
    ("reduce_precision", [()], {"exponent_bits": 0, "mantissa_bits": 3}, "`exponent_bits`"),
    ("reduce_precision", [()], {"exponent_bits": 5, "mantissa_bits": 53}, "`mantissa_bits`"),
    ("sum", [(2,)], {"axis": (1,)}, "`axis` must be from -1 to 0"),
    ("sum", [(2,)], {"axis": (0, -1)}, "`axis` must not repeat"),
    ("max", [(2, 0)], {"axis": (1,)}, "axes that are not empty"),
    ("argmin", [(0,)], {"axis": 0}, "axes that are not empty"),
    ("cumulative_sum", [()], {"axis": 0}, "`axis` must be from"),
    ("nn.softmax", [(2,)], {"axis": (2,)}, "`axis` must be from"),
    ("nn.conv", [(1, 2), (1, 2)], CONV, "alike"),
    ("nn.conv", [(1, 2, 3), (1, 3, 1)], CONV, "out, in / groups"),
    ("nn.conv", [(1, 2, 3), (1, 2, 4)], CONV, "must fit"),
    ("nn.conv", [(1, 2, 3), (1, 2, 0)], CONV, "no empty axis"),
    ("nn.conv", [(1, 3, 3), (2, 1, 1)], CONV | {"groups": 2}, "`groups` must divide"),
    ("nn.conv", [(1, 2, 3), (1, 2, 1)], CONV | {"strides": (0,)}, "`strides` must hold 1"),
    ("nn.conv", [(1, 2, 3), (1, 2, 1)], CONV | {"padding": (1,)}, "`padding` must hold 2"),
    ("nn.conv_transpose", [(1, 2, 3), (3, 1, 1)], CONV, "in, out / groups"),
    ("nn.conv_transpose", [(1, 1, 1), (1, 1, 1)], CONV | {"padding": (1, 0)}, "leave something"),
    ("nn.max_pool", [(3,)], POOL | {"padding": (2, 0)}, "smaller than `window`"),
    ("nn.avg_pool", [(1,)], POOL, "must fit"),
    ("nn.avg_pool", [(3,)], POOL | {"window": (2, 2)}, "`window` must hold 1 to 1"),
    ("nn.dot_product_attention", [(2, 1), (2, 1), (2, 1)], {"scale": 1.0}, "length, heads"),
    (
        "nn.dot_product_attention",
        [(2, 3, 1), (2, 2, 1), (2, 2, 1)],
        {"scale": 1.0},
        "must divide those",
    ),
    (
        "nn.dot_product_attention",
        [(2, 1, 1), (2, 1, 2), (2, 1, 1)],
        {"scale": 1.0},
        "must have the features",
    ),
    (
        "nn.dot_product_attention",
        [(2, 1, 1), (2, 1, 1), (3, 1, 1)],
        {"scale": 1.0},
        "length and heads of `inputs\\[1\\]`",
    ),
    (
        "nn.dot_product_attention",
        [(2, 1, 1), (2, 1, 1), (2, 1, 1), (1, 2, 2)],
        {"scale": 1.0},
        "must be bool",
    ),
    ("special.polygamma", [()], {"n": -1}, "`n` must be from 0"),
)


@pytest.mark.parametrize(("op", "shapes", "attrs", "message"), REFUSED)
def test_bad_calls_are_refused(
    op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any], message: str
) -> None:
    """The rule says what it wants and what it got."""
    types = [vector(*shape, dtype="float32") for shape in shapes]
    with pytest.raises(InvalidProgramError, match=message):
        one_node(op, types, attrs)


def test_negative_powers_of_integers_are_refused() -> None:
    """They are not integers."""
    with pytest.raises(InvalidProgramError, match="`exponent` must not be negative for int32"):
        one_node("integer_pow", [vector(dtype="int32")], {"exponent": -1})


PROVED: tuple[
    tuple[str, Sequence[Shape], Mapping[str, Any], Sequence[int | None], Sequence[int | None]], ...
] = (
    # op, shapes, attributes, batch axes of the operands, those of the results
    ("add", [(4, 3), (3,)], {}, [0, None], [0]),
    ("add", [(4, 3), (3,)], {}, [1, 0], [1]),
    ("add", [(3, 3), (3,)], {}, [0, 0], [MIXED]),  # row b meets every sample of y
    ("add", [(1, 3), (4, 3)], {}, [0, None], [MIXED]),  # the sample is stretched
    ("where", [(4, 1), (3,), (4, 3)], {}, [0, None, 0], [0]),
    ("sum", [(4, 3, 2)], {"axis": (1,)}, [0], [0]),
    ("sum", [(4, 3, 2)], {"axis": (0, 1)}, [2], [0]),
    ("sum", [(4, 3, 2)], {"axis": (0, 1), "keepdims": True}, [2], [2]),
    ("sum", [(4, 3, 2)], {"axis": (-3,)}, [0], [MIXED]),
    ("argmax", [(4, 3, 2)], {"axis": 0}, [2], [1]),
    ("cumulative_sum", [(4, 3)], {"axis": 1}, [0], [0]),
    ("cumulative_sum", [(4, 3)], {"axis": -1}, [1], [MIXED]),
    ("linspace", [(4,), ()], {"num": 3}, [0, None], [1]),
    ("nn.softmax", [(4, 3)], {"axis": (-1,)}, [0], [0]),
    ("nn.softmax", [(4, 3)], {"axis": (0, 1)}, [0], [MIXED]),
    ("nn.conv", [(4, 1, 3), (1, 1, 1)], CONV, [0, None], [0]),
    ("nn.conv", [(4, 1, 3), (1, 1, 1)], CONV, [2, None], [MIXED]),
    ("nn.conv", [(4, 1, 3), (4, 1, 1)], CONV, [0, 0], [MIXED]),
    ("nn.max_pool", [(4, 3)], POOL, [0], [0]),
    ("nn.max_pool", [(4, 3)], POOL, [1], [MIXED]),
    ("nn.dot_product_attention", [(4, 2, 1, 1)] * 3, {"scale": 1.0}, [0, 0, 0], [0]),
    ("nn.dot_product_attention", [(4, 2, 1, 1)] * 3, {"scale": 1.0}, [None, None, 0], [0]),
    ("nn.dot_product_attention", [(4, 2, 1, 1)] * 3, {"scale": 1.0}, [1, 1, 1], [MIXED]),
)


@pytest.mark.parametrize(("op", "shapes", "attrs", "axes", "want"), PROVED)
def test_batch_axes(
    op: str,
    shapes: Sequence[Shape],
    attrs: Mapping[str, Any],
    axes: Sequence[int | None],
    want: Sequence[int | None],
) -> None:
    """The axis is followed to its new place, or given up where samples meet."""
    types = tuple(vector(*shape, dtype="float32") for shape in shapes)
    rule = OPS[op].batch
    assert rule is not None
    assert list(rule(Call(types, bind_attrs(OPS[op], attrs)), axes)) == list(want)
