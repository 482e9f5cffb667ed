"""Derivatives over the wire: ordinary NumPy functions, differentiated by a JAX server.

    import gradwire as gw

    gradient = gw.grad(f)(x)

See the README for the operators and ``gw.connect`` for the server to use.
"""

from importlib.metadata import version as _version

from gradwire import numpy_api as numpy_api
from gradwire import ops as ops
from gradwire.connection import Connection, connect, current_connection
from gradwire.errors import (
    CoupledBatchError,
    DeadlineError,
    GradwireError,
    InternalError,
    InvalidInputError,
    InvalidProgramError,
    LimitExceededError,
    NonFiniteWarning,
    OutOfMemoryError,
    OverloadedError,
    PrecisionWarning,
    TraceError,
    UnavailableError,
    UnsupportedError,
    VersionError,
)
from gradwire.local import local
from gradwire.remote import Prepared, prepare, remote
from gradwire.transforms.estimates import diagonal_estimate, trace_estimate
from gradwire.transforms.jacobians import batched_jacobian, jacobian, jacobian_trace
from gradwire.transforms.products import grad, hvp, jvp, value_and_grad, vjp
from gradwire.transforms.second_order import hessian, hessian_diagonal, laplacian
from gradwire.transforms.vmap import vmap

__version__ = _version("gradwire")

__all__ = [
    "Connection",
    "CoupledBatchError",
    "DeadlineError",
    "GradwireError",
    "InternalError",
    "InvalidInputError",
    "InvalidProgramError",
    "LimitExceededError",
    "NonFiniteWarning",
    "OutOfMemoryError",
    "OverloadedError",
    "PrecisionWarning",
    "Prepared",
    "TraceError",
    "UnavailableError",
    "UnsupportedError",
    "VersionError",
    "__version__",
    "batched_jacobian",
    "connect",
    "current_connection",
    "diagonal_estimate",
    "grad",
    "hessian",
    "hessian_diagonal",
    "hvp",
    "jacobian",
    "jacobian_trace",
    "jvp",
    "laplacian",
    "local",
    "ops",
    "prepare",
    "remote",
    "trace_estimate",
    "value_and_grad",
    "vjp",
    "vmap",
]
