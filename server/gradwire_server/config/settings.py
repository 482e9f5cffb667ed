"""Every setting and every bound of the server: its name, its meaning, its default.

The limits that GetServerInfo reports come from the dataclass below, and the flags
from its docstring as well. Knows no gRPC and no JAX.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gradwire_server.program.limits import ProgramLimits

OFF = "off"
AUTO = "auto"
ANY = "any"
MAX_UNIX_PATH_BYTES = 107
"""What the kernel takes as the path of a Unix socket."""
MAX_SECONDS = 10.0**6
"""The longest time that any setting may ask for."""


class SettingsError(ValueError):
    """A setting is not as it must be; the message names it."""


def own_folder(cache_dir: Path) -> Path:
    """Returns the folder below ``cache_dir`` that is the server's alone.

    ``cache_dir`` may be the root of a volume, which belongs to root, and to a
    group that may write, where Kubernetes mounts it for a user without rights.
    """
    return cache_dir.expanduser() / "executables"


def default_cache_dir() -> Path:
    """Returns where compiled programs are kept unless a setting says otherwise.

    Raises:
        RuntimeError: this user has no home.
    """
    root = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(root) if os.path.isabs(root) else Path.home() / ".cache"
    return own_folder(base / "gradwire")


def available_cores() -> int:
    """Returns how many cores this process may use at the same time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):  # this is no container, or one without such a bound
        quota, period = "max", "1"
    share = math.ceil(int(quota) / int(period)) if quota.isdigit() else cores
    return max(min(cores or 1, share or 1), 1)


def _default_executions() -> int:
    return min(available_cores(), 8)


