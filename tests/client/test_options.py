"""What a caller says about a connection is checked; what is refused, `test_connection` shows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradwire.errors import InvalidInputError
from gradwire.tensors import BFLOAT16
from gradwire.transport.options import COMPUTE_SECONDS, Options, check_options, check_timeout


def test_nothing_need_be_said() -> None:
    """The defaults are those of the documentation."""
    assert check_options() == Options(COMPUTE_SECONDS, None, "highest", None)


@pytest.mark.parametrize("dtype", ["float16", "float32", np.float64, BFLOAT16])
def test_floating_dtypes_are_taken(dtype: np.dtype[np.generic]) -> None:
    """By name, class or dtype; bfloat16 too."""
    assert check_options(float_dtype=dtype).float_dtype == np.dtype(dtype)


def test_an_affinity_at_its_bound_is_taken() -> None:
    """256 characters of printable ASCII, spaces among them."""
    for affinity in ("~", "a b", "x" * 256):
        assert check_options(affinity=affinity).affinity == affinity


def test_a_timeout_is_a_number_above_zero() -> None:
    """Also a very small one; for ever is some years."""
    assert check_timeout(1e-9) == 1e-9
    assert check_timeout(3) == 3.0
    assert 10**7 < check_timeout(math.inf) < 10**9
    for wrong in (0, -1.0, math.nan, -math.inf):
        with pytest.raises(InvalidInputError, match="`timeout` must be a number of seconds above"):
            check_timeout(wrong)
