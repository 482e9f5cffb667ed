"""The secret by which a server tells this client from others, to be fair to both.

It is made once for a process; a forked child is the same caller.
"""

from __future__ import annotations

import secrets

CALLER_METADATA = ("gradwire-caller", secrets.token_hex(16))
