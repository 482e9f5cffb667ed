"""The natural gradient of a Gaussian posterior, by one Jacobian-vector product.

    python examples/natural_gradient.py [--out FOLDER]

A Gaussian q has three sets of coordinates: ξ = (μ, S), mean and covariance; the
natural θ = (S⁻¹μ, −½S⁻¹); and the expectations η = (μ, S + μμᵀ). The natural
gradient is F⁻¹ ∂L/∂ξ, F being the Fisher information, which is too large
to form: for n dimensions it has (n + n²)² elements. But ∂L/∂η is the natural
gradient in θ (Amari 1998; Hoffman et al. 2013), and so in ξ it is

    (∂ξ/∂θ) ∂L/∂η  =  one jvp of θ ↦ ξ along ∂L/∂η

(Salimbeni, Eleftheriadis and Hensman 2018). Where a library had no forward
mode, such as TensorFlow 1, the gradient of a gradient was used instead: uᵀJ is
linear in u, and its own vjp is J·t (Townsend 2017). gw.jvp is that in
one pass, and both are shown here: first on f(x) = [x₁, x₁x₃, x₂²], then for a
posterior of a real regression, whose exact answer is known.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_diabetes

import gradwire as gw

INK, ACCENT, GREY = "#1f3a5f", "#c0502d", "#9aa5b1"


def claim(text, error, bound):
    """Prints a claim with its error; ends the program if that is out of bound, or NaN."""
    print(f"  {text:66}{error:8.1e}  (bound {bound:.0e})")
    if not error <= bound:
        sys.exit(f"out of bound: {text}")


def difference(got, wanted):
    """Returns the largest difference, relative to the largest element."""
    return float(np.max(np.abs(np.subtract(got, wanted))) / np.max(np.abs(wanted)))


# -- One product, three ways. --


def f(x):
    """Has the Jacobian [[1, 0, 0], [x₃, 0, x₁], [0, 2x₂, 0]]."""
    return np.stack([x[0], x[0] * x[2], x[1] ** 2])


def jvp_by_reverse_mode(f, x, t, anywhere):
    """Returns J·t by vjps alone.

    u ↦ uᵀJ is linear, and its vjp along t is J·t, at any u shaped like f's value.
    """

    def pull_back(u):
        return gw.vjp(f, (x,), u)[1][0]

    return gw.vjp(pull_back, (anywhere,), t)[1][0]


def check_products():
    """J·t of a function small enough for paper."""
    print("f(x) = [x₁, x₁x₃, x₂²] at [3, 4, 5] along [1, 2, 3] is [1, 14, 16]:")
    x, t, wanted = np.array([3.0, 4.0, 5.0]), np.array([1.0, 2.0, 3.0]), np.array([1.0, 14.0, 16.0])
    claim("gw.jvp", difference(gw.jvp(f, (x,), (t,))[1], wanted), 1e-15)
    along = gw.jacobian(lambda step: f(x + step * t))(0.0)
    claim("the derivative of f(x + step·t) by step, at 0", difference(along, wanted), 1e-15)
    twice = gw.remote(lambda x, t: jvp_by_reverse_mode(f, x, t, np.zeros(3)))(x, t)
    claim("the vjp of a vjp", difference(twice, wanted), 1e-15)
    jac = gw.jacobian(f)(x)
    claim("the Jacobian, times t", difference(jac @ t, wanted), 1e-15)


# -- The coordinates of a Gaussian. --


def from_natural(natural):
    """ξ(θ): natural parameters to mean and covariance."""
    covariance = np.linalg.inv(-2 * natural[1])
    return covariance @ natural[0], covariance


def from_expectations(expectations):
    """ξ(η): expectations to mean and covariance."""
    mean, second = expectations
    return mean, second - np.outer(mean, mean)


def to_natural(xi):
    """θ(ξ): mean and covariance to natural parameters."""
    precision = np.linalg.inv(xi[1])
    return precision @ xi[0], -0.5 * precision


def to_expectations(xi):
    """η(ξ): mean and covariance to expectations."""
    mean, covariance = xi
    return mean, covariance + np.outer(mean, mean)


def slope_in_natural(loss, xi, data):
    """Returns ∂L/∂η, which is the natural gradient in θ."""
    return gw.grad(lambda eta: loss(from_expectations(eta), data))(to_expectations(xi))


def natural_gradient(loss, xi, data):
    """Returns the natural gradient in ξ, shaped like ξ: one jvp and no Jacobian."""
    slope = slope_in_natural(loss, xi, data)
    return gw.jvp(from_natural, (to_natural(xi),), (slope,))[1]


def natural_gradient_explicit(loss, xi, data):
    """The same, with the Jacobian (n + n²) × (n + n²) of the coordinates written out."""
    slope = slope_in_natural(loss, xi, data)
    jac = gw.jacobian(from_natural)(to_natural(xi))
    return tuple(
        sum(
            np.tensordot(block, part, axes=part.ndim)
            for block, part in zip(row, slope, strict=True)
        )
        for row in jac
    )


# -- A Bayesian linear regression: y = Xw + noise, w normal. --

NOISE = 0.7  # the variance of the noise; the targets have variance 1
PRIOR = 1.0  # the variance of each weight


def negative_elbo(xi, data):
    """Returns KL(q ‖ prior) − E_q[log p(y | w)] for q = N(μ, S), but for constants."""
    mean, covariance = xi
    covariance = 0.5 * (covariance + covariance.T)  # symmetric in spite of rounding
    x, y = data
    residual = y - x @ mean
    misfit = residual @ residual + np.trace(x @ covariance @ x.T)
    kl = np.trace(covariance) / PRIOR + mean @ mean / PRIOR - np.linalg.slogdet(covariance)[1]
    return 0.5 * (misfit / NOISE + kl)


def load():
    """Returns scikit-learn's diabetes data, 442 patients by 10 measures, standardised."""
    x, y = load_diabetes(return_X_y=True)
    return (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()


def exact_posterior(data):
    """The posterior by linear algebra in NumPy."""
    x, y = data
    covariance = np.linalg.inv(x.T @ x / NOISE + np.eye(x.shape[1]) / PRIOR)
    return covariance @ x.T @ y / NOISE, covariance


def divergence(q, p):
    """Returns KL(q ‖ p) of two Gaussians ``(mean, covariance)``."""
    precision = np.linalg.inv(p[1])
    apart = p[0] - q[0]
    product = precision @ q[1]
    return 0.5 * (
        np.trace(product) - len(apart) + apart @ precision @ apart - np.linalg.slogdet(product)[1]
    )


def check_gradient(data):
    """At a random Gaussian, against the explicit Jacobian and closed forms."""
    print("\nThe natural gradient at a random Gaussian, in 10 dimensions:")
    rng = np.random.default_rng(0)
    root = rng.standard_normal((10, 10))
    xi = mean, covariance = rng.standard_normal(10), root @ root.T / 10 + 0.5 * np.eye(10)
    x, y = data
    loss = negative_elbo

    # F⁻¹ of a Gaussian, by hand: S g for the mean, 2 S G S for the covariance.
    g = mean / PRIOR - x.T @ (y - x @ mean) / NOISE
    big_g = 0.5 * (x.T @ x / NOISE + np.eye(10) / PRIOR - np.linalg.inv(covariance))
    by_hand = covariance @ g, 2 * covariance @ big_g @ covariance
    plain = gw.grad(loss)(xi, data)
    one_jvp = gw.remote(lambda xi, data: natural_gradient(loss, xi, data))(xi, data)
    explicit = gw.remote(lambda xi, data: natural_gradient_explicit(loss, xi, data))(xi, data)
    names = "mean", "covariance"
    for k, name in enumerate(names):
        claim(f"{name}: plain gradient = by hand", difference(plain[k], (g, big_g)[k]), 1e-11)
        claim(
            f"{name}: one jvp = the explicit Jacobian", difference(one_jvp[k], explicit[k]), 1e-11
        )
        claim(f"{name}: one jvp = F⁻¹ by hand", difference(one_jvp[k], by_hand[k]), 1e-11)

    def reverse_only(xi, data):
        slope = slope_in_natural(loss, xi, data)
        return jvp_by_reverse_mode(from_natural, to_natural(xi), slope, anywhere=xi)

    twice = gw.remote(reverse_only)(xi, data)
    claim("both: one jvp = the vjp of a vjp", max(map(difference, one_jvp, twice)), 1e-11)


def check_fit(data):
    """Fits the posterior by natural and by plain gradients; returns the course of both."""
    print("\nThe posterior of the diabetes regression, from a start that knows nothing:")
    exact = exact_posterior(data)
    start = np.zeros(10), 1e-4 * np.eye(10)

    # In θ the model is conjugate, and one step of length 1 reaches the solution.
    slope = gw.remote(lambda xi, data: slope_in_natural(negative_elbo, xi, data))(start, data)
    theta = tuple(a - b for a, b in zip(to_natural(start), slope, strict=True))
    mean, covariance = from_natural(theta)
    claim("one natural step in θ: mean of the exact posterior", difference(mean, exact[0]), 1e-9)
    claim("one natural step in θ: its covariance", difference(covariance, exact[1]), 1e-9)

    # In ξ a step of length 1 takes S to 2S − SΛS: Newton's iteration for the
    # inverse of the posterior's precision Λ.
    natural = [start]
    step = gw.prepare(lambda xi, data: natural_gradient(negative_elbo, xi, data), start, data)
    for _ in range(18):
        moves = step(natural[-1], data)
        natural.append(tuple(a - b for a, b in zip(natural[-1], moves, strict=True)))
    mean, covariance = natural[-1]
    claim("18 natural steps in ξ: mean of the exact posterior", difference(mean, exact[0]), 1e-9)
    claim("18 natural steps in ξ: its covariance", difference(covariance, exact[1]), 1e-9)

    # The plain gradient, with steps as long as the steepest direction allows:
    # the loss has the second derivative Λ in μ, and there about ½Λ² in S.
    steepest = np.linalg.eigvalsh(np.linalg.inv(exact[1]))[-1]
    plain = [start]
    step = gw.prepare(gw.grad(negative_elbo), start, data)
    for _ in range(1000):
        (mean, covariance), slope = plain[-1], step(plain[-1], data)
        plain.append((mean - slope[0] / steepest, covariance - slope[1] / steepest**2))
    left = [[divergence(q, exact) for q in path] for path in (natural, plain)]
    sooner = next(k for k, kl in enumerate(left[0]) if kl < left[1][-1])
    print(f"  KL to the exact posterior: {left[0][0]:.0f} at first; {left[1][-1]:.1e} after 1,000")
    print(f"  plain steps, less than that after {sooner} natural ones in ξ")
    claim("KL after 18 natural steps in ξ", abs(left[0][-1]), 1e-9)
    if not sooner <= 18:
        sys.exit("natural steps are not faster than plain ones")
    return left, natural, plain, exact


def draw_picture(path, left, natural, plain, exact):
    """Writes the picture: how fast each gradient converges, and to what."""
    names = load_diabetes().feature_names
    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
    speed, weights = figure.subplots(1, 2, width_ratios=[4, 5])
    for values, colour, name, at in (
        (left[0], INK, "natural gradient,\none jvp a step", (1.15, 1e-5)),
        (left[1], ACCENT, "plain gradient", (25, 40)),
    ):
        values = np.maximum(values, 1e-15)  # the rest is rounding
        speed.plot(np.arange(1, len(values) + 1), values, color=colour)
        speed.text(*at, name, color=colour)
    speed.set(
        title="KL(q ‖ exact posterior)",
        xlabel="step",
        xscale="log",
        yscale="log",
        ylim=(1e-12, 1e4),
    )

    places = np.arange(len(names))
    last = len(natural) - 1
    for shift, (mean, covariance), colour, name in (
        (-0.22, exact, GREY, "exact posterior"),
        (0, natural[-1], INK, f"{last} natural steps"),
        (0.22, plain[last], ACCENT, f"{last} plain steps"),
    ):
        spread = 2 * np.sqrt(np.diag(covariance))
        weights.errorbar(places + shift, mean, spread, fmt="o", ms=4, color=colour, label=name)
    weights.axhline(0, color=GREY, linewidth=0.5)
    weights.set(title="Weights of the regression, ± 2 standard deviations")
    weights.set_xticks(places, names)
    weights.legend(frameon=False, loc="lower right")
    for axes in (speed, weights):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main():
    """Checks, fits, draws."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), help="the picture's folder")
    options = parser.parse_args()
    data = load()
    check_products()
    check_gradient(data)
    path = options.out / "natural_gradient.png"
    draw_picture(path, *check_fit(data))
    print(f"\npicture: {path.resolve()}")


if __name__ == "__main__":
    main()
