"""The value that stands for an array while a function is traced.

It looks like a `numpy.ndarray` and computes nothing. What its operators and
NumPy's functions mean is in `numpy_api`, which registers itself here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Self

import numpy as np

from gradwire.errors import TraceError
from gradwire.tensors import Dtype
from gradwire.trace.builder import Ref, active_builder
from gradwire.trace.lines import caller_line
from gradwire.trace.remedies import remedy_for_call, remedy_for_conversion

UFUNCS: dict[np.ufunc, Callable[..., Any]] = {}
"""What a NumPy ufunc does with traced operands."""

FOREIGN_UFUNCS: list[Callable[[np.ufunc], Callable[..., Any] | None]] = []
"""Called in turn to find what a ufunc that isn't NumPy's does with traced operands."""

UFUNC_METHODS: dict[tuple[np.ufunc, str], Callable[..., Any]] = {}
"""What ``ufunc.reduce`` and the other methods do with traced operands."""

FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {}
"""What a NumPy function does with traced operands."""

METHODS: dict[str, Callable[..., Any]] = {}
"""What a method or property of an array does, where no NumPy function serves."""


def refusal(message: str) -> TraceError:
    """Makes the error for something that can't be traced, with the caller's line.

    Args:
        message: What can't be, and what to write instead. In a function of SciPy,
            that stands for what it does inside.
    """
    return TraceError(f"{remedy_for_call() or message} (at {caller_line()})")


def refuse(message: str) -> NoReturn:
    """Raises what ``refusal`` makes."""
    raise refusal(message)


def _handle(handler: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
    """Calls a handler; an option that it doesn't have is a ``TraceError``."""
    try:
        return handler(*args, **kwargs)
    except TypeError as error:
        # Without a deeper frame the call itself failed: NumPy has the option.
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise
        reason = str(error).split("() ", 1)[-1]
        refuse(f"{name} can't be traced with these options ({reason}); leave them out")


_Binary = Callable[[Any, Any], Any]


def _operators(ufunc: np.ufunc) -> tuple[_Binary, _Binary, _Binary]:
    """Makes the methods for ``x op y``, ``y op x`` and ``x op= y``."""
    return (
        lambda self, other: ufunc(self, other),
        lambda self, other: ufunc(other, self),
        lambda self, other: self._update(ufunc, other),
    )


def _sign_operator(ufunc: np.ufunc) -> Callable[[Any], Any]:
    return lambda self: ufunc(self)


