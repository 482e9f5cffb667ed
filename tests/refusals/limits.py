"""Every bound on a program, with a program at it and one that is over by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradwire.ir import Program, encode_program
from gradwire_server.program.limits import ProgramLimits
from programs import chain, doubling, function, nested, node, program, unary, vector
from refusals.loops import LOOPS, swept, tree

TIGHT = ProgramLimits(
    max_program_bytes=2**15,
    max_program_items=1000,
    max_functions=30,
    max_nodes=100,
    max_differentiated_nodes=200,
    max_nesting=4,
    max_derivative_order=3,
    max_trip_count=1000,
    max_loop_steps=100_000,
    max_tensor_elements=2**21,
    max_tensor_bytes=2**23,
    max_constant_bytes=1024,
    max_matrix_rows=32,
    max_window_elements=2**16,
)
"""Bounds so small that what is at them still compiles at once."""


@dataclass(frozen=True)
class Boundary:
    """A program at a bound of ``TIGHT``, and one that is over: by what ``got`` says."""

    name: str
    limit: str
    at: bytes
    over: bytes
    got: int


def _boundary(name: str, limit: str, at: Program, over: Program, got: int) -> Boundary:
    return Boundary(name, limit, encode_program(at), encode_program(over), got)


def _of_bytes(length: int) -> bytes:
    """A program that is so long because of a name."""
    short = program(function([vector()], results=[0], name="f" * 20_000))
    rest = length - len(encode_program(short))
    return encode_program(program(function([vector()], results=[0], name="f" * (20_000 + rest))))


def _of_items(items: int) -> Program:
    """Nine items for what any program has, the rest are results; and more bytes than items."""
    return program(function([vector()], results=[0] * (items - 9), name="f" * 1200))


def _of_functions(count: int) -> Program:
    """Functions that the entry does not use, beside it."""
    return program(*[function([vector()], results=[0])] * count)


def _of_nodes(extra: int) -> Program:
    """Doubled functions of 22 nodes in all, a call of them, and more."""
    inner = doubling(3).functions
    call = node("call", [0], 1, functions=[len(inner) - 1])
    more = [node("sin", [i + 1], i + 2) for i in range(extra)]
    return program(*inner, function([vector()], call, *more, results=[1 + extra]))


def _jacobian(width: int) -> Program:
    """Sixteen directions through a tensor of ``width`` elements, inside a function."""
    params = [vector(16, dtype="float32"), vector(width, dtype="float32")]
    inner = function(params, node("sin", [0], 2), node("cos", [1], 3), results=[2])
    jacobian = node("jacobian", [0, 1], 2, 3, functions=[0], mode="forward")
    return program(inner, function(params, jacobian, results=[3]))


def _vmap(rows: int) -> Program:
    """A function that makes a tensor of 2**10 elements on its way, for so many rows."""
    row, column = vector(2**8, dtype="int8"), vector(4, 1, dtype="int8")
    inner = function([row, column], node("add", [0, 1], 2), node("negative", [0], 3), results=[3])
    vmap = node("vmap", [0, 1], 2, functions=[0], mapped=(1, 0))
    return program(inner, function([vector(rows, 2**8, dtype="int8"), column], vmap, results=[2]))


def _constants(*sizes: int) -> Program:
    values = [np.zeros(size) for size in sizes]
    return program(function([vector()], results=[0], constants=values))


def _factorised(op: str, rows: int, columns: int, **attrs: Any) -> Program:
    types = [vector(rows, columns)]
    if op == "linalg.solve_sylvester":
        types = [vector(2, 2), vector(columns, columns), vector(2, columns)]
    elif op in ("linalg.solve", "linalg.lstsq"):
        types.append(vector(rows, 2))
    names = list(range(len(types)))
    count = {"linalg.svd": 3, "linalg.qr": 2}.get(op, 1)
    outputs = [len(types) + i for i in range(count)]
    return program(function(types, node(op, names, *outputs, **attrs), results=outputs))


def _unknowns(count: int) -> Program:
    """A root of so many unknowns, by dense Jacobians."""
    residual = chain("sin", 1, vector(count))
    attrs = {"tolerance": 1e-6, "max_iterations": 4, "captures": ()}
    root = node("root", [0], 1, functions=[0], **attrs)
    return program(residual, function([vector(count)], root, results=[1]))


def _pool(elements: int) -> Program:
    """Windows of 8 in each of two axes."""
    pool = node("nn.avg_pool", [0], 1, window=(8, 8), strides=(1, 1), padding=(0, 0, 0, 0))
    return program(function([vector(15, elements // 512 + 7)], pool, results=[1]))


def _kernels(samples: int) -> Program:
    """Eight results of a kernel of 16 for each sample."""
    attrs = {"strides": (1,), "padding": (0, 0), "dilation": (1,)}
    conv = node("nn.conv", [0, 1], 2, **attrs)
    return program(function([vector(samples, 1, 23), vector(1, 1, 16)], conv, results=[2]))


def _mapped_pool(rows: int) -> Program:
    """Sixteen windows of 16 in each row."""
    pool = node("nn.max_pool", [0], 1, window=(16,), strides=(1,), padding=(0, 0))
    inner = function([vector(31)], pool, results=[1])
    vmap = node("vmap", [0], 1, functions=[0], mapped=(1,))
    return program(inner, function([vector(rows, 31)], vmap, results=[1]))


def _differentiated(operator: str, base: int, before: int) -> Program:
    """Some nodes, and then a derivative of ``base`` nodes."""
    nodes = [node("sin", [i], i + 1) for i in range(before)]
    outer = node(operator, [before], before + 1, before + 2, functions=[0])
    entry = function([vector()], *nodes, outer, results=[before + 2])
    return program(chain("sin", base, vector()), entry)


def _loops(outer: int) -> Program:
    """So many times a thousand steps."""
    params = [vector(dtype="int64"), vector()]
    body = function(params, node("tanh", [1], 2), results=[2])
    loop = node("fori_loop", [1], 2, functions=[0], lower=0, upper=1000)
    inner = function(params, loop, results=[2])
    last = node("fori_loop", [0], 1, functions=[1], lower=0, upper=outer)
    return program(body, inner, function([vector()], last, results=[1]))


def _parameter(*shape: int, dtype: str = "float64") -> Program:
    return unary("negative", type_=vector(*shape, dtype=dtype))


def _broadcast(rows: int) -> Program:
    """A node whose result is larger than its operands."""
    params = [vector(rows, 1, dtype="int8"), vector(1, 2**10, dtype="int8")]
    return program(function(params, node("add", [0, 1], 2), results=[2]))


BOUNDARIES = [
    Boundary("bytes", "max_program_bytes", _of_bytes(2**15), _of_bytes(2**15 + 1), 2**15 + 1),
    _boundary("items", "max_program_items", _of_items(1000), _of_items(1001), 1001),
    _boundary(
        "nodes",
        "max_nodes",
        program(chain("sin", 100, vector())),
        program(chain("sin", 101, vector())),
        101,
    ),
    _boundary(
        "nodes_of_functions",
        "max_nodes",
        program(chain("sin", 51, vector()), chain("sin", 49, vector())),
        program(chain("sin", 51, vector()), chain("sin", 50, vector())),
        101,
    ),
    _boundary("functions", "max_functions", _of_functions(30), _of_functions(31), 31),
    _boundary("nodes_of_calls", "max_nodes", _of_nodes(77), _of_nodes(78), 101),
    *(
        _boundary(
            f"nodes_of_{operator}",
            "max_differentiated_nodes",
            _differentiated(operator, base, 1),
            _differentiated(operator, base, 2),
            201,
        )
        for operator, base in (("grad", 66), ("hessian", 22))
    ),
    _boundary("loops_in_loops", "max_loop_steps", _loops(100), _loops(101), 101_000),
    _boundary("nesting", "max_nesting", nested("call", 4), nested("call", 5), 5),
    _boundary("order", "max_derivative_order", nested("grad", 3, 2), nested("grad", 4, 2), 4),
    *(
        _boundary(f"trips_of_{name}", "max_trip_count", make(1000), make(1001), 1001)
        for name, make in LOOPS.items()
    ),
    _boundary("nodes_of_a_tree", "max_nodes", tree(3), tree(4), 101),
    _boundary(
        "elements_kept_by_a_reverse_sweep",
        "max_tensor_elements",
        swept(2097),
        swept(2098),
        2_098_000,
    ),
    _boundary(
        "elements",
        "max_tensor_elements",
        _parameter(2**21, dtype="int8"),
        _parameter(2**21 + 1, dtype="int8"),
        2**21 + 1,
    ),
    _boundary(
        "elements_of_a_result",
        "max_tensor_elements",
        _broadcast(2**11),
        _broadcast(2**11 + 1),
        2**21 + 2**10,
    ),
    _boundary(
        "elements_within_a_jacobian",
        "max_tensor_elements",
        _jacobian(2**17),
        _jacobian(2**17 + 1),
        2**21 + 16,
    ),
    _boundary(
        "elements_within_vmap",
        "max_tensor_elements",
        _vmap(2**11),
        _vmap(2**11 + 1),
        2**21 + 2**10,
    ),
    _boundary(
        "bytes_of_a_tensor",
        "max_tensor_bytes",
        _parameter(2**20),
        _parameter(2**20 + 1),
        2**23 + 8,
    ),
    _boundary("constants", "max_constant_bytes", _constants(64, 64), _constants(64, 65), 1032),
    *(
        _boundary(
            f"rows_of_{op.rpartition('.')[2]}",
            "max_matrix_rows",
            _factorised(op, 32, columns, **attrs),
            _factorised(op, 33, columns + 1, **attrs),
            33,
        )
        for op, columns, attrs in (
            ("linalg.cholesky", 32, {}),
            ("linalg.lstsq", 40, {}),
            ("linalg.matrix_norm", 32, {"ord": "2"}),
            ("linalg.matrix_power", 32, {"n": -1}),
            ("linalg.solve", 32, {}),
            ("linalg.solve_sylvester", 32, {}),
            ("linalg.svd", 40, {}),
        )
    ),
    _boundary("unknowns", "max_matrix_rows", _unknowns(32), _unknowns(33), 33),
    _boundary("pools", "max_window_elements", _pool(2**16), _pool(2**16 + 512), 2**16 + 512),
    _boundary("kernels", "max_window_elements", _kernels(512), _kernels(513), 2**16 + 128),
    _boundary("mapped", "max_window_elements", _mapped_pool(256), _mapped_pool(257), 2**16 + 256),
]
