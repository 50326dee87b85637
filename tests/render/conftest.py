"""The report, built once from a made-up study, and a checkout whose report sources a test may change."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.render.fakes import CHECKOUT, FakeStudy, fake_records, write_log
from tests.render.neurons import local_text
from universal_neurons.measures.cache import caching
from universal_neurons.render import build_report
from universal_neurons.render.html.engines import render
from universal_neurons.render.pages.paper import Groups, drawn_figures
from universal_neurons.render.results import Results, results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


@pytest.fixture(scope="session", autouse=True)
def remembered() -> Iterator[None]:
    """Measures of the made-up study are computed once for all tests of the report."""
    with caching():
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout that has what a report is built from and nothing else."""
    return copied_checkout(tmp_path / "checkout")


@pytest.fixture(scope="session")
def found() -> Results:
    """The numbers of the made-up study."""
    return results(FakeStudy(), CHECKOUT)


@pytest.fixture(scope="session")
def drawn(found: Results) -> Groups:
    """The figures of the made-up study."""
    return drawn_figures(found)


@contextmanager
def computed_once(found: Results, drawn: Groups) -> Iterator[None]:
    """Let builds of the made-up study reuse its numbers and figures, which take most of the time of a build."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("universal_neurons.render.report.results", lambda *_: found)
        patch.setattr("universal_neurons.render.report.drawn_figures", lambda _: drawn)
        yield


def rendering_only(wanted: Callable[[Sequence[str]], Sequence[str]], patch: pytest.MonkeyPatch) -> None:
    """Let builds render the ``wanted`` of their pages alone; as links to the others are dead, no page is checked."""

    def fewer(source: Path, pages: Sequence[str], output: Path, **options: Any) -> None:
        render(source, wanted(pages), output, **options)

    patch.setattr("universal_neurons.render.report.render", fewer)
    patch.setattr("universal_neurons.render.report.check_pages", lambda *_, **__: None)


@pytest.fixture
def measured_once(found: Results, drawn: Groups) -> Iterator[None]:
    """Builds of the made-up study reuse its numbers and figures."""
    with computed_once(found, drawn):
        yield


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory, found: Results, drawn: Groups) -> Path:
    """The folder of a report, built by pandoc."""
    folder = tmp_path_factory.mktemp("report")
    evidence = write_log(folder / "evidence", fake_records())
    root = copied_checkout(folder / "checkout")
    with computed_once(found, drawn):
        page = build_report(
            FakeStudy(), root=root, text=local_text(), output=folder / "built", verdicts=evidence, engine="pandoc"
        )
    return page.parent


def copied_checkout(target: Path) -> Path:
    """A copy of what a report is built from, with the test that the made-up evidence names."""
    shutil.copytree(CHECKOUT / "report", target / "report", ignore=shutil.ignore_patterns("_*", ".*"))
    shutil.copy(CHECKOUT / "report" / "_quarto.yml", target / "report")
    for name in ("published", "suites", "corpora"):
        shutil.copytree(CHECKOUT / "fixtures" / name, target / "fixtures" / name)
    shutil.copy(CHECKOUT / "fixtures" / "models.toml", target / "fixtures")
    # What says how large the models are; the weights stay where they are.
    (target / "fixtures" / "zoo" / "mini").mkdir(parents=True)
    for name in ("manifest.json", "recipe.toml"):
        shutil.copy(CHECKOUT / "fixtures" / "zoo" / "mini" / name, target / "fixtures" / "zoo" / "mini")
    shutil.copy(CHECKOUT / "CITATION.cff", target)
    (target / "claims" / "emergence").mkdir(parents=True)
    (target / "claims" / "emergence" / "test_share.py").write_text('"""A claim."""\n', encoding="utf-8")
    for name in ("untested.toml", "ambiguities.toml", "mechanisms.toml", "published.toml"):
        shutil.copy(CHECKOUT / "claims" / name, target / "claims")
    return target
