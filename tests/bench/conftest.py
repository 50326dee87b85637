"""The option that publishes what benches measured; loaded where a file of this folder is named on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bench.publication import Publication

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--publish``."""
    group = parser.getgroup("bench", "benches of the engine")
    group.addoption("--publish", action="store_true", help="write what was measured to fixtures/benchmarks")
    group.addoption("--note", default="", metavar="TEXT", help="what a reader must know of the circumstances")


@pytest.fixture(scope="session")
def publication(request: pytest.FixtureRequest) -> Iterator[Publication]:
    """What the benches of this run measured; written at the end of the run, if asked for and if nothing failed."""
    found = Publication(wanted=request.config.getoption("--publish"), note=request.config.getoption("--note"))
    yield found
    if not request.session.testsfailed:
        for path in found.conclude():
            print(f"\npublished: {path.relative_to(found.root)}")
