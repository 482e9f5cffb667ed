"""The exact likelihood of a state-space model, with its gradient, Hessian and smoother.

    python examples/kalman.py [--out FOLDER]

A linear stochastic equation dx = F x dt + dW, whose noise has covariance L dt,
is observed as y = μ + H x(t) + noise of variance r. Three pieces of linear
algebra make its likelihood:

    A = expm(F Δ)                            from one observation to the next,
    Q = ∫₀^Δ expm(F s) L expm(F s)ᵀ ds       from one exponential of a block
                                             matrix (Van Loan 1978),
    F P + P Fᵀ = −L                          the stationary covariance, where
                                             the Kalman filter starts.

Maximum likelihood needs the derivatives of all of it. Elsewhere they are taken
numerically (statsmodels issue 3699), or a Lyapunov solver with gradients was
requested for this (jax issue 19109). Here the filter is a gw.scan, the
rest is gw.ops.linalg, and any operator applies to it.

The same likelihood is that of one large Gaussian vector, whose covariances are
H expm(F |t − s|) P Hᵀ. That needs no filter, so the claims are compared with
it. It also says that r ∂ℓ/∂y is the expected noise with its sign turned, so
that the smoother needs no program of its own (Durbin and Koopman 2012, 4.5):

    E[signal | all y] = y + r ∂ℓ/∂y,     Var = r + r² ∂²ℓ/∂y²:

a gradient and a Hessian's diagonal.

The series is the Nile's yearly flow at Aswan (Cobb 1978), whose random walk
with noise Durbin and Koopman (2012, 2.10.3) fitted: variances 15099 and 1469.1.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.stats
from matplotlib.figure import Figure

import gradwire as gw

INK, ACCENT, GREY = "#1f3a5f", "#c0502d", "#9aa5b1"
YEARS = np.arange(1871, 1971)
# 10⁸ m³ a year, 1871 to 1970.
NILE = np.array(
  [
    1120, 1160,  963, 1210, 1160, 1160,  813, 1230, 1370, 1140,  995,  935, 1110,  994, 1020,
     960, 1180,  799,  958, 1140, 1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100,  774,  840,
     874,  694,  940,  833,  701,  916,  692, 1020, 1050,  969,  831,  726,  456,  824,  702,
    1120, 1100,  832,  764,  821,  768,  845,  864,  862,  698,  845,  744,  796, 1040,  759,
     781,  865,  845,  944,  984,  897,  822, 1010,  771,  676,  649,  846,  812,  742,  801,
    1040,  860,  874,  848,  890,  744,  749,  838, 1050,  918,  986,  797,  923,  975,  815,
    1020,  906,  901, 1170,  912,  746,  919,  718,  714,  740,
  ],
  dtype=float,
)  # fmt: skip


def claim(text, error, bound):
    """Prints a claim with its error; ends the program if that is out of bound, or NaN."""
    print(f"  {text:66}{error:8.1e}  (bound {bound:.0e})")
    if not error <= bound:
        sys.exit(f"out of bound: {text}")


def difference(got, wanted):
    """Returns the largest difference, relative to the largest element."""
    return float(np.max(np.abs(np.subtract(got, wanted))) / np.max(np.abs(wanted)))


# -- The likelihood: plain NumPy, a scan, and matrix functions. --


def discretise(f, diffusion, step):
    """Returns A and Q of one step: expm [[−F, L], [0, Fᵀ]]Δ is [[·, A⁻¹Q], [0, Aᵀ]]."""
    n = f.shape[0]
    top = np.concatenate([-f, diffusion], axis=1)
    bottom = np.concatenate([np.zeros((n, n)), f.T], axis=1)
    block = gw.ops.linalg.expm(np.concatenate([top, bottom]) * step)
    a = block[n:, n:].T
    return a, a @ block[:n, n:]


def kalman_filter(model, start, ys, steps):
    """Runs the filter; returns the log-likelihood, and each filtered state with its covariance.

    Args:
        model: F, L, H and r.
        start: Mean and covariance of the state at the first observation.
        ys: The observations less their mean, ``(T,)``.
        steps: The time from each observation to the next, ``(T,)``.
    """
    f, diffusion, h, r = model

    def step(state, row):
        mean, cov = state
        y, time = row
        error, variance = y - h @ mean, h @ cov @ h + r
        gain = cov @ h / variance
        mean, cov = mean + gain * error, cov - np.outer(gain, gain) * variance
        a, q = discretise(f, diffusion, time)
        log_density = -0.5 * (np.log(2 * np.pi * variance) + error**2 / variance)
        return (a @ mean, a @ cov @ a.T + q), (log_density, mean, cov)

    _, (log_densities, means, covs) = gw.scan(step, start, (ys, steps))
    return np.sum(log_densities), means, covs


def stationary_loglik(model, mean, ys, steps):
    """The log-likelihood of a stationary process, started from its Lyapunov equation."""
    f, diffusion, h, _ = model
    start = np.zeros(h.shape), gw.ops.linalg.solve_continuous_lyapunov(f, -diffusion)
    return kalman_filter(model, start, ys - mean, steps)[0]


# -- The same as one Gaussian vector, in NumPy and SciPy: what the claims are held against. --


def log_density(ys, cov):
    """The log-density of a Gaussian vector of mean zero."""
    root = np.linalg.cholesky(cov)
    white = scipy.linalg.solve_triangular(root, ys, lower=True)
    return -0.5 * white @ white - np.sum(np.log(np.diag(root))) - 0.5 * len(ys) * np.log(2 * np.pi)


def dense_covariance(model, times):
    """The covariance of all observations at once, by the eigenvectors of F."""
    f, diffusion, h, r = model
    prior = scipy.linalg.solve_continuous_lyapunov(f, -diffusion)
    rates, vectors = np.linalg.eig(f)
    weights = (h @ vectors) * np.linalg.solve(vectors, prior @ h)
    lags = np.abs(np.subtract.outer(times, times))
    return (np.exp(lags[..., None] * rates) @ weights).real + r * np.eye(len(times))


def walk_dense(theta, ys):
    """The log-density of a random walk with noise, given its first observation."""
    noise, walk = np.exp(theta)
    count = np.arange(1.0, len(ys))
    # y[t] − y[0] is t steps of the walk, the noise of y[t], and that of y[0].
    cov = walk * np.minimum.outer(count, count) + noise * (1 + np.eye(len(count)))
    return log_density(ys[1:] - ys[0], cov)


def gradient_of(f, x, h=2e-3):
    """Returns the gradient of a scalar function by differences with an error of h⁴."""

    def central(p):
        return (f(x + p) - f(x - p)) / (2 * h)

    basis = h * np.eye(len(x))
    return np.array([(8 * central(p) - central(2 * p)) / 6 for p in basis])


def hessian_of(f, x, h=2e-3):
    """Returns the Hessian: the slope of that gradient, by the same formula."""
    return gradient_of(lambda x: gradient_of(f, x, h), x, h)


# -- The article. --


def oscillator(theta):
    """A damped oscillator driven by white noise, its position observed: F, L, H, r and μ."""
    frequency, damping, drive, noise = np.exp(theta[:4])
    zero = 0 * frequency
    f = np.stack([np.stack([zero, zero + 1]), np.stack([-(frequency**2), -damping])])
    diffusion = np.stack([np.stack([zero, zero]), np.stack([zero, drive])])
    return (f, diffusion, np.array([1.0, 0.0]), noise), theta[4]


def check_likelihood(rng):
    """Value and derivatives of a two-state model at irregular times."""
    print("A damped oscillator, seen with noise at 30 irregular times; five parameters:")
    times = np.sort(rng.uniform(0, 40, 30))
    steps = np.append(np.diff(times), 0.0)
    ys = 2 + np.sin(times) + 0.5 * rng.standard_normal(30)
    theta = np.array([0.1, -1.0, -0.5, -1.5, 1.8])

    def loglik(theta, ys, steps):
        return stationary_loglik(*oscillator(theta), ys, steps)

    def dense(theta):
        model, mean = oscillator(theta)
        return log_density(ys - mean, dense_covariance(model, times))

    model, mean = oscillator(theta)
    f, diffusion, _, _ = model
    a, q = gw.remote(discretise)(f, diffusion, 0.7)
    prior = scipy.linalg.solve_continuous_lyapunov(f, -diffusion)
    claim("A is scipy.linalg.expm's", difference(a, scipy.linalg.expm(0.7 * f)), 1e-13)
    claim("Q by Van Loan is P − A P Aᵀ", difference(q, prior - a @ prior @ a.T), 1e-12)

    value, gradient, hess = gw.remote(derivatives(loglik))(theta, ys, steps)
    normal = scipy.stats.multivariate_normal(np.full(30, mean), dense_covariance(model, times))
    text = f"log-likelihood {value:.6f}: scipy.stats.multivariate_normal"
    claim(text, difference(value, normal.logpdf(ys)), 1e-12)
    claim("gradient: its differences", difference(gradient, gradient_of(dense, theta)), 1e-8)
    claim("Hessian: its differences", difference(hess, hessian_of(dense, theta)), 1e-6)


def walk_filter(theta, ys):
    """A random walk with noise: no prior but the first observation and its noise."""
    noise, walk = np.exp(theta)
    model = np.zeros((1, 1)), np.reshape(walk, (1, 1)), np.ones(1), noise
    start = np.reshape(ys[0], (1,)), np.reshape(noise + walk, (1, 1))
    return kalman_filter(model, start, ys[1:], np.ones(len(ys) - 1))


def walk_kalman(theta, ys):
    """Its log-likelihood, of θ = the logarithms of the variances of noise and walk."""
    return walk_filter(theta, ys)[0]


def reverting_kalman(theta, ys):
    """A level that reverts to a mean: dx = −a x dt + dW; θ = log r, log L, log a, mean."""
    noise, drive, rate = np.exp(theta[:3])
    model = np.reshape(-rate, (1, 1)), np.reshape(drive, (1, 1)), np.ones(1), noise
    return stationary_loglik(model, 1000 * theta[3], ys, np.ones(len(ys)))


def reverting_dense(theta, ys):
    """The same as one Gaussian vector; its covariances are L/2a exp(−a |t − s|)."""
    noise, drive, rate = np.exp(theta[:3])
    lags = np.abs(np.subtract.outer(YEARS, YEARS))
    cov = drive / (2 * rate) * np.exp(-rate * lags) + noise * np.eye(len(ys))
    return log_density(ys - 1000 * theta[3], cov)


def derivatives(loglik):
    """Value, gradient and Hessian, as one program."""

    def all_three(theta, *args):
        value, gradient = gw.value_and_grad(loglik)(theta, *args)
        return value, gradient, gw.hessian(loglik)(theta, *args)

    return all_three


def maximise(loglik, theta, ys):
    """Newton's method, with half the step while the likelihood falls.

    Returns:
        The likelihood's maximum, the Hessian there, and the path to it.
    """
    evaluate = gw.prepare(derivatives(loglik), theta, ys)
    path = [theta]
    value, gradient, hess = evaluate(theta, ys)
    for _ in range(50):
        eigenvalues, axes = np.linalg.eigh(hess)
        # Uphill along every axis, also where the likelihood isn't concave yet.
        step = axes @ (axes.T @ gradient / np.maximum(np.abs(eigenvalues), 1e-3))
        step *= min(1.0, 1.5 / np.max(np.abs(step)))
        for _ in range(30):
            new = evaluate(path[-1] + step, ys)
            if new[0] >= value - 1e-9:
                break
            step /= 2
        path.append(path[-1] + step)
        value, gradient, hess = new
        if np.max(np.abs(gradient)) < 1e-8:
            break
    return value, hess, np.array(path)


def check_fits():
    """Maximum likelihood for the Nile, by Newton's method and by SciPy on the dense density."""
    print("\nThe Nile, 1871 to 1970: a random walk with noise, by Newton's method:")
    start = np.log([1000.0, 10000.0])
    value, hess, path = maximise(walk_kalman, start, NILE)
    theta = path[-1]
    noise, walk = np.exp(theta)
    # d exp(θ) = exp(θ) dθ carries standard errors from the logarithms over.
    noise_error, walk_error = np.exp(theta) * np.sqrt(np.diag(np.linalg.inv(-hess)))
    print(f"  noise {noise:.1f} ± {noise_error:.0f}, walk {walk:.1f} ± {walk_error:.0f},", end=" ")
    print(f"log-likelihood {value:.4f}, {len(path) - 1} steps")
    claim("noise: 15099, as published", difference(noise, 15099), 1e-4)
    claim("walk: 1469.1, as published", difference(walk, 1469.1), 1e-4)
    check_maximum(lambda theta: walk_dense(theta, NILE), start, theta, value, hess)

    print("\nThe same with a level that reverts to a mean, started from its Lyapunov equation:")
    start = np.append(theta, [np.log(0.1), 0.9])
    value, hess, steps = maximise(reverting_kalman, start, NILE)
    noise, drive, rate = np.exp(steps[-1, :3])
    print(f"  noise {noise:.0f}, drive {drive:.0f}, mean {1000 * steps[-1, 3]:.0f},", end=" ")
    print(f"back in {1 / rate:.0f} years; log-likelihood {value:.4f}, {len(steps) - 1} steps")
    check_maximum(lambda theta: reverting_dense(theta, NILE), start, steps[-1], value, hess)
    return theta, path


