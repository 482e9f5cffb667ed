"""The files of deploy/ that a monitoring system reads, and what is in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parent.parent / "deploy"
DASHBOARD = DEPLOY / "grafana" / "gradwire.json"
PROMETHEUS = DEPLOY / "prometheus"

_NAME = re.compile(r"\b(?:gradwire|process)[_:][a-z0-9_:]+")
_SELECTOR = re.compile(r"\b(?:(?:gradwire|process|envoy)[_:][a-z0-9_:]+|up\b)(?:{[^}]*})?")


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    read: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return read


def panels() -> list[dict[str, Any]]:
    """Its panels, without the rows that they stand in."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """The queries of the dashboard, each with a name for it."""
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]


def rules(kind: str) -> list[dict[str, Any]]:
    """The rules of alerts.yml that ``record`` or ``alert``."""
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def names_in(expression: str) -> set[str]:
    """The metrics and recorded series that a query reads."""
    return set(_NAME.findall(re.sub(r'"[^"]*"', "", expression)))


def selectors_in(expression: str) -> set[str]:
    """The series that a query reads, with the labels that it asks for; Envoy's, too."""
    return set(_SELECTOR.findall(expression))
