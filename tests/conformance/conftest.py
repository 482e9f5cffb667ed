"""Makes ``conformance.harness`` importable, and JAX precise, for the tests of this folder."""

import sys
from pathlib import Path

import jax

sys.path.insert(0, str(Path(__file__).parents[1]))

jax.config.update("jax_enable_x64", True)
# Lowerings must not lean on implicit promotion: the wire has none.
jax.config.update("jax_numpy_dtype_promotion", "strict")
