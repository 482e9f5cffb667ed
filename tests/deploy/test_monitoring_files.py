"""The dashboard and the alerts as files; test_prometheus.py runs them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from dashboards import DEPLOY, PROMETHEUS, dashboard, names_in, panels, queries, rules
from gradwire_server.serving.call_record import CallRecord
from serving import serving

OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"
PANELS = panels()
ALERTS = rules("alert")


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The name of every series that a server shows once everything has happened."""
    with serving(tmp_path_factory.mktemp("server")) as (app, _):
        worst = CallRecord("Compute", operator="grad", rows=3, non_finite=1, status="INTERNAL")
        worst.reason, worst.limit, worst.attempt = "INTERNAL", "max_calls", 1
        worst.execute = 0.1
        app.metrics.observe([worst])
        text = app.metrics.render().decode()
    return {s.name for family in text_string_to_metric_families(text) for s in family.samples}


def _metrics(series: set[str]) -> Iterator[str]:
    """Names without what each of a histogram's series adds."""
    for name in series:
        yield re.sub(r"_(bucket|count|sum)$", "", name)


def test_panels_are_told_apart() -> None:
    """Rows included: Grafana takes the last of two with one id."""
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(ids)) == len(ids)
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)


def test_no_panel_covers_another() -> None:
    """Each lies within the 24 columns, below the row that it belongs to."""
    boxes = [(panel["title"], panel["gridPos"]) for panel in dashboard()["panels"]]
    for title, box in boxes:
        assert box["x"] >= 0, title
        assert box["w"] > 0 < box["h"], title
        assert box["x"] + box["w"] <= 24, title
    for (one, a), (other, b) in combinations(boxes, 2):
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (one, other)
    assert [box["y"] for _, box in boxes] == sorted(box["y"] for _, box in boxes)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    """It has a description, a data source to choose, a legend for several series, a unit."""
    assert len(panel["description"]) > 10
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    targets = panel["targets"]
    assert len({target["refId"] for target in targets}) == len(targets) > 0
    for target in targets:
        assert target["datasource"] == panel["datasource"]
        assert '$instance"' in target["expr"]
        assert "rate(" not in target["expr"] or "[$__rate_interval]" in target["expr"]
        if panel["type"] == "timeseries":
            assert target["legendFormat"]
    if panel["type"] in ("timeseries", "stat"):
        assert panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "heatmap":
        assert panel["options"]["yAxis"]["unit"]
        assert all(target["format"] == "heatmap" for target in targets)


def test_variables_are_those_that_queries_use() -> None:
    """No other is in a query, and each is used."""
    defined = {variable["name"] for variable in dashboard()["templating"]["list"]}
    used = set(re.findall(r"\$(\w+)", " ".join(expr for _, expr in queries())))
    assert used - {"__rate_interval"} | {"datasource"} == defined
    assert dashboard()["schemaVersion"] >= 41
    assert (dashboard()["uid"], dashboard()["id"]) == ("gradwire", None)


def test_every_name_is_a_metric_or_recorded(series: set[str]) -> None:
    """In panels, alerts and recording rules alike; and what is recorded is used."""
    recorded = {rule["record"] for rule in rules("record")}
    expressions = [expr for _, expr in queries()]
    expressions += [rule["expr"] for rule in (*rules("record"), *ALERTS)]
    named = set().union(*map(names_in, expressions))
    assert named - series == recorded


def test_every_metric_is_on_the_dashboard(series: set[str]) -> None:
    """A series that is not used need not be counted."""
    shown = set(_metrics(set().union(*(names_in(expr) for _, expr in queries()))))
    left = {name for name in _metrics(series) if name not in shown}
    assert left == {"process_virtual_memory_bytes"}  # the process collector's own


def test_the_page_for_operators_names_every_metric(series: set[str]) -> None:
    """Once each, recorded ones too, and none that there isn't."""
    text = _section("Metrics")
    named = re.findall(r"^\| `([a-z_:0-9]+)", text, re.MULTILINE)
    recorded = {rule["record"] for rule in rules("record")}
    assert sorted(named) == sorted(set(_metrics(series)) | recorded)


def test_the_page_for_operators_says_what_to_do_about_every_alert() -> None:
    """Under the anchor that the alert names."""
    headings = re.findall(r"^### (\S+)$", _section("Alerts"), re.MULTILINE)
    assert headings == [rule["alert"] for rule in ALERTS]
    for rule in ALERTS:
        anchor = f"docs/operating.md#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook"] == anchor


def _section(title: str) -> str:
    parts = re.split(r"^## (.*)$", OPERATING.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_is(rule: dict[str, Any]) -> None:
    """How bad, in short and at length, and it has a test that fires and one that doesn't."""
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fires = {bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]}
    assert fires == {True, False}


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    """Under the addresses that compose gives them."""
    folder = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    scrape = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scrape["scrape_interval"]
    (provider,) = yaml.safe_load((folder / "dashboards" / "gradwire.yaml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
