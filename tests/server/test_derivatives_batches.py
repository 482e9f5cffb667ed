"""The operators vmap, call, checkpoint and the Jacobians of each sample of a batch."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from gradwire.errors import InvalidProgramError
from running import apply, apply_all, close, differences, lowered, run, use
from sketch import Sketch, op, several, total, type_of

rng = np.random.default_rng(4)
W = rng.standard_normal((2, 3))
B = rng.standard_normal(2)


def layer(w, b, x):  # type: ignore[no-untyped-def]
    """tanh(Wx + b) of a batch, 3 inputs and 2 outputs a sample."""
    return op("tanh", op("matmul", x, op("matrix_transpose", w)) + b)


def layer_blocks(x):  # type: ignore[no-untyped-def]
    t = np.tanh(x @ W.T + B)
    return (1 - t**2)[:, :, None] * W


@pytest.mark.parametrize("size", [0, 1, 5])
@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
def test_blocks_for_a_batch(size: int, mode: str) -> None:
    """The blocks are each sample's Jacobian, in every mode, chunk and batch size."""
    x = rng.standard_normal((size, 3))
    common = {"mapped": (0, 0, 1), "wrt": (2,), "mode": mode}
    uses = [use("batched_jacobian", chunk=chunk, **common) for chunk in (0, 1, 2)]
    for value, blocks in apply_all(layer, [W, B, x], *uses):
        close(value, np.tanh(x @ W.T + B))
        close(blocks, layer_blocks(x))


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
def test_blocks_are_the_diagonal_of_finite_differences(mode: str) -> None:
    """For a function with shapes and several leaves, blocks match differences of NumPy."""
    x, y = rng.standard_normal((4, 2, 3)), rng.standard_normal((4, 2))

    def write(x, y):  # type: ignore[no-untyped-def]
        z = op("exp", total(x, 2) * 0.3) * y
        return [z * z, total(x * x, 1)]

    def first(x, y):  # type: ignore[no-untyped-def]
        return (np.exp(0.3 * x.sum(-1)) * y) ** 2

    def second(x, y):  # type: ignore[no-untyped-def]
        return (x * x).sum(-2)

    common = {"mapped": (1, 1), "wrt": (1, 0), "mode": mode, "outputs": 6}
    for chunk in (0, 4):
        *values, zy, zx, sy, sx = apply("batched_jacobian", write, [x, y], chunk=chunk, **common)
        close(values[0], first(x, y))
        close(values[1], second(x, y))
        for b in range(4):
            x_b, y_b = x[b], y[b]
            close(zx[b], differences(lambda x, y=y_b: first(x, y), x_b, 1e-3), 1e-7)
            close(zy[b], differences(lambda y, x=x_b: first(x, y), y_b, 1e-3), 1e-7)
            close(sx[b], differences(lambda x, y=y_b: second(x, y), x_b, 1e-3), 1e-7)
            close(sy[b], np.zeros((3, 2)))


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
def test_parameters_beside_leaves(mode: str) -> None:
    """A leaf without the batch gets its full Jacobian; wrt keeps its order."""
    x = rng.standard_normal((4, 3))
    t = np.tanh(x @ W.T + B)
    value, jac_b, blocks, jac_w = apply(
        "batched_jacobian",
        layer,
        [W, B, x],
        mapped=(0, 0, 1),
        wrt=(1, 2, 0),
        mode=mode,
        outputs=4,
        chunk=5,
    )
    close(value, t)
    close(blocks, layer_blocks(x))
    close(jac_b, (1 - t**2)[:, :, None] * np.eye(2))
    close(jac_w, np.einsum("bi,ij,bk->bijk", 1 - t**2, np.eye(2), x))


def test_aux_integers_and_captures() -> None:
    """Aux may lack the batch; mapped integers stand beside the leaves; captures come first."""
    x, k = rng.standard_normal((3, 2)), np.array([1, 2, 3])
    scale = rng.standard_normal(2)
    double = np.dtype(np.float64)

    def write(scale, k, x):  # type: ignore[no-untyped-def]
        y = op("astype", op("expand_dims", k, axis=(1,)), dtype=double) * scale * x**2
        return [y, op("sum", x, axis=(0, 1)), k]

    value, blocks, summed, again = apply(
        "batched_jacobian",
        write,
        [scale, k, x],
        num_captures=1,
        mapped=(1, 1),
        wrt=(1,),
        num_aux=2,
        outputs=4,
    )
    close(value, k[:, None] * scale * x**2)
    close(blocks, np.einsum("bi,ij->bij", 2 * k[:, None] * scale * x, np.eye(2)))
    close(summed, x.sum())
    np.testing.assert_array_equal(again, k)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_memory_grows_with_the_batch_not_its_square(mode: str) -> None:
    """2000 samples of 3 by 3 take megabytes; the whole Jacobian would take 288."""
    x = rng.standard_normal((2000, 3))
    sketch = Sketch()
    f = sketch.add([type_of(x)], lambda x: op("sin", x) * op("sum", x, axis=(1,), keepdims=True))
    sketch.add(
        [type_of(x)],
        lambda x: several("batched_jacobian", x, functions=[f], outputs=2, mapped=(1,), mode=mode),
    )
    compiled = jax.jit(lowered(sketch.typed())).lower(x).compile()
    memory = compiled.memory_analysis()
    assert memory.output_size_in_bytes + memory.temp_size_in_bytes < 5e6
    _, blocks = compiled(x)
    s = x.sum(1)[:, None, None]
    close(blocks, np.cos(x)[:, :, None] * np.eye(3) * s + np.sin(x)[:, :, None])


