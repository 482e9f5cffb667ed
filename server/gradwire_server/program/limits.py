"""The bounds on a program. The supervisor reads them too: it must not import the client."""

from __future__ import annotations

from dataclasses import dataclass

MAX_ELEMENTS = 2**31 - 1
"""XLA aborts on more; the greatest length that the language has, too."""


@dataclass(frozen=True, slots=True)
class ProgramLimits:
    """Bounds on one program, each a field of the server's settings.

    Attributes:
        max_program_bytes: Serialised program, checked before it is parsed.
        max_program_items: Fields and list elements in it, counted before it is
            parsed.
        max_functions: Functions in its table.
        max_nodes: Nodes after every call is inlined, and nodes of all its functions.
        max_differentiated_nodes: Nodes after every call is inlined and every derivative
            taken. Each order counts as three times the nodes: about what it takes.
        max_nesting: Functions that use functions that use functions ...
        max_derivative_order: Orders of differentiation applied to one value.
        max_trip_count: Runs of the body of one loop, where the program says how many.
        max_loop_steps: Runs of the bodies of all loops together, of loops in loops in
            each run, where the program says how many.
        max_tensor_elements: Elements of one tensor, intermediates of
            derivatives included.
        max_tensor_bytes: Bytes of one tensor.
        max_constant_bytes: Bytes of all constants together.
        max_matrix_rows: Rows of a square matrix that is factorised or solved with;
            of another matrix the smaller of rows and columns.
        max_window_elements: Elements that the windows of one convolution or pool
            read, all together; those that a derivative maps over included.
    """

    max_program_bytes: int = 4 * 2**20
    max_program_items: int = 500_000
    max_functions: int = 4096
    max_nodes: int = 20_000
    max_differentiated_nodes: int = 30_000
    max_nesting: int = 32
    max_derivative_order: int = 6
    max_trip_count: int = 1_000_000
    max_loop_steps: int = 1_000_000_000
    max_tensor_elements: int = MAX_ELEMENTS
    max_tensor_bytes: int = 8 * 2**30
    max_constant_bytes: int = 2**20
    max_matrix_rows: int = 8192
    max_window_elements: int = 2**36
