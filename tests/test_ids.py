from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universal_neurons.ids import CorpusRef, ModelRef, NeuronId

numbers = st.integers(0, 10**6)


@settings(deadline=None, derandomize=True, database=None)
@given(numbers, numbers)
def test_a_neuron_is_read_as_it_is_spelled(layer: int, index: int) -> None:
    neuron = NeuronId(layer, index)
    assert NeuronId.parse(str(neuron)) == neuron
    assert str(neuron) == f"L{layer}.{index}"


@pytest.mark.parametrize(
    "spelling", ["", "5.1203", "L5", "l5.1203", "L5.1203 ", "L5.-1", "L-5.1", "L5.12.3", "L5,1203"]
)
def test_no_other_spelling_is_a_neuron(spelling: str) -> None:
    with pytest.raises(ValueError, match=r"not a neuron: .*; expected a spelling like L5\.1203"):
        NeuronId.parse(spelling)


def test_neurons_are_ordered_by_layer_and_then_by_number() -> None:
    spelled = ["L10.0", "L2.11", "L2.2", "L0.300"]
    assert [str(neuron) for neuron in sorted(map(NeuronId.parse, spelled))] == ["L0.300", "L2.2", "L2.11", "L10.0"]


def test_names_are_short_and_their_digests_tell_them_apart() -> None:
    model, other = ModelRef("a", "zoo/mini", 100, "1"), ModelRef("a", "zoo/mini", 100, "2")
    assert str(model) == str(other) == "a@100"
    assert len({model, other}) == 2
    assert str(CorpusRef("wheels", "r", "t", 128, "published", 200_000, "s")) == "wheels:200000"
