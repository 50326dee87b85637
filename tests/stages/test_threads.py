"""The numbers of a suite by how many threads computed them: other last bits, the same evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from tests.cases import pairs
from universal_neurons.stages.ablation import ABLATIONS
from universal_neurons.stages.base import Case
from universal_neurons.stages.recheck import stored_artifacts
from universal_neurons.stages.registry import stages, with_needs
from universal_neurons.stages.runner import compute
from universal_neurons.stages.universality import UNIVERSALITY
from universal_neurons.stages.variants import VARIANTS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.miniature import Miniature


@pytest.mark.parametrize(("threads", "whole"), [(3, True), (64, False)])
def test_more_threads_stay_within_the_tolerances_of_one(
    brief: Miniature, tmp_path: Path, threads: int, *, whole: bool
) -> None:
    one = brief.workspace("brief", local=True)
    many = brief.workspace("brief", store=tmp_path / "store", recompute=True, local=True)
    some = [(UNIVERSALITY, pairs(one, 30)[0]), (ABLATIONS, Case(30, "b")), (VARIANTS, Case(30, "a"))]
    wanted = with_needs(one, None if whole else some)
    torch.set_num_threads(threads)
    try:
        compute(many, wanted)
    finally:
        torch.set_num_threads(1)
    found = [
        stage.compare(one, case, stored_artifacts(one, one.store), stored_artifacts(many, many.store))
        for stage, case in wanted
    ]
    compared = [one for one in found if one is not None]
    assert len(compared) > (len(stages()) if whole else len(some))
    assert [str(one) for one in compared if not one.agrees] == []
