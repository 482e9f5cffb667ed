"""Settings are held to their bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradwire_server.config.addresses import SettingsError, split_address
from gradwire_server.config.flags import (
    parse_settings,
    settings_fields,
)
from gradwire_server.config.machine import default_cache_dir
from gradwire_server.config.settings import Settings
from gradwire_server.program.limits import ProgramLimits


@pytest.mark.parametrize(
    "name", ["grace", "drain_delay", "default_prepare_seconds", "default_compute_seconds"]
)
def test_a_time_is_bounded(name: str) -> None:
    """Times that the operating system can't wait for are refused."""
    assert getattr(Settings(**{name: 1e6}), name) == 1e6
    for wrong in (1e6 + 1, float("inf")):
        with pytest.raises(SettingsError, match=f"`{name}` must be at most"):
            Settings(**{name: wrong})


def test_limits_are_all_reported() -> None:
    """Under the names of their fields, those on programs included."""
    limits = Settings(max_plans=7, program=ProgramLimits(max_nodes=9)).limits()
    assert limits["max_plans"] == 7
    assert limits["max_nodes"] == 9
    others = {"compile_workers", "grace", "drain_delay", "quarantine_seconds"}
    numbers = {entry.name for _, entry in settings_fields() if entry.type in ("int", "float")}
    assert numbers - set(limits) == others


@pytest.mark.parametrize(
    "address", ["127.0.0.1:0", "localhost:65535", "[::1]:8701", "127.8.8.8:1", "unix:/tmp/x"]
)
def test_local_addresses_are_served(address: str) -> None:
    """Loopback of both families, and Unix sockets."""
    assert Settings(listen=address).listen == address


@pytest.mark.parametrize("address", ["0.0.0.0:8701", "[::]:8701", "10.0.0.1:8701", "gpu-box:8701"])
def test_the_network_is_served_only_on_demand(address: str) -> None:
    """Calls and metrics each need a flag of their own, and TLS is for calls alone."""
    tls = {"tls_cert": "c", "tls_key": "k"}
    for name, flag in (
        ("listen", "allow_plaintext_network"),
        ("metrics", "allow_plaintext_metrics"),
    ):
        other = {"allow_plaintext_network": True, "allow_plaintext_metrics": True, flag: False}
        for values in ({}, other, *([{**tls, **other}] if name == "metrics" else [])):
            with pytest.raises(SettingsError, match=f"`{name}` must be a loopback address") as got:
                Settings(**{name: address}, **values)
            assert repr(address) in str(got.value)
            assert "`--" + flag.replace("_", "-") + "`" in str(got.value)
        assert getattr(Settings(**{name: address, flag: True}), name) == address
    assert Settings(listen=address, **tls).listen == address


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"tls_cert": "c"}, "`tls_cert` must come with `tls_key`; got 'c' alone"),
        ({"tls_key": "k"}, "`tls_key` must come with `tls_cert`; got a value alone"),
        ({"tls_client_ca": "a"}, "`tls_client_ca` must come with `tls_cert`; got 'a' alone"),
        ({"tls_cert": "c", "tls_client_ca": "a"}, "`tls_cert` must come with `tls_key`"),
    ],
)
def test_parts_of_tls_come_together(values: dict[str, str], text: str) -> None:
    """A server with a certificate never serves in plaintext; an empty value counts as none."""
    with pytest.raises(SettingsError) as caught:
        Settings(**values)
    assert str(caught.value).startswith(text)
    whole = {"tls_cert": "c", "tls_key": "k", "tls_client_ca": "a", "token_file": "t"}
    flags = [part for name, v in whole.items() for part in ("--" + name.replace("_", "-"), v)]
    settings = parse_settings(flags, {})
    assert {name: getattr(settings, name) for name in whole} == whole
    variables = {f"GRADWIRE_SERVER_{name.upper()}": "" for name in whole}
    assert parse_settings([], variables).tls_cert == ""


@pytest.mark.parametrize(
    ("values", "is_plaintext"),
    [
        ({"listen": "127.0.0.1:1"}, False),
        ({"listen": "unix:/s"}, False),
        ({"listen": "10.0.0.1:1", "allow_plaintext_network": True}, True),
        ({"listen": "10.0.0.1:1", "tls_cert": "c", "tls_key": "k"}, False),
    ],
)
def test_plaintext_on_a_network_is_known(values: dict[str, Any], is_plaintext: bool) -> None:
    """It is there without TLS, except on loopback and on a Unix socket."""
    assert Settings(**values).uses_plaintext_network is is_plaintext


@pytest.mark.parametrize("address", ["", "8701", ":8701", "localhost", "localhost:x", "::1:80",
                                     "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:²"])  # fmt: skip
def test_malformed_addresses_are_refused(address: str) -> None:
    """The message repeats the value."""
    with pytest.raises(SettingsError, match="`listen` must be HOST:PORT or unix:PATH"):
        Settings(listen=address)


def test_a_socket_path_has_a_bounded_length() -> None:
    """The kernel takes 107 bytes; bytes, not characters."""
    assert Settings(listen="unix:/" + "x" * 106)
    for wrong in ("unix:/" + "x" * 107, "unix:/" + "é" * 54, "unix:"):
        with pytest.raises(SettingsError, match=r"a path of 1 to 107 bytes"):
            Settings(listen=wrong)


def test_metrics_are_served_by_http() -> None:
    """Not on a Unix socket."""
    with pytest.raises(SettingsError, match="`metrics` must be HOST:PORT or off"):
        Settings(metrics="unix:/tmp/x")


def test_words_are_checked() -> None:
    """The log's format, the replica's name, and truth values."""
    with pytest.raises(SettingsError, match="`log_format` must be text or json; got 'xml'"):
        parse_settings(["--log-format", "xml"], {})
    assert Settings(replica_id="x" * 128)
    for wrong in ("", "x" * 129):
        with pytest.raises(SettingsError, match="`replica_id` must have 1 to 128 characters"):
            Settings(replica_id=wrong)
    with pytest.raises(SettingsError, match="`GRADWIRE_SERVER_EMBEDDED` must be of type bool"):
        parse_settings([], {"GRADWIRE_SERVER_EMBEDDED": "maybe"})


def test_addresses_are_split() -> None:
    """Brackets around IPv6 are not part of the host."""
    assert split_address("[::1]:80") == ("::1", 80)
    assert split_address("localhost:0") == ("localhost", 0)


def test_the_cache_is_in_the_users_cache_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As XDG has it; a relative XDG_CACHE_HOME is not valid."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "gradwire" / "executables"
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "gradwire" / "executables"
