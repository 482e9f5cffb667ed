"""Asks a server on this machine whether it is ready: the image's health check. Standard library.

`python -m gradwire_server.process.health_check [URL]` ends with 0 if it is and with 1 if not.
Without a URL it asks where GRADWIRE_SERVER_METRICS says.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

_DEFAULT = "127.0.0.1:8702"  # as in settings.py, which takes longer to import
_TIMEOUT_SECONDS = 2.0


def main(arguments: Sequence[str]) -> int:
    """Prints what the server answers. Returns the exit code."""
    url = arguments[0] if arguments else _ready_url(os.environ.get("GRADWIRE_SERVER_METRICS", ""))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by a proxy
    try:
        with opener.open(url, timeout=_TIMEOUT_SECONDS) as answer:
            print(answer.read(100).decode().strip())
            return 0
    except urllib.error.HTTPError as error:
        with error:
            print(error.read(100).decode().strip())
    except OSError as error:
        print(f"{url}: {error}")
    return 1


def _ready_url(address: str) -> str:
    """Returns where to ask a server whose metrics are bound to an address."""
    host, _, port = (address or _DEFAULT).rpartition(":")
    # A server that is bound to every address is asked on loopback.
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    return f"http://{host}:{port}/readyz"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
