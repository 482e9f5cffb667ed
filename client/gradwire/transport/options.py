"""The options of a connection, checked. Must not import gRPC."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradwire.errors import InvalidInputError
from gradwire.ir.precision import PRECISIONS
from gradwire.tensors import BFLOAT16, Dtype

COMPUTE_SECONDS = 60.0
"""Seconds that one run may take by default."""
PREPARE_SECONDS = 600.0
"""Seconds that compiling may take by default."""

_MAX_AFFINITY = 256
_MAX_SECONDS = 1e8


@dataclass(frozen=True, slots=True)
class Options:
    """How a connection computes.

    Attributes:
        timeout: Seconds that one run may take.
        affinity: What balancers choose the server by; the program, if None.
        precision: How float32 matrix products are computed: ``highest``, ``high``
            or ``fast``.
        float_dtype: What all floating values are converted to, if not None.
    """

    timeout: float
    affinity: str | None
    precision: str
    float_dtype: Dtype | None


def check_options(
    *,
    timeout: float = COMPUTE_SECONDS,
    affinity: str | None = None,
    precision: str = "highest",
    float_dtype: npt.DTypeLike | None = None,
) -> Options:
    """Returns the options.

    Raises:
        InvalidInputError: one is not as it must be; the message names it.
    """
    if precision not in PRECISIONS:
        raise InvalidInputError(
            f"`precision` must be one of {', '.join(PRECISIONS)}; got {precision!r}",
            field="precision",
        )
    dtype = None if float_dtype is None else np.dtype(float_dtype)
    if dtype is not None and dtype.kind != "f" and dtype != BFLOAT16:
        raise InvalidInputError(
            f"`float_dtype` must be a floating dtype; got {dtype}", field="float_dtype"
        )
    # It travels as metadata, where gRPC takes printable ASCII.
    if affinity is not None and not (
        1 <= len(affinity) <= _MAX_AFFINITY and affinity.isascii() and affinity.isprintable()
    ):
        raise InvalidInputError(
            f"`affinity` must have 1 to {_MAX_AFFINITY} printable ASCII characters; "
            f"got {affinity[:50]!r}",
            field="affinity",
        )
    return Options(check_timeout(timeout), affinity, precision, dtype)


def check_timeout(timeout: float) -> float:
    """Returns the timeout, at most some years.

    Raises:
        InvalidInputError: it is not a number above 0.
    """
    if not timeout > 0 or math.isnan(timeout):
        raise InvalidInputError(
            f"`timeout` must be a number of seconds above 0; got {timeout}", field="timeout"
        )
    return min(float(timeout), _MAX_SECONDS)
