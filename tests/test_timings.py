"""The table of times at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import timings

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ("pytester",)
PASSES = "def test_passes():\n    pass\n"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose runs end with the table, with tests in three packages."""
    pytester.makeconftest("from tests.timings import pytest_terminal_summary")
    for folder in ("tests/core", "tests/render/pdf", "tests"):
        path: Path = pytester.path / folder
        path.mkdir(parents=True, exist_ok=True)
        (path / f"test_{path.name}_alone.py").write_text(PASSES + PASSES.replace("passes", "passes_too"))
    return pytester


@pytest.mark.parametrize(
    ("nodeid", "package"),
    [
        ("tests/core/test_a.py::test_b[x/y]", "tests/core"),
        ("tests/render/pdf/test_a.py::test_b", "tests/render"),
        ("tests/test_a.py::test_b", "tests"),
        ("test_a.py::test_b", "."),
    ],
)
def test_the_package_of_a_test(nodeid: str, package: str) -> None:
    assert timings.package_of(nodeid) == package


def test_a_run_of_several_packages_ends_with_their_times(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("tests")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["*time per package*", "package *tests *seconds"])
    result.stdout.re_match_lines_random([rf"{name} +2 +\d+\.\d" for name in ("tests", "tests/core", "tests/render")])
    result.stdout.re_match_lines([r"tests/?\w* +2 ", r"=+ 6 passed in .*"])


def test_a_short_run_of_one_package_has_no_table(project: pytest.Pytester) -> None:
    assert "time per package" not in project.runpytest_inprocess("tests/core").stdout.str()


def test_a_long_run_of_one_package_has_one(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timings, "SHORT", 0.0)
    project.runpytest_inprocess("tests/core").stdout.fnmatch_lines(["*time per package*", "tests/core * 2 *"])


def test_a_run_without_tests_has_none(project: pytest.Pytester) -> None:
    assert "time per package" not in project.runpytest_inprocess("-k", "nothing").stdout.str()
