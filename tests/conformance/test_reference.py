"""The reference page says what the table does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from conformance.harness import ANY, all_cases, dtype_of
from gradwire.opset import OPS
from gradwire.opset.core import UNBOUNDED
from gradwire.opset.reference import reference_page
from gradwire.opset.rules import DTYPE_CLASSES
from gradwire_server.compiler.lowering import LOWERINGS

PLAIN = sorted(LOWERINGS)


@pytest.mark.parametrize("op", PLAIN)
def test_the_class_of_dtypes_is_what_the_cases_test(op: str) -> None:
    """Their union is all that the rule allows; see ``test_other_dtypes_are_refused``."""
    tested = {name for case in all_cases() if case.op == op for name in case.dtypes}
    contains = DTYPE_CLASSES[OPS[op].dtypes]
    assert tested == {name for name in ANY if contains(dtype_of(name))}


@pytest.mark.parametrize("op", PLAIN)
def test_the_names_of_operands_fit_the_arity(op: str) -> None:
    """One for each that must be there, brackets or dots for those that may be."""
    least, most = OPS[op].arity
    names = [name.strip() for name in OPS[op].operands.split(",") if name]
    optional = [name for name in names if name.startswith("[")]
    many = [name for name in names if name.endswith("...")]
    # `x...` stands for one or more; positions and starts may be none.
    none_or_more = [name for name in many if name != "x..."]
    assert least == len(names) - len(optional) - len(none_or_more)
    assert most == len(names) if not many else most > len(names)
    assert most <= UNBOUNDED


def test_the_page_names_every_op_once() -> None:
    """One row for each."""
    page = reference_page()
    for name, op in OPS.items():
        assert page.count(f"\n| `{name}`") == 1
        assert all(f"`{attr}`" in page for attr in op.attrs)


def test_the_page_does_not_depend_on_the_run() -> None:
    """Another process, with another hash seed, prints the same bytes."""
    command = [sys.executable, "-m", "gradwire.opset.reference"]
    pages = {
        subprocess.run(
            command, check=True, capture_output=True, env={"PYTHONHASHSEED": seed, **_PATHS}
        ).stdout
        for seed in ("1", "2")
    }
    assert pages == {reference_page().encode()}


_PATHS = {"PYTHONPATH": ":".join(sys.path), "PYTHONIOENCODING": "utf-8"}
