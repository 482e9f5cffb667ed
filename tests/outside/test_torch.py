"""Values and derivatives against PyTorch's, on the samples of its database of operators."""

from __future__ import annotations

import pytest
import torch

from outside.torch_comparison import COUNTS, WORDS, compare, words_for
from outside.torch_differences import DIFFERENCES
from outside.torch_samples import operators

torch.set_num_threads(1)

LEAST_OFFERED = 470
"""Of the 702 operators, counted with their variants, of this release of PyTorch."""


def _runs() -> list[tuple[str, str]]:
    """Returns operator and dtype; whole numbers for those operators that take no others."""
    runs = []
    for name, info in operators().items():
        if words_for(name) is None:
            continue
        found = [d for d in COUNTS if d != "int64" and getattr(torch, d) in info.dtypes]
        whole = ["int64"] if torch.int64 in info.dtypes else []  # some need a GPU
        runs += [(name, dtype) for dtype in found or whole]
    return runs


@pytest.mark.parametrize(("name", "dtype"), _runs())
def test_operator(name: str, dtype: str) -> None:
    """Value, jvp, vjp and both second derivatives are PyTorch's, but for what is listed."""
    report = compare(name, dtype)
    listed = {
        d.what: d.samples[dtype] for d in DIFFERENCES if d.name == name and dtype in d.samples
    }
    found = {what: tuple(numbers) for what, numbers in report.differences.items()}
    stale = {what: numbers for what, numbers in listed.items() if what not in found}
    assert not stale, f"{name} in {dtype} no longer differs: drop it from the list: {stale}"
    unlisted = {what: numbers for what, numbers in found.items() if listed.get(what) != numbers}
    assert not unlisted, "\n".join([f"{name} in {dtype} differs: {unlisted}", *report.notes])
    assert report.compared or report.left_out or found


def test_every_word_is_an_operators() -> None:
    """No function is written here under a name that OpInfo doesn't have."""
    names = set(operators()) | {name.split("|")[0] for name in operators()}
    assert set(WORDS) - names == set()
    assert {d.name for d in DIFFERENCES} - set(operators()) == set()


def test_most_operators_are_offered(capsys: pytest.CaptureFixture[str]) -> None:
    """What isn't offered is named in the report, and doesn't grow."""
    left = [name for name in operators() if words_for(name) is None]
    offered = len(operators()) - len(left)
    with capsys.disabled():
        print(f"\nOpInfo: {offered} operators are compared; {len(left)} aren't offered:")
        print(", ".join(sorted(left)))
    assert offered >= LEAST_OFFERED
