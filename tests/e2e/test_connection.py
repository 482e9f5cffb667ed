"""A connection to a real server that restarts, and from one process of several."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent import futures

import numpy as np
import pytest

from gradwire.errors import InvalidInputError, UnavailableError, UnsupportedError
from gradwire.ir import encode_program
from gradwire.transport.connection import connect
from programs import chain, program, vector
from scripted_server import ScriptedServer, after
from server_process import ServerProcess, eventually, run_script, start_script

PROGRAM = encode_program(program(chain("sin", 1, vector(3))))
X = np.arange(3.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        yield server


def test_a_restart_is_not_noticed(server: ServerProcess) -> None:
    """The new server holds no plan, and gets the program with the call."""
    with connect(server.target) as connection:
        connection.compute(PROGRAM, [X])
        server.end(signal.SIGKILL)
        restart = threading.Timer(0.5, server.start)
        restart.start()
        reply = connection.compute(PROGRAM, [X], timeout=60)
        restart.join()
        np.testing.assert_allclose(reply.outputs[0], np.sin(X))
        server.end(signal.SIGTERM)
        server.start()
        np.testing.assert_allclose(connection.compute(PROGRAM, [X]).outputs[0], np.sin(X))


def test_an_orderly_restart_loses_no_call(server: ServerProcess) -> None:
    """Threads that call all the time all get their answers."""
    stop = threading.Event()

    def work(thread: int) -> int:
        calls = 0
        while not stop.is_set():
            x = X + thread + calls
            np.testing.assert_allclose(connection.compute(PROGRAM, [x]).outputs[0], np.sin(x))
            calls += 1
        return calls

    with connect(server.target) as connection, futures.ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work, 100 * thread) for thread in range(4)]
        time.sleep(0.5)
        server.end(signal.SIGTERM)
        server.start()
        time.sleep(0.5)
        stop.set()
        assert all(worker.result(60) > 10 for worker in workers)


def test_a_server_that_stays_away_is_given_up(server: ServerProcess) -> None:
    """Within the call's deadline, by the name of its address."""
    with connect(server.target) as connection:
        connection.compute(PROGRAM, [X])
        server.end(signal.SIGKILL)
        start = time.monotonic()
        with pytest.raises(UnavailableError, match=server.target):
            connection.compute(PROGRAM, [X], timeout=1.5)
        assert time.monotonic() - start < 1.7
    server.start()


def test_errors_arrive_as_they_were_raised(server: ServerProcess) -> None:
    """With the server's message, the field and the call's id."""
    with connect(server.target) as connection:
        with pytest.raises(InvalidInputError, match=r"`inputs\[0\]` must be .*\[3\]") as caught:
            connection.compute(PROGRAM, [np.arange(4.0)])
        assert caught.value.field == "inputs[0]"
        assert len(caught.value.call_id) == 32
        unknown = encode_program(program(chain("no_such_op", 1, vector(3))))
        with pytest.raises(UnsupportedError, match="no_such_op") as refused:
            connection.prepare(unknown)
        assert (refused.value.function, refused.value.node) == (0, 0)


def test_large_arrays_travel(server: ServerProcess) -> None:
    """Up to the size of a message."""
    x = np.linspace(0, 1, 7_000_000, dtype=np.float64)
    large = encode_program(program(chain("negative", 1, vector(x.size))))
    with connect(server.target) as connection:
        np.testing.assert_array_equal(connection.compute(large, [x]).outputs[0], -x)


FORKING = """
import multiprocessing, sys, threading
import numpy as np
from gradwire.transport.connection import connect
from gradwire.transport.default_connection import current_connection
from gradwire.ir import encode_program
from programs import chain, program, vector

PROGRAM = encode_program(program(chain("sin", 1, vector(3))))

def run(x):
    reply = current_connection().compute(PROGRAM, [np.full(3, float(x))], timeout=20)
    return float(reply.outputs[0][0])

def keep_running():
    while not done.is_set():
        run(1.0)

done = threading.Event()
context = multiprocessing.get_context("fork")
with connect(sys.argv[1]):
    print(run(0.5))
    threads = [threading.Thread(target=keep_running) for _ in range(int(sys.argv[2]))]
    for thread in threads:
        thread.start()
    for _ in range(3):
        with context.Pool(2) as pool:
            print(pool.map(run, [1.0, 2.0]))
    done.set()
    for thread in threads:
        thread.join()
    print(run(0.5))
"""


@pytest.mark.parametrize("threads", [0, 4])
def test_forked_processes_call_too(server: ServerProcess, threads: int) -> None:
    """Over connections of their own, even if threads were calling at that moment."""
    lines = run_script(FORKING, server.target, str(threads))
    half, workers = str(float(np.sin(0.5))), str([float(np.sin(1.0)), float(np.sin(2.0))])
    assert lines == [half, workers, workers, workers, half]


UNPREPARED = """
import os, sys
import grpc
from gradwire.transport.connection import connect
from gradwire.errors import UnavailableError

with connect(sys.argv[1]) as connection:
    child = os.fork()
    if not child:
        try:
            connection.info()
        except UnavailableError as error:
            print(error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_where_grpc_cannot_follow_a_fork_the_error_says_so(server: ServerProcess) -> None:
    """It would hang for ever otherwise."""
    (line,) = run_script(UNPREPARED, server.target)
    assert "was forked" in line
    assert "'spawn'" in line
    assert "GRPC_ENABLE_FORK_SUPPORT=1" in line


INTERRUPTED = """
import signal, sys
import numpy as np
from gradwire.transport.connection import connect

# A parent may have had it ignored, as shells do for what runs in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)

with connect(sys.argv[1]) as connection:
    try:
        connection.compute(b"program", [np.ones(3)])
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_ctrl_c_ends_a_call() -> None:
    """At once, and the program can go on."""
    with ScriptedServer() as server:
        server.always("Compute", after(60))
        client = start_script(INTERRUPTED, server.target)
        assert eventually(lambda: bool(server.requests("Compute")))
        start = time.monotonic()
        client.send_signal(signal.SIGINT)
        output, errors = client.communicate(timeout=30)
        assert (output, errors, client.returncode) == ("interrupted\n", "", 0)
        assert time.monotonic() - start < 5
