"""From the start of a Python process to its first derivative, by a private server.

Each run is a new process; the first finds no cache of executables, the second
finds the first's.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time

FIRST_DERIVATIVE = """
import json, sys, time
start = float(sys.argv[1])
times = {"interpreter": time.time() - start}
import numpy as np
times["import numpy"] = time.time() - start
import gradwire as gw
times["import gradwire"] = time.time() - start
gw.current_connection()
times["server start"] = time.time() - start
f = lambda w, x: np.sum(np.tanh(w @ x) ** 2)
w, x = np.ones((32, 32)), np.linspace(-1, 1, 32)
gradient = gw.grad(f)(w, x)
times["first call"] = time.time() - start
gw.grad(f)(w, x)
times["second call"] = time.time() - start
assert np.all(np.isfinite(gradient))
print(json.dumps(times))
"""


def run_once(cache: str) -> dict[str, float]:
    """Returns the seconds from the start of a process to the end of each step."""
    environment = {**os.environ, "GRADWIRE_CACHE_DIR": cache}
    environment.pop("GRADWIRE_TARGET", None)
    output = subprocess.run(
        [sys.executable, "-c", FIRST_DERIVATIVE, str(time.time())],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    times: dict[str, float] = json.loads(output)
    return times


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as cache:
        runs = {"no cache": run_once(cache), "cache": run_once(cache)}
    steps = list(runs["cache"])
    print("seconds of each step; in all, until the first derivative is there\n")
    print(f"{'':12}" + "".join(f"{step:>17}" for step in steps) + f"{'in all':>9}")
    for name, times in runs.items():
        ends = [0.0, *times.values()]
        spans = [end - start for start, end in itertools.pairwise(ends)]
        cells = "".join(f"{span:17.3f}" for span in spans)
        print(f"{name:12}{cells}{times['first call']:9.2f}")
