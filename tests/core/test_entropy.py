"""Exact updates of the last layer against forward passes with hooks, and the null space of an unembedding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.core.test_attention import MLP, ROWS, WIDTH, blocks, made
from universal_neurons.architectures import UnknownArchitecture, adapter_of
from universal_neurons.core.ablation import AblationEngine, NonFiniteLogitsError
from universal_neurons.core.entropy import (
    NullSpace,
    changed_predictions,
    final_state,
    frequency_cosine,
    rerun_predictions,
    set_deviation,
)
from universal_neurons.core.unwrapped import affine_matrix
from universal_neurons.inputs.bridge import frozen_bridge

ARCHITECTURES = ["GPT2LMHeadModel", "GPT2LMHeadModel scaled", "GPTNeoXForCausalLM", "GPTNeoXForCausalLM serial"]
EXACT = 1e-5


@pytest.fixture(params=ARCHITECTURES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def hooked(name: str, neuron: int, value: float, *, frozen: bool, layer: int = -1) -> tuple[Tensor, Tensor]:
    """Log-probabilities (token vocab) and final scales with one activation of a layer fixed, in float64.

    ``frozen``: with the scale of the clean run.
    """
    model = made(name).double()
    adapter = adapter_of(type(model).__name__)
    norm: Any = model.get_submodule(adapter.final_norm)
    scales: list[Tensor] = []

    def fixed(_: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        changed = inputs[0].clone()
        changed[..., neuron] = value
        return (changed,)

    def normed(_: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        scales.append((inputs[0].var(-1, correction=0, keepdim=True) + norm.eps).sqrt())
        if not frozen or len(scales) == 1:
            return output
        deviation = inputs[0] - inputs[0].mean(-1, keepdim=True)
        frozen_output: Tensor = deviation / scales[0] * norm.weight + norm.bias
        return frozen_output

    norm.register_forward_hook(normed)
    with torch.no_grad():
        model(ROWS)
        blocks(model)[layer].get_submodule(adapter.mlp_output).register_forward_pre_hook(fixed)
        logits = model(ROWS).logits[:, :-1].flatten(0, 1)
    log_probabilities: Tensor = logits.log_softmax(-1)
    return log_probabilities, scales[0 if frozen else 1][:, :-1].flatten()


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(("neuron", "value"), [(3, 6.0), (11, -0.17), (20, 0.0)])
def test_a_change_of_the_last_layer_is_that_of_a_hooked_forward_pass(
    name: str, neuron: int, value: float, *, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In several parts.
    monkeypatch.setattr("universal_neurons.core.entropy.LOGITS_AT_ONCE", 31 * 50)
    expected, scale = hooked(name, neuron, value, frozen=frozen)
    bridge = frozen_bridge(made(name), name="tiny")
    state = final_state(bridge, ROWS)
    part: Any = blocks(made(name))[-1].get_submodule(adapter_of(name.split()[0]).mlp_output)
    found = changed_predictions(state, affine_matrix(part)[neuron], value - state.activations[:, neuron], frozen=frozen)
    target = ROWS[:, 1:].flatten()
    own = expected.gather(1, target[:, None])
    torch.testing.assert_close(found.entropy.double(), -(expected.exp() * expected).sum(1), rtol=0, atol=EXACT)
    torch.testing.assert_close(found.loss.double(), -own[:, 0], rtol=0, atol=EXACT)
    torch.testing.assert_close(found.scale.double(), scale, rtol=0, atol=EXACT)
    assert (found.first == expected.argmax(1)).all()
    assert (found.reciprocal_rank == 1 / ((expected > own).sum(1) + 1)).double().mean() > 0.99


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(("layer", "neuron", "value"), [(0, 3, 6.0), (1, 11, -0.17), (2, 20, 0.0)])
def test_a_neuron_of_any_layer_is_set_as_in_a_hooked_forward_pass(
    name: str, layer: int, neuron: int, value: float, *, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("universal_neurons.core.entropy.LOGITS_AT_ONCE", 31 * 50)
    expected, scale = hooked(name, neuron, value, frozen=frozen, layer=layer)
    bridge = frozen_bridge(made(name), name="tiny")
    state, engine = final_state(bridge, ROWS), AblationEngine(bridge)
    with torch.no_grad():
        clean = engine.clean(ROWS, seed=0)
    deviation = set_deviation(engine, clean, layer, neuron, value)
    found, divergence = rerun_predictions(state, deviation, frozen=frozen)
    before, nothing = rerun_predictions(state, state.deviation)
    own = expected.gather(1, ROWS[:, 1:].flatten()[:, None])
    before_log = (state.logits + state.constant).double().log_softmax(-1)
    kl = (before_log.exp() * (before_log - expected)).sum(1)
    torch.testing.assert_close(found.entropy.double(), -(expected.exp() * expected).sum(1), rtol=0, atol=EXACT)
    torch.testing.assert_close(found.loss.double(), -own[:, 0], rtol=0, atol=EXACT)
    torch.testing.assert_close(found.scale.double(), scale, rtol=0, atol=EXACT)
    torch.testing.assert_close(divergence.double(), kl, rtol=1e-4, atol=EXACT)
    assert (found.first == expected.argmax(1)).all()
    torch.testing.assert_close(before.scale, state.scale)
    assert float(nothing.abs().max()) < EXACT


def test_the_mean_of_a_neuron_is_over_all_positions(name: str) -> None:
    bridge = frozen_bridge(made(name), name="tiny")
    engine = AblationEngine(bridge)
    with torch.no_grad():
        clean = engine.clean(ROWS, seed=0)
    mean = float(clean.activations[1][4].mean())
    torch.testing.assert_close(set_deviation(engine, clean, 1, 4, None), set_deviation(engine, clean, 1, 4, mean))


def test_no_change_is_the_clean_run(name: str) -> None:
    bridge = frozen_bridge(made(name), name="tiny")
    state = final_state(bridge, ROWS)
    assert state.activations.shape == (ROWS.numel() - len(ROWS), MLP)
    nothing = torch.zeros(len(state.scale))
    total, direct = (changed_predictions(state, torch.ones(WIDTH), nothing, frozen=f) for f in (False, True))
    with torch.no_grad():
        clean = made(name)(ROWS).logits[:, :-1].flatten(0, 1).log_softmax(-1)
    for found in (total, direct):
        torch.testing.assert_close(found.entropy, -(clean.exp() * clean).sum(1), rtol=0, atol=EXACT)


def test_the_direction_of_all_ones_changes_nothing(name: str) -> None:
    state = final_state(frozen_bridge(made(name), name="tiny"), ROWS)
    change = torch.linspace(-3, 3, len(state.scale))
    nothing = changed_predictions(state, torch.ones(WIDTH), torch.zeros_like(change))
    torch.testing.assert_close(changed_predictions(state, torch.ones(WIDTH), change).loss, nothing.loss)


def test_infinite_logits_are_refused() -> None:
    source = made("GPT2LMHeadModel")
    with torch.no_grad():
        source.transformer.ln_f.bias[0] = torch.inf
    with pytest.raises(NonFiniteLogitsError):
        final_state(frozen_bridge(source, name="tiny"), ROWS)


def test_the_null_space_begins_with_the_direction_that_moves_logits_least() -> None:
    generator = torch.Generator().manual_seed(5)
    unembedding = torch.randn(40, 9, generator=generator, dtype=torch.float64)
    silent = torch.randn(9, generator=generator, dtype=torch.float64)
    silent -= silent.mean()
    silent /= torch.linalg.vector_norm(silent)
    unembedding -= unembedding.mean(1, keepdim=True)
    unembedding -= 0.99 * (unembedding @ silent)[:, None] * silent
    found = NullSpace.of(unembedding)
    assert found.directions.shape == (8, 9)
    assert bool((found.values[1:] >= found.values[:-1]).all())
    torch.testing.assert_close(found.directions.sum(1), torch.zeros(8, dtype=torch.float64), rtol=0, atol=1e-8)
    assert float(found.share(silent[None], count=1)) > 0.99
    everything = found.share(torch.cat([silent[None], torch.zeros(1, 9, dtype=torch.float64)]), count=8)
    assert float(everything[0]) == pytest.approx(1.0)
    assert bool(everything[1].isnan())


def test_the_frequency_cosine_is_over_the_tokens_that_occur() -> None:
    generator = torch.Generator().manual_seed(6)
    unembedding = torch.randn(30, 5, generator=generator, dtype=torch.float64)
    counts = torch.randint(0, 4, (30,), generator=generator)
    vectors = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    occurs = counts > 0
    expected = [
        torch.corrcoef(torch.stack([unembedding[occurs] @ vector, counts[occurs].double().log()]))[0, 1]
        for vector in vectors
    ]
    torch.testing.assert_close(frequency_cosine(vectors, unembedding, counts), torch.stack(expected))


def test_a_model_with_other_norms_is_refused_in_one_line() -> None:
    bridge = frozen_bridge(made("LlamaForCausalLM grouped"), name="tiny")
    with pytest.raises(UnknownArchitecture, match=r"^entropy of LlamaForCausalLM: expected a final layer norm[^\n]*$"):
        final_state(bridge, ROWS)
