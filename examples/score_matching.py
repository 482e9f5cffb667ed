"""Score matching: a loss that holds a Jacobian's trace, and its gradient for the parameters.

    python examples/score_matching.py [--out FOLDER]

An energy network gives log q(x) up to a constant, its score is f = ∇ₓ log q,
and it is fitted without the constant and without knowing the true score by

    exact    E[ tr ∂f/∂x + ½‖f‖² ]           (Hyvärinen 2005)
    sliced   E[ vᵀ (∂f/∂x) v + ½‖f‖² ]       (Song et al. 2019), E[v vᵀ] = 1

Training needs the gradient of that for the parameters: a third derivative of
the network. Users of taped reverse mode requested a Jacobian's
diagonal without a loop of backward passes (pytorch issues 41530 and 87559),
and forward mode, which needs one pass (10223). Here the operators nest in
any order, and the example shows that the order doesn't matter to the result.

How random the directions make it depends on their distribution. For a
symmetric A, the variance of vᵀAv is 2‖A‖² for Gaussian v, and for random signs
2‖A‖² − 2 Σ Aᵢᵢ², which is never more (Hutchinson 1990).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import gradwire as gw

HIDDEN = 32
CENTRES = np.array([[-1.5, 0.0], [1.2, 1.2], [1.0, -1.4]])
WIDTH = 0.5  # of each of the three Gaussians whose mixture is to be learnt
INK, ACCENT, GREY = "#1f3a5f", "#c0502d", "#9aa5b1"


# -- The model and its losses: plain NumPy for one sample, and operators. --


def log_q(params, x):
    """Returns log q(x) but for a constant, for x ``(n,)``."""
    h = np.tanh(params["w1"] @ x + params["b1"])
    h = np.tanh(params["w2"] @ h + params["b2"])
    return params["w3"] @ h - 0.5 * params["c"] * (x @ x)


def score(params, x):
    """Returns the score ``(n,)``."""
    return gw.grad(log_q, argnums=1)(params, x)


def exact(params, x):
    """The exact loss; value, gradient and Laplacian come from one pass."""
    _, f, trace = gw.laplacian(log_q, argnums=1, with_grad=True)(params, x)
    return trace + 0.5 * f @ f


def forward_over_reverse(params, x, v):
    """The sliced loss by a jvp of the gradient."""
    f, hv = gw.jvp(lambda x: score(params, x), (x,), (v,))
    return v @ hv + 0.5 * f @ f


def reverse_over_forward(params, x, v):
    """The sliced loss by the gradient of a jvp."""
    f = score(params, x)
    hv = gw.grad(lambda x: gw.jvp(lambda x: log_q(params, x), (x,), (v,))[1])(x)
    return v @ hv + 0.5 * f @ f


def reverse_over_reverse(params, x, v):
    """The sliced loss by a vjp of the gradient; the Hessian is symmetric."""
    f, (hv,) = gw.vjp(lambda x: score(params, x), (x,), v)
    return v @ hv + 0.5 * f @ f


def mean_exact(params, xs):
    """The exact loss of a batch."""
    return np.mean(gw.vmap(exact, in_axes=(None, 0))(params, xs))


def mean_sliced(params, xs, vs, one=forward_over_reverse):
    """The sliced loss of a batch, with one direction for each sample."""
    return np.mean(gw.vmap(one, in_axes=(None, 0, 0))(params, xs, vs))


# -- The same by hand, without gradwire: the references of the claims. --


def by_hand(params, x):
    """Returns score and Hessian of log q: the chain rule, carried forward layer by layer."""
    n = x.size
    h, slope, bend = x, np.eye(n), np.zeros((n, n, n))
    for w, b in (("w1", "b1"), ("w2", "b2")):
        h = np.tanh(params[w] @ h + params[b])
        slope = params[w] @ slope
        bend = np.einsum("kl,lij->kij", params[w], bend)
        d1, d2 = 1 - h**2, -2 * h * (1 - h**2)
        outer = np.einsum("ki,kj->kij", slope, slope)
        bend = d1[:, None, None] * bend + d2[:, None, None] * outer
        slope = d1[:, None] * slope
    f = params["w3"] @ slope - params["c"] * x
    return f, np.einsum("k,kij->ij", params["w3"], bend) - params["c"] * np.eye(n)


def exact_by_hand(params, xs):
    """The exact loss of a batch."""
    pairs = [by_hand(params, x) for x in xs]
    return np.mean([np.trace(hessian) + 0.5 * f @ f for f, hessian in pairs])


def sliced_by_hand(params, xs, vs):
    """The sliced loss of a batch."""
    pairs = [by_hand(params, x) for x in xs]
    return np.mean([v @ hess @ v + 0.5 * f @ f for v, (f, hess) in zip(vs, pairs, strict=True)])


def slope_along(loss, params, direction, h=1e-3):
    """Returns d loss(params + t·direction) / dt by differences with an error of order h⁴."""

    def central(h):
        ahead, back = (
            loss({name: p + sign * h * direction[name] for name, p in params.items()})
            for sign in (1, -1)
        )
        return (ahead - back) / (2 * h)

    return (4 * central(h / 2) - central(h)) / 3


def true_score(xs):
    """Returns the score of the mixture, ``(B, 2)``."""
    apart = CENTRES - xs[:, None]
    weights = np.exp(-0.5 * np.sum(apart**2, axis=2) / WIDTH**2)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.einsum("bk,bkn->bn", weights, apart) / WIDTH**2


def claim(text, error, bound):
    """Prints a claim with its error; ends the program if that is out of bound, or NaN."""
    print(f"  {text:66}{error:8.1e}  (bound {bound:.0e})")
    if not error <= bound:
        sys.exit(f"out of bound: {text}")


def difference(got, wanted):
    """Returns the largest difference, relative to the largest element."""
    return float(np.max(np.abs(np.subtract(got, wanted))) / np.max(np.abs(wanted)))


def tree_difference(got, wanted):
    """Returns the largest difference of two gradients, parameter by parameter."""
    return max(difference(got[name], wanted[name]) for name in wanted)


# -- The article. --


def init_params(rng, n):
    """Returns the parameters of a network on ``n`` inputs."""
    return {
        "w1": rng.standard_normal((HIDDEN, n)) / np.sqrt(n),
        "b1": rng.standard_normal(HIDDEN),
        "w2": rng.standard_normal((HIDDEN, HIDDEN)) / np.sqrt(HIDDEN),
        "b2": rng.standard_normal(HIDDEN),
        "w3": rng.standard_normal(HIDDEN) / np.sqrt(HIDDEN),
        "c": np.array(1.0),
    }


def draw(rng, size):
    """Returns samples of the mixture."""
    return CENTRES[rng.integers(3, size=size)] + WIDTH * rng.standard_normal((size, 2))


def signs(rng, shape):
    """Returns random signs: Rademacher directions."""
    return rng.choice([-1.0, 1.0], shape)


def check_linear(rng):
    """A Gaussian, where all is known: log q = −½ xᵀPx, whose score is −Px."""
    print("A Gaussian of precision P, whose loss is ½ tr(PCP) − tr P with C = mean xxᵀ:")
    root = rng.standard_normal((4, 4))
    precision, xs = root @ root.T, rng.standard_normal((40, 4))
    vs = signs(rng, xs.shape)

    def quadratic(p, x):
        return -0.25 * x @ (p + p.T) @ x

    def loss(p, x):
        _, f, trace = gw.laplacian(quadratic, argnums=1, with_grad=True)(p, x)
        return trace + 0.5 * f @ f

    def sliced(p, x, v):
        f, hv = gw.jvp(lambda x: gw.grad(quadratic, argnums=1)(p, x), (x,), (v,))
        return v @ hv + 0.5 * f @ f

    def total(p, xs):
        return np.mean(gw.vmap(loss, in_axes=(None, 0))(p, xs))

    def total_sliced(p, xs, vs):
        return np.mean(gw.vmap(sliced, in_axes=(None, 0, 0))(p, xs, vs))

    c, v_v = xs.T @ xs / len(xs), vs.T @ vs / len(vs)
    both = 0.5 * (precision @ c + c @ precision)
    energy = 0.5 * np.trace(precision @ c @ precision)
    value, gradient = gw.value_and_grad(total)(precision, xs)
    claim("exact: value", difference(value, energy - np.trace(precision)), 1e-12)
    claim("exact: gradient ½(PC + CP) − 1", difference(gradient, both - np.eye(4)), 1e-12)
    value, gradient = gw.value_and_grad(total_sliced)(precision, xs, vs)
    wanted = energy - np.sum(precision * v_v)
    claim("sliced: value", difference(value, wanted), 1e-12)
    claim("sliced: gradient ½(PC + CP) − mean vvᵀ", difference(gradient, both - v_v), 1e-12)
    gradient = gw.grad(total)(np.linalg.inv(c), xs)
    claim("exact: no gradient at P = C⁻¹", float(np.max(np.abs(gradient))), 1e-12)


def check_orders(rng):
    """A network, and the sliced loss by each nesting of forward and reverse mode."""
    print("\nA network on 6 inputs; its chain rule written out, then differences:")
    params, xs = init_params(rng, 6), rng.standard_normal((8, 6))
    vs = signs(rng, xs.shape)
    direction = {name: rng.standard_normal(p.shape) for name, p in params.items()}

    def along(gradient):
        return sum(np.sum(gradient[name] * d) for name, d in direction.items())

    value, gradient = gw.value_and_grad(mean_exact)(params, xs)
    claim("exact: value", difference(value, exact_by_hand(params, xs)), 1e-12)
    wanted = slope_along(lambda p: exact_by_hand(p, xs), params, direction)
    claim("exact: parameter gradient along a direction", difference(along(gradient), wanted), 1e-8)

    value_wanted = sliced_by_hand(params, xs, vs)
    slope_wanted = slope_along(lambda p: sliced_by_hand(p, xs, vs), params, direction)
    gradients = []
    for one in (forward_over_reverse, reverse_over_forward, reverse_over_reverse):
        value, gradient = gw.value_and_grad(
            lambda params, xs, vs, one=one: mean_sliced(params, xs, vs, one)
        )(params, xs, vs)
        gradients.append(gradient)
        name = one.__name__.replace("_", " ")
        claim(f"sliced, {name}: value", difference(value, value_wanted), 1e-12)
        claim(f"sliced, {name}: gradient", difference(along(gradient), slope_wanted), 1e-8)
    error = max(tree_difference(gradient, gradients[0]) for gradient in gradients[1:])
    claim("all three gradients are one, in every parameter", error, 1e-11)


def check_variance(rng, n=32, repeats=2000):
    """Measures how far trace estimates scatter, for signs and for Gaussian directions."""
    print(f"\nThe trace of the score's Jacobian on {n} inputs, from random directions:")
    params, x = init_params(rng, n), rng.standard_normal(n)
    _, hessian = by_hand(params, x)
    spread = {
        "random signs": np.sqrt(2 * (np.sum(hessian**2) - np.sum(np.diag(hessian) ** 2))),
        "Gaussian": np.sqrt(2 * np.sum(hessian**2)),
    }

    def estimate(x, probes):
        return gw.trace_estimate(lambda x: score(params, x))(x, probes=probes)[0]

    estimates = gw.vmap(estimate, in_axes=(None, 0))
    counts, measured = [1, 2, 4, 8, 16], {}
    for name, wanted in spread.items():
        measured[name] = []
        for count in counts:
            shape = (repeats, count, n)
            probes = signs(rng, shape) if name == "random signs" else rng.standard_normal(shape)
            got = estimates(x, probes)
            measured[name].append(np.std(got))
            off = abs(np.mean(got) - np.trace(hessian)) / (np.std(got) / np.sqrt(repeats))
            if not off <= 5:
                sys.exit(f"{name}, {count}: biased by {off:.1f} standard errors")
        error = difference(np.sqrt(counts) * measured[name] / wanted, np.ones(len(counts)))
        claim(f"{name}: scatter {wanted:.2f}/√m, as the formula says", error, 0.1)
    ratio = (spread["Gaussian"] / spread["random signs"]) ** 2
    print(
        f"  Gaussian directions have {ratio:.0f} times the variance here, for the diagonal, which"
    )
    print("  holds −c in every element, costs them much, and random signs nothing: use signs")
    value, error, products = gw.trace_estimate(lambda x: score(params, x), num_samples=16)(
        x, seed=0
    )
    off = abs(value - np.trace(hessian))
    text = f"gw.trace_estimate: {value:.2f} ± {error:.2f} from {products} signs, off by"
    claim(text, off, 5 * spread["random signs"] / np.sqrt(products))
    return counts, measured, spread


def train(rng, kind, params, steps=600, batch=256):
    """Trains by Adam; returns the parameters and the loss at each step."""
    xs = draw(rng, batch)
    if kind == "exact":
        step = gw.prepare(gw.value_and_grad(mean_exact), params, xs)
    else:
        step = gw.prepare(gw.value_and_grad(mean_sliced), params, xs, xs)
    mean = {name: np.zeros_like(p) for name, p in params.items()}
    square = {name: np.zeros_like(p) for name, p in params.items()}
    losses = []
    for k in range(1, steps + 1):
        xs = draw(rng, batch)
        match kind:
            case "exact":
                value, gradient = step(params, xs)
            case "random signs":
                value, gradient = step(params, xs, signs(rng, xs.shape))
            case _:
                value, gradient = step(params, xs, rng.standard_normal(xs.shape))
        losses.append(float(value))
        rate = 2e-2 * (1 - k / (steps + 1)) / (1 - 0.9**k)
        moved = {}
        for name, g in gradient.items():
            mean[name] += 0.1 * (g - mean[name])
            square[name] += 0.01 * (g**2 - square[name])
            size = np.sqrt(square[name] / (1 - 0.99**k)) + 1e-8
            moved[name] = params[name] - rate * mean[name] / size
        params = moved
    return params, losses


def check_training(rng):
    """Learns the score of a mixture by each loss; compares it with the true one."""
    print("\nThe score of a mixture of three Gaussians, learnt from samples alone:")
    start, held_out = init_params(rng, 2), draw(rng, 1000)
    wanted = true_score(held_out)
    scores = gw.vmap(score, in_axes=(None, 0))
    learnt, losses = {}, {}
    for kind in ("exact", "random signs", "Gaussian"):
        learnt[kind], losses[kind] = train(rng, kind, start)
        got = scores(learnt[kind], held_out)
        error = float(np.mean((got - wanted) ** 2) / np.mean(wanted**2))
        claim(f"{kind}: mean squared error, relative, on new samples", error, 0.05)
    return learnt["random signs"], losses


def draw_picture(path, params, losses, counts, measured, spread):
    """Writes the picture: what was learnt, how the losses fell, how estimates scatter."""
    figure = Figure(figsize=(12, 4), dpi=120, layout="constrained")
    left, middle, right = figure.subplots(1, 3)

    ticks = np.linspace(-3, 3, 19)
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    arrows = gw.vmap(score, in_axes=(None, 0))(params, grid)
    arrows = arrows / np.sqrt(1 + np.sum(arrows**2, axis=1, keepdims=True))
    samples = draw(np.random.default_rng(3), 600)
    left.scatter(*samples.T, s=4, color=GREY, alpha=0.5, linewidth=0)
    exact_arrows = true_score(grid)
    exact_arrows /= np.sqrt(1 + np.sum(exact_arrows**2, axis=1, keepdims=True))
    style = {"angles": "xy", "scale": 24}
    left.quiver(*grid.T, *exact_arrows.T, color="#f0a58a", width=0.011, label="true", **style)
    left.quiver(*grid.T, *arrows.T, color=INK, width=0.004, label="learnt from the points", **style)
    left.set(title="The score of a mixture", aspect="equal", xlim=(-3.2, 3.2), ylim=(-3.2, 3.9))
    left.legend(frameon=False, loc="upper center", ncols=2, fontsize=8, handlelength=1)

    colours = {"exact": GREY, "random signs": INK, "Gaussian": ACCENT}
    for name, width in (("Gaussian", 0.8), ("random signs", 1.2), ("exact", 0.6)):
        values = losses[name]
        label = f"{name}: ± {np.std(values[-300:]):.2f}"
        middle.plot(values, color=colours[name], linewidth=width, label=label)
    middle.set(title="The loss while training", xlabel="step", ylim=(-5, 1))
    middle.legend(frameon=False, fontsize=8, loc="upper right")

    for name in measured:
        right.plot(counts, spread[name] / np.sqrt(counts), color=colours[name])
        right.plot(counts, measured[name], "o", color=colours[name])
        right.annotate(
            f"{name} directions" if name == "Gaussian" else name,
            (4, spread[name] / 2),
            xytext=(4, 6),
            textcoords="offset points",
            color=colours[name],
        )
    right.set(
        title="Scatter of a trace estimate, n = 32\n(dots measured, lines by the formula)",
        xlabel="directions",
        xscale="log",
        yscale="log",
    )
    right.set_xticks(counts, [str(count) for count in counts])
    right.minorticks_off()
    right.set_yticks([0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.1", "0.2", "0.5", "1", "2", "5", "10"])
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main():
    """Checks, trains, draws."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), help="the picture's folder")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    check_linear(rng)
    check_orders(rng)
    counts, measured, spread = check_variance(rng)
    params, losses = check_training(rng)
    path = options.out / "score_matching.png"
    draw_picture(path, params, losses, counts, measured, spread)
    print(f"\npicture: {path.resolve()}")


if __name__ == "__main__":
    main()