def check_maximum(dense, start, theta, value, hess):
    """Holds a maximum against SciPy's of the dense density, found without derivatives."""
    options = {"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000, "maxfev": 4000}
    best = scipy.optimize.minimize(
        lambda theta: -dense(theta), start, method="Nelder-Mead", options=options
    )
    text = f"its maximum: SciPy's, after {best.nfev} values of the dense density"
    claim(text, difference(value, -best.fun), 1e-10)
    claim("its parameters: SciPy's", difference(theta, best.x), 1e-5)
    claim(
        "its Hessian: differences of the dense density",
        difference(hess, hessian_of(dense, theta)),
        1e-6,
    )


def check_smoother(theta):
    """The smoothed level from derivatives for the data, against Gaussian conditioning."""
    print("\nThe smoothed level is y + r ∂ℓ/∂y, its variance r + r² ∂²ℓ/∂y²:")
    noise, walk = np.exp(theta)
    gradient = gw.grad(walk_kalman, argnums=1)(theta, NILE)
    bend = gw.hessian_diagonal(walk_kalman, argnums=1)(theta, NILE)
    level, variance = NILE + noise * gradient, noise + noise**2 * bend

    # Noise and walk against the level's flat prior: least squares with a penalty on its steps.
    differences = np.diff(np.eye(len(NILE)), axis=0)
    precision = np.eye(len(NILE)) / noise + differences.T @ differences / walk
    claim(
        "mean: Gaussian conditioning",
        difference(level, np.linalg.solve(precision, NILE / noise)),
        1e-11,
    )
    claim(
        "variance: Gaussian conditioning",
        difference(variance, np.diag(np.linalg.inv(precision))),
        1e-10,
    )

    _, means, covs = gw.remote(walk_filter)(theta, NILE)
    filtered, filtered_variance = means[:, 0], covs[:, 0, 0]
    claim("the filter ends where the smoother does", difference(filtered[-1], level[-1]), 1e-12)
    claim("its variance too", difference(filtered_variance[-1], variance[-1]), 1e-10)
    return level, variance, filtered, filtered_variance


def draw_picture(path, theta, newton, levels):
    """Writes the picture: the series with its level, and the likelihood with Newton's path."""
    level, variance, filtered, filtered_variance = levels
    figure = Figure(figsize=(12, 4.2), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))

    left.plot(YEARS, NILE, "o", color=GREY, markersize=3, label="observed")
    width = 1.96 * np.sqrt(filtered_variance)
    left.fill_between(YEARS[1:], filtered - width, filtered + width, color=ACCENT, alpha=0.12, lw=0)
    left.plot(YEARS[1:], filtered, color=ACCENT, lw=1, label="filtered level, from the past")
    width = 1.96 * np.sqrt(variance)
    left.fill_between(YEARS, level - width, level + width, color=INK, alpha=0.18, lw=0)
    left.plot(YEARS, level, color=INK, lw=1.8, label="smoothed level, from all years")
    left.set(title="The Nile at Aswan, with 95 % bands", ylabel="10⁸ m³ a year", xlim=(1870, 1971))
    left.legend(frameon=False, fontsize=8, loc="upper right")

    noises, walks = np.linspace(6.5, 10.5, 60), np.linspace(4.5, 11, 60)
    grid = np.stack(np.meshgrid(noises, walks), axis=-1)
    values = gw.vmap(walk_kalman, in_axes=(0, None))(grid.reshape(-1, 2), NILE).reshape(60, 60)
    below = np.max(values) - values
    contours = right.contour(
        np.exp(noises),
        np.exp(walks),
        below,
        levels=[0.5, 1, 2, 4, 8, 16, 32, 64],
        colors=GREY,
        linewidths=0.8,
    )
    right.clabel(contours, fmt=lambda v: f"−{v:g}", fontsize=7)
    right.plot(
        *np.exp(newton.T), "o-", color=ACCENT, markersize=3.5, lw=1.2, label="Newton's steps"
    )
    right.plot(*np.exp(theta), "*", color=INK, markersize=12, label="15099, 1469: the maximum")
    right.set(
        title="The log-likelihood, below its maximum",
        xlabel="variance of the noise",
        ylabel="variance of the walk",
        xscale="log",
        yscale="log",
    )
    right.legend(frameon=False, fontsize=8, loc="lower left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main():
    """Checks, fits, smooths, draws."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), help="the picture's folder")
    options = parser.parse_args()
    check_likelihood(np.random.default_rng(0))
    theta, newton = check_fits()
    levels = check_smoother(theta)
    path = options.out / "kalman.png"
    draw_picture(path, theta, newton, levels)
    print(f"\npicture: {path.resolve()}")


if __name__ == "__main__":
    main()
