"""What Envoy's configuration must say, whatever else changes in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from deploy.gateway import (
    PLAIN,
    SECURED,
    Gateway,
    cluster_of,
    deployed,
    endpoints_of,
    free_port,
    on_loopback,
)
from deploy.names import Names
from gradwire_server.config.settings import Settings


def _listener(config: Any, name: str) -> Any:
    (found,) = (x for x in config["static_resources"]["listeners"] if x["name"] == name)
    return found


def _connections(config: Any) -> Any:
    """How calls are taken: the only filter of their listener."""
    (chain,) = _listener(config, "calls")["filter_chains"]
    (filter_,) = chain["filters"]
    return filter_["typed_config"]


def _route(config: Any) -> Any:
    (host,) = _connections(config)["route_config"]["virtual_hosts"]
    (route,) = host["routes"]
    return route["route"]


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_it_is_of_its_time(tmp_path: Path) -> None:
    """Envoy warns of nothing, such as a field that will go."""
    with Names() as names:
        config = on_loopback(deployed(), names.port, free_port())
        with Gateway(tmp_path, config) as gateway:
            pass
        lines = gateway.log().splitlines()
    assert lines
    assert not [line for line in lines if re.search(r"\[(warning|error|critical)\]", line)]


def test_tls_differs_in_nothing_else() -> None:
    """The two files are one configuration, and must stay so."""
    secured = deployed(SECURED)
    assert secured.pop("node")  # which Envoy asks for where certificates are renewed
    (chain,) = _listener(secured, "calls")["filter_chains"]
    for part in (chain, cluster_of(secured)):
        assert part.pop("transport_socket")["name"] == "envoy.transport_sockets.tls"
    assert secured == deployed(PLAIN)


def test_nothing_ends_a_long_call() -> None:
    """Once it is sent, but its deadline. A `long` test waits longer than Envoy's own limits."""
    config = deployed()
    route, connections = _route(config), _connections(config)
    assert route["timeout"] == route["idle_timeout"] == "0s"
    assert route["max_stream_duration"] == {
        "max_stream_duration": "0s", "grpc_timeout_header_max": "0s",
    }  # fmt: skip
    assert connections["stream_idle_timeout"] == "0s"


def test_half_sent_requests_are_bounded() -> None:
    """In time, as the servers bound them, and in memory for each call and each connection."""
    connections, settings = _connections(deployed()), Settings()
    assert _seconds(connections["request_timeout"]) == settings.max_receive_seconds
    assert 0 < _seconds(connections["request_headers_timeout"]) < settings.max_receive_seconds
    bounds = connections["http2_protocol_options"]
    assert bounds["max_concurrent_streams"] <= 1024
    assert bounds["initial_stream_window_size"] <= 2**20
    assert bounds["initial_connection_window_size"] <= 2**23


def test_health_is_known_within_a_second() -> None:
    """Of one that dies, and of one that drains; whether there is traffic or not."""
    cluster = cluster_of(deployed())
    (check,) = cluster["health_checks"]
    intervals = {
        _seconds(check[name])
        for name in ("interval", "no_traffic_interval", "no_traffic_healthy_interval")
    }
    assert max(intervals) * check["unhealthy_threshold"] < 1
    assert cluster["common_lb_config"]["update_merge_window"] == "0s"
    assert _route(deployed())["retry_policy"]["host_selection_retry_max_attempts"] == 5


def test_only_what_can_not_have_run_is_tried_again() -> None:
    """The rest is the client's loop, which has a budget."""
    retries = _route(deployed())["retry_policy"]
    assert set(retries["retry_on"].split(",")) == {
        "connect-failure", "refused-stream", "reset-before-request",
    }  # fmt: skip


def test_the_admin_interface_is_on_loopback() -> None:
    """In both files; two of its pages are served beside it."""
    for path in (PLAIN, SECURED):
        config = deployed(path)
        assert config["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
        (page,) = endpoints_of(config, "admin")
        assert page["address"] == config["admin"]["address"]


def test_it_has_room_for_what_the_servers_take() -> None:
    """Its own bounds are not the ones that calls reach first."""
    (bounds,) = cluster_of(deployed())["circuit_breakers"]["thresholds"]
    servers = len(endpoints_of(deployed()))
    for name in ("max_requests", "max_pending_requests", "max_retries"):
        assert bounds[name] >= servers * Settings().max_pending_calls
