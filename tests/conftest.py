"""A small project that tests share, built once per run: a corpus, a zoo of three models, suites, artifacts.

The real code trains and computes it.  A test that changes anything takes a copy (``own``).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.miniature import Miniature
from tests.timings import pytest_terminal_summary as pytest_terminal_summary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_configure(config: pytest.Config) -> None:
    """Make warnings errors in the project's own tests; in a run of the claims they stay warnings."""
    for line in (
        "error",
        # transformer-lens and its dependencies import modules that warn about their own future.
        "ignore::DeprecationWarning:transformer_lens.*",
        "ignore::DeprecationWarning:importlib._bootstrap",
    ):
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(autouse=True)
def _nothing_remembered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests of the report keep results of measures for as long as their process lives.  Another test that patches
    # what a measure calls would get the result of before.
    cache = sys.modules.get("universal_neurons.measures.cache")
    if cache is not None and not request.node.nodeid.startswith("tests/render/"):
        monkeypatch.setattr(cache, "_active", [])


@pytest.fixture(scope="session", autouse=True)
def _impatient_disk() -> Iterator[None]:
    """No waiting for the disk: only a loss of power could tell, and no test can cause one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def _offline_on_one_thread() -> Iterator[None]:
    import torch

    threads, variables = torch.get_num_threads(), dict(os.environ)
    torch.set_num_threads(1)
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")
    yield
    torch.set_num_threads(threads)
    os.environ.clear()
    os.environ.update(variables)


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory, _offline_on_one_thread: None) -> Miniature:
    """The project before anything is computed; do not change it."""
    return Miniature.built(tmp_path_factory.mktemp("miniature"))


@pytest.fixture(scope="session")
def computed(tmp_path_factory: pytest.TempPathFactory, miniature: Miniature) -> Miniature:
    """The project with its suite computed; do not change it."""
    from universal_neurons.stages.runner import compute

    project = miniature.copied(tmp_path_factory.mktemp("computed") / "project")
    compute(project.workspace(local=True))
    return project


@pytest.fixture(scope="session")
def brief(tmp_path_factory: pytest.TempPathFactory, miniature: Miniature) -> Miniature:
    """The project with the suite of one checkpoint computed, and nothing else; do not change it."""
    from tests.cases import BRIEF
    from universal_neurons.stages.registry import suite_keys
    from universal_neurons.stages.runner import compute

    project = miniature.copied(tmp_path_factory.mktemp("brief") / "project")
    work = project.workspace("brief", local=True)
    assert compute(work) == len(suite_keys(work)) == BRIEF
    return project


@pytest.fixture
def own(computed: Miniature, tmp_path: Path) -> Miniature:
    """A copy of the computed project, which a test may change."""
    return computed.copied(tmp_path / "project")
