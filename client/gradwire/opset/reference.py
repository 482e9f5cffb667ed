"""Prints the reference page of the opset: ``python -m gradwire.opset.reference``.

The page is a function of the table alone, so that the two can't differ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import numpy as np

from gradwire.opset import FAMILIES, OPSET_VERSION
from gradwire.opset.core import REQUIRED, UNBOUNDED, AttrSpec, Derivatives, Kind, OpDef
from gradwire.opset.rules import DTYPE_CLASSES
from gradwire.tensors import TO_WIRE, Dtype

_TITLES = {
    "elementwise": "Elementwise",
    "reduction": "Reductions",
    "creation": "Creation",
    "shape": "Shape",
    "index": "Indexing, sorting, searching",
    "linalg": "Linear algebra",
    "fft": "Fourier transforms",
    "special": "Special functions",
    "nn": "Neural networks",
    "random": "Random numbers",
    "control": "Control flow",
    "operator": "Operators on functions",
}

_KINDS = {
    Kind.INT: "integer",
    Kind.FLOAT: "number",
    Kind.COMPLEX: "complex number",
    Kind.BOOL: "bool",
    Kind.WORD: "word",
    Kind.DTYPE: "dtype",
    Kind.INTS: "integers",
    Kind.FLOATS: "numbers",
    Kind.WORDS: "words",
    Kind.INDEX: "subscript",
    Kind.TYPE: "type",
}

_DERIVATIVES = {
    Derivatives.ANY: "of every order, almost everywhere",
    Derivatives.FIRST: "first only",
    Derivatives.ZERO: "zero: the op is constant between its jumps, or its result is discrete",
    Derivatives.NONE: "refused",
}


def reference_page() -> str:
    """Returns docs/opset.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    count = sum(map(len, FAMILIES.values()))
    yield f"# Opset {OPSET_VERSION}"
    yield ""
    yield (
        f"The {count} ops that a program may use. Generated from the table that the client "
        "infers types with and the server checks programs with: `make docs`. Don't edit it."
    )
    yield ""
    yield (
        "There is no implicit promotion: operands that are added, compared or joined have one "
        "dtype, and `astype` is an op. Shapes broadcast as in NumPy where a line says so and in "
        "all elementwise ops. Every attribute without a default must be there."
    )
    yield ""
    yield "## How to read it"
    yield ""
    yield "- **Operands**: `x...` stands for one or more of them, `[x]` may be left out."
    yield "- **Dtypes**: the class that the operands are in; positions are of any integer dtype."
    yield "- **Derivatives**:"
    yield from (f"  - *{kind}*: {meaning}." for kind, meaning in _DERIVATIVES.items())
    yield (
        "- **Batch**: *proved* if the table can show, for suitable axes, that the samples of a "
        "batch don't mix; `batched_jacobian` relies on it."
    )
    yield (
        "- **∞** after a name: finite operands can give a value or a derivative that isn't "
        "finite: at a pole, a branch point, a singular matrix, or where there is no solution."
    )
    yield (
        "- **Domain** of a special function: finite operands for which it is computed; outside of "
        "it the result is NaN, or infinite where the text says so."
    )
    yield (
        "- **Accuracy** of a special function: the errors in float64, of the value and of "
        "derivatives to order 3, relative to themselves or to what as great a relative change of "
        "the operand does to them, whichever is greater. In float32 results are good to one "
        "rounding wherever the line says no worse than 1e-08."
    )
    yield ""
    yield from _table(("Class", "Dtypes"), ((f"*{n}*", d) for n, d in _dtype_rows()))
    for family, ops in FAMILIES.items():
        yield ""
        yield f"## {_TITLES.get(family, family)}"
        yield ""
        yield from _table(
            ("Op", "Operands", "Dtypes", "Attributes", "Derivatives", "Batch", "What it gives"),
            (_op_row(op) for op in sorted(ops, key=lambda op: op.name)),
        )


def _dtype_rows() -> Iterator[tuple[str, str]]:
    for name, contains in DTYPE_CLASSES.items():
        members = [dtype for dtype in TO_WIRE if contains(dtype)]
        yield name, "every dtype" if len(members) == len(TO_WIRE) else _names(members)


def _names(dtypes: Iterable[Dtype]) -> str:
    return ", ".join(dtype.name for dtype in dtypes)


def _op_row(op: OpDef) -> tuple[str, ...]:
    provable = op.batch or op.operator_batch
    return (
        f"`{op.name}`" + (" ∞" if op.may_be_non_finite else ""),
        _operands(op),
        f"*{op.dtypes}*" if op.dtypes else "–",
        "<br>".join(_attribute(name, spec) for name, spec in op.attrs.items()) or "–",
        "of its functions" if op.num_functions else str(op.derivatives),
        "proved" if provable else "–",
        _text(op.doc) + _accuracy(op),
    )


def _accuracy(op: OpDef) -> str:
    """Returns the domain and the accuracy of a special function, as sentences."""
    domain = f" Domain: {_text(op.domain)}." if op.domain else ""
    if op.accuracy is None:
        return domain
    value, derivatives = op.accuracy
    return f"{domain} Accuracy: {value:.0e}, derivatives {derivatives:.0e}."


def _operands(op: OpDef) -> str:
    if op.num_functions:
        least, most = op.function_range
        count = str(most) if least == most else f"{least} to {most}"
        functions = "a function" if most == 1 else f"{count} functions"
        return f"{functions}; `{op.operands or 'captured values..., arguments...'}`"
    if op.operands:
        return f"`{op.operands}`"
    least, most = op.arity
    return str(least) if least == most else f"{least} to {'any' if most == UNBOUNDED else most}"


def _attribute(name: str, spec: AttrSpec) -> str:
    allowed = " or ".join(f"`{word}`" for word in spec.choices) or _KINDS[spec.kind]
    default = "" if spec.default is REQUIRED else f" = `{_value(spec.default)}`"
    return f"`{name}`{default} ({allowed}): {_text(spec.doc)}"


def _text(doc: str) -> str:
    """Returns a line of the table as Markdown: its asterisks are asterisks."""
    return doc.replace("*", "\\*")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.name if isinstance(value, np.dtype) else str(value)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


if __name__ == "__main__":
    sys.stdout.write(reference_page())
