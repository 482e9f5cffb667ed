"""What docs/operating.md and docs/security.md refer to exists: files, headings and tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
SECURITY = (DOCS / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", SECURITY)))


@pytest.mark.parametrize(("file", "test"), NAMED, ids=str)
def test_a_test_that_shows_a_promise_exists(file: str, test: str) -> None:
    """Under the name that docs/security.md gives it."""
    text = (TESTS / file).read_text(encoding="utf-8")
    assert re.search(rf"^def {test}\(", text, re.MULTILINE)


def test_every_promise_names_a_test() -> None:
    """Each row of the table does, and there is no name outside of it."""
    section = SECURITY.partition("\n## What is promised\n")[2].partition("\n## ")[0]
    promises = re.findall(r"^\| \*\*.*$", section, re.MULTILINE)
    assert len(promises) == section.count("\n| ") - 1
    assert all("::test_" in promise for promise in promises)
    assert sum(promise.count("::test_") for promise in promises) == SECURITY.count("::test_")


@pytest.mark.parametrize("page", ["operating.md", "security.md"])
def test_links_lead_somewhere(page: str) -> None:
    """To files of the tree, and to headings of theirs."""
    links = re.findall(r"\]\(([^)]+)\)", (DOCS / page).read_text(encoding="utf-8"))
    assert links
    for link in links:
        name, _, anchor = link.partition("#")
        target = DOCS / (name or page)
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", title).strip().lower().replace(" ", "-") for title in titles}