def test_coupled_samples_are_refused() -> None:
    """Half a batch mean in every sample is found by the proof, and named."""
    x = rng.standard_normal((4, 3))

    def write(x):  # type: ignore[no-untyped-def]
        mean = op("mean", x, axis=(0,), keepdims=True)
        return op("sin", x) + 0.5 * mean

    with pytest.raises(InvalidProgramError, match=r"nodes\[0\].*mean.*independent=True") as error:
        apply("batched_jacobian", write, [x], mapped=(1,))
    assert (error.value.function, error.value.node) == (1, 0)
    assert error.value.metadata == {"function": "0", "node": "0"}


def test_the_callers_word_is_enough() -> None:
    """With `independent` no proof is asked for; here samples cancel, so the blocks are right."""
    x = rng.standard_normal((4, 3))

    def write(x):  # type: ignore[no-untyped-def]
        mean = op("mean", x, axis=(0,), keepdims=True)
        return op("sin", (x - mean) + mean)

    for mode in ("forward", "reverse"):
        _, blocks = apply("batched_jacobian", write, [x], mapped=(1,), independent=True, mode=mode)
        close(blocks, np.cos(x)[:, :, None] * np.eye(3), 1e-9)


def test_parameters_may_couple() -> None:
    """With respect to a parameter alone, samples may mix."""
    x, c = rng.standard_normal((4, 3)), rng.standard_normal(3)

    def write(c, x):  # type: ignore[no-untyped-def]
        return c * (x - op("mean", x, axis=(0,), keepdims=True))

    _, jacobian = apply("batched_jacobian", write, [c, x], mapped=(0, 1), wrt=(0,))
    close(jacobian, (x - x.mean(0))[:, :, None] * np.eye(3))


def test_the_mean_of_another_argument_is_no_coupling() -> None:
    """What mixes only values that are not differentiated is allowed, and right."""
    x, y = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))

    def write(x, y):  # type: ignore[no-untyped-def]
        return x * op("mean", y, axis=(0,), keepdims=True) * y

    _, blocks = apply("batched_jacobian", write, [x, y], mapped=(1, 1))
    close(blocks, (y.mean(0) * y)[:, :, None] * np.eye(3))


@pytest.mark.parametrize("size", [0, 1, 4])
@pytest.mark.parametrize("wrapper", ["call", "checkpoint"])
def test_vmap(wrapper: str, size: int) -> None:
    """It maps the flagged operands and keeps the rest, over calls of all kinds."""
    x = rng.standard_normal((size, 3))
    sketch = Sketch()
    f = sketch.add(
        [type_of(W), type_of(x[:1].reshape(-1) if size else np.zeros(3))],
        lambda w, x: [op("tanh", op("matmul", w, x)), total(x, 0)],
    )
    g = sketch.add(
        [type_of(W), type_of(np.zeros(3))],
        lambda w, x: several(wrapper, w, x, functions=[f], outputs=2),
    )
    sketch.add(
        [type_of(W), type_of(x)],
        lambda w, x: several("vmap", w, x, functions=[g], outputs=2, mapped=(0, 1)),
    )
    for jit in (True, False):
        layer, sums = run(sketch, W, x, jit=jit)
        close(layer, np.tanh(x @ W.T))
        close(sums, x.sum(1))


def test_every_operator_under_vmap() -> None:
    """Each operator of one sample, mapped over three, answers for each sample."""
    x, t = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    sketch = Sketch()
    f = sketch.add([type_of(x[0])], lambda x: total(x * x, 0) ** 2)
    h = sketch.add([type_of(x[0])], lambda x: total(x, 0) * op("sin", x))

    def one(x, t):  # type: ignore[no-untyped-def]
        return [
            several("grad", x, functions=[f], outputs=2)[1],
            several("hessian", x, functions=[f], outputs=2)[1],
            several("hessian_diagonal", x, functions=[f], outputs=2, chunk=3)[1],
            several("laplacian", x, functions=[f], outputs=2, chunk=3)[1],
            several("hvp", x, t, functions=[f], outputs=2)[1],
            several("jacobian", x, functions=[h], outputs=2, mode="reverse", chunk=3)[1],
            several("jvp", x, t, functions=[h], outputs=2)[1],
            several("vjp", x, t, functions=[h], outputs=2)[1],
            several("jacobian_trace", x, functions=[h], outputs=2)[1],
        ]

    g = sketch.add([type_of(x[0]), type_of(t[0])], one)
    sketch.add(
        [type_of(x), type_of(t)],
        lambda x, t: several("vmap", x, t, functions=[g], outputs=9, mapped=(1, 1)),
    )
    answers = run(sketch, x, t)
    for b in range(3):
        r2 = x[b] @ x[b]
        hessian = 4 * r2 * np.eye(4) + 8 * np.outer(x[b], x[b])
        jacobian = np.outer(np.sin(x[b]), np.ones(4)) + x[b].sum() * np.diag(np.cos(x[b]))
        wanted = [
            4 * r2 * x[b],
            hessian,
            np.diag(hessian),
            np.trace(hessian),
            hessian @ t[b],
            jacobian,
            jacobian @ t[b],
            t[b] @ jacobian,
            np.trace(jacobian),
        ]
        for got, want in zip(answers, wanted, strict=True):
            close(got[b], want)


def test_stop_gradient() -> None:
    """The value passes, its derivative of every order is zero."""
    x = rng.standard_normal(3)

    def write(x):  # type: ignore[no-untyped-def]
        return total(op("stop_gradient", x * x) * x**3, 0)

    (value, gradient), (_, hessian) = apply_all(write, [x], use("grad"), use("hessian"))
    close(value, (x**5).sum())
    close(gradient, 3 * x**4)
    close(hessian, np.diag(6 * x**3))
