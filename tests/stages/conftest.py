"""The workspace of the miniature study, which most tests of a stage read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.miniature import Miniature
    from universal_neurons.stages.workspace import Workspace


@pytest.fixture(scope="module")
def work(computed: Miniature) -> Workspace:
    return computed.workspace()
