"""The workspace of the miniature study, which most tests of a stage read, and the study as evidence alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.miniature import Miniature
    from universal_neurons.stages.workspace import Workspace


@pytest.fixture(scope="module")
def work(computed: Miniature) -> Workspace:
    return computed.workspace()


@pytest.fixture(scope="session")
def _shipped(computed: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    project = computed.copied(tmp_path_factory.mktemp("shipped") / "project")
    project.ship()
    return project


@pytest.fixture
def shipped(_shipped: Miniature, tmp_path: Path) -> Miniature:
    """A copy of the project with its evidence shipped and nothing else, which a test may change."""
    return _shipped.copied(tmp_path / "project")
