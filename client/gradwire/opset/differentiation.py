"""How the operands of a derivative divide, and in which directions it can be taken.

Needs NumPy only; the planner and the lowering use the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gradwire.errors import UnsupportedError
from gradwire.opset.core import AttrSpec, Call, Kind, Signature, fail, require
from gradwire.opset.rules import checked, complex_of
from gradwire.tensors import Dtype, TensorType, is_complex, is_inexact

FORWARD: Final = "forward"
REVERSE: Final = "reverse"
AUTO: Final = "auto"

COMMON_ATTRS: Mapping[str, AttrSpec] = {
    "num_captures": AttrSpec(Kind.INT, "how many leading operands are captured values", 0),
    "wrt": AttrSpec(
        Kind.INTS, "which arguments to differentiate with respect to, captures not counted", (0,)
    ),
    "num_aux": AttrSpec(Kind.INT, "how many last results are not differentiated", 0),
}
CHUNK_ATTR = AttrSpec(Kind.INT, "directions that are alive at once; 0 for all", 0)
HOLOMORPHIC_ATTR = AttrSpec(Kind.BOOL, "whether the function is complex differentiable", False)


def _mode_attr(doc: str) -> AttrSpec:
    return AttrSpec(Kind.WORD, doc, AUTO, choices=(AUTO, FORWARD, REVERSE))


MODE_ATTR = _mode_attr("the direction of the sweeps")
INNER_MODE_ATTR = _mode_attr("the direction of the inner sweeps; the outer ones are forward")
PARAMETER_MODE_ATTR = _mode_attr(
    "the direction for arguments without the batch; with auto it follows `mode`"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the operands and results of a derivative node divide.

    Attributes:
        params: The types of all parameters of the function, captures first.
        positions: Where the differentiated parameters stand among ``params``.
        leaves: Their types.
        values: The types of the differentiated results.
        aux: The types of the other results.
    """

    params: tuple[TensorType, ...]
    positions: tuple[int, ...]
    leaves: tuple[TensorType, ...]
    values: tuple[TensorType, ...]
    aux: tuple[TensorType, ...]

    @property
    def num_inputs(self) -> int:
        """The number of elements of all leaves."""
        return sum(leaf.size for leaf in self.leaves)

    @property
    def num_outputs(self) -> int:
        """The number of elements of all values."""
        return sum(value.size for value in self.values)


def divide(signature: Signature, attrs: Mapping[str, Any]) -> Layout:
    """Returns the layout of a node, whose attributes have been checked."""
    positions = tuple(attrs["num_captures"] + i for i in attrs["wrt"])
    split = len(signature.results) - attrs["num_aux"]
    return Layout(
        signature.params,
        positions,
        tuple(signature.params[p] for p in positions),
        signature.results[:split],
        signature.results[split:],
    )


def checked_layout(call: Call) -> Layout:
    """Checks what all derivative operators have in common.

    Raises:
        InvalidProgramError: an operand isn't of its parameter's type, ``wrt``
            names no or a wrong argument, or what is to be differentiated is
            neither floating nor complex.
    """
    (signature,) = call.functions
    attrs = call.attrs
    params, results = signature.params, signature.results
    captures, num_aux, wrt = attrs["num_captures"], attrs["num_aux"], attrs["wrt"]
    require(
        0 <= captures <= len(params),
        lambda: f"`num_captures` must be from 0 to {len(params)}; got {captures}",
    )
    num_arguments = len(params) - captures
    require(
        wrt and len(set(wrt)) == len(wrt) and all(0 <= i < num_arguments for i in wrt),
        lambda: (
            f"`wrt` must hold distinct indices of the {num_arguments} arguments, "
            f"at least one; got {wrt}"
        ),
    )
    require(
        0 <= num_aux < len(results),
        lambda: (
            f"`num_aux` must leave one of the function's {len(results)} results to "
            f"differentiate; got {num_aux}"
        ),
    )
    check_operands(call.inputs, params, 0)
    layout = divide(signature, attrs)
    for index, leaf in zip(wrt, layout.leaves, strict=True):
        require(
            is_inexact(leaf.dtype),
            lambda i=index, t=leaf: (  # type: ignore[misc]
                f"`wrt` must name floating or complex arguments; argument {i} is {t}"
            ),
        )
    for position, value in enumerate(layout.values):
        require(
            is_inexact(value.dtype),
            lambda p=position, t=value: (  # type: ignore[misc]
                f"what is differentiated must be floating or complex; result {p} is {t}: "
                f"pass it as aux"
            ),
        )
    return layout


def check_operands(
    operands: Sequence[TensorType], wanted: Sequence[TensorType], first: int
) -> None:
    """Raises unless the operands from ``first`` on begin with the types wanted."""
    got = operands[first : first + len(wanted)]
    require(
        len(got) == len(wanted),
        lambda: (
            f"`inputs` must hold {first + len(wanted)} ids or more for this function; "
            f"got {len(operands)}"
        ),
    )
    for position, (operand, want) in enumerate(zip(got, wanted, strict=True), first):
        require(
            operand == want,
            lambda p=position, o=operand, w=want: (  # type: ignore[misc]
                f"`inputs[{p}]` must be {w}; got {o}"
            ),
        )


