"""The numbers of a suite by how many threads computed them: other last bits, the same evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from universal_neurons.stages.recheck import stored_artifacts
from universal_neurons.stages.registry import stages
from universal_neurons.stages.runner import compute

if TYPE_CHECKING:
    from pathlib import Path

    from tests.miniature import Miniature


@pytest.mark.parametrize("threads", [3, 64])
def test_more_threads_stay_within_the_tolerances_of_one(computed: Miniature, tmp_path: Path, threads: int) -> None:
    one = computed.workspace(local=True)
    torch.set_num_threads(threads)
    try:
        many = computed.workspace(store=tmp_path / "store", recompute=True, local=True)
        compute(many)
    finally:
        torch.set_num_threads(1)
    found = [
        stage.compare(one, case, stored_artifacts(one, one.store), stored_artifacts(many, many.store))
        for stage in stages()
        for case in stage.cases(one)
    ]
    compared = [one for one in found if one is not None]
    assert len(compared) > len(stages())
    assert [str(one) for one in compared if not one.agrees] == []
