"""An export of the miniature project's evidence in every form, and a reader of it who computed nothing."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from universal_neurons.stages.sharing import export_suite, pull

if TYPE_CHECKING:
    from tests.miniature import Miniature
    from universal_neurons.artifacts.exchange import Pulled

FORMS = ("folder", "evidence.zip")


@dataclass
class Reader:
    """A checkout without evidence, and the warnings of imports into it."""

    project: Miniature
    said: list[str]

    def pull(self, source: Path | str, suite: str = "mini", **narrowing: Any) -> Pulled:
        return pull(suite, str(source), root=self.project.root, warn=self.said.append, narrowing=narrowing)

    @property
    def imported(self) -> Path:
        """The imported store."""
        return self.project.root / ".universal-neurons" / "imported"


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory, computed: Miniature) -> Path:
    """A folder with an export in every form; for reading only."""
    target = tmp_path_factory.mktemp("exports")
    for form in FORMS:
        export_suite(computed.workspace(), target / form)
    return target


@pytest.fixture
def own_export(exports: Path, tmp_path: Path) -> Path:
    """An export of one's own, that a test may damage."""
    return Path(shutil.copytree(exports / "folder", tmp_path / "own-export"))


@pytest.fixture
def reader(miniature: Miniature, tmp_path: Path) -> Reader:
    """A reader of one's own."""
    return Reader(miniature.copied(tmp_path / "reader"), [])
