"""Processes that use JAX, each for one check: `python -m gpu_check.workers TASK FOLDER`.

Each prints one line of JSON. What compiles and what loads never run in one process.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jaxlib.version
import numpy as np

from gpu_check.samples import Sample, measured_samples, moved_samples
from gradwire.evaluate import trace_entry
from gradwire.trees import flatten
from gradwire_server.config.settings import Settings
from gradwire_server.jax_setup import set_up_jax
from gradwire_server.planner.plan import plan_program
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.program.verify import read_program
from gradwire_server.runtime.executable import Executable, load_executable
from gradwire_server.runtime.store import Store

_CACHE_BYTES = 2**32


def describe_device(_: Path) -> dict[str, Any]:
    """Returns what JAX has found, and the versions of what computes."""
    set_up_jax()
    device = jax.local_devices()[0]
    return {
        "platform": device.platform,
        "kind": device.device_kind,
        "capability": str(getattr(device, "compute_capability", "")),
        "limit_bytes": int((device.memory_stats() or {}).get("bytes_limit", 0)),
        "jax": jax.__version__,
        "jaxlib": jaxlib.version.__version__,
        "numpy": np.__version__,
    }


def compile_moved(folder: Path) -> dict[str, Any]:
    """Compiles, stores and runs; keeps the results beside the executables."""
    store = Store(folder, _CACHE_BYTES)
    unsteady = []
    start = time.perf_counter()
    for sample in moved_samples():
        executable = load_executable(_compile_to(store, sample))
        first, second = _run(executable, sample), _run(executable, sample)
        if first != second:
            unsteady.append(sample.name)
        store.write(_results_key(sample), b"".join(first))
    return {"seconds": time.perf_counter() - start, "unsteady": unsteady}


def load_moved(folder: Path) -> dict[str, Any]:
    """Loads what another process has compiled, runs it and compares the bytes of the results."""
    assert "gradwire_server.compiler" not in sys.modules
    set_up_jax()
    store = Store(folder, _CACHE_BYTES)
    different, seconds = [], []
    for sample in moved_samples():
        start = time.perf_counter()
        data = store.read(sample.name.encode())
        assert data is not None
        executable = load_executable(data)
        seconds.append(time.perf_counter() - start)
        if b"".join(_run(executable, sample)) != store.read(_results_key(sample)):
            different.append(sample.name)
    return {"slowest_load": max(seconds), "executables": len(seconds), "different": different}


def compile_measured(folder: Path) -> dict[str, Any]:
    """Compiles what is measured, apart from the measurement: autotuning needs memory, too."""
    store = Store(folder, _CACHE_BYTES)
    for sample in measured_samples():
        _compile_to(store, sample)
    return {}


def measure_plain(folder: Path) -> dict[str, Any]:
    """Measures the memory of programs that XLA computes by itself."""
    return _measure(folder, uses_solver=False)


def measure_solvers(folder: Path) -> dict[str, Any]:
    """Measures the memory of those that a library computes."""
    return _measure(folder, uses_solver=True)


def _measure(folder: Path, *, uses_solver: bool) -> dict[str, Any]:
    """Returns for each program what the compiler says that it needs, and what it took.

    The device keeps the highest use of this process so far, so programs come in the order
    of what they need; 0 stands for no more than those before.
    """
    set_up_jax()
    device = jax.local_devices()[0]
    store = Store(folder, _CACHE_BYTES)
    needs = {}
    for sample in measured_samples():
        data = store.read(sample.name.encode())
        if sample.uses_solver == uses_solver and data is not None:
            executable = load_executable(data)
            before = device.memory_stats()
            _run(executable, sample)
            after = device.memory_stats()
            highest = after["peak_bytes_in_use"]
            taken = highest - before["bytes_in_use"]
            is_new = highest > before["peak_bytes_in_use"]
            needs[sample.name] = executable.cost.peak_bytes, taken if is_new else 0
    return needs


def _compile_to(store: Store, sample: Sample) -> bytes:
    from gradwire_server.compiler.compile import compile_program

    program = trace_entry(sample.function, sample.arguments, {}, float_dtype=None).data
    limits = Settings().program
    choices = plan_program(read_program(program, limits), limits).choices
    data = compile_program(program, "highest", NO_BATCH, choices)
    store.write(sample.name.encode(), data)
    return data


def _results_key(sample: Sample) -> bytes:
    return b"results of " + sample.name.encode()


def _run(executable: Executable, sample: Sample) -> list[bytes]:
    leaves, _ = flatten((sample.arguments, {}))
    return [output.tobytes() for output in executable([np.asarray(leaf) for leaf in leaves])]


TASKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    task.__name__: task
    for task in (
        describe_device,
        compile_moved,
        load_moved,
        compile_measured,
        measure_plain,
        measure_solvers,
    )
}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](Path(sys.argv[2]))))
