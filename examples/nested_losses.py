"""Losses that hold Jacobians: of batch norm, of a batch, of inputs, of parameters, of a trace.

    python examples/nested_losses.py [--out FOLDER]

To train on a loss that holds a derivative takes the gradient of a derivative.
Elsewhere that fails in particular cases: transforms refuse a batch norm that
updates its statistics in place (pytorch issue 85533, functorch 867 and 986),
batched Jacobians were often requested (pytorch 23475), and some
functions can be differentiated in one direction only. Here a derivative is an
operator like any other, and its gradient is one more operator around it:

    ∇_θ ‖∂f_θ/∂x‖²,   ∇_θ (u_t − κ u_xx)²,   ∇_θ ‖∂f_θ/∂θ‖²,   ∇_θ vᵀ(∂f_θ/∂x)v

The claims are compared with references that don't use gradwire. The inner Jacobians
are found in NumPy by a complex step, Im f(x + ih)/h, which is exact but for
rounding (Squire and Trapp 1998), and around them there are central differences.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import gradwire as gw

INK, ACCENT, GREY = "#1f3a5f", "#c0502d", "#9aa5b1"
INPUTS, HIDDEN, OUTPUTS, BATCH = 3, 5, 2, 6


def claim(text, error, bound):
    """Prints a claim with its error; ends the program if that is out of bound, or NaN."""
    print(f"  {text:66}{error:8.1e}  (bound {bound:.0e})")
    if not error <= bound:
        sys.exit(f"out of bound: {text}")


def difference(got, wanted):
    """Returns the largest difference, relative to the largest element; of dicts, the worst."""
    if isinstance(wanted, dict):
        return max(difference(got[name], wanted[name]) for name in wanted)
    return float(np.max(np.abs(np.subtract(got, wanted))) / np.max(np.abs(wanted)))


# -- References in NumPy alone. --


def replaced(params, name, value):
    """Returns the parameters with one of them replaced."""
    return {**params, name: value}


def complex_step(f, x):
    """Returns the Jacobian ``(*out, *in)`` of an analytic function, exact but for rounding."""
    h = 1e-30
    steps = 1j * h * np.eye(x.size).reshape(-1, *x.shape)
    columns = [np.imag(f(x + step)) / h for step in steps]
    return np.stack(columns, axis=-1).reshape(*np.shape(columns[0]), *x.shape)


def differences(f, x, h=1e-3):
    """Returns the gradient of a scalar function, by differences with an error of order h⁴."""

    def central(step):
        return (f(x + step) - f(x - step)) / 2

    steps = h * np.eye(x.size).reshape(-1, *x.shape)
    slopes = [(8 * central(step / 2) - central(step)) / (3 * h) for step in steps]
    return np.reshape(slopes, x.shape)


def parameter_differences(loss, params):
    """Returns the gradient of ``loss(params)``, parameter by parameter."""
    return {
        name: differences(lambda p, name=name: loss(replaced(params, name, p)), value)
        for name, value in params.items()
    }


def check_loss(text, loss, loss_in_numpy, params, *data):
    """Compares value and parameter gradient of a loss with NumPy's."""
    value, gradient = gw.value_and_grad(loss)(params, *data)
    claim(f"{text}: value", difference(value, loss_in_numpy(params, *data)), 1e-12)
    wanted = parameter_differences(lambda p: loss_in_numpy(p, *data), params)
    claim(f"{text}: gradient, all parameters", difference(gradient, wanted), 1e-8)


# -- 1 and 2: the Jacobian of a network with batch norm. --


def init_params(rng):
    """Returns the parameters of a layer, a batch norm, and a layer."""
    return {
        "w1": rng.standard_normal((INPUTS, HIDDEN)),
        "scale": 1 + 0.3 * rng.standard_normal(HIDDEN),
        "shift": rng.standard_normal(HIDDEN),
        "w2": rng.standard_normal((HIDDEN, OUTPUTS)),
    }


def statistics_of(params, xs):
    """Returns mean and variance over the batch of what the batch norm gets."""
    h = xs @ params["w1"]
    mean = np.mean(h, axis=0)
    return mean, np.mean((h - mean) ** 2, axis=0)


def network(params, xs, statistics=None):
    """Returns ``(B, OUTPUTS)`` for ``(B, INPUTS)``.

    With no statistics given it normalises by those of its batch, as in training.
    """
    mean, variance = statistics_of(params, xs) if statistics is None else statistics
    h = (xs @ params["w1"] - mean) / np.sqrt(variance + 1e-5)
    return np.tanh(h * params["scale"] + params["shift"]) @ params["w2"]


