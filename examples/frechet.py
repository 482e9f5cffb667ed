"""Derivatives of functions of a matrix, and the cost of forming an unneeded Jacobian.

    python examples/frechet.py [--out FOLDER]

The Fréchet derivative of f at A along E is linear in E: one product, gw.jvp.

    inv       −A⁻¹ E A⁻¹                    (Giles 2008)
    log det   tr(A⁻¹ E)                     (Jacobi)
    expm      the upper right block of expm [[A, E], [0, A]]      (Van Loan 1978)
    Lyapunov  A X + X Aᵀ = Q:  A dX + dX Aᵀ = dQ − dA X − X dAᵀ

As a matrix it has n⁴ elements: that of inv is −kron(A⁻ᵀ, A⁻¹) on vectors that
stack *columns* (JuliaDiff/ForwardDiff.jl, pull request 138). Tools have taken
such derivatives wrongly (ForwardDiff.jl issue 737: inv of a matrix that only
looks triangular) or not at all (jax issue 19109: no Lyapunov equation). Here
each is held against its formula and SciPy. Then inv gets its derivative from
the caller, as a product, as a pullback, and as that Jacobian; and

    d/dx (C (A + xB)⁻¹)[−1, −1]

is computed in every way, with its time and memory. The product costs a few
n³. The Jacobian's n⁴ elements are 20 MB at n = 40 and 330 MB at n = 80, so that
those ways end at 40 here. The caller's kron is one that the compiler never
stores, since it is only multiplied; its n⁴ products still take time.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import scipy.linalg
from matplotlib.figure import Figure

import gradwire as gw

SIZES = (10, 20, 40, 80)
LARGEST_JACOBIAN = 40
INK, ACCENT, GREY = "#1f3a5f", "#c0502d", "#9aa5b1"

expm = gw.ops.linalg.expm
lyapunov = gw.ops.linalg.solve_continuous_lyapunov


def claim(text, error, bound):
    """Prints a claim with its error; ends the program if that is out of bound, or NaN."""
    print(f"  {text:66}{error:8.1e}  (bound {bound:.0e})")
    if not error <= bound:
        sys.exit(f"out of bound: {text}")


def difference(got, wanted):
    """Returns the largest difference, relative to the largest element."""
    return float(np.max(np.abs(np.subtract(got, wanted))) / np.max(np.abs(wanted)))


# -- The inverse, with a derivative that the caller gives. --


@gw.custom_jvp
def inv_by_product(a):
    """The inverse with dY = −Y E Y; the rule uses the function itself, so it has every order."""
    return np.linalg.inv(a)


@inv_by_product.defjvp
def _inv_product(primals, tangents):
    y = inv_by_product(*primals)
    return y, -y @ tangents[0] @ y


@gw.custom_vjp
def inv_by_pullback(a):
    """The inverse with the adjoint of that: U ↦ −Yᵀ U Yᵀ."""
    return np.linalg.inv(a)


def _inv_forward(a):
    y = inv_by_pullback(a)
    return y, y


def _inv_backward(y, cotangent):
    return (-y.T @ cotangent @ y.T,)


inv_by_pullback.defvjp(_inv_forward, _inv_backward)


@gw.custom_jvp
def inv_by_jacobian(a):
    """The inverse with vec(dY) = −kron(Yᵀ, Y) vec(E), where vec stacks columns."""
    return np.linalg.inv(a)


@inv_by_jacobian.defjvp
def _inv_jacobian(primals, tangents):
    y = inv_by_jacobian(*primals)
    (e,) = tangents
    columns = -np.kron(y.T, y) @ e.T.reshape(-1)
    return y, columns.reshape(e.shape).T


# -- The article. --


def check_frechet(rng, n=40):
    """One jvp each, against the formula or SciPy."""
    print(f"Fréchet derivatives at a matrix of size {n}, along a direction:")
    a = rng.standard_normal((n, n)) / np.sqrt(n) - 1.5 * np.eye(n)  # stable
    e, q, d_q = rng.standard_normal((3, n, n))
    y = np.linalg.inv(a)

    value, slope = gw.jvp(np.linalg.inv, (a,), (e,))
    claim("inv: the value", difference(value, y), 1e-12)
    claim("inv: −A⁻¹ E A⁻¹", difference(slope, -y @ e @ y), 1e-11)
    bend = gw.jvp(lambda a: gw.jvp(np.linalg.inv, (a,), (e,))[1], (a,), (e,))[1]
    claim(
        "inv: the second derivative 2 A⁻¹ E A⁻¹ E A⁻¹",
        difference(bend, 2 * y @ e @ y @ e @ y),
        1e-10,
    )

    def logdet(a):
        return np.linalg.slogdet(a)[1]

    claim("log det: tr(A⁻¹ E)", difference(gw.jvp(logdet, (a,), (e,))[1], np.trace(y @ e)), 1e-11)
    claim("log det: its gradient A⁻ᵀ", difference(gw.grad(logdet)(a), y.T), 1e-11)

    wanted = scipy.linalg.expm_frechet(a, e)
    value, slope = gw.jvp(expm, (a,), (e,))
    claim("expm: the value, as SciPy's", difference(value, wanted[0]), 1e-12)
    claim("expm: scipy.linalg.expm_frechet", difference(slope, wanted[1]), 1e-12)
    _, (adjoint,) = gw.vjp(expm, (a,), q)
    claim(
        "expm: the adjoint is that at Aᵀ",
        difference(adjoint, scipy.linalg.expm_frechet(a.T, q)[1]),
        1e-12,
    )

    x, d_x = gw.jvp(lyapunov, (a, q), (e, d_q))
    solve = scipy.linalg.solve_continuous_lyapunov
    claim("Lyapunov: X, as SciPy's", difference(x, solve(a, q)), 1e-11)
    claim(
        "Lyapunov: A dX + dX Aᵀ = dQ − dA X − X dAᵀ",
        difference(d_x, solve(a, d_q - e @ x - x @ e.T)),
        1e-11,
    )
    u = rng.standard_normal((n, n))
    _, (ct_a, ct_q) = gw.vjp(lyapunov, (a, q), u)
    dual = difference(np.sum(ct_a * e) + np.sum(ct_q * d_q), np.sum(u * d_x))
    claim("Lyapunov: its pullback is the adjoint of that", dual, 1e-11)

    looks_triangular = gw.jvp(
        lambda t: np.linalg.inv(
            np.stack([np.stack([1.0 + 0 * t, t]), np.stack([2 * t, 2.0 + 0 * t])])
        ),
        (0.0,),
        (1.0,),
    )[1]
    wanted = [[0, -0.5], [-1, 0]]
    claim(
        "inv of [[1, t], [2t, 2]] at t = 0: [[0, −½], [−1, 0]]",
        difference(looks_triangular, wanted),
        1e-15,
    )


def check_rules(rng, n=40):
    """The Jacobian of inv whole, and each rule of the caller's against the built-in."""
    print(f"\nThe Jacobian of inv at n = {n}, {n**2} × {n**2}, and rules that the caller gives:")
    a = rng.standard_normal((n, n)) / np.sqrt(n) + 2 * np.eye(n)
    e, u = rng.standard_normal((2, n, n))
    y = np.linalg.inv(a)
    jac = gw.jacobian(np.linalg.inv)(a)  # [i, j, k, l]: element ij by element kl
    rows = jac.reshape(n * n, n * n)
    columns = jac.transpose(1, 0, 3, 2).reshape(n * n, n * n)
    claim("on stacked columns it is −kron(A⁻ᵀ, A⁻¹)", difference(columns, -np.kron(y.T, y)), 1e-11)
    claim(
        "on stacked rows, NumPy's order, −kron(A⁻¹, A⁻ᵀ)", difference(rows, -np.kron(y, y.T)), 1e-11
    )

    wanted = gw.jvp(np.linalg.inv, (a,), (e,))[1]
    pulled = gw.vjp(np.linalg.inv, (a,), u)[1][0]
    for rule in (inv_by_product, inv_by_jacobian):
        name = rule.__name__
        claim(
            f"{name}, a custom_jvp: forward", difference(gw.jvp(rule, (a,), (e,))[1], wanted), 1e-11
        )
        claim(f"{name}: reverse", difference(gw.vjp(rule, (a,), u)[1][0], pulled), 1e-11)
    name = inv_by_pullback.__name__
    claim(
        f"{name}, a custom_vjp: reverse",
        difference(gw.vjp(inv_by_pullback, (a,), u)[1][0], pulled),
        1e-11,
    )

    def entry(rule):
        return lambda t: np.sum(u * rule(a + t * e))

    def second(rule):
        return gw.grad(gw.grad(entry(rule)))(0.0)

    bend = 2 * np.sum(u * (y @ e @ y @ e @ y))
    for rule in (inv_by_product, inv_by_pullback):
        claim(f"{rule.__name__}: second order, grad of grad", difference(second(rule), bend), 1e-10)


