"""Computes what is known before the server computes what isn't.

Compilers have been wrong, in silence. Each check here has a closed form, so a
wrong number means that nothing this process computes can be trusted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gradwire.ir import Function, Node, Param, Program, encode_program
from gradwire.tensors import TensorType
from gradwire_server.compiler.compile import compile_program
from gradwire_server.jax_setup import set_up_jax
from gradwire_server.runtime.executable import load_executable
from gradwire_server.start_error import StartError


class SelfTestError(StartError):
    """This installation computes wrong numbers, or can't compute; the message says where."""


class _WrongNumberError(ArithmeticError):
    """A result is not what it must be."""


@functools.cache
def run_self_test() -> None:
    """Runs every check, once in a process.

    Raises:
        SelfTestError: one of them failed.
    """
    set_up_jax()
    for check in CHECKS:
        try:
            with jax.default_matmul_precision("highest"):
                check()
        except Exception as error:
            name = check.__name__.removeprefix("_").replace("_", " ")
            wrong = isinstance(error, _WrongNumberError)
            raise SelfTestError(
                f"the self-test {'failed' if wrong else 'could not run'}: {name}: {error} "
                f"(jax {jax.__version__} on {jax.devices()[0].device_kind})"
                f"{'. This server would return wrong numbers' if wrong else ''}"
            ) from error


def _expect(got: object, wanted: object, tolerance: float) -> None:
    """Raises unless two arrays are equal, up to a multiple of the largest element."""
    x, y = np.asarray(got), np.asarray(wanted)
    error = float(np.abs(x - y).max())
    allowed = tolerance * float(np.abs(y).max())
    if not error <= allowed:  # NaN is caught, too
        raise _WrongNumberError(f"the error is {error:.3g}; at most {allowed:.3g} is allowed")


def _row_sums_of_a_product_with_zeros() -> None:
    """Is NaN or 1e30 in jaxlib 0.10.2 on the CPU: jax issue 39103."""
    product = jax.jit(lambda s: (s @ jnp.zeros((128, 32), np.float32)).sum(1))
    _expect(product(np.ones((8, 32, 128), np.float32)), np.zeros((8, 32)), 0.0)


def _float64_is_kept() -> None:
    _expect(jax.jit(lambda x: x + 1e-12)(np.float64(1.0)), 1.0 + 1e-12, 0.0)


def _products_have_the_precision_asked_for() -> None:
    """With TF32 the small part of each factor would be lost: 2^-12 of 1."""
    n = 64
    x = np.full((n, n), 1 + 2.0**-12, np.float32)
    _expect(jax.jit(jnp.matmul)(x, x), np.full((n, n), n * (1 + 2.0**-12) ** 2), 1e-6)


def _mapped_equals_one_by_one() -> None:
    """The gradient of sum(tanh(W x)) is Wᵀ(1 − tanh²(W x))."""
    w = np.linspace(-1.0, 1.0, 12).reshape(3, 4)
    x = np.linspace(-2.0, 2.0, 20).reshape(5, 4)
    gradient = jax.jit(jax.vmap(jax.grad(lambda x: jnp.tanh(w @ x).sum())))(x)
    _expect(gradient, (1 - np.tanh(x @ w.T) ** 2) @ w, 1e-12)


def _second_derivatives() -> None:
    """The Hessian of log Σ exp x is diag(p) − p pᵀ."""
    x = np.linspace(-1.0, 1.0, 6)
    p = np.exp(x) / np.exp(x).sum()
    hessian = jax.jit(jax.hessian(lambda x: jnp.log(jnp.exp(x).sum())))(x)
    _expect(hessian, np.diag(p) - np.outer(p, p), 1e-12)


def _linear_algebra() -> None:
    """The gradient of log det A is A⁻¹, here of 2 I + 1 1ᵀ: (I − 1 1ᵀ / (n + 2)) / 2."""
    n = 5
    a = 2 * np.eye(n) + np.ones((n, n))
    inverse = (np.eye(n) - np.ones((n, n)) / (n + 2)) / 2
    gradient = jax.jit(jax.grad(lambda a: jnp.linalg.slogdet(a)[1]))(a)
    _expect(gradient, inverse, 1e-12)
    _expect(jax.jit(jnp.linalg.eigvalsh)(a), [2.0] * (n - 1) + [2.0 + n], 1e-12)


def _what_is_compiled_can_be_loaded() -> None:
    """Through the same bytes as every program, and with LAPACK in them."""
    matrix = TensorType(np.dtype(np.float64), (3, 3))
    nodes = (Node("linalg.cholesky", (0,), (1,)), Node("matmul", (1, 1), (2,)))
    entry = Function("", (Param(0, matrix),), (), nodes, (2,))
    data = encode_program(Program((entry,), 0, (True,)))
    executable = load_executable(compile_program(data, "highest", 4, ()))
    lower = np.tril(np.linspace(1.0, 2.0, 36).reshape(4, 3, 3))
    (got,) = executable([lower @ lower.transpose(0, 2, 1)])
    _expect(got, lower @ lower, 1e-12)


CHECKS: tuple[Callable[[], None], ...] = (
    _row_sums_of_a_product_with_zeros,
    _float64_is_kept,
    _products_have_the_precision_asked_for,
    _mapped_equals_one_by_one,
    _second_derivatives,
    _linear_algebra,
    _what_is_compiled_can_be_loaded,
)
"""The checks in order."""
