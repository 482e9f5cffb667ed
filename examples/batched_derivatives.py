"""Every derivative of a batch: of inputs, twice, of parameters, of complex samples.

    python examples/batched_derivatives.py [--out FOLDER]

A model turns D samples of C inputs into D rows of A outputs. Differentiated as
a whole, its Jacobian has (D·A)·(D·C) elements, of which all but one in D are
zero; requested, over many years, are the others (pytorch issues 23475 and 41530,
autograd 544): for each sample d

    ∂Y_a/∂X_c     ∂²Y_a/∂X_c∂X_k     ∂²Y_a/∂X_c²     ∂Y_a/∂θ_b

in as many passes as one sample needs, and in a form that can stand in a loss.

A real loss of complex numbers needs no `holomorphic=True`. For complex
parameters its gradient is ∂L/∂Re c − i ∂L/∂Im c, so that a descent moves along
the conjugate. The loss here is a Monte-Carlo energy: of the wave function
ψ = exp(L), by log-derivatives (McMillan 1965), for a particle in a harmonic
well and a constant vector potential, H = ½(−i d/dx − K)² + ½x². Its ground
state exp(iKx − ½x²) is complex, and its energy is ½.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import gradwire as gw

INK, ACCENT, GREY = "#1f3a5f", "#c0502d", "#9aa5b1"
A, C, D, HIDDEN = 3, 4, 50, 16


def claim(text, error, bound):
    """Prints a claim with its error; ends the program if that is out of bound, or NaN."""
    print(f"  {text:66}{error:8.1e}  (bound {bound:.0e})")
    if not error <= bound:
        sys.exit(f"out of bound: {text}")


def difference(got, wanted):
    """Returns the largest difference, relative to the largest element."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.shape != wanted.shape:
        sys.exit(f"shapes differ: {got.shape} and {wanted.shape}")
    return float(np.max(np.abs(got - wanted)) / np.max(np.abs(wanted)))


def differences(f, x, h=1e-3):
    """Returns the gradient of a scalar function, by differences with an error of order h⁴."""

    def central(step):
        return (f(x + step) - f(x - step)) / 2

    steps = h * np.eye(x.size).reshape(-1, *x.shape)
    slopes = [(8 * central(step / 2) - central(step)) / (3 * h) for step in steps]
    return np.reshape(slopes, x.shape)


def descend(params, gradient, moments, k, rate):
    """Returns the parameters after step ``k`` of Adam, real or complex."""
    moved = {}
    for name, g in gradient.items():
        mean, square = moments.get(name, (0.0, 0.0))
        mean = 0.9 * mean + 0.1 * np.conj(g)
        square = 0.99 * square + 0.01 * np.abs(g) ** 2
        moments[name] = mean, square
        size = np.sqrt(square / (1 - 0.99**k)) + 1e-10
        moved[name] = params[name] - rate / (1 - 0.9**k) * mean / size
    return moved


# -- The model, for one sample or for many; its derivatives by operators and by hand. --


def model(params, x):
    """Returns ``(A,)`` for ``(C,)``, and ``(D, A)`` for ``(D, C)``."""
    return np.tanh(x @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]


jacobians = gw.batched_jacobian(model, argnums=1, in_axes=(None, 0))
hessians = gw.vmap(gw.hessian(model, argnums=1), in_axes=(None, 0))
diagonals = gw.vmap(gw.hessian_diagonal(model, argnums=1), in_axes=(None, 0))
parameter_jacobians = gw.batched_jacobian(model, argnums=0, in_axes=(None, 0))


def init_params(rng, inputs, hidden, outputs):
    """Returns random parameters."""
    return {
        "w1": rng.standard_normal((inputs, hidden)),
        "b1": rng.standard_normal(hidden),
        "w2": rng.standard_normal((hidden, outputs)) / np.sqrt(hidden),
        "b2": np.zeros(outputs),
    }


