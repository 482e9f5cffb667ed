"""What became of each check, as a table and as JSON. Standard library only."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

Figures: TypeAlias = dict[str, float | int | str]

PASSED = "passed"
FAILED = "failed"
NOT_SEEN = "not seen"

_NAME_WIDTH = 34
_TEXT_WIDTH = 74


class FailedError(Exception):
    """A promise isn't kept; with the figures that show it."""

    def __init__(self, why: str, **figures: float | int | str) -> None:
        super().__init__(why)
        self.figures: Figures = figures


class NotSeen(Exception):
    """What was to be checked is not on this platform; with what was seen instead."""

    def __init__(self, why: str, **figures: float | int | str) -> None:
        super().__init__(why)
        self.figures: Figures = figures


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: Its name in the table.
        run: Returns its figures; raises ``NotSeen``, or any other exception for a failure.
        promise: What it shows.
    """

    name: str
    run: Callable[..., Figures]
    promise: str


@dataclass(frozen=True)
class Result:
    """What became of a check.

    Attributes:
        name: Its name.
        promise: What it was to show.
        status: ``PASSED``, ``FAILED`` or ``NOT_SEEN``.
        why: Why it failed, or was not seen.
        figures: What it measured, by name and unit.
        seconds: How long it took.
    """

    name: str
    promise: str
    status: str
    why: str = ""
    figures: Figures = field(default_factory=dict)
    seconds: float = 0.0


def as_check(function: Callable[..., Figures], name: str = "") -> Check:
    """Returns the check of a function, named after it; its docstring is the promise."""
    text = " ".join((function.__doc__ or "").partition("\n\n")[0].split())
    return Check(name or function.__name__.replace("_", " "), function, text)


def carry_out(check: Check, *arguments: Any) -> Result:
    """Runs a check, whatever it raises."""
    start = time.monotonic()
    status, why, figures = PASSED, "", Figures()
    try:
        figures = check.run(*arguments)
    except NotSeen as reason:
        status, why, figures = NOT_SEEN, str(reason), reason.figures
    except FailedError as error:
        status, why, figures = FAILED, str(error), error.figures
    except Exception as error:  # noqa: BLE001 - the next check is made all the same
        status, why = FAILED, f"{type(error).__name__}: {error}"
    return Result(check.name, check.promise, status, why, figures, time.monotonic() - start)


def leave_out(check: Check, why: str, status: str = NOT_SEEN) -> Result:
    """Returns the result of a check that was not made."""
    return Result(check.name, check.promise, status, why)


def table_head() -> str:
    """Returns the first line of the table."""
    return f"{'check':{_NAME_WIDTH}}{'result':10}{'s':>6}  figures, and why"


def table_row(result: Result) -> str:
    """Returns the lines of one check."""
    figures = ", ".join(f"{name} {shown(value)}" for name, value in result.figures.items())
    text = "; ".join(part for part in (figures, result.why) if part)
    first, *more = textwrap.wrap(text, _TEXT_WIDTH) or [""]
    row = f"{result.name:{_NAME_WIDTH}}{result.status:10}{result.seconds:6.1f}  {first}"
    indent = " " * (_NAME_WIDTH + 18)
    return "\n".join([row.rstrip(), *(indent + line for line in more)])


def shown(value: float | int | str) -> str:
    """Returns a figure as the table has it: three digits of what isn't a count."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def counts(results: Sequence[Result]) -> str:
    """Returns how many have passed, failed and not been seen."""
    statuses = [result.status for result in results]
    return ", ".join(f"{statuses.count(s)} {s}" for s in (PASSED, FAILED, NOT_SEEN))


def as_json(about: Mapping[str, Any], results: Sequence[Result]) -> str:
    """Returns the report as JSON.

    Args:
        about: What is known of the machine and the run.
        results: What became of the checks.
    """
    return json.dumps({**about, "checks": [asdict(result) for result in results]}, indent=1) + "\n"
