"""Checks the rules that functions have for their own derivatives.

A rule may come after the function that it is for, and use it. So rules are
checked when every function is known, and counted by the order at which they
are used: the derivative of order k of a function with a rule is the rule's
derivative of order k − 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradwire.errors import InvalidProgramError
from gradwire.ir.infer import FunctionInfo
from gradwire.ir.program import Function
from gradwire.opset import OPS
from gradwire.opset.core import Signature
from gradwire.tensors import TensorType, is_inexact
from gradwire_server.program.bounds import FunctionSize
from gradwire_server.program.exceeded import exceeded
from gradwire_server.program.limits import ProgramLimits

Types = tuple[TensorType, ...]

_Size = tuple[int, int]
"""Nodes, and nesting, as `FunctionSize` has them."""


def check_custom_rules(functions: Sequence[Function], infos: Sequence[FunctionInfo]) -> None:
    """Checks that every rule takes and returns what it must.

    Raises:
        InvalidProgramError: one doesn't, is missing, or there are two kinds.
    """
    for index, function in enumerate(functions):
        if function.custom_jvp is not None and function.custom_vjp is not None:
            raise _error(index, "custom_vjp", "be absent where custom_jvp is set", "both")
        signature = infos[index].signature
        moving = _moving(signature.params)
        if function.custom_jvp is not None:
            results = signature.results + _moving(signature.results)
            rule = _find(infos, index, function.custom_jvp, "custom_jvp.rule")
            _check(index, "custom_jvp.rule", "take", signature.params + moving, rule.params)
            _check(index, "custom_jvp.rule", "return", results, rule.results)
        if function.custom_vjp is not None:
            forward, backward = (
                _find(infos, index, rule, f"custom_vjp.{name}")
                for name, rule in zip(("forward", "backward"), function.custom_vjp, strict=True)
            )
            split = len(signature.results)
            residuals = forward.results[split:]
            taken = residuals + _moving(signature.results)
            _check(index, "custom_vjp.forward", "take", signature.params, forward.params)
            _check(
                index,
                "custom_vjp.forward",
                "return first",
                signature.results,
                forward.results[:split],
            )
            _check(index, "custom_vjp.backward", "take", taken, backward.params)
            _check(index, "custom_vjp.backward", "return", moving, backward.results)


def _moving(types: Types) -> Types:
    """Returns the types of the tangents or cotangents of some values."""
    return tuple(t for t in types if is_inexact(t.dtype))


def _find(infos: Sequence[FunctionInfo], index: int, rule: int, field: str) -> Signature:
    if not 0 <= rule < len(infos):
        raise _error(index, field, f"be one of the {len(infos)} functions", rule)
    return infos[rule].signature


def _check(index: int, field: str, verb: str, wanted: Types, got: Types) -> None:
    if wanted != got:
        raise _error(
            index, field, f"be a function that must {verb} {_listed(wanted)}", _listed(got)
        )


def _listed(types: Types) -> str:
    shown = ", ".join(map(str, types[:8]))
    return f"({shown}{', ...' if len(types) > 8 else ''})"


def _error(index: int, field: str, rule: str, got: object) -> InvalidProgramError:
    where = f"functions[{index}].{field}"
    return InvalidProgramError(f"`{where}` must {rule}; got {got}", field=where, function=index)


class RuleBounds:
    """Counts nodes and nesting with rules inlined, by the order of differentiation."""

    def __init__(
        self,
        functions: Sequence[Function],
        infos: Sequence[FunctionInfo],
        sizes: Sequence[FunctionSize],
        limits: ProgramLimits,
    ) -> None:
        self._functions = functions
        self._infos = infos
        self._sizes = sizes
        self._limits = limits
        self._known: dict[tuple[int, int], _Size | None] = {}
        self._ruled = self._find_ruled()
        self._depth = 0

    def check(self, entry: int) -> None:
        """Checks that the rules that the entry uses are finite, and within the bounds.

        Raises:
            InvalidProgramError: a rule needs the derivative that it is for.
            LimitExceededError: too many nodes, too much nesting, or too high an order.
        """
        self._measure(entry, 0)

    def _find_ruled(self) -> set[int]:
        """Returns the functions that can use a rule, at any depth."""
        found: set[int] = set()
        for index, function in enumerate(self._functions):
            uses = (callee for node in function.nodes for callee in node.functions)
            if function.rules or not found.isdisjoint(uses):
                found.add(index)
        return found

    def _measure(self, index: int, order: int) -> _Size:
        """Returns the size of a function that is differentiated ``order`` times."""
        if index not in self._ruled:
            return self._sizes[index].num_nodes, self._sizes[index].nesting
        key = index, order
        if key not in self._known:
            self._bound("max_nesting", self._depth, index)
            self._known[key] = None
            self._depth += 1
            self._known[key] = self._add_up(index, order)
            self._depth -= 1
        known = self._known[key]
        if known is None:
            field = "custom_jvp" if self._functions[index].custom_vjp is None else "custom_vjp"
            raise _error(
                index,
                field,
                "not need the derivative that it is for",
                f"a rule that differentiates function {index} to the same order",
            )
        return known

    def _add_up(self, index: int, order: int) -> _Size:
        function, info = self._functions[index], self._infos[index]
        self._bound("max_derivative_order", order, index)
        # With a rule the nodes make the value alone.
        inner = 0 if function.rules else order
        nodes = nesting = 0
        for position, (node, call) in enumerate(zip(function.nodes, info.calls, strict=True)):
            op = OPS[node.op]
            nodes += 1
            for callee in node.functions:
                more, below = self._measure(callee, inner + op.orders_of(call))
                nodes += op.runs_of(call).unrolled * more
                nesting = max(nesting, below + 1)
            self._bound("max_nodes", nodes, index, position)
        for rule in function.rules if order else ():
            more, below = self._measure(rule, order - 1)
            nodes, nesting = nodes + more, max(nesting, below + 1)
        self._bound("max_nodes", nodes, index)
        self._bound("max_nesting", nesting, index)
        return nodes, nesting

    def _bound(self, limit: str, got: int, index: int, node: int | None = None) -> None:
        allowed = getattr(self._limits, limit)
        if got > allowed:
            raise exceeded(limit, allowed, got, function=index, node=node)
