"""Time that the tests of each package took, printed at the end of a run."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

# Below this many seconds, a run of one package needs no table.
SHORT = 10.0


def package_of(nodeid: str) -> str:
    """The package of a test, at most one level below ``tests``.

    >>> package_of("tests/render/pdf/test_tree.py::test_x"), package_of("tests/test_cli.py::test_x")
    ('tests/render', 'tests')
    """
    folders = nodeid.partition("::")[0].split("/")[:-1]
    return "/".join(folders[:2]) or "."


def rows_of(reports: Iterable[pytest.TestReport]) -> list[tuple[str, int, float]]:
    """Package, number of tests and seconds, the slowest first; setup and teardown are included.

    A fixture that several packages share counts for the package that asked for it first.
    """
    tests: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    for report in reports:
        package = package_of(report.nodeid)
        tests[package] += report.when == "setup"
        seconds[package] += report.duration
    slowest_first = sorted(seconds, key=lambda package: -seconds[package])
    return [(package, tests[package], seconds[package]) for package in slowest_first]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table unless the run was short and of one package."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    rows = rows_of(report for report in reports if isinstance(report, pytest.TestReport))
    if len(rows) < 2 and sum(spent for _, _, spent in rows) <= SHORT:
        return
    wide = max(len("package"), *(len(package) for package, _, _ in rows))
    terminalreporter.section("time per package")
    terminalreporter.write_line(f"{'package':{wide}}  tests  seconds")
    for package, count, spent in rows:
        terminalreporter.write_line(f"{package:{wide}}  {count:5}  {spent:7.1f}")
