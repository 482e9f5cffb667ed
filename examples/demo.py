"""Learns the score of handwritten digits, then runs every operator on what it has learnt.

    python examples/demo.py                                  a private server is started
    GRADWIRE_TARGET=gpu-box:8701 python examples/demo.py     that server is used

Three parts: it trains, it checks each operator against differences and closed
forms in plain NumPy, and it writes demo.png. The exit status is 1 if an error
is out of its bound.
"""

import argparse
import sys
import time
from pathlib import Path

import demo_operators
import demo_picture
import numpy as np
from sklearn.datasets import load_digits
from tqdm import trange

import gradwire as gw

PIXELS = 64
HIDDEN = 256
SPREAD = 0.75  # of the pixels, which are scaled to -1 ... 1
SIGMAS = (0.1, 4.0)  # the sizes of noise that the network learns
BATCH = 256


def score(params, x, sigma):
    """The direction in which blurred digits become more likely: the gradient of log p(x; sigma).

    Plain NumPy, for one image ``(64,)`` or for many ``(B, 64)``. With all
    parameters 0 it is the score of a Gaussian.
    """
    scale = np.sqrt(sigma**2 + SPREAD**2)
    h = np.tanh(x / scale @ params["w1"] + np.log(sigma) * params["t1"] + params["b1"])
    h = np.tanh(h @ params["w2"] + params["b2"])
    return (SPREAD / sigma * (h @ params["w3"] + params["b3"]) - x / scale) / scale


def sliced_loss(params, x, sigma, v):
    """Sliced score matching for one image (Song et al. 2019): it needs no true score.

    The Jacobian of the score enters by its product with a random direction.
    """
    s, jv = gw.jvp(lambda x: score(params, x, sigma), (x,), (v,))
    return sigma**2 * (v @ jv + 0.5 * s @ s)


def loss(params, xs, sigmas, vs):
    """The mean over a batch."""
    return np.mean(gw.vmap(sliced_loss, in_axes=(None, 0, 0, 0))(params, xs, sigmas, vs))


def load_images():
    """Returns 1,600 digits to learn from and 197 held out, of pixels from -1 to 1."""
    images = (load_digits().data / 8 - 1).astype(np.float32)
    images = np.random.default_rng(0).permutation(images)
    return images[:1600], images[1600:]


def init_params(rng):
    """Returns the parameters of a network that starts as the score of a Gaussian."""

    def normal(rows, columns):
        return (rng.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)

    zeros = np.zeros(HIDDEN, np.float32)
    return {
        "w1": normal(PIXELS, HIDDEN),
        "t1": normal(1, HIDDEN)[0],
        "b1": zeros,
        "w2": normal(HIDDEN, HIDDEN),
        "b2": zeros,
        "w3": np.zeros((HIDDEN, PIXELS), np.float32),
        "b3": np.zeros(PIXELS, np.float32),
    }


def draw_batch(rng, images, size=BATCH):
    """Returns images with noise, the size of the noise in each, and random signs."""
    sigmas = np.exp(rng.uniform(*np.log(SIGMAS), size)).astype(np.float32)
    noise = rng.standard_normal((size, PIXELS), np.float32)
    xs = images[rng.integers(len(images), size=size)] + sigmas[:, None] * noise
    return xs, sigmas, rng.choice(np.array([-1, 1], np.float32), (size, PIXELS))


def train(images, steps, rng):
    """Trains by Adam; returns the parameters and the loss at each step."""
    params = init_params(rng)
    mean = {name: np.zeros_like(p) for name, p in params.items()}
    square = {name: np.zeros_like(p) for name, p in params.items()}
    # Traced and compiled here, once: a derivative inside the loss, another around it.
    step = gw.prepare(gw.value_and_grad(loss), params, *draw_batch(rng, images))
    losses = []
    progress = trange(1, steps + 1, desc="training", unit="step", mininterval=0.5)
    for k in progress:
        value, gradient = step(params, *draw_batch(rng, images))
        rate = 2e-3 * min(1, 2 * (1 - k / steps)) / (1 - 0.9**k)
        for name, g in gradient.items():
            mean[name] += 0.1 * (g - mean[name])
            square[name] += 0.001 * (g**2 - square[name])
            params[name] = params[name] - rate * mean[name] / (
                np.sqrt(square[name] / (1 - 0.999**k)) + 1e-8
            )
        losses.append(float(value))
        if k % 50 == 0:
            progress.set_postfix(loss=f"{np.mean(losses[-50:]):.2f}")
    return params, losses


def describe(info):
    """Returns what a server is, in words."""
    devices = ", ".join(f"{device.platform} ({device.kind})" for device in info.devices)
    return f"gradwire {info.server_version} on {devices}, {', '.join(info.libraries)}"


def main():
    """Trains, checks, draws. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=4000, help="of training [%(default)s]")
    parser.add_argument("--output", default="demo.png", help="the picture [%(default)s]")
    options = parser.parse_args()
    start = time.perf_counter()
    rng = np.random.default_rng(0)
    connection = gw.current_connection()
    print(f"server: {connection.target}, {describe(connection.info())}")

    images, held_out = load_images()
    params, losses = train(images, options.steps, rng)
    tenth = max(1, len(losses) // 10)
    print(
        f"loss: {np.mean(losses[:tenth]):.2f} in the first tenth of the steps, "
        f"{np.mean(losses[-tenth:]):.2f} in the last\n"
    )

    in_bounds = demo_operators.check(score, loss, params, draw_batch(rng, held_out), SPREAD)
    demo_picture.draw(options.output, score, params, losses, held_out, SIGMAS, rng)
    print(f"picture: {Path(options.output).resolve()}; {time.perf_counter() - start:.0f} s in all")
    return 0 if in_bounds else 1


if __name__ == "__main__":
    sys.exit(main())