def _default_replica_id() -> str:
    return f"{socket.gethostname()[:64]}-{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one server runs. Fields named ``max_...`` or ``default_..._seconds`` are limits.

    Attributes:
        listen: Where to serve: HOST:PORT, or unix:PATH. Port 0 takes a free one.
        metrics: Where to serve /metrics, /livez and /readyz over HTTP:
            HOST:PORT, or off.
        tls_cert: Encrypt calls: the file of this server's certificate and
            those that lead to its authority, in PEM. New connections get a new
            certificate a second after the files have changed.
        tls_key: The file of the certificate's private key, in PEM, without a
            password.
        tls_client_ca: Take connections only from clients with a certificate of
            these authorities, a file in PEM. This holds for health, too.
        token_file: Take calls only with one of the tokens in this file, one in
            a line, each of at least 16 printable characters of ASCII. A change
            counts within a second. Health needs no token.
        allow_plaintext_network: Allow a listen address other than loopback
            without TLS. What is sent can be read on the way, tokens included;
            and without tokens whoever reaches the port may compute.
        allow_plaintext_metrics: Allow a metrics address other than loopback.
            What is served there is never encrypted, and nobody is asked who
            they are.
        embedded: Serve one parent process: end when stdin ends or the parent
            dies; metrics are off unless asked for.
        cache_dir: Where compiled programs are kept between runs, in a folder
            executables for this user alone: a directory, or off, or auto for
            ~/.cache/gradwire if that can be used.
        warm_dir: Recorded programs (*.pb), which are prepared before the server
            takes calls: a directory, or off.
        record_dir: Where to record each program that is made ready, for the
            warm_dir of other servers: a directory, or off.
        platform: What the device must be, such as cpu or gpu; any for no such
            wish. JAX goes on without a GPU where it finds no driver.
        log_format: What the log is written in: text or json.
        compile_workers: Programs that are compiled at the same time. Where processes
            compile, one more is for callers with no other program at work, and one
            process more is kept ready.
        compile: Where programs are compiled: separate, in processes of their own,
            which can be ended; in-process; or auto, which is separate unless
            embedded.
        grace: Seconds that calls in flight are given when the server stops.
        drain_delay: Seconds for which a server that is told to stop still takes
            calls, while its health says that it doesn't: the time in which
            balancers learn of it, so that no call has to be refused.
        replica_id: The name of this server in its answers.
        max_message_bytes: One message, in either direction.
        max_request_items: Fields and list elements of one request, counted
            before it is parsed.
        max_bytes_in_flight: Requests that are worked on at the same time, in
            bytes: sixteen of the largest. What is still arriving isn't counted.
        max_calls: Calls that are inside at the same time. Each has a thread;
            one more is refused before it is read.
        max_receive_seconds: How long the message of a call that is inside may
            take to arrive; then the call is cancelled.
        max_pending_calls: Calls of each method that wait to be looked at. Past
            half of it gRPC's core begins to cancel calls at a seventh of the
            cost of a refusal with details; a server that is flooded faster than
            it can refuse goes on computing.
        max_side_calls: Calls of gRPC's health and reflection services that are
            inside at the same time, in threads of their own. A quarter may be
            watches of health and another reflection, so that a check of health
            finds room.
        max_waiting_calls: Calls that wait for a compile at the same time: half
            of all, so that slow programs leave room for those that are ready.
        max_executions: Programs that run at the same time; by default one for
            each core, up to 8. More would not compute faster, and would keep
            the cores from those who refuse and reply.
        max_run_seconds: How long one program may run. Nothing stops a run, so the
            supervisor then replaces the server, and the program is refused for
            quarantine_seconds.
        max_abandoned_seconds: How long runs that take all places may go on when
            their callers have gone or their deadlines have passed. Nothing
            stops a run, so the server then ends with status 1, and the
            supervisor starts another.
        max_waiting_executions: Computes that are inside beside those that run;
            one more is refused before it is read. Enough to ride out a burst,
            and fewer than `max_calls`, so that a Prepare finds room.
        max_wait_percent: For how much of the time that it has left a Compute
            may be expected to wait for its turn. One that would wait longer is
            refused at once: half leaves time to run and to come back, and at
            overload nothing is computed that comes too late.
        max_compile_seconds: How long a process may compile one program. Then it is
            ended, and the program refused.
        max_compile_bytes: Memory of a process that compiles, JAX's own 0.3 GB
            included, where the system is Linux.
        quarantine_seconds: For how long a program is refused that has ended a server
            or two compilers, run for too long, or passed a bound on compiling.
        max_waiting_compiles: Programs that wait for their turn to be compiled.
        max_plans: Plans that are held.
        max_plan_bytes: Memory of the plans that are held, as estimated. What
            was used longest ago is dropped, and sent again by its clients.
        max_cache_bytes: Files in the cache directory.
        max_recorded_programs: Files that are read from warm_dir or written to
            record_dir.
        max_recorded_bytes: These files together.
        max_warm_seconds: How long the programs in warm_dir are worked on before
            the server takes calls without the rest.
        max_batch_rows: Rows of one batch.
        max_batch_sizes: Batch sizes named in one Prepare.
        max_device_bytes: Device memory of one run, and of all that run at the
            same time; 0 stands for what the device says it has.
        max_call_id_chars: Characters of a caller's call id.
        default_prepare_seconds: How long a Prepare without a deadline is
            worked on.
        default_compute_seconds: How long a Compute without a deadline is
            worked on.
        program: The bounds on one program.
    """

    listen: str = "127.0.0.1:8701"
    metrics: str = "127.0.0.1:8702"
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    token_file: str = ""
    allow_plaintext_network: bool = False
    allow_plaintext_metrics: bool = False
    embedded: bool = False
    cache_dir: str = AUTO
    warm_dir: str = OFF
    record_dir: str = OFF
    platform: str = ANY
    log_format: str = "text"
    compile_workers: int = 2
    compile: str = AUTO
    grace: float = 30.0
    drain_delay: float = 0.0
    replica_id: str = field(default_factory=_default_replica_id)
    max_message_bytes: int = 64 * 2**20
    max_request_items: int = 65_536
    max_bytes_in_flight: int = 2**30
    max_calls: int = 128
    max_receive_seconds: float = 60.0
    max_pending_calls: int = 256
    max_side_calls: int = 64
    max_waiting_calls: int = 64
    max_executions: int = field(default_factory=_default_executions)
    max_run_seconds: float = 600.0
    max_abandoned_seconds: float = 60.0
    max_waiting_executions: int = 96
    max_wait_percent: int = 50
    max_compile_seconds: float = 120.0
    max_compile_bytes: int = 4 * 2**30
    quarantine_seconds: float = 600.0
    max_waiting_compiles: int = 64
    max_plans: int = 1024
    max_plan_bytes: int = 2 * 2**30
    max_cache_bytes: int = 4 * 2**30
    max_recorded_programs: int = 1024
    max_recorded_bytes: int = 256 * 2**20
    max_warm_seconds: float = 300.0
    max_batch_rows: int = 65_536
    max_batch_sizes: int = 16
    max_device_bytes: int = 0
    max_call_id_chars: int = 128
    default_prepare_seconds: float = 600.0
    default_compute_seconds: float = 60.0
    program: ProgramLimits = field(default_factory=ProgramLimits)

    def __post_init__(self) -> None:
        for name, value in self._numbers():
            least = 0 if name in ("max_device_bytes", "grace", "drain_delay") else 1
            if not value >= least:
                raise SettingsError(f"`{name}` must be at least {least}; got {value}")
            if name.endswith(("grace", "_delay", "_seconds")) and value > MAX_SECONDS:
                raise SettingsError(f"`{name}` must be at most {MAX_SECONDS:g}; got {value}")
        if self.log_format not in ("text", "json"):
            raise SettingsError(f"`log_format` must be text or json; got {self.log_format!r}")
        if self.compile not in (AUTO, "separate", "in-process"):
            raise SettingsError(
                f"`compile` must be separate, in-process or auto; got {self.compile!r}"
            )
        if not 1 <= len(self.replica_id) <= 128:
            raise SettingsError(
                f"`replica_id` must have 1 to 128 characters; got {len(self.replica_id)}"
            )
        self._check_tls()
        plaintext = not (self.tls_cert or self.allow_plaintext_network)
        if not _check_address("listen", self.listen) and plaintext:
            raise SettingsError(
                "`listen` must be a loopback address or a Unix socket unless `tls_cert` and "
                f"`tls_key` are set; got {self.listen!r}. `--allow-plaintext-network` allows it "
                "all the same"
            )
        if self.metrics != OFF:
            if self.metrics.startswith("unix:"):
                raise SettingsError(f"`metrics` must be HOST:PORT or off; got {self.metrics!r}")
            if not _check_address("metrics", self.metrics) and not self.allow_plaintext_metrics:
                raise SettingsError(
                    "`metrics` must be a loopback address, since it is never encrypted; got "
                    f"{self.metrics!r}. `--allow-plaintext-metrics` allows it all the same"
                )

    @property
    def listens_in_the_open(self) -> bool:
        """Whether others on the network can read what is sent here."""
        return not (self.tls_cert or _check_address("listen", self.listen))

    @property
    def compiles_apart(self) -> bool:
        """Whether programs are compiled in processes of their own."""
        return self.compile == "separate" or (self.compile == AUTO and not self.embedded)

    def limits(self) -> dict[str, float]:
        """Returns every bound by name."""
        return {
            name: value for name, value in self._numbers() if name.startswith(("max_", "default_"))
        }

    def _check_tls(self) -> None:
        for name, needed in (
            ("tls_cert", "tls_key"),
            ("tls_key", "tls_cert"),
            ("tls_client_ca", "tls_cert"),
        ):
            value = getattr(self, name)
            if value and not getattr(self, needed):
                # A key may have been given in place of its path.
                shown = "a value" if name == "tls_key" else repr(value)
                raise SettingsError(f"`{name}` must come with `{needed}`; got {shown} alone")

    def _numbers(self) -> Iterator[tuple[str, float]]:
        for part in (self, self.program):
            for entry in dataclasses.fields(part):
                value = getattr(part, entry.name)
                if isinstance(value, int | float) and not isinstance(value, bool):
                    yield entry.name, value


def split_address(address: str) -> tuple[str, int]:
    """Splits HOST:PORT; a host of IPv6 stands in brackets.

    Raises:
        ValueError: it has another form.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(address)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(address)
    return host, int(port)


def _check_address(name: str, address: str) -> bool:
    """Checks the form of an address; returns whether only this machine reaches it."""
    if address.startswith("unix:"):
        length = len(os.fsencode(address.removeprefix("unix:")))
        if not 1 <= length <= MAX_UNIX_PATH_BYTES:
            raise SettingsError(
                f"`{name}` must have a path of 1 to {MAX_UNIX_PATH_BYTES} bytes; got {length}"
            )
        return True
    try:
        host, _ = split_address(address)
    except ValueError:
        raise SettingsError(f"`{name}` must be HOST:PORT or unix:PATH; got {address!r}") from None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
