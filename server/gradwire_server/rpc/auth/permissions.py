"""Warns of secret files that every user of the machine can read."""

from __future__ import annotations

import logging
import os
import stat

_log = logging.getLogger(__name__)


def warn_if_public(name: str, path: str) -> None:
    """Logs a warning if all users may read a file.

    Args:
        name: The setting that names the file, for the message.
        path: The file. It may have been removed since it was read.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if mode & stat.S_IROTH:
        _log.warning("`%s` should not be readable by all users; %s is", name, path)
