"""How tests compile programs that run once: in haste, without optimisation."""

from __future__ import annotations

from importlib import metadata

UNOPTIMISED = {"xla_backend_optimization_level": 0}
"""Options of ``jax.jit`` that save a third of XLA's work. Every XLA knows them."""

_MORE = {"xla_cpu_use_fusion_emitters": "false", "xla_cpu_parallel_codegen_split_count": 1}
"""The second saves a tenth: a small program isn't worth the threads, and all cores are busy."""


def quick_flags() -> str:
    """Returns flags for the whole process that save two thirds of it, on a CPU.

    None where this jaxlib wasn't tried with them: XLA aborts on one that it doesn't know.
    """
    try:
        known = metadata.version("jaxlib").startswith("0.10.")
    except metadata.PackageNotFoundError:  # in an environment of the thin client
        known = False
    options = {**UNOPTIMISED, **_MORE} if known else {}
    return " ".join(f"--{name}={value}" for name, value in options.items())
