"""Every setting and every bound of the server: its name, its meaning, its default.

The limits that GetServerInfo reports come from the dataclass below, and the flags
from its docstring as well. It must not import gRPC or JAX.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

from gradwire_server.config.addresses import SettingsError, check_address
from gradwire_server.config.machine import default_executions, default_replica_id
from gradwire_server.program.limits import ProgramLimits

OFF = "off"
AUTO = "auto"
ANY = "any"
RESERVED_COMPILES = 1
"""Threads that compile for callers none of whose programs is being compiled."""
MAX_SECONDS = 10.0**6
"""The longest time that any setting may have."""


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
            a line, each of at least 16 printable characters of ASCII, or NAME:TOKEN
            for a caller with a name. A change counts within a second. Health needs
            no token.
        balancer_certificates: Names in the certificates of balancers, with commas
            between them. They call for others, so these names name no caller.
        allow_plaintext_network: Allow a listen address other than loopback
            without TLS. Others on the network can read what is sent, tokens
            included; without tokens every client that reaches the port may compute.
        allow_plaintext_metrics: Allow a metrics address other than loopback.
            What is served there is never encrypted, and needs no
            credentials.
        embedded: Serve one parent process: end when stdin ends or the parent
            dies; metrics are off unless asked for.
        cache_dir: Where compiled programs are kept between runs, in a folder
            executables for this user alone: a directory, or off, or auto for
            ~/.cache/gradwire if that can be used.
        warm_dir: Recorded programs (*.pb), which are prepared before the server
            takes calls: a directory, or off.
        record_dir: Where to record each program that is prepared, for the
            warm_dir of other servers: a directory, or off.
        platform: The platform that the device must have, such as cpu or gpu; any
            for each. JAX goes on without a GPU where it finds no driver.
        log_format: The format of the log: text or json.
        compile_workers: Programs that are compiled at the same time. Where processes
            compile, one more is for callers with no other program at work, and one
            process more is kept ready.
        compile: Where programs are compiled: separate, in processes of their own,
            which can be ended; in-process; or auto, which is separate unless
            embedded.
        grace: Seconds that calls in flight may take when the server stops.
        drain_delay: Seconds for which a server that is to stop still accepts
            calls, while its health says that it doesn't: the time in which
            balancers learn of it, so that no call has to be refused.
        replica_id: The name of this server in its answers.
        max_message_bytes: One message, in either direction.
        max_request_items: Fields and list elements of one request, counted
            before it is parsed.
        max_bytes_in_flight: Requests in progress at the same time, in bytes:
            sixteen of the largest. What is still arriving isn't counted; when
            less memory is free than this, requests that are half-sent for longer
            than 0.1 s are cancelled, but for sixteen.
        max_calls: Calls in progress at the same time. Each has a thread; one
            more is refused before it is read.
        max_receive_seconds: How long the message of a call in progress may
            take to arrive; then the call is cancelled. While all places are taken,
            more than half of them by such calls, each new call takes the place of
            one, of the peer that has the most of them.
        max_pending_calls: Calls of each method that wait for a handler. Past
            half of it gRPC's core begins to cancel calls at a seventh of the
            cost of a refusal with details; a server that is flooded faster than
            it can refuse goes on computing.
        max_side_calls: Calls of gRPC's health and reflection services in
            progress at the same time, in threads of their own. A quarter may be
            watches of health and another reflection, so that places are left
            for checks of health.
        max_waiting_calls: Calls that wait for a compile at the same time: half
            of all, so that slow programs leave places for those that are ready.
        max_executions: Programs that run at the same time; by default one for
            each core, up to 8. More would not compute faster, and would take
            the cores from the threads that refuse and reply.
        max_run_seconds: How long one program may run. Nothing stops a run, so the
            supervisor then replaces the server, and the program is refused for
            quarantine_seconds.
        max_abandoned_seconds: How long runs that take all places may go on when
            their callers have gone or their deadlines have passed. Nothing
            stops a run, so the server then ends with status 1, and its
            supervisor starts another. Of an embedded server, how long one such run
            may go on that another call finds there. In a server that compiles
            in-process the same holds for compiles that take all of its
            compile_workers, while another program waits.
        max_waiting_executions: Computes in progress beside those that run; one
            more is refused before it is read. Enough for a burst, and fewer
            than `max_calls`, so that places are left for Prepares.
        max_wait_percent: The share of its remaining time that a Compute may be
            expected to wait for its turn. One that would wait longer is
            refused at once: half leaves time to run and to reply, and at
            overload nothing is computed that comes too late.
        max_compile_seconds: How long a process may compile one program. Then it is
            ended, and the program refused.
        max_compile_bytes: Memory of a process that compiles, JAX's own 0.3 GB
            included, where the system is Linux.
        quarantine_seconds: For how long a program is refused that has brought the
            server or two compilers down, or passed a bound on compiling or running.
        max_waiting_compiles: Programs that wait for their turn to be compiled.
        max_plans: Plans that are held.
        max_plan_bytes: Memory of the plans that are held, as estimated. Those
            used longest ago are dropped, and clients send them again.
        max_cache_bytes: Files in the cache directory.
        max_recorded_programs: Files that are read from warm_dir or written to
            record_dir.
        max_recorded_bytes: These files together.
        max_warm_seconds: How long programs in warm_dir are prepared before the
            server accepts calls without the rest.
        max_batch_rows: Rows of one batch.
        max_batch_sizes: Batch sizes named in one Prepare.
        max_device_bytes: Device memory of one run, and of all that run at the
            same time; 0 stands for what the device says it has.
        max_call_id_chars: Characters of a caller's call id.
        default_prepare_seconds: How long a Prepare without a deadline may
            take.
        default_compute_seconds: How long a Compute without a deadline may
            take.
        program: The bounds on one program.
    """

    listen: str = "127.0.0.1:8701"
    metrics: str = "127.0.0.1:8702"
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    token_file: str = ""
    balancer_certificates: str = ""
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
    replica_id: str = field(default_factory=default_replica_id)
    max_message_bytes: int = 64 * 2**20
    max_request_items: int = 65_536
    max_bytes_in_flight: int = 2**30
    max_calls: int = 128
    max_receive_seconds: float = 60.0
    max_pending_calls: int = 256
    max_side_calls: int = 64
    max_waiting_calls: int = 64
    max_executions: int = field(default_factory=default_executions)
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
        if not check_address("listen", self.listen) and plaintext:
            raise SettingsError(
                "`listen` must be a loopback address or a Unix socket unless `tls_cert` and "
                f"`tls_key` are set; got {self.listen!r}. `--allow-plaintext-network` allows it "
                "all the same"
            )
        if self.metrics != OFF:
            if self.metrics.startswith("unix:"):
                raise SettingsError(f"`metrics` must be HOST:PORT or off; got {self.metrics!r}")
            if not check_address("metrics", self.metrics) and not self.allow_plaintext_metrics:
                raise SettingsError(
                    "`metrics` must be a loopback address, since it is never encrypted; got "
                    f"{self.metrics!r}. `--allow-plaintext-metrics` allows it all the same"
                )

    @property
    def uses_plaintext_network(self) -> bool:
        """Whether calls go over a network without encryption."""
        return not (self.tls_cert or check_address("listen", self.listen))

    @property
    def compiles_apart(self) -> bool:
        """Whether programs are compiled in processes of their own."""
        return self.compile == "separate" or (self.compile == AUTO and not self.embedded)

    @property
    def max_noted(self) -> int:
        """How many runs and loads may go on at the same time, each of which may end the server."""
        return self.max_executions + self.compile_workers + RESERVED_COMPILES

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
                # A key may have been given instead of its path.
                shown = "a value" if name == "tls_key" else repr(value)
                raise SettingsError(f"`{name}` must come with `{needed}`; got {shown} alone")

    def _numbers(self) -> Iterator[tuple[str, float]]:
        for part in (self, self.program):
            for entry in dataclasses.fields(part):
                value = getattr(part, entry.name)
                if isinstance(value, int | float) and not isinstance(value, bool):
                    yield entry.name, value