def check_batch_norm(rng):
    """In training samples mix, and the whole Jacobian counts; afterwards they don't."""
    params, xs = init_params(rng), rng.standard_normal((BATCH, INPUTS))
    ys = rng.standard_normal((BATCH, OUTPUTS))

    print("Batch norm in training: each output depends on every sample.")

    def loss(params, xs, ys):
        out, jac = gw.jacobian(network, argnums=1, with_value=True)(params, xs)
        return np.mean((out - ys) ** 2) + 0.1 * np.sum(jac**2)

    def loss_in_numpy(params, xs, ys):
        jac = complex_step(lambda xs: network(params, xs), xs)
        return np.mean((network(params, xs) - ys) ** 2) + 0.1 * np.sum(jac**2)

    jac = gw.jacobian(network, argnums=1)(params, xs)
    wanted = complex_step(lambda xs: network(params, xs), xs)
    claim("Jacobian (B, out, B, in)", difference(jac, wanted), 1e-12)
    claim("a shift of all samples changes nothing", float(np.abs(jac.sum(axis=2)).max()), 1e-12)
    check_loss("loss with that Jacobian", loss, loss_in_numpy, params, xs, ys)
    try:
        gw.batched_jacobian(network, argnums=1, in_axes=(None, 0))(params, xs)
    except gw.CoupledBatchError:
        print("  and gw.batched_jacobian refuses it: CoupledBatchError, not a wrong number")
    else:
        sys.exit("a coupled batch was not noticed")

    print("\nBatch norm with given statistics: one Jacobian for each sample.")
    statistics = statistics_of(params, rng.standard_normal((100, INPUTS)))

    def batched(params, xs, statistics):
        jacobians = gw.batched_jacobian(network, argnums=1, in_axes=(None, 0, None))
        return np.mean(np.sum(jacobians(params, xs, statistics) ** 2, axis=(1, 2)))

    def batched_in_numpy(params, xs, statistics):
        whole = complex_step(lambda xs: network(params, xs, statistics), xs)
        return np.mean([np.sum(whole[b, :, b] ** 2) for b in range(BATCH)])

    jac = gw.batched_jacobian(network, argnums=1, in_axes=(None, 0, None))(params, xs, statistics)
    whole = complex_step(lambda xs: network(params, xs, statistics), xs)
    wanted = np.stack([whole[b, :, b] for b in range(BATCH)])
    claim("Jacobians (B, out, in)", difference(jac, wanted), 1e-12)
    check_loss("loss with batched Jacobians", batched, batched_in_numpy, params, xs, statistics)


# -- 3: an input gradient, the residual of a differential equation. --

DIFFUSION = 0.1


def temperature(params, point):
    """Returns u(x, t): a network made to fit u(x, 0) = sin πx, u(0, t) = u(1, t) = 0."""
    x, t = point[0], point[1]
    h = np.tanh(params["w1"] @ point + params["b1"])
    h = np.tanh(params["w2"] @ h + params["b2"])
    return np.sin(np.pi * x) + t * x * (1 - x) * (params["w3"] @ h)


def residual(params, point):
    """Returns u_t − κ u_xx, which is 0 for a solution of the heat equation."""
    slope = gw.grad(temperature, argnums=1)(params, point)
    bend = gw.hessian_diagonal(temperature, argnums=1)(params, point)
    return slope[1] - DIFFUSION * bend[0]


def residual_loss(params, points):
    """The mean square of the residual (Raissi, Perdikaris and Karniadakis 2019)."""
    return np.mean(gw.vmap(residual, in_axes=(None, 0))(params, points) ** 2)


def residual_loss_in_numpy(params, points):
    """The same: u_t by a complex step, u_xx by differences of one."""

    def slope(point):
        return complex_step(lambda point: temperature(params, point), point)

    def one(point):
        along = np.array([1e-3, 0])
        d1 = (slope(point + along)[0] - slope(point - along)[0]) / 2e-3
        d2 = (slope(point + 2 * along)[0] - slope(point - 2 * along)[0]) / 4e-3
        return slope(point)[1] - DIFFUSION * (4 * d1 - d2) / 3

    return np.mean([one(point) ** 2 for point in points])


