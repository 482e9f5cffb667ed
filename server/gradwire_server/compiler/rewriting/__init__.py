"""Programs written anew so that their derivatives are right where a formula's are not.

Between the checks and the lowering; knows no JAX. What a program computes stays the same.
"""

from gradwire_server.compiler.rewriting.program import rewrite_program

__all__ = ["rewrite_program"]
