from __future__ import annotations

import pytest

from universal_neurons.errors import UserError
from universal_neurons.inputs.corpus import CorpusError
from universal_neurons.inputs.recipe import RecipeError
from universal_neurons.inputs.suite_file import SuiteError
from universal_neurons.inputs.zoo import UntrainedWeightsDiffer, ZooError


@pytest.mark.parametrize("kind", [CorpusError, RecipeError, SuiteError, ZooError, UntrainedWeightsDiffer])
def test_what_is_wrong_with_an_input_is_a_mistake_that_the_user_can_mend(kind: type[Exception]) -> None:
    assert issubclass(kind, UserError)


def test_a_mistake_reads_as_its_line() -> None:
    assert str(UserError("suite x: tokens: expected a positive integer, got 0")).startswith("suite x: tokens")
