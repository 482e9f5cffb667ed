from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gradwire.errors import InvalidInputError
from gradwire.tensors import FROM_WIRE, Array
from gradwire.v1 import service_pb2 as pb
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.serving.inputs import read_inputs
from gradwire_server.serving.plan import Plan
from planned import plan_of
from programs import function, program, vector
from serving import inputs


def _plan(*shapes: Sequence[int], mapped: Sequence[bool] | None = None, dtype: Any = "f8") -> Plan:
    body = function([vector(*shape, dtype=dtype) for shape in shapes], results=[0])
    return plan_of(program(body, mapped=mapped))


def _array(shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    return (np.arange(np.prod(shape, dtype=int)) % 2).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", FROM_WIRE.values(), ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("mapped", [False, True])
def test_arrays_are_read(dtype: np.dtype[Any], shape: tuple[int, ...], mapped: bool) -> None:
    """Every dtype, with and without a batch axis, bit by bit."""
    sent = _array((2, *shape) if mapped else shape, dtype)
    (read,), rows = read_inputs(inputs([sent]), _plan(shape, mapped=[mapped], dtype=dtype))
    assert (read.dtype, read.shape, rows) == (dtype, sent.shape, 2 if mapped else NO_BATCH)
    assert read.tobytes() == sent.tobytes()


def test_rows_are_those_of_all_mapped_inputs() -> None:
    """The others have none."""
    plan = _plan((3,), (2,), (3,), mapped=[True, False, True])
    for rows in (0, 1, 5):
        sent = [np.ones((rows, 3)), np.ones(2), np.ones((rows, 3))]
        assert read_inputs(inputs(sent), plan)[1] == rows


@pytest.mark.parametrize(
    ("sent", "field", "text"),
    [
        ([np.ones((4, 3)), np.ones(2)], "inputs", "must hold 3 arrays; got 2"),
        ([np.ones((4, 3)), np.ones(2), np.ones((5, 3))], "inputs[2]", "got 5 and 4"),
        ([np.ones((4, 3)), np.ones(3), np.ones((4, 3))], "inputs[1]", "got float64[3]"),
        ([np.ones((4, 3)), np.ones(2), np.ones(3)], "inputs[2]", "must be float64[B,3]"),
        ([np.ones((4, 3)), np.ones(2), np.ones(())], "inputs[2]", "got float64[]"),
        ([np.ones((4, 3), "f4"), np.ones(2), np.ones((4, 3))], "inputs[0]", "got float32[4,3]"),
        ([np.ones((4, 3)), np.ones(2, int), np.ones((4, 3))], "inputs[1]", "must be float64[2]"),
    ],
    ids=["count", "rows", "shape", "no-batch", "scalar", "dtype", "dtype-2"],
)
def test_an_input_that_does_not_fit_is_named(sent: list[Array], field: str, text: str) -> None:
    """With what was wanted and what came."""
    plan = _plan((3,), (2,), (3,), mapped=[True, False, True])
    with pytest.raises(InvalidInputError) as caught:
        read_inputs(inputs(sent), plan)
    assert caught.value.field == field
    assert f"`{field}`" in caught.value.message
    assert text in caught.value.message


@pytest.mark.parametrize("length", [0, 23, 25])
def test_bytes_fit_their_shape(length: int) -> None:
    """Neither more nor fewer."""
    (message,) = inputs([np.ones(3)])
    message.tensor.data = b"x" * length
    with pytest.raises(InvalidInputError, match=r"`inputs\[0\].data` must hold 24 bytes"):
        read_inputs([message], _plan((3,)))


def test_truth_values_are_0_or_1() -> None:
    """Other bytes would mean different things to different code."""
    (message,) = inputs([np.ones(3, bool)])
    plan = _plan((3,), dtype="bool")
    assert read_inputs([message], plan)[0][0].all()
    message.tensor.data = b"\0\1\2"
    with pytest.raises(InvalidInputError, match="the bytes 0 and 1 for bool; got 2"):
        read_inputs([message], plan)


def test_nothing_is_read_for_nothing() -> None:
    """A program without parameters has no inputs."""
    body = function([], results=[0], constants=[np.ones(2)])
    plan = plan_of(program(body))
    assert read_inputs([], plan) == ([], NO_BATCH)
    with pytest.raises(InvalidInputError, match="must hold 0 arrays; got 1"):
        read_inputs([pb.Input()], plan)
