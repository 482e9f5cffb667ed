"""Rewrites programs so that their derivatives are right where a formula's are not.

Between the checks and the lowering; it must not import JAX. A program's values stay the same.
"""

from gradwire_server.compiler.rewriting.program import rewrite_program

__all__ = ["rewrite_program"]
