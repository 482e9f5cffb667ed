"""The shipped dashboard and rules on a real Prometheus, with a real server under load and Envoy."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import PROMETHEUS, dashboard, panels, rules, selectors_in
from deploy.gateway import Gateway, deployed, free_port, on_loopback
from deploy.mixed_load import MixedLoad
from deploy.names import Names
from server_process import eventually

pytestmark = pytest.mark.deploy

SCRAPE_SECONDS = 1
PATIENCE = 90.0
"""Seconds for which a query may lack data: rare events have to happen first."""


@dataclass
class Watched:
    """A server under load, and the Prometheus that scrapes it."""

    prometheus: str
    metrics: str
    load: MixedLoad

    def get(self, path: str, **parameters: str) -> Any:
        """Asks Prometheus' API."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.prometheus}/api/v1/{path}?{query}", timeout=30) as page:
            return json.load(page)["data"]

    def values(self, expression: str) -> list[float]:
        """What an instant query gives."""
        result = self.get("query", query=expression)
        assert result["resultType"] == "vector", expression
        return [float(entry["value"][1]) for entry in result["result"]]

    def has_data(self, expression: str) -> bool:
        """Whether a query gives a number that is finite."""
        return any(math.isfinite(value) for value in self.values(expression))


@contextmanager
def _process(*command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


@contextmanager
def _serving(folder: Path) -> Iterator[dict[str, str]]:
    """A server with low bounds: on plans, on runs, on calls that wait."""
    flags = ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--grace", "5"]
    flags += ["--cache-dir", str(folder / "cache"), "--max-plans", "4", "--log-format", "json"]
    flags += ["--max-executions", "1", "--max-waiting-executions", "2"]
    command = [sys.executable, "-P", "-m", "gradwire_server", *flags]
    with (
        (folder / "server.log").open("w") as log,
        _process(*command, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())


@contextmanager
def _before(server: str, folder: Path) -> Iterator[str]:
    """Envoy before a server, with the address of its metrics. The load goes past it."""
    host, _, port = server.rpartition(":")
    with Names() as names:
        names.addresses["gradwire-0.gradwire"] = host
        with Gateway(folder, on_loopback(deployed(), names.port, int(port))) as gateway:
            yield gateway.metrics


@contextmanager
def _scraping(folder: Path, server: str, envoy: str) -> Iterator[str]:
    """A Prometheus with the shipped rules and jobs; it scrapes faster than the shipped one."""
    every = f"{SCRAPE_SECONDS}s"
    shipped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in shipped["scrape_configs"]}
    for name, url in (("gradwire", server), ("gradwire-envoy", envoy)):
        del jobs[name]["dns_sd_configs"]
        jobs[name]["static_configs"] = [{"targets": [url.removeprefix("http://")]}]
    config = {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": [str(PROMETHEUS / "alerts.yml")],
        "scrape_configs": [jobs["gradwire"], jobs["gradwire-envoy"]],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={folder}/prometheus.yml"]
    command += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"]
    with (folder / "prometheus.log").open("w") as log, _process(*command, stderr=log):
        assert eventually(lambda: _answers(f"http://{address}/-/ready"), 60)
        yield f"http://{address}"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return bool(page.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """All of it together, for all tests of this file."""
    for program in ("prometheus", "promtool"):
        assert shutil.which(program), f"`{program}` is missing; `make test-deploy` gets it"
    folder = tmp_path_factory.mktemp("watched")
    with (
        _serving(folder) as server,
        _before(server["listening"], folder) as envoy,
        _scraping(folder, server["metrics"], envoy) as prometheus,
        MixedLoad(server["listening"]) as load,
    ):
        yield Watched(prometheus, server["metrics"], load)
        assert not load.failed, load.failed


def _substituted(expression: str, watched: Watched) -> str:
    """A query as Grafana sends it, with this job and this server chosen.

    A value of several that may be chosen is escaped as a regular expression;
    $__rate_interval is four scrapes, or the step and one scrape more.
    """
    instance = watched.metrics.removeprefix("http://").replace(".", r"\\.")
    step = SCRAPE_SECONDS
    values = {
        "$__rate_interval": f"{max(step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)}s",
        "$instance": instance,
        "$job": "gradwire",
    }
    for name, value in values.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_shows_data(watched: Watched, panel: dict[str, Any]) -> None:
    """Each of its queries gives numbers, at once or as soon as what it shows has happened."""
    for target in panel["targets"]:
        query = _substituted(target["expr"], watched)
        assert eventually(lambda query=query: watched.has_data(query), PATIENCE), query


@pytest.mark.parametrize("rule", rules("record"), ids=lambda rule: rule["record"])
def test_a_recorded_series_has_data(watched: Watched, rule: dict[str, Any]) -> None:
    """Under the labels of its target."""
    chosen = f'{rule["record"]}{{job="gradwire"}}'
    assert eventually(lambda: watched.has_data(chosen), PATIENCE)


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: rule["alert"])
def test_an_alert_reads_what_there_is(watched: Watched, rule: dict[str, Any]) -> None:
    """Each series in it has data, and Prometheus evaluates it without an error."""
    asked_for = selectors_in(rule["expr"])
    assert asked_for
    for series in asked_for:
        assert eventually(lambda series=series: watched.has_data(series), PATIENCE), series
    found = [
        entry
        for group in watched.get("rules")["groups"]
        for entry in group["rules"]
        if entry["name"] == rule["alert"]
    ]
    assert [(entry["health"], entry.get("lastError", "")) for entry in found] == [("ok", "")]


def test_envoys_alerts_are_silent_before_a_server_that_is_well(watched: Watched) -> None:
    """It knows the one server, and no certificate, as their expressions expect."""
    own = [rule for rule in rules("alert") if "envoy" in rule["expr"]]
    assert len(own) == 3
    one = 'envoy_cluster_membership_healthy{envoy_cluster_name="gradwire"} == 1'
    assert eventually(lambda: watched.has_data(one), PATIENCE)
    assert [watched.values(rule["expr"]) for rule in own] == [[], [], []]


def test_a_full_server_is_about_to_raise_an_alarm(watched: Watched) -> None:
    """It refuses more than one call in twenty; after ten minutes of that, the alert fires."""
    query = 'ALERTS{alertname="GradwireOverloaded", alertstate="pending"}'
    assert eventually(lambda: watched.has_data(query), PATIENCE)


def test_the_variables_of_the_dashboard_have_values(watched: Watched) -> None:
    """Grafana asks for a label of the series of a query."""
    host = watched.metrics.removeprefix("http://")
    for name, value in (("job", "gradwire"), ("instance", host)):
        (variable,) = [v for v in dashboard()["templating"]["list"] if v["name"] == name]
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        assert match is not None
        series = watched.get("series", **{"match[]": _substituted(match[1], watched)})
        assert {entry[match[2]] for entry in series} == {value}


def test_annotations_can_be_asked_for(watched: Watched) -> None:
    """The alerts that fire; there need not be any."""
    for annotation in dashboard()["annotations"]["list"]:
        if "expr" in annotation:
            watched.get("query", query=annotation["expr"])


def test_names_and_types_are_as_prometheus_wants_them(watched: Watched) -> None:
    """Its own linter has nothing to say of the page."""
    with urllib.request.urlopen(f"{watched.metrics}/metrics", timeout=10) as page:
        text = page.read()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_takes_the_files(arguments: tuple[str, ...]) -> None:
    """As they are shipped."""
    done = subprocess.run(
        ["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_kind_of_call_was_made(watched: Watched) -> None:
    """What the panels have shown is what the load has done."""
    assert eventually(lambda: len(watched.load.done) == 5, PATIENCE)
    assert not watched.load.failed, watched.load.failed
    end = time.monotonic() + PATIENCE
    for query in (
        'gradwire_calls_refused_total{limit="max_waiting_executions"} > 0',
        "gradwire_plan_evictions_total > 0",
        "gradwire_non_finite_calls_total > 0",
        "gradwire_retries_total > 0",
        "gradwire_batch_rows_count > 0",
        "gradwire_executables_loaded_total > 0",
        'gradwire_failures_total{reason="INVALID_INPUT"} > 0',
    ):
        left = end - time.monotonic()
        assert eventually(lambda query=query: bool(watched.values(query)), left), query
