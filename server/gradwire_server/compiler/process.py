"""A compiler in a process of its own: it answers requests from a socket until that is closed.

It compiles programs, and checks and plans large ones, which takes Python long.

Run by ``serving.compilers`` as ``python -P -m gradwire_server.compiler.process FD``.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import traceback

from gradwire_server.compiler.protocol import (
    COMPILE,
    DONE,
    FAILED,
    PLAN,
    READY,
    STARTED,
    read_plan_request,
    read_request,
    receive_frame,
    send_frame,
    write_error,
    write_planned,
)
from gradwire_server.planner.plan import plan_program
from gradwire_server.program.verify import read_program

STACK_BYTES = 256 * 2**20
"""Tracing and XLA's passes recurse with the nesting of a program. Only what is touched of
a stack takes memory."""

_NICENESS = 10
"""Small calls of the server beside it go first."""


def main(descriptor: int) -> None:
    """Serves one server, and ends when the server has gone, whatever it is compiling."""
    # A Ctrl-C in a terminal reaches all processes there; the server decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    connection = socket.socket(fileno=descriptor)
    threading.stack_size(STACK_BYTES)
    threading.Thread(target=_serve, args=(connection,), name="compile", daemon=True).start()
    threading.stack_size(0)
    ended = select.poll()
    ended.register(descriptor, select.POLLHUP)
    ended.poll()
    os._exit(0)


def _serve(connection: socket.socket) -> None:
    try:
        # Only here, so that the import of JAX has a large stack as well.
        from gradwire_server.compiler.compile import compile_program
        from gradwire_server.jax_setup import set_up_jax

        def compile_(payload: bytes) -> bytes:
            request = read_request(payload)
            return compile_program(
                request.program, request.precision, request.bucket, request.choices
            )

        set_up_jax()
        work = {COMPILE: compile_, PLAN: _plan}
        send_frame(connection, READY, 0)
        while (frame := receive_frame(connection)) is not None:
            kind, job, payload = frame
            send_frame(connection, STARTED, job)
            try:
                answer = work[kind](payload)
            except Exception as error:  # noqa: BLE001 - it is the answer
                send_frame(connection, FAILED, job, write_error(error, traceback.format_exc()))
            else:
                send_frame(connection, DONE, job, answer)
    except BaseException:  # noqa: BLE001 - a compiler without this thread is of no use
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _plan(payload: bytes) -> bytes:
    program, limits = read_plan_request(payload)
    return write_planned(plan_program(read_program(program, limits), limits))


if __name__ == "__main__":
    main(int(sys.argv[1]))
