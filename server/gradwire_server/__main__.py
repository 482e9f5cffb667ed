"""The command `gradwire-server`: one server in the foreground, until a signal ends it.

Started by a user it is the supervisor of a server, which it starts by the same command.
A private server has none: its client restarts it. `gradwire-server quarantine` is a
command of its own.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import queue
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradwire_server.process.exits import DEVICE_LOST, FAILED, WRONG_USAGE, refuse
from gradwire_server.start_error import StartError

if TYPE_CHECKING:
    from gradwire_server.config.settings import Settings
    from gradwire_server.process.supervision import Supervision

_EXTRA = {"grpc_health", "grpc_reflection", "jax", "jaxlib", "prometheus_client"}
"""What `pip install gradwire` alone leaves out."""

_log = logging.getLogger("gradwire_server")

_FORMAT = "GRADWIRE_SERVER_LOG_FORMAT"

_SPARE_SECONDS = 4.0
"""Longer than an end in good order takes beyond drain delay and grace, and shorter than the
5 s that supervisors are told to grant."""

_FAILED_GRACE_SECONDS = 1.0
_SIGNAL_SECONDS = 0.5
"""The longest time for which a signal may go unnoticed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a server. Returns the exit code: 0 after a clean stop, 2 for a wrong setting."""
    if os.getpid() == 1:
        # In a container. The kernel drops signals that process 1 has no handler
        # for, and importing JAX takes seconds.
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(0))
    # The imports below wait until what gRPC and JAX read at theirs is set.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    arguments = sys.argv[1:] if arguments is None else arguments
    _quieten_grpc(arguments)
    from gradwire_server import quarantine_command
    from gradwire_server.config.addresses import SettingsError
    from gradwire_server.config.flags import parse_settings, unknown_variables
    from gradwire_server.observability.logs import set_up_logging
    from gradwire_server.process.supervision import take_supervision
    from gradwire_server.supervise import succeed, supervise

    if list(arguments[:1]) == [quarantine_command.NAME]:
        return quarantine_command.main(arguments[1:])
    try:
        settings = parse_settings(arguments)
    except SettingsError as error:
        return refuse(str(error), WRONG_USAGE)
    _prepare_process(settings)
    set_up_logging(settings.log_format, quiet=settings.embedded)
    supervision = take_supervision()
    if supervision is None:
        for name in unknown_variables(os.environ):
            _log.warning("the variable `%s` is no setting; `--help` lists all", name)
        if not settings.embedded:
            return supervise(settings, arguments, _stop_seconds(settings) + _SPARE_SECONDS)
    try:
        import gradwire_server.app  # noqa: F401 - to see whether it is all there
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        return refuse(
            f"{missing} is not installed. Run: pip install 'gradwire[server]'", WRONG_USAGE
        )
    if settings.embedded and supervision is None:
        return _serve(settings, succeed(settings), supervised=False)
    return _serve(settings, supervision, supervised=supervision is not None)


def _stop_seconds(settings: Settings) -> float:
    """Returns how long a server may take from the signal to its end."""
    return settings.drain_delay + settings.grace + _SPARE_SECONDS


def _serve(settings: Settings, supervision: Supervision | None, *, supervised: bool) -> int:
    from gradwire_server.app import build
    from gradwire_server.process.end import end_after, obey_signals
    from gradwire_server.process.parent import remove_socket_folder, watch_parent

    # JAX says little of use below this. Set before its import, C++ would heed it, too.
    logging.getLogger("jax").setLevel(logging.WARNING)
    # A queue and no event: a signal may come while this thread holds an event's lock,
    # and setting it would then wait for ever.
    stopping: queue.SimpleQueue[None] = queue.SimpleQueue()

    def stop() -> None:
        end_after(_stop_seconds(settings))
        stopping.put(None)

    obey_signals(stop, once=supervised)
    if settings.embedded or supervised:
        watch_parent(stop)
    try:
        app = build(settings, end=stop, supervision=supervision)
        app.start(wanted=stopping.empty)
    except StartError as error:
        _log.critical("can't start: %s", error)
        return FAILED
    # What is alive now stays: leaving it out makes later collections short.
    gc.collect()
    gc.freeze()
    print(json.dumps({"listening": app.address, "metrics": app.metrics_url}), flush=True)
    _wait_for(stopping)
    # Runs that never end need no grace, and the calls that wait for them can be retried.
    has_failed = app.is_stuck or app.has_lost_device
    finished = app.stop(min(_FAILED_GRACE_SECONDS, settings.grace) if has_failed else None)
    if settings.embedded:
        remove_socket_folder(settings.listen)
    if app.has_lost_device or not finished:
        # A compile or a run can't be interrupted, and the interpreter can't end under it;
        # nor may a device that is lost be given back in good order.
        sys.stderr.flush()
        os._exit(DEVICE_LOST if app.has_lost_device else FAILED if app.is_stuck else 0)
    return 0


def _wait_for(stopping: queue.SimpleQueue[None]) -> None:
    """Waits until the server is to stop.

    Not in one piece: a signal that comes after Python has last looked for one, and before
    the thread sleeps, does not wake it. On a busy machine that happens.
    """
    while True:
        try:
            return stopping.get(timeout=_SIGNAL_SECONDS)
        except queue.Empty:
            continue


def _quieten_grpc(arguments: Sequence[str]) -> None:
    """Has gRPC say nothing by itself where the log is JSON, which its lines are not.

    It reads this when it is imported, and that is before the settings are read.
    """
    json_wanted = any(word.endswith("json") for word in (*arguments, os.environ.get(_FORMAT, "")))
    # ERROR is what our client sets, and hands down to its children.
    if json_wanted and os.environ.get("GRPC_VERBOSITY", "ERROR") == "ERROR":
        os.environ["GRPC_VERBOSITY"] = "NONE"


def _prepare_process(settings: Settings) -> None:
    """Sets what must be set before JAX is imported."""
    os.umask(0o077)  # the Unix socket and the cache are this user's alone
    # XLA writes a screenful of harmless errors for each executable it loads. 1 is
    # JAX's own default, which a parent that has imported JAX hands down.
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if settings.embedded:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


if __name__ == "__main__":
    sys.exit(main())
