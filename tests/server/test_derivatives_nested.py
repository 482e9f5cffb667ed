"""Operators within operators: losses that hold derivatives, up to the third order and beyond."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from running import Array, close, differences, run
from sketch import Sketch, op, several, total, type_of

rng = np.random.default_rng(5)
X = rng.standard_normal(3)
T = rng.standard_normal(3)


def quartic(x):  # type: ignore[no-untyped-def]
    """Σ x⁴: ∂ 4x³, ∂² diag 12x², ∂³ 24x."""
    return total(x**4, 0)


def quartic_hessian(x: Array) -> Array:
    """Of |x|⁴."""
    return 4 * (x @ x) * np.eye(x.size) + 8 * np.outer(x, x)


def test_gradient_of_the_jacobian_of_the_gradient() -> None:
    """Third order: ∂ Σ c ∂²Σx⁴ = 24 diag(c) x, in every mode and with chunks."""
    c = rng.standard_normal((3, 3))
    for attrs in ({"mode": "forward"}, {"mode": "reverse"}, {"chunk": 2}, {"chunk": 1}):
        sketch = Sketch()
        f = sketch.add([type_of(X)], quartic)
        g = sketch.add([type_of(X)], lambda x, f=f: several("grad", x, functions=[f], outputs=2)[1])

        def loss(x, g=g, attrs=attrs):  # type: ignore[no-untyped-def]
            _, hessian = several("jacobian", x, functions=[g], outputs=2, **attrs)
            return total(c * hessian, 0, 1)

        h = sketch.add([type_of(X)], loss)
        sketch.add([type_of(X)], lambda x, h=h: several("grad", x, functions=[h], outputs=2))
        value, gradient = run(sketch, X)
        close(value, (np.diag(c) * 12 * X**2).sum())
        close(gradient, np.diag(c) * 24 * X)


def radial(x):  # type: ignore[no-untyped-def]
    return total(x * x, 0) ** 2


INNER: dict[str, tuple[Callable[..., Any], Callable[[Array], Any]]] = {
    "hessian": (
        lambda x, f: total(several("hessian", x, functions=[f], outputs=2)[1] ** 2, 0, 1),
        lambda x: (quartic_hessian(x) ** 2).sum(),
    ),
    "hessian_diagonal": (
        lambda x, f: total(
            several("hessian_diagonal", x, functions=[f], outputs=2, chunk=2)[1] ** 2, 0
        ),
        lambda x: (np.diag(quartic_hessian(x)) ** 2).sum(),
    ),
    "laplacian": (
        lambda x, f: several("laplacian", x, functions=[f], outputs=2, chunk=2)[1] ** 2,
        lambda x: np.trace(quartic_hessian(x)) ** 2,
    ),
    "laplacian with gradient": (
        lambda x, f: total(
            several("laplacian", x, functions=[f], outputs=3, with_grad=True)[1] ** 2, 0
        ),
        lambda x: ((4 * (x @ x) * x) ** 2).sum(),
    ),
    "hvp": (
        lambda x, f: total(several("hvp", x, x, functions=[f], outputs=2)[1], 0),
        lambda x: (quartic_hessian(x) @ x).sum(),
    ),
    "grad": (
        lambda x, f: total(several("grad", x, functions=[f], outputs=2)[1] ** 3, 0),
        lambda x: ((4 * (x @ x) * x) ** 3).sum(),
    ),
    "vjp": (
        lambda x, f: total(several("vjp", x, total(x, 0), functions=[f], outputs=2)[1], 0),
        lambda x: (x.sum() * 4 * (x @ x) * x).sum(),
    ),
    "jvp": (
        lambda x, f: several("jvp", x, x * x, functions=[f], outputs=2)[1],
        lambda x: (4 * (x @ x) * x) @ (x * x),
    ),
    "diagonal_estimate": (
        lambda x, f: total(
            several(
                "diagonal_estimate",
                x,
                np.uint32(3),
                functions=[f],
                outputs=3,
                operator="hessian",
                num_samples=9,
            )[1]
            ** 2,
            0,
        ),
        lambda x: (np.diag(quartic_hessian(x)) ** 2).sum(),
    ),
}


@pytest.mark.parametrize("name", INNER)
def test_gradient_of_a_loss_that_holds(name: str) -> None:
    """The gradient around each operator matches differences of its closed form."""
    write, closed = INNER[name]
    sketch = Sketch()
    f = sketch.add([type_of(X)], radial)
    loss = sketch.add([type_of(X)], lambda x: write(x, f))
    sketch.add([type_of(X)], lambda x: several("grad", x, functions=[loss], outputs=2))
    value, gradient = run(sketch, X)
    close(value, closed(X))
    close(gradient, differences(closed, X, 1e-3), 1e-6)


def test_gradient_of_a_jacobian_trace() -> None:
    """∂ tr ∂(x Σsin x) = ∂(n Σsin x + Σ x cos x)."""
    for chunk in (0, 2):
        sketch = Sketch()
        f = sketch.add([type_of(X)], lambda x: x * total(op("sin", x), 0))
        g = sketch.add(
            [type_of(X)],
            lambda x, f=f, chunk=chunk: several(
                "jacobian_trace", x, functions=[f], outputs=2, chunk=chunk
            )[1],
        )
        sketch.add([type_of(X)], lambda x, g=g: several("grad", x, functions=[g], outputs=2))
        value, gradient = run(sketch, X)
        close(value, 3 * np.sin(X).sum() + (X * np.cos(X)).sum())
        close(gradient, 3 * np.cos(X) + np.cos(X) - X * np.sin(X))


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_training_on_blocks_of_a_batch(mode: str) -> None:
    """The gradient of Σ‖∂tanh(Wx)/∂x‖² over a batch, with respect to W, chunked."""
    w, x = rng.standard_normal((2, 3)), rng.standard_normal((5, 3))
    sketch = Sketch()
    f = sketch.add(
        [type_of(w), type_of(x)],
        lambda w, x: op("tanh", op("matmul", x, op("matrix_transpose", w))),
    )

    def loss(w, x):  # type: ignore[no-untyped-def]
        _, blocks = several(
            "batched_jacobian",
            w,
            x,
            functions=[f],
            outputs=2,
            num_captures=1,
            mapped=(1,),
            mode=mode,
            chunk=2,
        )
        return total(blocks**2, 0, 1, 2)

    def closed(w):  # type: ignore[no-untyped-def]
        t = np.tanh(x @ w.T)
        return (((1 - t**2)[:, :, None] * w) ** 2).sum()

    g = sketch.add([type_of(w), type_of(x)], loss)
    sketch.add(
        [type_of(w), type_of(x)], lambda w, x: several("grad", w, x, functions=[g], outputs=2)
    )
    value, gradient = run(sketch, w, x)
    close(value, closed(w))
    close(gradient, differences(closed, w, 1e-3), 1e-7)


def test_jacobian_regularisation_of_a_linear_map() -> None:
    """‖∂(Wx)/∂x‖² is ‖W‖², its gradient 2W, its Hessian diagonal 2."""
    w, x = rng.standard_normal((2, 3)), rng.standard_normal((4, 3))
    sketch = Sketch()
    f = sketch.add(
        [type_of(x), type_of(w)], lambda x, w: op("matmul", x, op("matrix_transpose", w))
    )

    def loss(w, x):  # type: ignore[no-untyped-def]
        _, blocks = several(
            "batched_jacobian", x, w, functions=[f], outputs=2, mapped=(1, 0), wrt=(0,)
        )
        return op("mean", op("sum", blocks**2, axis=(1, 2)), axis=(0,))

    g = sketch.add([type_of(w), type_of(x)], loss)

    def entry(w, x):  # type: ignore[no-untyped-def]
        gradient = several("grad", w, x, functions=[g], outputs=2)
        diagonal = several("hessian_diagonal", w, x, functions=[g], outputs=2)[1]
        return [*gradient, diagonal]

    sketch.add([type_of(w), type_of(x)], entry)
    value, gradient, diagonal = run(sketch, w, x)
    close(value, (w**2).sum())
    close(gradient, 2 * w)
    close(diagonal, np.full((2, 3), 2))


def test_sliced_score_matching_of_a_linear_score() -> None:
    """For s = −Px the mean of vᵀJv + ½(vᵀs)² has the gradient −vvᵀ + (vᵀPx) v xᵀ."""
    p = rng.standard_normal((3, 3))
    x, v = rng.standard_normal((6, 3)), rng.standard_normal((6, 3))
    sketch = Sketch()
    score = sketch.add([type_of(p), type_of(X)], lambda p, x: -op("matmul", p, x))

    def sliced(p, x, v):  # type: ignore[no-untyped-def]
        s, product = several("jvp", p, x, v, functions=[score], outputs=2, num_captures=1)
        return total(v * product, 0) + 0.5 * total(v * s, 0) ** 2

    one = sketch.add([type_of(p), type_of(X), type_of(X)], sliced)

    def loss(p, x, v):  # type: ignore[no-untyped-def]
        return op("mean", op("vmap", p, x, v, functions=[one], mapped=(0, 1, 1)), axis=(0,))

    g = sketch.add([type_of(p), type_of(x), type_of(v)], loss)
    sketch.add(
        [type_of(p), type_of(x), type_of(v)],
        lambda p, x, v: several("grad", p, x, v, functions=[g], outputs=2),
    )
    value, gradient = run(sketch, p, x, v)
    forms = np.einsum("bi,ij,bj->b", v, p, x)
    close(value, np.mean(-np.einsum("bi,ij,bj->b", v, p, v) + 0.5 * forms**2))
    wanted = -np.einsum("bi,bj->ij", v, v) + np.einsum("b,bi,bj->ij", forms, v, x)
    close(gradient, wanted / 6)


def test_gradients_with_respect_to_tangents_and_cotangents() -> None:
    """∂(J·t)/∂t is J, ∂(uᵀJ)/∂u is Jᵀ, ∂(H·t)/∂t is H."""
    sketch = Sketch()
    f = sketch.add([type_of(X)], lambda x: total(x, 0) * op("sin", x))
    g = sketch.add([type_of(X)], radial)
    two = [type_of(X), type_of(T)]
    push = sketch.add(two, lambda x, t: several("jvp", x, t, functions=[f], outputs=2)[1])
    pull = sketch.add(two, lambda x, t: several("vjp", x, t, functions=[f], outputs=2)[1])
    twice = sketch.add(two, lambda x, t: several("hvp", x, t, functions=[g], outputs=2)[1])

    def entry(x, t):  # type: ignore[no-untyped-def]
        return [
            several("jacobian", x, t, functions=[h], outputs=2, wrt=(1,))[1]
            for h in (push, pull, twice)
        ]

    sketch.add(two, entry)
    by_t, by_u, by_v = run(sketch, X, T)
    jacobian = np.outer(np.sin(X), np.ones(3)) + X.sum() * np.diag(np.cos(X))
    close(by_t, jacobian)
    close(by_u, jacobian.T)
    close(by_v, quartic_hessian(X))


def test_fourth_derivative_by_four_gradients() -> None:
    """Sin'''' = sin; x⁵ gives 120x."""
    for write, wanted in (
        (lambda x: op("sin", x), np.sin(0.3)),
        (lambda x: x**5, 120 * 0.3),
    ):
        sketch = Sketch()
        last = sketch.add([type_of(0.3)], write)
        for _ in range(4):
            last = sketch.add(
                [type_of(0.3)],
                lambda x, last=last: several("grad", x, functions=[last], outputs=2)[1],
            )
        close(run(sketch, 0.3), [wanted])


def test_gradient_through_checkpoint_is_the_gradient() -> None:
    """It changes the memory of a gradient, not its value, at second order too."""
    sketch = Sketch()
    f = sketch.add([type_of(X)], lambda x: [radial(op("sin", x)), x])
    g = sketch.add([type_of(X)], lambda x: several("checkpoint", x, functions=[f], outputs=2)[0])
    sketch.add(
        [type_of(X)],
        lambda x: [
            *several("grad", x, functions=[g], outputs=2),
            several("laplacian", x, functions=[g], outputs=2)[1],
        ],
    )
    value, gradient, laplacian = run(sketch, X)
    s, c = np.sin(X), np.cos(X)
    close(value, (s @ s) ** 2)
    close(gradient, 4 * (s @ s) * s * c)
    close(laplacian, (8 * s**2 * c**2 + 4 * (s @ s) * (c**2 - s**2)).sum())


def test_gradient_through_a_captured_value() -> None:
    """A capture is no leaf of the inner operator, but one of the outer: ∂/∂a of ∂/∂x sin(ax)."""
    sketch = Sketch()
    scalar = type_of(0.0)
    f = sketch.add([scalar, scalar], lambda a, x: op("sin", a * x))
    g = sketch.add(
        [scalar, scalar],
        lambda a, x: several("grad", a, x, functions=[f], outputs=2, num_captures=1)[1],
    )
    sketch.add([scalar, scalar], lambda a, x: several("grad", a, x, functions=[g], outputs=2))
    value, gradient = run(sketch, 0.7, 1.3)
    close(value, 0.7 * np.cos(0.91))
    close(gradient, np.cos(0.91) - 0.91 * np.sin(0.91))