def init_temperature(rng, width):
    """Returns the parameters of a network of two inputs."""
    return {
        "w1": rng.standard_normal((width, 2)),
        "b1": rng.standard_normal(width),
        "w2": rng.standard_normal((width, width)) / np.sqrt(width),
        "b2": np.zeros(width) + 0.1,
        "w3": rng.standard_normal(width) / np.sqrt(width),
    }


def solution(points):
    """The exact solution exp(−κπ²t) sin πx."""
    return np.exp(-DIFFUSION * np.pi**2 * points[..., 1]) * np.sin(np.pi * points[..., 0])


def check_equation(rng):
    """The heat equation, solved by training on its residual."""
    print("\nAn input gradient: the residual u_t − κ u_xx of the heat equation.")
    small, points = init_temperature(rng, 4), rng.uniform(0.1, 0.9, (5, 2))
    value, gradient = gw.value_and_grad(residual_loss)(small, points)
    claim("value", difference(value, residual_loss_in_numpy(small, points)), 1e-8)
    wanted = parameter_differences(lambda p: residual_loss_in_numpy(p, points), small)
    claim("gradient, all parameters", difference(gradient, wanted), 1e-7)

    params = init_temperature(rng, 16)
    step = gw.prepare(gw.value_and_grad(residual_loss), params, rng.uniform(size=(128, 2)))
    mean = {name: np.zeros_like(p) for name, p in params.items()}
    square = {name: np.zeros_like(p) for name, p in params.items()}
    losses, steps = [], 1000
    for k in range(1, steps + 1):
        value, gradient = step(params, rng.uniform(size=(128, 2)) * [1, 2])
        losses.append(float(value))
        rate = 1e-2 * (1 - k / (steps + 1)) / (1 - 0.9**k)
        for name, g in gradient.items():
            mean[name] += 0.1 * (g - mean[name])
            square[name] += 0.01 * (g**2 - square[name])
            size = np.sqrt(square[name] / (1 - 0.99**k)) + 1e-8
            params = replaced(params, name, params[name] - rate * mean[name] / size)
    x, t = np.meshgrid(np.linspace(0, 1, 61), np.linspace(0, 2, 61))
    grid = np.stack([x, t], axis=-1)
    found = gw.vmap(temperature, in_axes=(None, 0))(params, grid.reshape(-1, 2)).reshape(x.shape)
    error = np.abs(found - solution(grid))
    print(f"  the loss falls from {losses[0]:.1e} to {np.mean(losses[-20:]):.1e} in {steps} steps")
    claim("u against exp(−κπ²t) sin πx, at worst", float(error.max()), 1e-2)
    return grid, found, error, losses


# -- 4: the Jacobian of the parameters. --


def check_parameters(rng):
    """A loss with the parameters' own Jacobian: gradients of all samples, and their kernel."""
    print("\nThe Jacobian of the parameters, ∂f(x_d)/∂θ for each sample d:")
    params, xs = init_params(rng), rng.standard_normal((BATCH, INPUTS))
    statistics = statistics_of(params, rng.standard_normal((100, INPUTS)))

    def kernel_loss(params, xs, statistics):
        # The tangent kernel K = JJᵀ (Jacot et al. 2018), kept near the identity.
        jacobians = gw.batched_jacobian(network, in_axes=(None, 0, None))
        jac = jacobians(params, xs, statistics)
        kernel = sum(
            np.einsum("dap,eap->de", *[np.reshape(block, (BATCH, OUTPUTS, -1))] * 2)
            for block in jac.values()
        )
        return np.mean((kernel - np.eye(BATCH)) ** 2)

    def kernel_loss_in_numpy(params, xs, statistics):
        blocks = [
            complex_step(
                lambda p, name=name: network(replaced(params, name, p), xs, statistics), value
            ).reshape(BATCH, OUTPUTS, -1)
            for name, value in params.items()
        ]
        jac = np.concatenate(blocks, axis=2).reshape(BATCH, -1)
        return np.mean((jac @ jac.T - np.eye(BATCH)) ** 2)

    check_loss("tangent kernel", kernel_loss, kernel_loss_in_numpy, params, xs, statistics)

    def flat_loss(params, xs, statistics):
        # The slope of one loss inside another (Barrett and Dherin 2021).
        def inner(params):
            return np.mean(network(params, xs, statistics) ** 2)

        value, slope = gw.value_and_grad(inner)(params)
        return value + 0.1 * sum(np.sum(g**2) for g in slope.values())

    def flat_loss_in_numpy(params, xs, statistics):
        slopes = [
            complex_step(
                lambda p, name=name: np.mean(
                    network(replaced(params, name, p), xs, statistics) ** 2
                ),
                value,
            )
            for name, value in params.items()
        ]
        value = np.mean(network(params, xs, statistics) ** 2)
        return value + 0.1 * sum(np.sum(g**2) for g in slopes)

    check_loss(
        "norm of the loss's own slope", flat_loss, flat_loss_in_numpy, params, xs, statistics
    )


