"""What private servers note while they run programs, for the server after one that has died.

A file in memory that the client hands to each of its servers. Only they read and write it.
"""

from __future__ import annotations

import json
import os
import tempfile
import weakref

VARIABLE = "GRADWIRE_PREDECESSOR"


class RunNotes:
    """The file, and how the last server ended.

    Attributes:
        descriptor: The file, for a child process to inherit.
        last_exit: The exit code of the last server, minus the signal that ended it; None
            before the first has ended.
    """

    def __init__(self) -> None:
        """Makes an empty file."""
        if hasattr(os, "memfd_create"):
            self.descriptor = os.memfd_create("gradwire-runs")
        else:
            with tempfile.TemporaryFile() as file:
                self.descriptor = os.dup(file.fileno())
        self.last_exit: int | None = None
        self.close = weakref.finalize(self, os.close, self.descriptor)

    def environment(self) -> dict[str, str]:
        """Returns the variable that tells the next server of both."""
        return {VARIABLE: json.dumps({"journal": self.descriptor, "exit": self.last_exit})}
