"""Makes the folder of a private server's socket, which only its user can enter."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

from gradwire.errors import UnavailableError

PREFIX = "gradwire-"
"""How its name begins: so the server knows it, and removes it if its owner can't any more."""
SOCKET = "s"

_MAX_PATH_BYTES = 107
"""The longest path of a Unix socket that the kernel accepts."""
_OWN_BYTES = len(f"/{PREFIX}xxxxxxxx/{SOCKET}")
_MAX_PARENT_BYTES = _MAX_PATH_BYTES - _OWN_BYTES


def make_socket_folder() -> str:
    """Makes a folder of mode 0700 in the first place where that is possible.

    A socket without a file, which Linux has as well, is no way out: every user of the
    machine could call it.

    Raises:
        UnavailableError: there is no such place; the message says what to set.
    """
    problems = []
    for parent in dict.fromkeys(_parents()):
        length = len(os.fsencode(parent))
        if length > _MAX_PARENT_BYTES:
            problems.append(f"{parent} has {length} bytes, and {_MAX_PARENT_BYTES} are allowed")
            continue
        try:
            return tempfile.mkdtemp(prefix=PREFIX, dir=parent)
        except OSError as error:
            problems.append(f"{parent}: {error.strerror}")
    raise UnavailableError(
        "the private server needs a folder for its socket, and none can be made. Set `TMPDIR` "
        f"to a folder that this user can write to, with a path of at most {_MAX_PARENT_BYTES} "
        f"bytes. Tried: {'; '.join(problems)}"
    )


def _parents() -> Iterator[str]:
    """Returns where it may be made. The shortest comes first, whatever is set."""
    yield "/tmp"
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        value = os.environ.get(name, "")
        if os.path.isabs(value):
            yield value
    try:
        yield tempfile.gettempdir()  # where everything else goes
    except OSError:  # it has found none where it could write
        return
