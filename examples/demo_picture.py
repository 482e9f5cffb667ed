"""Draws what the network has learnt, each panel from a call of gradwire."""

import itertools

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

import gradwire as gw

NOISE = np.float32(0.6)  # in the rows that show denoising
COLUMNS = 16
INK = "#1f3a5f"
ACCENT = "#c0502d"
PIXEL_COLOURS = {"cmap": "gray_r", "vmin": -1, "vmax": 1}
AXIS_COLOURS = {"cmap": "PuOr", "vmin": -0.4, "vmax": 0.4}


def draw(path, score, params, losses, images, sigmas, rng):
    """Writes the picture.

    Args:
        path: The file.
        score: The network.
        params: Its parameters.
        losses: The loss at each step of training.
        images: Digits that were not in its training.
        sigmas: The least and the largest noise that it was trained on.
        rng: Random numbers.
    """
    scores = gw.prepare(gw.vmap(score, in_axes=(None, 0, None)), params, images[:COLUMNS], NOISE)

    def denoise(noisy, sigma):
        # The mean of all images that `noisy` may come from (Tweedie's formula).
        return noisy + sigma**2 * scores(params, noisy, sigma)

    clean = images[:COLUMNS]
    noisy = blur(clean, NOISE, rng)
    # ... whose covariance is sigma² (1 + sigma² Jacobian): its main axis is
    # what is least certain, one digit or another.
    jacobians = gw.vmap(gw.jacobian(score, argnums=1), in_axes=(None, 0, None))
    slopes = jacobians(params, noisy, NOISE)
    doubt = np.linalg.eigh(slopes + np.swapaxes(slopes, 1, 2)).eigenvectors[:, :, -1]
    dreams = dream(scores, params, denoise, sigmas, rng, (3 * COLUMNS, images.shape[1]))

    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(10, 8), dpi=120, layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[3, 5])
    left, right = top.subplots(1, 2)
    plot_losses(left, losses)
    plot_errors(right, score, params, denoise, images, sigmas, rng)
    rows = [
        ("digits not seen in training", clean, PIXEL_COLOURS),
        (f"with noise of size {NOISE:g}", noisy, PIXEL_COLOURS),
        ("denoised by the score", denoise(noisy, NOISE), PIXEL_COLOURS),
        ("least certain of it,\nby the score's Jacobian", doubt, AXIS_COLOURS),
        ("new digits, drawn from\nnoise alone", dreams, PIXEL_COLOURS),
    ]
    plot_digits(bottom, rows)
    figure.savefig(path)


def blur(images, sigma, rng):
    """Adds noise."""
    return images + sigma * rng.standard_normal(images.shape, np.float32)


def dream(scores, params, denoise, sigmas, rng, shape, steps=60):
    """Draws new images: from pure noise, step by step to less (Song et al. 2021, appendix F)."""
    low, high = sigmas
    levels = np.geomspace(high, low, steps, dtype=np.float32)
    x = levels[0] * rng.standard_normal(shape, np.float32)
    for sigma, lower in itertools.pairwise(levels):
        removed = sigma**2 - lower**2
        x = x + removed * scores(params, x, sigma)
        x = blur(x, lower / sigma * np.sqrt(removed), rng)
    return denoise(x, levels[-1])


def plot_losses(axes, losses):
    """Plots the loss and its running mean."""
    window = max(1, len(losses) // 60)
    mean = np.convolve(losses, np.ones(window) / window, "valid")
    axes.plot(losses, color=INK, alpha=0.15, linewidth=0.5)
    axes.plot(np.arange(len(mean)) + window / 2, mean, color=INK)
    axes.set_ylim(min(mean) - 0.6, max(mean) + 0.6)
    axes.set(xlabel="step", ylabel="loss", title="Sliced score matching")


def plot_errors(axes, score, params, denoise, images, sigmas, rng):
    """Plots the error of denoising: measured, and as the Jacobian's trace predicts it."""
    traces = gw.vmap(gw.jacobian_trace(score, argnums=1), in_axes=(None, 0, None))
    levels = np.geomspace(2 * sigmas[0], sigmas[1] / 2, 8, dtype=np.float32)
    measured, predicted = [], []
    for sigma in levels:
        noisy = blur(images, sigma, rng)
        measured.append(np.mean((denoise(noisy, sigma) - images) ** 2))
        mean_slope = np.mean(traces(params, noisy, sigma)) / images.shape[1]
        predicted.append(sigma**2 * (1 + sigma**2 * mean_slope))
    axes.plot(levels, np.sqrt(predicted), color=INK, label="predicted by the Jacobian's trace")
    axes.plot(levels, np.sqrt(measured), "o", color=ACCENT, label="measured on unseen digits")
    axes.set(xlabel="size of the noise", ylabel="error of a pixel", title="Denoising", xscale="log")
    axes.set_xticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"])
    axes.xaxis.set_minor_formatter("")
    axes.legend(frameon=False)


def plot_digits(figure, rows):
    """Draws rows of images, each with its label."""
    grids = [to_grid(images) for _, images, _ in rows]
    axes = figure.subplots(len(rows), 1, height_ratios=[len(grid) for grid in grids])
    for ax, grid, (label, _, colours) in zip(axes, grids, rows, strict=True):
        ax.imshow(grid, **colours)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.set_ylabel(label, rotation=0, ha="right", va="center")


def to_grid(images):
    """Returns images of 8 by 8 pixels side by side, with white between them."""
    tiles = images.reshape(-1, COLUMNS, 8, 8)
    framed = np.pad(tiles, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    return framed.transpose(0, 2, 1, 3).reshape(-1, COLUMNS * 10)
