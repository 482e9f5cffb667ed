"""Checks an installation of the wheel without extras; run by `make test-wheel`.

Plain assertions and no pytest, for nothing but gradwire and what it depends on
is installed when this runs.
"""

import importlib.metadata
import importlib.util
import subprocess
import sys
import time
import zipfile
from pathlib import Path

MAX_IMPORT_SECONDS = 1.0
CORE = {"googleapis-common-protos", "grpcio", "grpcio-status", "ml-dtypes", "numpy", "protobuf"}
"""What `pip install gradwire` may ask for; a longer list is no thin client."""


def check_wheel(path: str) -> None:
    """The wheel holds both packages with types and license, and nothing else."""
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
    tops = {name.split("/")[0] for name in names}
    version = importlib.metadata.version("gradwire")
    assert tops == {"gradwire", "gradwire_server", f"gradwire-{version}.dist-info"}, tops
    for name in (
        "gradwire/py.typed",
        "gradwire_server/py.typed",
        "gradwire/v1/service_pb2.pyi",
        "gradwire/v1/service_pb2_grpc.pyi",
        f"gradwire-{version}.dist-info/licenses/LICENSE",
    ):
        assert name in names, f"{name} is not in the wheel"


def check_requirements() -> None:
    """The wheel asks for the core dependencies alone."""
    required = importlib.metadata.requires("gradwire") or []
    core = {line.split(">")[0].strip() for line in required if "extra ==" not in line}
    assert core == CORE, core


def check_import() -> None:
    """The client comes up within a second, from this environment, without JAX.

    A second of the processor: others may be at work on this machine.
    """
    for name in ("jax", "jaxlib", "prometheus_client"):
        assert importlib.util.find_spec(name) is None, f"{name} is installed"

    # The first import also writes bytecode; the fastest of three is what counts.
    seconds = min(import_seconds() for _ in range(3))
    assert seconds < MAX_IMPORT_SECONDS, f"`import gradwire` took {seconds:.2f} s of the processor"
    print(f"import gradwire: {seconds:.2f} s")

    import gradwire
    from gradwire.v1 import error_pb2, function_pb2, service_pb2, service_pb2_grpc, tensor_pb2

    for module in (gradwire, error_pb2, function_pb2, service_pb2, service_pb2_grpc, tensor_pb2):
        assert Path(str(module.__file__)).is_relative_to(sys.prefix), module.__file__
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert not loaded & {"jax", "jaxlib", "gradwire_server"}, loaded


def import_seconds() -> float:
    """Seconds of the processor that `import gradwire` takes in a fresh interpreter."""
    program = (
        "import time; t = time.process_time(); import gradwire; print(time.process_time() - t)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def check_server_hint() -> None:
    """`gradwire-server` without its extra says how to get it."""
    done = subprocess.run(
        [Path(sys.executable).with_name("gradwire-server")],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode != 0, "gradwire-server runs without its extra"
    assert "pip install 'gradwire[server]'" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr


if __name__ == "__main__":
    start = time.perf_counter()
    check_wheel(sys.argv[1])
    check_requirements()
    check_import()
    check_server_hint()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in sorted(CORE))
    print(f"thin client: passed in {time.perf_counter() - start:.1f} s with {versions}")
