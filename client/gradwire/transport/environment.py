"""What gRPC reads from the environment. Import this before `grpc`, which reads it only once."""

from __future__ import annotations

import os
import sys

_FORK_SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"

if "grpc" not in sys.modules:
    # Its cost is not measurable, and without it a process that is forked after
    # the first call can never call.
    os.environ.setdefault(_FORK_SUPPORT, "1")
    # Otherwise gRPC logs ordinary events on stderr.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

CAN_FORK = os.environ.get(_FORK_SUPPORT, "").lower() in {"1", "true", "t", "yes", "y"}
"""Whether gRPC works in a forked process."""