def check_derivatives(rng):
    """All four, against the chain rule."""
    print(f"Derivatives of {D} samples, {C} inputs and {A} outputs each:")
    params, xs = init_params(rng, C, HIDDEN, A), rng.standard_normal((D, C))
    w1, w2 = params["w1"], params["w2"]
    h = np.tanh(xs @ w1 + params["b1"])
    d1, d2 = 1 - h**2, -2 * h * (1 - h**2)
    eye = np.eye(A)

    jac = np.einsum("ha,dh,ch->dac", w2, d1, w1)
    claim(f"∂Y_a/∂X_c {jac.shape}", difference(jacobians(params, xs), jac), 1e-13)
    hess = np.einsum("ha,dh,ch,kh->dack", w2, d2, w1, w1)
    claim(f"∂²Y_a/∂X_c∂X_k {hess.shape}", difference(hessians(params, xs), hess), 1e-13)
    diagonal = np.einsum("dacc->dac", hess)
    claim(f"∂²Y_a/∂X_c² {diagonal.shape}", difference(diagonals(params, xs), diagonal), 1e-13)

    got = parameter_jacobians(params, xs)
    wanted = {
        "w1": np.einsum("ha,dh,dc->dach", w2, d1, xs),
        "b1": np.einsum("ha,dh->dah", w2, d1),
        "w2": np.einsum("dh,ae->dahe", h, eye),
        "b2": np.broadcast_to(eye, (D, A, A)),
    }
    for name, block in wanted.items():
        claim(f"∂Y_a/∂θ_b, θ = {name} {block.shape}", difference(got[name], block), 1e-13)


# -- A loss that holds them. --


def wave(xs):
    """The function to be learnt, R² → R², ``(…, 2)`` to ``(…, 2)``."""
    x, y = xs[..., 0], xs[..., 1]
    return np.stack([np.sin(2 * x) * np.cos(y), np.exp(-(x**2) - y**2)], axis=-1)


def wave_slopes(xs):
    """Its Jacobian ``(D, 2, 2)`` and its second derivatives ``(D, 2, 2)``, by hand."""
    x, y = xs[..., 0], xs[..., 1]
    bell = np.exp(-(x**2) - y**2)
    first = [
        [2 * np.cos(2 * x) * np.cos(y), -np.sin(2 * x) * np.sin(y)],
        [-2 * x * bell, -2 * y * bell],
    ]
    second = [
        [-4 * np.sin(2 * x) * np.cos(y), -np.sin(2 * x) * np.cos(y)],
        [(4 * x**2 - 2) * bell, (4 * y**2 - 2) * bell],
    ]
    return np.moveaxis(first, -1, 0), np.moveaxis(second, -1, 0)


def sobolev_loss(params, xs, ys, slopes, bends, weights):
    """Squared errors of values, first and second derivatives (Czarnecki et al. 2017)."""
    return (
        np.mean((model(params, xs) - ys) ** 2)
        + weights[0] * np.mean((jacobians(params, xs) - slopes) ** 2)
        + weights[1] * np.mean((diagonals(params, xs) - bends) ** 2)
    )


def sobolev_loss_by_hand(params, xs, ys, slopes, bends, weights):
    """The same, by the chain rule."""
    h = np.tanh(xs @ params["w1"] + params["b1"])
    jac = np.einsum("ha,dh,ch->dac", params["w2"], 1 - h**2, params["w1"])
    diagonal = np.einsum("ha,dh,ch->dac", params["w2"], -2 * h * (1 - h**2), params["w1"] ** 2)
    return (
        np.mean((model(params, xs) - ys) ** 2)
        + weights[0] * np.mean((jac - slopes) ** 2)
        + weights[1] * np.mean((diagonal - bends) ** 2)
    )


