"""Calls on the server: `remote`, which traces at every call, and `prepare`, once.

Nothing is remembered by a function's identity: each implicit call runs the
Python function again, and the plan is found by the program's content. So a
closure that changed, or an array changed in place, gives the new answer.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gradwire.errors import GradwireError, InvalidInputError
from gradwire.tensors import Array, Dtype
from gradwire.trace.builder import active_builder
from gradwire.trace.program import (
    TracedProgram,
    answer,
    batch_length,
    bind,
    leaf_array,
    name_line,
    trace_program,
)
from gradwire.transport.connection import Connection
from gradwire.transport.default_connection import current_connection
from gradwire.trees import Tree, argument_names, flatten, paths
from gradwire.v1 import service_pb2

MAX_CALL_SITES = 1024
"""The most functions whose scalar constants are watched for change."""


def trace_entry(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], **options: Any
) -> TracedProgram:
    """Traces a function as the entry of a program.

    Operators and ``vmap`` are traced differently where they are the whole
    program: they have a method ``trace_top_level`` for it.
    """
    trace: Callable[..., TracedProgram]
    trace = getattr(function, "trace_top_level", partial(trace_program, function))
    return trace(args, kwargs, **options)


@dataclass(frozen=True)
class _CallSite:
    """What is known of the programs of one call site.

    Attributes:
        lifted: The scalar constants that are inputs, because they changed.
        skeleton: The last program without the values of its scalar constants.
        scalars: Their values then.
    """

    lifted: frozenset[int] = frozenset()
    skeleton: Any = None
    scalars: tuple[Array, ...] = ()


_sites: OrderedDict[Any, _CallSite] = OrderedDict()
_sites_lock = threading.Lock()


def _call_site(function: Callable[..., Any]) -> Any:
    inner = function
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    return getattr(function, "__name__", ""), getattr(inner, "__code__", type(inner))


def _trace_lifting(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], **options: Any
) -> TracedProgram:
    """Traces a function; scalar constants that changed since its last call become inputs.

    This only decides which of two equivalent programs is sent. A learning rate
    that is closed over would otherwise compile a new program at each step.
    """
    key = _call_site(function)
    with _sites_lock:
        site = _sites.get(key, _CallSite())
    traced = trace_entry(function, args, kwargs, lifted=site.lifted, **options)
    skeleton = _skeleton(traced)
    lifted = site.lifted
    if skeleton == site.skeleton:
        lifted |= {
            use
            for use, (now, then) in enumerate(zip(traced.scalars, site.scalars, strict=True))
            if now.tobytes() != then.tobytes()
        }
    if lifted != site.lifted:
        traced = trace_entry(function, args, kwargs, lifted=lifted, **options)
        skeleton = _skeleton(traced)
    with _sites_lock:
        _sites[key] = _CallSite(lifted, skeleton, traced.scalars)
        _sites.move_to_end(key)
        while len(_sites) > MAX_CALL_SITES:
            _sites.popitem(last=False)
    return traced


def _skeleton(traced: TracedProgram) -> Any:
    """Returns what identifies a program up to its scalar constants."""
    functions = tuple(
        (
            tuple(f.params),
            tuple(
                (c.value.dtype, c.value.shape, b"" if c.value.ndim == 0 else c.value.tobytes())
                for c in f.constants
            ),
            tuple((n.op, n.inputs, n.functions, tuple(n.attrs.items())) for n in f.nodes),
        )
        for f in traced.program.functions
    )
    dtypes = tuple((s.dtype, s.shape) for s in traced.scalars)
    return functions, dtypes


class RemoteFunction:
    """A function that runs on the server. See ``remote``."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        connection: Connection | None,
        float_dtype: Dtype | None,
        timeout: float | None,
    ) -> None:
        self.__wrapped__ = function
        self.__name__ = getattr(function, "__name__", "function")
        self.__doc__ = getattr(function, "__doc__", None)
        self._connection = connection
        self._float_dtype = float_dtype
        self._timeout = timeout

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the function on the server; inside a traced function, runs it as it is."""
        if active_builder() is not None:
            return self.__wrapped__(*args, **kwargs)
        connection = self._connection or current_connection()
        traced = _trace_lifting(
            self.__wrapped__, args, kwargs, float_dtype=self._float_dtype or connection.float_dtype
        )
        leaves, _ = flatten((args, kwargs))
        return _run(connection, traced, leaves, self._timeout)


def remote(
    f: Callable[..., Any],
    *,
    connection: Connection | None = None,
    float_dtype: npt.DTypeLike | None = None,
    timeout: float | None = None,
) -> Callable[..., Any]:
    """Makes a function run on the server.

    Args:
        f: A function of trees of arrays, written in NumPy, or an operator such
            as ``gw.grad(g)``.
        connection: The server; the current connection by default.
        float_dtype: Gives all floating values this dtype.
        timeout: Seconds that one run may take.

    Returns:
        A function of the same arguments. Inside a function that is being
        traced it is ``f`` itself.
    """
    return RemoteFunction(
        f,
        connection=connection,
        float_dtype=None if float_dtype is None else np.dtype(float_dtype),
        timeout=timeout,
    )


class Prepared:
    """A compiled program, to be called with arguments. See ``prepare``.

    Attributes:
        plan: What the server answered: choices, memory, FLOPs.
    """

    def __init__(
        self,
        traced: TracedProgram,
        connection: Connection,
        example: Sequence[Any],
        float_dtype: Dtype | None,
        timeout: float | None,
    ) -> None:
        self._traced = traced
        self._float_dtype = float_dtype
        self._connection = connection
        self._timeout = timeout
        length = batch_length(traced, example)
        sizes = () if length is None else (length,)
        self.plan: service_pb2.Plan = _named(
            traced, lambda: connection.prepare(traced.data, batch_sizes=sizes)
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the program.

        Raises:
            InvalidInputError: an argument has another tree, dtype or shape than
                the example.
        """
        leaves, tree = flatten((args, kwargs))
        if tree != self._traced.arguments:
            raise InvalidInputError(
                "the arguments must form the same tree as those of `prepare`; got "
                f"{_describe(tree)} and {_describe(self._traced.arguments)}"
            )
        arrays = [leaf_array(leaf) for leaf in leaves]
        self._check(arrays, leaves, tree)
        return _run(self._connection, self._traced, arrays, self._timeout)

    def _check(self, arrays: Sequence[Array], leaves: Sequence[Any], tree: Tree) -> None:
        traced = self._traced
        for position, (array, wanted, axis) in enumerate(
            zip(arrays, traced.types, traced.axes, strict=True)
        ):
            shape = array.shape if axis is None else tuple(np.delete(array.shape, axis).tolist())
            weak = type(leaves[position]) in (int, float, complex)
            casting: Literal["same_kind", "no"]
            casting = "same_kind" if weak or self._float_dtype is not None else "no"
            if shape != wanted.shape or not np.can_cast(array.dtype, wanted.dtype, casting):
                name = argument_names(tree)[position]
                raise InvalidInputError(
                    f"`{name}` must be {wanted} as in `prepare`; "
                    f"got {array.dtype.name}{list(shape)}",
                    field=name,
                )


