"""Counts lines of code by folder: what is neither blank, nor a comment, nor a docstring."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("client", "server", "tests", "benchmarks", "examples")
GENERATED = Path("client/gradwire/v1")


def count_code(text: str) -> int:
    """Returns the number of lines of code in a module."""
    documented = {
        number
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return sum(
        number not in documented and bool(line.strip()) and not line.lstrip().startswith("#")
        for number, line in enumerate(text.splitlines(), 1)
    )


def modules(folder: str) -> Iterator[tuple[str, Path]]:
    """Yields each module of a folder with the group that it is counted in."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        place = path.relative_to(ROOT)
        if place.is_relative_to(GENERATED):
            yield "(generated)", path
        else:
            yield str(Path(*place.parts[:3]) if len(place.parts) > 3 else place.parent), path


def main() -> None:
    """Prints the table."""
    groups: dict[str, list[tuple[int, int]]] = {}
    for folder in FOLDERS:
        for group, path in modules(folder):
            text = path.read_text()
            groups.setdefault(group, []).append((count_code(text), len(text.splitlines())))
    print(f"{'':32}{'files':>7}{'code':>8}{'all lines':>11}")
    generated = groups.pop("(generated)", [])
    rows = [*sorted(groups.items()), ("in all", [c for g in groups.values() for c in g])]
    for group, counts in [*rows, ("generated, not in all", generated)]:
        code, lines = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
        print(f"{group:32}{len(counts):7}{code:8}{lines:11}")
