"""Derivatives over the wire: ordinary NumPy functions, differentiated by a JAX server.

    import gradwire as gw

    gradient = gw.grad(f)(x)

See the README for the operators and ``gw.connect`` for the server to use.
"""

from importlib.metadata import version as _version

from gradwire import numpy_api as numpy_api
from gradwire import ops as ops
from gradwire.errors import (
    AuthenticationError,
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
    QuarantinedError,
    TraceError,
    UnavailableError,
    UnsupportedError,
    VersionError,
)
from gradwire.evaluate import Prepared, prepare, remote
from gradwire.transforms.branches import checkpoint, cond, stop_gradient, switch
from gradwire.transforms.custom_rules import custom_jvp, custom_vjp
from gradwire.transforms.estimates import diagonal_estimate, trace_estimate
from gradwire.transforms.implicit import fixed_point, linear_solve, root
from gradwire.transforms.jacobians import batched_jacobian, jacobian, jacobian_trace
from gradwire.transforms.loops import fori_loop, while_loop
from gradwire.transforms.products import grad, hvp, jvp, value_and_grad, vjp
from gradwire.transforms.scans import associative_scan, map, scan
from gradwire.transforms.second_order import hessian, hessian_diagonal, laplacian
from gradwire.transforms.vmap import vmap
from gradwire.transport.connection import Connection, connect
from gradwire.transport.credentials import TLS as TLS
from gradwire.transport.default_connection import current_connection
from gradwire.transport.private_server import local

__version__ = _version("gradwire")

__all__ = [
    "TLS",
    "AuthenticationError",
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
    "QuarantinedError",
    "TraceError",
    "UnavailableError",
    "UnsupportedError",
    "VersionError",
    "__version__",
    "associative_scan",
    "batched_jacobian",
    "checkpoint",
    "cond",
    "connect",
    "current_connection",
    "custom_jvp",
    "custom_vjp",
    "diagonal_estimate",
    "fixed_point",
    "fori_loop",
    "grad",
    "hessian",
    "hessian_diagonal",
    "hvp",
    "jacobian",
    "jacobian_trace",
    "jvp",
    "laplacian",
    "linear_solve",
    "local",
    "map",
    "ops",
    "prepare",
    "remote",
    "root",
    "scan",
    "stop_gradient",
    "switch",
    "trace_estimate",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]