def routes(n):
    """Returns each route to d/dx (C (A + xB)⁻¹)[−1, −1], by name."""

    def corner(inv):
        return lambda x, a, b, c: (c @ inv(a + x * b))[-1, -1]

    def forward(inv):
        return lambda x, a, b, c: gw.jvp(lambda x: corner(inv)(x, a, b, c), (x,), (1.0,))[1]

    def whole_jacobian(x, a, b, c):
        jac = gw.jacobian(np.linalg.inv)(a + x * b)
        return (c @ np.einsum("ijkl,kl->ij", jac, b))[-1, -1]

    def differences(x, a, b, c, h=1e-5):
        f = corner(np.linalg.inv)
        return (f(x + h, a, b, c) - f(x - h, a, b, c)) / (2 * h)

    products = {
        "the value alone": corner(np.linalg.inv),
        "gw.jvp": forward(np.linalg.inv),
        "gw.grad": gw.grad(corner(np.linalg.inv)),
        "the caller's product": forward(inv_by_product),
        "the caller's pullback": gw.grad(corner(inv_by_pullback)),
        "central differences": differences,
    }
    jacobians = {
        "the caller's −kron(Yᵀ, Y)": forward(inv_by_jacobian),
        "gw.jacobian, times B": whole_jacobian,
    }
    return products | jacobians if n <= LARGEST_JACOBIAN else products


