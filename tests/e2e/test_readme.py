"""The README's Python is run as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest

import gradwire as gw

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
FUNCTIONS = {name for name in gw.__all__ if name[0].islower() and callable(getattr(gw, name))}
OPERATORS = FUNCTIONS - {"connect", "current_connection", "local"}


@pytest.fixture(scope="module")
def names():
    """What the blocks have defined so far: they build on each other."""
    return {}


def run(block, names):
    exec(compile(block, "README.md", "exec"), names)


def test_the_example_learns_and_differentiates(server, names):
    """The loss falls, and the Jacobian and the Laplacian are those of the closed form."""
    run(BLOCKS[0], names)
    params, xs, vs = names["params"], names["xs"], names["vs"]
    start = {**params, "w2": np.zeros((3, 16))}
    assert names["value"] < names["step"](start, xs, vs)[0] - 0.1
    h = np.tanh(params["w1"] @ xs[0] + params["b1"])
    jac = params["w2"] @ ((1 - h**2)[:, None] * params["w1"])
    lap = params["w2"] @ (-2 * h * (1 - h**2) * np.sum(params["w1"] ** 2, axis=1))
    np.testing.assert_allclose(names["jac"], jac, rtol=1e-10)
    np.testing.assert_allclose(names["lap"], lap, rtol=1e-10)


def test_the_connection_is_made_as_written(server, names, capsys):
    """With a server at the address, it says what it computes on, and the gradient."""
    block = BLOCKS[1].replace("127.0.0.1:8701", server.address)
    assert block != BLOCKS[1]
    run(BLOCKS[0], names)
    run(block, names)
    output = capsys.readouterr().out
    assert "platform:" in output
    assert str(3 * names["xs"][0] ** 2) in output


def test_every_block_is_tested():
    """There are no more than the tests above run."""
    assert len(BLOCKS) == 2


def test_the_table_names_every_operator():
    """What the package exports is what the README lists."""
    table = README.partition("## Operators")[2].partition("\n## ")[0]
    assert set(re.findall(r"`gw\.(\w+)\(", table)) == OPERATORS