class Traced:
    """An array whose values are known only when the program runs.

    Attributes:
        weak: It stands for a Python scalar, which takes the dtype of the
            other operand.
    """

    __slots__ = ("_is_param", "_is_shared", "_ref", "weak")
    __array_priority__ = 1000.0

    def __init__(self, ref: Ref, *, weak: bool = False, is_param: bool = False) -> None:
        self._ref = ref
        self.weak = weak
        self._is_param = is_param
        self._is_shared = False

    @property
    def ref(self) -> Ref:
        """The value of the program that this is now."""
        return self._ref

    @property
    def dtype(self) -> Dtype:
        """The dtype."""
        return self._ref.type.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._ref.type.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._ref.type.size

    @property
    def nbytes(self) -> int:
        """The number of bytes of all elements."""
        return self._ref.type.nbytes

    @property
    def itemsize(self) -> int:
        """The number of bytes of one element."""
        return self.dtype.itemsize

    def share(self) -> None:
        """Notes that another value shares this one's memory in NumPy."""
        self._is_shared = True

    def __repr__(self) -> str:
        return f"Traced({self._ref.type})"

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[row] for row in range(self.shape[0]))

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            return METHODS[name](self)
        if hasattr(np.ndarray, name) and not name.startswith("__"):
            refuse(f"`.{name}` of an array can't be traced")
        raise AttributeError(f"traced array has no attribute {name!r}")

    def __getitem__(self, key: Any) -> Any:
        return METHODS["__getitem__"](self)(key)

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        refuse(
            "a traced array can't be changed with x[...] = y; "
            "write x = gw.ops.index_set(x, np.s_[...], y)"
        )

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if kwargs.get("out") is not None:
            refuse(
                f"np.{ufunc.__name__}(..., out=...) can't be traced, and neither can a += x where "
                "a is no traced array; write a = a + x"
            )
        if kwargs.get("where", True) is not True:
            refuse(f"np.{ufunc.__name__}(..., where=...) can't be traced; use np.where")
        kwargs = {k: v for k, v in kwargs.items() if k not in ("out", "where")}
        handler = UFUNCS.get(ufunc) if method == "__call__" else UFUNC_METHODS.get((ufunc, method))
        if handler is None and method == "__call__":
            handler = next(filter(None, (find(ufunc) for find in FOREIGN_UFUNCS)), None)
        if handler is None:
            name = ufunc.__name__ + ("" if method == "__call__" else f".{method}")
            refuse(f"the ufunc {name} has no op in gradwire; the ops are listed in docs/opset.md")
        return _handle(handler, f"np.{ufunc.__name__}", inputs, kwargs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        handler = FUNCTIONS.get(function)
        name = f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)
        if handler is None:
            refuse(f"{name} has no op in gradwire; the ops are listed in docs/opset.md")
        return _handle(handler, name, args, kwargs)

    def __copy__(self) -> Traced:
        return Traced(self._ref, weak=self.weak)

    def __deepcopy__(self, memo: Any) -> Traced:
        return self.__copy__()

    def __format__(self, spec: str) -> str:
        if spec:
            refuse("a traced array has no values to print yet; return it and print the result")
        return repr(self)

    def __round__(self, ndigits: int | None = None) -> Any:
        if ndigits is None:
            refuse("round(x) needs a value, which a traced array doesn't have; write np.rint(x)")
        return METHODS["round"](self)(ndigits)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return METHODS["__array_namespace__"](self)

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse(remedy_for_conversion(self.dtype))

    def __bool__(self) -> bool:
        raise refusal(
            "`if`, `and`, `or`, `not` and `while` need a value, which a traced array doesn't have "
            "yet; write np.where(condition, a, b), np.logical_and(a, b), gw.cond or gw.while_loop"
        )

    def __float__(self) -> float:
        raise refusal(
            "float(x) and functions such as math.exp(x) need a value, which a traced array doesn't "
            "have yet; write x.astype(float), np.exp(x)"
        )

    def __int__(self) -> int:
        raise refusal(
            "int(x) needs a value, which a traced array doesn't have yet; write x.astype(int), "
            "or close over the number instead of passing it as an argument"
        )

    def __complex__(self) -> complex:
        raise refusal("complex(x) needs a value; write x.astype(complex)")

    def __index__(self) -> int:
        raise refusal(
            "range(x), a slice bound, a shape or the subscript of a list needs an integer, which a "
            "traced array isn't yet; close over the number instead of passing it as an argument, "
            "or write gw.ops.take(np.stack(list), x, axis=0)"
        )

    def __contains__(self, item: Any) -> bool:
        raise refusal("`y in x` needs values; write np.any(x == y)")

    def _update(self, ufunc: np.ufunc, other: Any) -> Self:
        """Does ``self op= other``: this very value changes, and its aliases with it."""
        result = ufunc(self, other)
        if self.weak or (not self.shape and not self._is_param):
            return result  # type: ignore[no-any-return]  # NumPy's scalars don't change either
        return self.assign(result)

    def assign(self, result: Any) -> Self:
        """Gives this very value, and its aliases with it, other elements.

        Raises:
            TraceError: something else would have to change too, or shape or
                kind of dtype differ.
        """
        if self._is_param or self._is_shared:
            what = "an argument" if self._is_param else "an array that has views, or is one"
            refuse(
                f"{what} can't be changed in place while it is traced; "
                "write x = x + y instead of x += y"
            )
        if self._ref.builder is not active_builder():
            refuse("an array of an outer function can't be changed in place; write y = x + ...")
        if result.shape != self.shape or not np.can_cast(result.dtype, self.dtype, "same_kind"):
            refuse(
                f"an in-place operation must keep shape and kind of dtype; "
                f"got {result.ref.type} for {self._ref.type}"
            )
        self._ref = result.astype(self.dtype).ref
        return self

    __add__, __radd__, __iadd__ = _operators(np.add)
    __sub__, __rsub__, __isub__ = _operators(np.subtract)
    __mul__, __rmul__, __imul__ = _operators(np.multiply)
    __truediv__, __rtruediv__, __itruediv__ = _operators(np.true_divide)
    __floordiv__, __rfloordiv__, __ifloordiv__ = _operators(np.floor_divide)
    __mod__, __rmod__, __imod__ = _operators(np.remainder)
    __pow__, __rpow__, __ipow__ = _operators(np.power)
    __matmul__, __rmatmul__, __imatmul__ = _operators(np.matmul)
    __and__, __rand__, __iand__ = _operators(np.bitwise_and)
    __or__, __ror__, __ior__ = _operators(np.bitwise_or)
    __xor__, __rxor__, __ixor__ = _operators(np.bitwise_xor)
    __lshift__, __rlshift__, __ilshift__ = _operators(np.left_shift)
    __rshift__, __rrshift__, __irshift__ = _operators(np.right_shift)
    __divmod__, __rdivmod__ = _operators(np.divmod)[:2]
    __eq__ = _operators(np.equal)[0]
    __ne__ = _operators(np.not_equal)[0]
    __lt__ = _operators(np.less)[0]
    __le__ = _operators(np.less_equal)[0]
    __gt__ = _operators(np.greater)[0]
    __ge__ = _operators(np.greater_equal)[0]
    __neg__ = _sign_operator(np.negative)
    __pos__ = _sign_operator(np.positive)
    __abs__ = _sign_operator(np.absolute)
    __invert__ = _sign_operator(np.invert)
    __hash__ = None  # type: ignore[assignment]  # == is elementwise