def best_time(call, *args, runs=50, seconds=0.6):
    """Returns the shortest of many runs, in seconds: the one with the least disturbance."""
    times = []
    while len(times) < runs and sum(times) < seconds:
        start = time.perf_counter()
        call(*args)
        times.append(time.perf_counter() - start)
    return min(times)


def check_routes(rng):
    """Every route gives one number. Times include the wire, and other work on the machine."""
    print("\nd/dx (C (A + xB)⁻¹)[−1, −1] at x = 0.3 by every route, prepared, best of 50 runs:")
    times = {}
    for n in SIZES:
        a = rng.standard_normal((n, n)) / np.sqrt(n) + 2 * np.eye(n)
        b, c = rng.standard_normal((2, n, n)) / np.sqrt(n)
        x = 0.3
        y = np.linalg.inv(a + x * b)
        slope = -(c @ y @ b @ y)[-1, -1]
        worst, memory = 0.0, {}
        for name, route in routes(n).items():
            prepared = gw.prepare(route, x, a, b, c)
            got = prepared(x, a, b, c)
            times.setdefault(name, []).append(best_time(prepared, x, a, b, c))
            memory[name] = prepared.plan.peak_bytes
            if name == "the value alone":
                claim(f"n = {n}: the value", difference(got, (c @ y)[-1, -1]), 1e-12)
            elif name == "central differences":
                claim(
                    f"n = {n}: differences of size 1e-5, which lose digits", abs(got - slope), 1e-8
                )
            else:
                worst = max(worst, abs(got - slope))
        claim(f"n = {n}: every other route, −(C Y B Y)[−1, −1]", worst, 1e-12)
        if n == LARGEST_JACOBIAN:
            print(f"\n  {'':28}{'time':>9}{'memory':>12}")
            for name in memory:
                print(f"  {name:28}{1e3 * times[name][-1]:6.2f} ms{memory[name] / 1e6:9.2f} MB")
            print()
            few, many = memory["gw.jvp"], memory["gw.jacobian, times B"]
            claim("memory of gw.jvp over that of gw.jacobian", few / many, 0.05)
    return times


def draw_picture(path, times):
    """Writes the picture: time against size."""
    figure = Figure(figsize=(7.5, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    colours = {
        "the value alone": (GREY, "o:"),
        "gw.jvp": (INK, "o-"),
        "gw.grad": (INK, "s--"),
        "the caller's product": ("#5b8db8", "o-"),
        "the caller's pullback": ("#5b8db8", "s--"),
        "central differences": (GREY, "o-"),
        "the caller's −kron(Yᵀ, Y)": (ACCENT, "o-"),
        "gw.jacobian, times B": (ACCENT, "s--"),
    }
    for name, (colour, style) in colours.items():
        sizes = SIZES[: len(times[name])]
        axes.plot(sizes, 1e3 * np.array(times[name]), style, color=colour, label=name, markersize=4)
    axes.set(xscale="log", yscale="log", xlabel="n", ylabel="ms per call, wire included")
    axes.set_title("d/dx (C (A + xB)⁻¹)[−1, −1], with n² × n² Jacobians in red", fontsize=11)
    axes.set_xticks(SIZES, [str(n) for n in SIZES])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path)


def main():
    """Checks, times, draws."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), help="the picture's folder")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    check_frechet(rng)
    check_rules(rng)
    times = check_routes(rng)
    path = options.out / "frechet.png"
    draw_picture(path, times)
    print(f"\npicture: {path.resolve()}")


if __name__ == "__main__":
    main()
