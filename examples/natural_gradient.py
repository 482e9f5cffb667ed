"""The natural gradient of a Gaussian posterior, by one Jacobian-vector product.

    python examples/natural_gradient.py [--out FOLDER]

A Gaussian q has three sets of coordinates: ξ = (μ, S), mean and covariance; the
natural θ = (S⁻¹μ, −½S⁻¹); and the expectations η = (μ, S + μμᵀ). The natural
gradient is F⁻¹ ∂L/∂ξ, F being the Fisher information, which nobody wants to
form: for n dimensions it has (n + n²)² elements. But ∂L/∂η is the natural
gradient in θ (Amari 1998; Hoffman et al. 2013), and so in ξ it is

    (∂ξ/∂θ) ∂L/∂η  =  one jvp of θ ↦ ξ along ∂L/∂η

(Salimbeni, Eleftheriadis and Hensman 2018). Where a library had no forward
mode, as TensorFlow 1 hadn't, people took the gradient of a gradient instead:
uᵀJ is linear in u, and its own vjp is J·t (Townsend 2017). gw.jvp is that in
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


def jvp_by_reverse_mode(f, x, t):
    """Returns J·t by vjps alone: u ↦ uᵀJ is linear, and J·t is its vjp along t."""

    def pull_back(u):
        return gw.vjp(f, (x,), u)[1][0]

    zero = np.zeros_like(x)  # any u will do; it must be shaped like f's value
    return gw.vjp(pull_back, (zero,), t)[1][0]


def check_products():
    """J·t of a function small enough for paper."""
    print("f(x) = [x₁, x₁x₃, x₂²] at [3, 4, 5] along [1, 2, 3] is [1, 14, 16]:")
    x, t, wanted = np.array([3.0, 4.0, 5.0]), np.array([1.0, 2.0, 3.0]), np.array([1.0, 14.0, 16.0])
    claim("gw.jvp", difference(gw.jvp(f, (x,), (t,))[1], wanted), 1e-15)
    along = gw.jacobian(lambda step: f(x + step * t))(0.0)
    claim("the derivative of f(x + step·t) by step, at 0", difference(along, wanted), 1e-15)
    twice = gw.remote(lambda x, t: jvp_by_reverse_mode(f, x, t))(x, t)
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
    return gw.jvp(lambda theta: from_natural(theta), (to_natural(xi),), (slope,))[1]


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
        claim(f"{name}: one jvp = the explicit Jacobian", difference(one_jvp[k], explicit[k]), 1e-11)
        claim(f"{name}: one jvp = F⁻¹ by hand", difference(one_jvp[k], by_hand[k]), 1e-11)

    def reverse_only(xi, data):
        slope = slope_in_natural(loss, xi, data)

        def pull_back(u):
            return gw.vjp(from_natural, (to_natural(xi),), u)[1][0]

        # Any u will do, but it must not be a constant: xi itself has the shape.
        return gw.vjp(pull_back, (xi,), slope)[1][0]

    twice = gw.remote(reverse_only)(xi, data)
    claim("both: one jvp = the vjp of a vjp", max(map(difference, one_jvp, twice)), 1e-11)


def check_fit(data):
    """Fits the posterior by natural gradients; returns the divergence at each step."""
    print("\nThe posterior of the diabetes regression, from far away:")
    exact = exact_posterior(data)
    start = np.zeros(10), 1e-4 * np.eye(10)

    # In θ the model is conjugate, and a step of length 1 is the whole way.
    slope = gw.remote(lambda xi, data: slope_in_natural(negative_elbo, xi, data))(start, data)
    theta = tuple(a - b for a, b in zip(to_natural(start), slope, strict=True))
    landed = from_natural(theta)
    claim("one natural step in θ: mean of the exact posterior", difference(landed[0], exact[0]), 1e-9)
    claim("one natural step in θ: its covariance", difference(landed[1], exact[1]), 1e-9)

    # In ξ a step of length 1 is S ← 2S − SΛS: Newton's iteration for the inverse of Λ.
    xi, natural = start, [divergence(start, exact)]
    step = gw.prepare(lambda xi, data: natural_gradient(negative_elbo, xi, data), xi, data)
    for _ in range(30):
        xi = tuple(a - b for a, b in zip(xi, step(xi, data), strict=True))
        natural.append(divergence(xi, exact))
    claim("30 natural steps in ξ: mean of the exact posterior", difference(xi[0], exact[0]), 1e-9)
    claim("30 natural steps in ξ: its covariance", difference(xi[1], exact[1]), 1e-9)
    fitted = xi

    # The plain gradient must take steps as small as the steepest direction
    # allows: of S too, by its Cholesky factor, so that S stays positive.
    def loss_of_factor(params, data):
        mean, factor = params
        return negative_elbo((mean, factor @ factor.T), data)

    params, plain = (start[0], np.sqrt(start[1])), [natural[0]]
    step = gw.prepare(gw.grad(loss_of_factor), params, data)
    rate = 1.0 / np.linalg.eigvalsh(np.linalg.inv(exact[1]))[-1]
    for k in range(3000):
        gradient = step(params, data)
        # The logarithm's slope is steep where S is small.
        safe = min(1.0, 0.2 * np.linalg.norm(params[1]) / np.linalg.norm(rate * gradient[1]))
        params = params[0] - rate * gradient[0], params[1] - rate * safe * gradient[1]
        if k < 300 or k % 10 == 9:
            plain_at = divergence((params[0], params[1] @ params[1].T), exact)
            plain.append(plain_at) if k < 300 else None
    steps = next(k for k, kl in enumerate(natural) if kl < plain_at)
    print(f"  3,000 plain steps end at KL {plain_at:.1e}; {steps} natural steps in ξ are closer")
    if not natural[-1] < 1e-9 < plain[300]:
        sys.exit("out of bound: natural steps are not faster")
    return natural, plain, fitted, exact