def prepare(
    f: Callable[..., Any],
    *example: Any,
    connection: Connection | None = None,
    float_dtype: npt.DTypeLike | None = None,
    timeout: float | None = None,
    **example_kwargs: Any,
) -> Prepared:
    """Traces and compiles a function now, to be called often.

    The Python function never runs again: what it captured is frozen (copied) as
    it is now.

    Args:
        f: A function of trees of arrays, or an operator such as ``gw.grad(g)``.
        *example: Arguments of the types it will get; under a top-level ``vmap``
            the length of the batch may differ later.
        connection: The server; the current connection by default.
        float_dtype: Gives all floating values this dtype.
        timeout: Seconds that one run may take.
        **example_kwargs: Keyword arguments likewise.

    Returns:
        A callable that takes arguments like the example.
    """
    connection = connection or current_connection()
    pinned = connection.float_dtype if float_dtype is None else np.dtype(float_dtype)
    traced = trace_entry(f, example, example_kwargs, float_dtype=pinned)
    leaves, _ = flatten((example, example_kwargs))
    return Prepared(traced, connection, leaves, pinned, timeout)


def _run(
    connection: Connection, traced: TracedProgram, leaves: Sequence[Any], timeout: float | None
) -> Any:
    if not any(isinstance(result, int) for result in traced.results):
        return answer(traced, (), ())
    inputs = bind(traced, leaves)
    reply = _named(traced, lambda: connection.compute(traced.data, inputs, timeout=timeout))
    return answer(traced, reply.outputs, reply.non_finite)


def _named(traced: TracedProgram, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except GradwireError as error:
        raise name_line(traced, error) from None


def _describe(tree: Tree) -> str:
    return "(" + ", ".join(paths(tree)) + ")"