def check_training(rng, steps=800):
    """Learns from few points: from values, also slopes, also second derivatives."""
    print("\nA loss that holds values, Jacobians and second derivatives of 25 samples:")
    ticks = np.linspace(-1.5, 1.5, 5)
    xs = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    data = (xs, wave(xs), *wave_slopes(xs))
    start, new = init_params(rng, 2, 48, 2), rng.uniform(-1.5, 1.5, (2000, 2))

    weights = np.array([0.3, 0.05])
    value, gradient = gw.value_and_grad(sobolev_loss)(start, *data, weights)
    wanted = sobolev_loss_by_hand(start, *data, weights)
    claim("value, against the chain rule", difference(value, wanted), 1e-13)
    for name, p in start.items():
        slope = differences(
            lambda p, name=name: sobolev_loss_by_hand({**start, name: p}, *data, weights), p
        )
        claim(f"gradient for {name}, against differences", difference(gradient[name], slope), 1e-8)

    step = gw.prepare(gw.value_and_grad(sobolev_loss), start, *data, weights)
    curves, errors = {}, {}
    for label, weights in (
        ("values alone", np.array([0.0, 0.0])),
        ("and Jacobians", np.array([0.3, 0.0])),
        ("and second derivatives", np.array([0.3, 0.05])),
    ):
        params, moments, losses = start, {}, []
        curves[label] = []
        for k in range(1, steps + 1):
            value, gradient = step(params, *data, weights)
            rate = 1e-2 * (1 - k / (steps + 1))
            params = descend(params, gradient, moments, k, rate)
            losses.append(float(value))
            curves[label].append(np.sqrt(np.mean((model(params, new) - wave(new)) ** 2)))
        errors[label] = curves[label][-1]
        print(
            f"  {label:23}: loss {losses[0]:.3f} to {losses[-1]:.1e}, "
            f"error between the samples {errors[label]:.4f}"
        )
        claim(f"{label}: the loss falls, to this part", losses[-1] / losses[0], 0.02)
    ratio = errors["and second derivatives"] / errors["values alone"]
    claim("error with derivatives, as part of that without", ratio, 0.5)
    return curves


# -- A Monte-Carlo loss of complex numbers. --

K = 1.5  # the vector potential


def log_psi(params, x):
    """Returns the logarithm of the wave function, complex, at a real x."""
    c = params["c"]
    return c[0] * x - np.exp(c[1]) * x**2 + c[2:] @ np.tanh(params["w"] * x + params["b"])


def local_energy(params, x):
    """Returns Hψ/ψ at x, complex, from the first two derivatives of log ψ."""

    def slope(x):
        return gw.jvp(lambda x: log_psi(params, x), (x,), (1.0,))[1]

    d1, d2 = gw.jvp(slope, (x,), (1.0,))
    return 0.5 * (-d2 - d1**2 + 2j * K * d1 + K**2 + x**2)


def energy(params, xs, log_q):
    """The mean of the energy over |ψ|², from samples of another density q."""
    logs = gw.vmap(log_psi, in_axes=(None, 0))(params, xs)
    weights = np.exp(2 * np.real(logs) - log_q)
    local = gw.vmap(local_energy, in_axes=(None, 0))(params, xs)
    return np.real(np.sum(weights * local)) / np.sum(weights)


def log_psi_by_hand(params, x):
    """Returns log ψ and its first two derivatives, for all of x ``(N,)``."""
    c, w = params["c"], params["w"]
    h = np.tanh(np.multiply.outer(x, w) + params["b"])
    curve = np.exp(c[1])
    return (
        c[0] * x - curve * x**2 + h @ c[2:],
        c[0] - 2 * curve * x + ((1 - h**2) * w) @ c[2:],
        -2 * curve + (-2 * h * (1 - h**2) * w**2) @ c[2:],
    )


def energy_by_hand(params, xs, log_q):
    """The same energy in NumPy."""
    log, d1, d2 = log_psi_by_hand(params, xs)
    weights = np.exp(2 * np.real(log) - log_q)
    local = 0.5 * (-d2 - d1**2 + 2j * K * d1 + K**2 + xs**2)
    return np.real(np.sum(weights * local)) / np.sum(weights)


def draw(rng, size):
    """Returns normal samples and the logarithm of their density, but for a constant."""
    xs = rng.standard_normal(size)
    return xs, -0.5 * xs**2


