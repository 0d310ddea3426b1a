"""The whole suite's rules: how browser tests start Chromium, and that nothing stays untested in CI unnoticed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
SHARED = Path(__file__).resolve().parents[2] / "shared"
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The system's Chromium, kept from calling home; pytest-playwright downloads none."""
    return {**browser_type_launch_args, "executable_path": str(CHROMIUM), "args": list(CHROMIUM_ARGUMENTS)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM.exists():
        return
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=f"{CHROMIUM} is missing: apt-get install chromium"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _must_run(item):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped, but CI has what it needs and must run it: {_reason(report)}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    kinds = Counter(
        "shared data" if "shared" in report.keywords else "browser" if "browser" in report.keywords else "other"
        for report in skipped
    )
    parts = ", ".join(f"{kind} {kinds[kind]}" for kind in ("shared data", "browser", "other"))
    terminalreporter.write_line(f"skipped for missing data or programs: {len(skipped)} ({parts})")


def _must_run(item: pytest.Item) -> bool:
    """Under CI a skip may not hide that a test of the shared data, or of the browser, never ran."""
    if not os.environ.get("CI"):
        return False
    return bool(item.get_closest_marker("browser") or (item.get_closest_marker("shared") and SHARED.is_dir()))


def _reason(report: pytest.TestReport) -> str:
    place = report.longrepr
    return str(place[2]) if isinstance(place, tuple) else str(place)
