"""Calls of the shape, index, linear-algebra and Fourier families that the table refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.harness import one_node
from gradwire.errors import InvalidProgramError
from gradwire.opset.core import At
from gradwire.tensors import TensorType
from programs import integers, vector

F64 = np.dtype(np.float64)
Shapes = tuple[int, ...] | TensorType


REFUSED: list[tuple[str, list[Shapes], dict[str, Any], str]] = [
    ("broadcast_to", [(2, 3)], {"shape": (3,)}, "must broadcast to `shape`"),
    ("broadcast_to", [(2,)], {"shape": (3,)}, "broadcast"),
    ("broadcast_to", [(1,)], {"shape": (2**20, 2**20)}, r"at most 2\*\*31 - 1 elements"),
    ("concat", [(2, 3), (2, 4)], {"axis": 0}, "agree outside axis 0"),
    ("concat", [(2, 3), (2,)], {"axis": 0}, "agree outside axis 0"),
    ("concat", [()], {"axis": 0}, "`axis`"),
    ("diag", [()], {}, "at least 1 axis"),
    ("diag", [(2,)], {"k": 2**40}, "axes from 0 to"),
    ("expand_dims", [(2,)], {"axis": (0, 0)}, "must not repeat"),
    ("expand_dims", [(2,)], {"axis": (2,)}, "must be from -2 to 1"),
    ("flip", [(2,)], {"axis": (1,)}, "must be from -1 to 0"),
    ("matrix_transpose", [(2,)], {}, "at least 2 axes"),
    ("pad", [(2,)], {"pad_width": (1,)}, "must hold 2 numbers"),
    ("pad", [(2,)], {"pad_width": (-1, 0)}, "none negative"),
    ("pad", [(2,), (1,)], {"pad_width": (1, 0)}, "must be a scalar"),
    ("pad", [(2,), ()], {"pad_width": (1, 0), "mode": "edge"}, "must be absent"),
    ("pad", [(2,)], {"pad_width": (0, 2), "mode": "reflect"}, "at most 1 for mode reflect"),
    ("pad", [(2,)], {"pad_width": (3, 0), "mode": "wrap"}, "at most 2 for mode wrap"),
    ("pad", [(0,)], {"pad_width": (1, 0), "mode": "edge"}, "at most 0 for mode edge"),
    ("pad", [(2,)], {"pad_width": (1, 0), "mode": "mean"}, "one of constant, edge"),
    ("permute_dims", [(2, 3)], {"axes": (0,)}, "all 2 axes"),
    ("permute_dims", [(2, 3)], {"axes": (0, -2)}, "must not repeat"),
    ("repeat", [(2,)], {"axis": 0, "repeats": -1}, "not be negative"),
    ("repeat", [(2,)], {"axis": 0, "repeats": 2**31}, "axes from 0 to"),
    ("reshape", [(2, 3)], {"shape": (5,)}, "as many elements"),
    ("reshape", [(2, 3)], {"shape": (-1,)}, "axes from 0 to"),
    ("roll", [(2, 3)], {"axis": (0, 1), "shift": (1,)}, "equally long"),
    ("split", [(5,)], {"axis": 0, "indices": (3, 2)}, "must rise from 0 to 5"),
    ("split", [(5,)], {"axis": 0, "indices": (6,)}, "must rise from 0 to 5"),
    ("squeeze", [(1, 2)], {"axis": (1,)}, "axes of length 1"),
    ("stack", [(2,), (3,)], {"axis": 0}, "one shape"),
    ("stack", [(2,)], {"axis": 2}, "must be from -2 to 1"),
    ("tile", [(2,)], {"repetitions": (-1,)}, "not be negative"),
    ("tril", [(2,)], {"k": 0}, "at least 2 axes"),
    ("unstack", [(4097, 2)], {"axis": 0}, "at most 4096 entries"),
    ("index_set", [(2, 3), (2,)], {"index": (At(0),)}, "shapes must broadcast"),
    ("index_set", [(2, 3), (1, 3)], {"index": (At(0),)}, "must broadcast to what"),
    ("index_add", [(2,), integers()], {"index": (At(0),)}, "dtype of `inputs"),
    ("take", [(2,), (3,)], {"axis": 0}, "must be integer"),
    ("take", [(0, 2), integers(1)], {"axis": 0}, "empty axis"),
    ("take_along_axis", [(2, 3), integers(2)], {"axis": 0}, "as many axes"),
    ("take_along_axis", [(2, 3), integers(4, 3)], {"axis": 1}, "broadcast"),
    ("take_along_axis", [(2, 0), integers(2, 1)], {"axis": 1}, "must not be empty"),
    ("dynamic_slice", [(2, 3), integers()], {"slice_sizes": (1, 1)}, "one start for each axis"),
    ("dynamic_slice", [(2,), integers(1)], {"slice_sizes": (1,)}, "must be a scalar"),
    ("dynamic_slice", [(2,), ()], {"slice_sizes": (1,)}, "must be integer"),
    ("dynamic_slice", [(2,), integers()], {"slice_sizes": (3,)}, "length that fits"),
    ("dynamic_update_slice", [(2,), (3,), integers()], {}, "must fit into"),
    ("dynamic_update_slice", [(2,), (1, 1), integers()], {}, "must fit into"),
    ("sort", [()], {"axis": 0}, "`axis`"),
    ("top_k", [(3,)], {"k": 4}, "`k` must be from 0"),
    ("top_k", [()], {"k": 0}, "`k` must be from 0"),
    ("searchsorted", [(2, 2), (2,)], {}, "must be a vector"),
    ("one_hot", [integers(2)], {"num_classes": -1, "dtype": F64}, "axes from 0 to"),
    ("interp", [(2,), (0,), (0,)], {}, "filled vector"),
    ("interp", [(2,), (3,), (2,)], {}, "as long as"),
    ("matmul", [(2, 3), (2, 3)], {}, "as many columns"),
    ("matmul", [(), (2,)], {}, "not be scalars"),
    ("matmul", [(2, 1, 2), (3, 2, 1)], {}, "broadcast"),
    ("vecdot", [(2,), (3,)], {}, "equally long"),
    ("vecdot", [(2,), (2, 2)], {"axis": -2}, "must be from -1 to -1"),
    ("vecdot", [(2, 2), (2, 2)], {"axis": 0}, "must be from -2 to -1"),
    ("cross", [(2,), (2,)], {}, "length 3"),
    ("tensordot", [(2, 3), (3, 2)], {"x_axes": (0,), "y_axes": (0,)}, "same lengths"),
    ("tensordot", [(2, 3), (3, 2)], {"x_axes": (0,), "y_axes": (1, 0)}, "same lengths"),
    ("outer", [(2,), (2, 1)], {}, "must be vectors"),
    ("kron", [(2**16,), (2**16,)], {}, "axes from 0 to"),
    ("einsum", [(2, 3)], {"subscripts": "ij"}, "must read like"),
    ("einsum", [(2, 3)], {"subscripts": "...j->..."}, "must read like"),
    ("einsum", [(2, 3)], {"subscripts": "ij->i j"}, "must read like"),
    ("einsum", [(2, 3)], {"subscripts": "i->i"}, "one letter for each axis"),
    ("einsum", [(2, 3)], {"subscripts": "ij,j->i"}, "one letter for each axis"),
    ("einsum", [(2, 3)], {"subscripts": "ij->ii"}, "each letter of the result once"),
    ("einsum", [(2, 3)], {"subscripts": "ij->ik"}, "on its left"),
    ("einsum", [(2, 3), (2,)], {"subscripts": "ij,j->i"}, "one length; got 3 and 2 for 'j'"),
    ("linalg.inv", [(2, 3)], {}, "must be square"),
    ("linalg.inv", [(2,)], {}, "at least 2 axes"),
    ("linalg.matrix_norm", [(0, 2)], {"ord": "2"}, "fro or nuc"),
    ("linalg.vector_norm", [(0,)], {"axis": (0,), "ord": -1.0}, "axes that are not empty"),
    ("linalg.vector_norm", [(2,)], {"axis": (0,), "ord": float("nan")}, "not be NaN"),
    ("linalg.solve", [(2, 3), (2,)], {}, "must be square"),
    ("linalg.solve", [(2, 2), (3,)], {}, r"must be \(2,\) or \(..., 2, k\)"),
    ("linalg.solve", [(2, 2), ()], {}, "right-hand side"),
    ("linalg.solve", [(3, 2, 2), (2, 2, 1)], {}, "broadcast"),
    ("linalg.solve_triangular", [(2, 2), (2,)], {"trans": 3}, "must be 0, 1 or 2"),
    ("linalg.tridiagonal_solve", [(2,), (3,), (3,), (3,)], {}, "one shape"),
    ("linalg.toeplitz", [(), (2,)], {}, "must be vectors"),
    ("linalg.block_diag", [(2, 2), (2,)], {}, "must be a matrix"),
    ("fft.fft", [(4,)], {"n": 0, "axis": 0}, "at least 1 element"),
    ("fft.fft", [(4,)], {"n": 4, "axis": 1}, "must be from -1 to 0"),
    ("fft.fftn", [(4,)], {"s": (4, 4), "axes": (0,)}, "equally long"),
    ("fft.fftn", [(4,)], {"s": (), "axes": ()}, "not empty"),
    ("fft.rfftn", [(4, 4)], {"s": (4, 4), "axes": (0, 0)}, "must not repeat"),
    ("fft.fft", [(4,)], {"n": 4, "axis": 0, "norm": "none"}, "one of backward"),
]


@pytest.mark.parametrize(("op", "operands", "attrs", "message"), REFUSED)
def test_a_call_that_makes_no_sense_is_refused(
    op: str, operands: list[Shapes], attrs: dict[str, Any], message: str
) -> None:
    """With the operand or attribute, the rule and what was received."""
    types = [x if isinstance(x, TensorType) else vector(*x) for x in operands]
    with pytest.raises(InvalidProgramError, match=message):
        one_node(op, types, attrs)


def test_an_einsum_whose_intermediates_are_too_large_is_refused() -> None:
    """Whatever the order: four operands on a ring of long axes leave two of them at each step."""
    n = 2**8
    ring = [vector(n, n, n)] * 4
    one_node("einsum", ring[:2], {"subscripts": "abc,abd->cd"})
    with pytest.raises(InvalidProgramError, match=r"at most 2\*\*31 - 1 elements"):
        one_node("einsum", ring, {"subscripts": "abc,cde,efg,gha->bdfh"})