def check_energy(rng, steps=600):
    """The gradient for complex parameters, and a ground state found with it."""
    print("\nA Monte-Carlo energy, real, of a complex wave function with complex parameters:")
    start = {
        "c": 0.1 * (rng.standard_normal(8) + 1j * rng.standard_normal(8)),
        "w": rng.standard_normal(6),
        "b": rng.standard_normal(6),
    }
    start["c"][1] = -0.3
    xs, log_q = draw(rng, 256)
    value, gradient = gw.value_and_grad(energy)(start, xs, log_q)
    claim("value, against NumPy", difference(value, energy_by_hand(start, xs, log_q)), 1e-13)

    def at(name, p):
        return energy_by_hand({**start, name: p}, xs, log_q)

    c = start["c"]
    by_real = differences(lambda part: at("c", part + 1j * c.imag), c.real)
    by_imag = differences(lambda part: at("c", c.real + 1j * part), c.imag)
    text = "gradient for complex c is ∂/∂Re c − i ∂/∂Im c"
    claim(text, difference(gradient["c"], by_real - 1j * by_imag), 1e-9)
    for name in ("w", "b"):
        slope = differences(lambda p, name=name: at(name, p), start[name])
        claim(f"gradient for real {name}", difference(gradient[name], slope), 1e-9)

    step = gw.prepare(gw.value_and_grad(energy), start, xs, log_q)
    params, moments, energies = start, {}, []
    for k in range(1, steps + 1):
        value, gradient = step(params, *draw(rng, 256))
        energies.append(float(value))
        params = descend(params, gradient, moments, k, 2e-2 * (1 - k / (steps + 1)))

    # On a fine grid, where sums are integrals but for rounding.
    grid = np.linspace(-6, 6, 4001)
    found = energy_by_hand(params, grid, 0)
    print(f"  energy {energies[0]:.3f} at first, {found:.6f} found, 0.5 exact")
    claim("energy above the ground state's ½", abs(found - 0.5), 1e-3)
    psi, exact = np.exp(log_psi_by_hand(params, grid)[0]), np.exp(1j * K * grid - 0.5 * grid**2)
    overlap = abs(np.vdot(psi, exact)) ** 2 / (np.vdot(psi, psi) * np.vdot(exact, exact)).real
    claim("1 − |⟨ψ | exact⟩|²", float(abs(1 - overlap)), 1e-3)
    psi *= np.vdot(psi, exact) / np.vdot(psi, psi)  # norm and phase are not determined
    return energies, grid, psi, exact


def draw_picture(path, curves, energies, grid, psi, exact):
    """Writes the picture: the effect of derivatives in a loss, and the ground state."""
    figure = Figure(figsize=(12, 3.8), dpi=120, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for (label, curve), colour in zip(curves.items(), (GREY, ACCENT, INK), strict=True):
        left.plot(curve, color=colour, label=label)
    left.set(title="Error between 25 samples,\nlearnt from …", xlabel="step", yscale="log")
    left.legend(frameon=False)

    middle.plot(np.abs(np.subtract(energies, 0.5)), color=INK, linewidth=0.7)
    middle.set(
        title="Monte-Carlo energy of a complex wave\nfunction: distance from the exact ½",
        xlabel="step",
        yscale="log",
    )

    near = np.abs(grid) < 3.5
    thin = np.flatnonzero(near)[::80]
    for part, name, colour in ((np.real, "Re ψ", INK), (np.imag, "Im ψ", ACCENT)):
        right.plot(grid[near], part(psi[near]), color=colour, label=name)
        right.plot(grid[thin], part(exact[thin]), "o", ms=4, color=colour)
    right.set(title="The ground state:\nlines found, dots exact", xlabel="x")
    right.legend(frameon=False)
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main():
    """Checks, trains, draws."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), help="the picture's folder")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    check_derivatives(rng)
    curves = check_training(rng)
    ground_state = check_energy(rng)
    path = options.out / "batched_derivatives.png"
    draw_picture(path, curves, *ground_state)
    print(f"\npicture: {path.resolve()}")


if __name__ == "__main__":
    main()
