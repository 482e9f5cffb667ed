"""What a supervisor tells the server that it starts. Standard library only.

It is passed in one variable of the environment, which the server removes from it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from gradwire_server.process.quarantine import Entry

VARIABLE = "GRADWIRE_SUPERVISION"


@dataclass(frozen=True, slots=True)
class Supervision:
    """What a server has to know of its predecessors.

    Attributes:
        journal: The descriptor of the run journal.
        restarts: How many servers came before it.
        suspects: The plans that were running when the last one died.
        quarantined: The plans that are refused, until when and why.
        quarantine_file: Where these are on disk, if they are.
    """

    journal: int = -1
    restarts: int = 0
    suspects: tuple[str, ...] = ()
    quarantined: Mapping[str, Entry] = field(default_factory=dict)
    quarantine_file: str | None = None


def write_supervision(supervision: Supervision) -> dict[str, str]:
    """Returns the variables of the environment to start the server with."""
    return {VARIABLE: json.dumps(asdict(supervision))}


def take_supervision() -> Supervision | None:
    """Returns what the supervisor says; None in a server that has none."""
    text = os.environ.pop(VARIABLE, None)
    if text is None:
        return None
    values = json.loads(text)
    quarantined = {plan: Entry(*entry) for plan, entry in values.pop("quarantined").items()}
    suspects = tuple(values.pop("suspects"))
    return Supervision(**values, suspects=suspects, quarantined=quarantined)