def check_extras(call: Call, layout: Layout, wanted: Sequence[TensorType], what: str) -> None:
    """Raises unless exactly the wanted operands follow those of the function."""
    first = len(layout.params)
    require(
        len(call.inputs) == first + len(wanted),
        lambda: (
            f"`inputs` must hold {first} operands and {len(wanted)} {what}; got {len(call.inputs)}"
        ),
    )
    check_operands(call.inputs, wanted, first)


def check_real(layout: Layout, what: str, *, values: bool = True) -> None:
    """Raises ``UnsupportedError`` for complex leaves, and for complex values too if asked."""
    for tensor_type in layout.leaves + (layout.values if values else ()):
        if is_complex(tensor_type.dtype):
            raise UnsupportedError(
                f"{what} is offered for real numbers only; got {tensor_type}: "
                f"split real and imaginary parts"
            )


def check_chunk(attrs: Mapping[str, Any]) -> None:
    """Raises unless ``chunk`` is 0 or more."""
    require(attrs["chunk"] >= 0, lambda: f"`chunk` must be 0 or more; got {attrs['chunk']}")


def chunked(count: int, chunk: int) -> int:
    """Returns how many of ``count`` directions are alive at once."""
    return max(1, min(chunk or count, count))


def jacobian_dtype(value: TensorType, leaf: TensorType) -> Dtype:
    """Returns the dtype of ∂value/∂leaf: that of the value, complex if the leaf is.

    So it doesn't depend on the mode.
    """
    if is_complex(leaf.dtype) and not is_complex(value.dtype):
        return complex_of(value.dtype)
    return value.dtype


def jacobian_types(layout: Layout) -> list[TensorType]:
    """Returns the types ``(*out, *in)`` for each value and each leaf."""
    return [
        checked(jacobian_dtype(value, leaf), value.shape + leaf.shape)
        for value in layout.values
        for leaf in layout.leaves
    ]


def stacks_parts(leaves: Sequence[TensorType], value: TensorType) -> bool:
    """Says whether reverse sweeps take a value's real and imaginary parts apart.

    They do for a complex function of real numbers: one sweep yields only the
    real part of a complex combination of the Jacobian's rows.
    """
    return is_complex(value.dtype) and not any(is_complex(leaf.dtype) for leaf in leaves)


def num_reverse(leaves: Sequence[TensorType], values: Sequence[TensorType]) -> int:
    """Returns how many reverse sweeps the Jacobian takes."""
    return sum(value.size * (2 if stacks_parts(leaves, value) else 1) for value in values)


def num_sweeps(leaves: Sequence[TensorType], values: Sequence[TensorType], mode: str) -> int:
    """Returns how many sweeps in a direction the Jacobian takes."""
    return sum(leaf.size for leaf in leaves) if mode == FORWARD else num_reverse(leaves, values)


def offered_modes(
    leaves: Sequence[TensorType], values: Sequence[TensorType], attrs: Mapping[str, Any]
) -> tuple[str, ...]:
    """Returns the directions among which a Jacobian's sweeps may be chosen, at least one.

    A forward sweep needs real inputs, a reverse one real outputs or real inputs,
    and a holomorphic function allows both.

    Args:
        leaves: The types of the inputs.
        values: The types of the outputs.
        attrs: ``mode`` and ``holomorphic``.

    Raises:
        InvalidProgramError: complex inputs and outputs without ``holomorphic``,
            or real ones with it.
        UnsupportedError: the mode asked for isn't possible.
    """
    complex_in = [is_complex(leaf.dtype) for leaf in leaves]
    complex_out = [is_complex(value.dtype) for value in values]
    if attrs["holomorphic"]:
        check_holomorphic(leaves, values)
        can_forward = True
    else:
        if any(complex_in) and any(complex_out):
            raise fail(
                "the Jacobian of a complex function of complex numbers needs `holomorphic` "
                "to be true; got false"
            )
        can_forward = not any(complex_in)
    mode = attrs["mode"]
    if mode == FORWARD and not can_forward:
        raise UnsupportedError(
            "`mode` must be reverse or auto for a real function of complex numbers; got forward"
        )
    if mode != AUTO:
        return (str(mode),)
    return (FORWARD, REVERSE) if can_forward else (REVERSE,)


def layout_modes(layout: Layout, attrs: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the directions in which all values can be differentiated by all leaves."""
    return offered_modes(layout.leaves, layout.values, attrs)


def least_copies(counts: Sequence[int], chunk: int) -> int:
    """Returns the least number of sweeps alive at once, whatever direction is chosen."""
    return min(chunked(count, chunk) for count in counts)


def check_holomorphic(leaves: Sequence[TensorType], values: Sequence[TensorType]) -> None:
    """Raises unless all inputs and outputs of a holomorphic function are complex."""
    for tensor_type in (*leaves, *values):
        require(
            is_complex(tensor_type.dtype),
            lambda t=tensor_type: (  # type: ignore[misc]
                f"with `holomorphic`, inputs and outputs must be complex; got {t}"
            ),
        )


def check_scalar(layout: Layout) -> TensorType:
    """Returns the type of the function's one value; raises unless it is a scalar."""
    require(
        len(layout.values) == 1 and layout.values[0].shape == (),
        lambda: (
            f"the function must have one scalar result beside aux; "
            f"got {', '.join(map(str, layout.values))}"
        ),
    )
    return layout.values[0]