# -- 5: Hutchinson's trace. --


def field(params, x):
    """A vector field ``(n,) -> (n,)``."""
    return params["b"] @ np.tanh(params["a"] @ x) + x * np.sin(params["c"] @ x)


def trace_by_jvp(params, x, v):
    """Returns vᵀ(Jv)."""
    return v @ gw.jvp(lambda x: field(params, x), (x,), (v,))[1]


def trace_by_vjp(params, x, v):
    """Returns (vᵀJ)v."""
    return gw.vjp(lambda x: field(params, x), (x,), v)[1][0] @ v


def trace_by_jacobian(params, x, v):
    """Returns vᵀJv by way of all of J."""
    return v @ gw.jacobian(field, argnums=1)(params, x) @ v


def trace_by_operator(params, x, v):
    """Returns the same by the operator for it."""
    estimate, _, _ = gw.trace_estimate(field, argnums=1)(params, x, probes=v[None])
    return estimate


def trace_in_numpy(params, x, v):
    """Returns the same by a complex step along v."""
    return v @ np.imag(field(params, x + 1e-30j * v)) / 1e-30


def check_trace(rng):
    """Four ways to one number, and the gradients of each."""
    print("\nHutchinson's trace vᵀJv, and its gradients:")
    n = 5
    params = {name: rng.standard_normal((n, n)) for name in "abc"}
    x, v = rng.standard_normal(n), rng.choice([-1.0, 1.0], n)
    wanted = trace_in_numpy(params, x, v)
    by_params = parameter_differences(lambda p: trace_in_numpy(p, x, v), params)
    # A complex step can't be nested in another, but central differences can hold it.
    by_x = differences(lambda x: trace_in_numpy(params, x, v), x)
    answers = []
    for one in (trace_by_jvp, trace_by_vjp, trace_by_jacobian, trace_by_operator):
        answer = gw.value_and_grad(one, argnums=(0, 1))(params, x, v)
        answers.append(answer)
        value, (slope_params, slope_x) = answer
        name = one.__name__.replace("trace_by_", "by ")
        claim(f"{name}: value", difference(value, wanted), 1e-13)
        claim(f"{name}: gradient for x", difference(slope_x, by_x), 1e-8)
        claim(f"{name}: gradient for the parameters", difference(slope_params, by_params), 1e-8)
    first_value, (first_params, first_x) = answers[0]
    error = max(
        max(difference(v, first_value), difference(p, first_params), difference(x, first_x))
        for v, (p, x) in answers[1:]
    )
    claim("all are equal but for rounding, gradients too", error, 1e-13)


def draw_picture(path, grid, found, error, losses):
    """Writes the picture: what the residual's training has found."""
    figure = Figure(figsize=(12, 3.8), dpi=120, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.plot(losses, color=INK, linewidth=0.6)
    left.set(title=r"Mean square of $u_t - \kappa\,u_{xx}$", xlabel="step", yscale="log")
    x = grid[0, :, 0]
    for row, colour in ((0, GREY), (15, ACCENT), (30, "#7a4a6b"), (60, INK)):
        t = grid[row, 0, 1]
        middle.plot(x, found[row], color=colour)
        middle.plot(x[::5], solution(grid[row])[::5], "o", ms=4, color=colour)
        middle.text(0.5, found[row, 30] + 0.02, f"t = {t:g}", color=colour, ha="center")
    middle.set(title="u(x, t): lines learnt, dots exact", xlabel="x", ylim=(0, 1.12))
    image = right.pcolormesh(
        grid[..., 0], grid[..., 1], 1e3 * error, cmap="Purples", shading="gouraud", vmin=0
    )
    figure.colorbar(image, ax=right)
    right.set(title="Error, in thousandths", xlabel="x", ylabel="t")
    for axes in (left, middle):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main():
    """Checks, trains, draws."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), help="the picture's folder")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    check_batch_norm(rng)
    solved = check_equation(rng)
    check_parameters(rng)
    check_trace(rng)
    path = options.out / "nested_losses.png"
    draw_picture(path, *solved)
    print(f"\npicture: {path.resolve()}")


if __name__ == "__main__":
    main()
