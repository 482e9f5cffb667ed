"""Keys of random numbers from seeds of any integer dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradwire.errors import InvalidInputError
from gradwire.numpy_api.registry import implements_op
from gradwire.opset.core import UINT32
from gradwire.trace.traced import Traced
from gradwire.trace.values import apply, as_operand, as_traced, convert


@implements_op("random.key")
def key(seed: Any) -> Traced:
    """The seed is one integer; its lowest 32 bits count."""
    operand = as_operand(seed)
    if type(operand) is int:
        operand = np.uint32(operand % 2**32)
    traced = as_traced(operand)
    if traced.shape != () or traced.dtype.kind not in "iu":
        raise InvalidInputError(
            f"`seed` must be one integer; got {traced.dtype.name} of shape {traced.shape}"
        )
    return apply("random.key", convert(operand, UINT32))
