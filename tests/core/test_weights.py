"""Folded weights equal the backend's own processing, and give the model's pre-activations."""

from typing import Any

import pytest
import torch

from tests.core.test_ablation import bridged, language_model
from universal_neurons.core.weights import folded_weights, raw_weights


@pytest.fixture
def bridge() -> Any:
    return bridged(language_model())


def test_folded_weights_equal_the_processing_of_the_backend(bridge: Any) -> None:
    found = folded_weights(bridge)
    processed = bridged(language_model())
    processed.enable_compatibility_mode(disable_warnings=True)
    torch.testing.assert_close(found.w_in.float(), processed.W_in.transpose(1, 2).flatten(0, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.b_in.float(), processed.b_in.flatten(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.w_out.float(), processed.W_out.flatten(0, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.unembedding.float(), processed.W_U.T, atol=1e-5, rtol=1e-5)


def test_pre_activations_are_products_of_folded_weights_and_a_standardised_residual(bridge: Any) -> None:
    rows = torch.arange(18).view(2, 9)
    _, cache = bridge.run_with_cache(rows)
    found = folded_weights(bridge)
    width = len(found.b_in) // len(bridge.blocks)
    for layer in range(len(bridge.blocks)):
        residual = cache[f"blocks.{layer}.hook_resid_mid"].double()
        centred = residual - residual.mean(-1, keepdim=True)
        standard = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        part = slice(layer * width, (layer + 1) * width)
        expected = cache[f"blocks.{layer}.mlp.hook_pre"].double()
        torch.testing.assert_close(standard @ found.w_in[part].T + found.b_in[part], expected, atol=1e-4, rtol=1e-4)


def test_raw_weights_are_those_of_the_module(bridge: Any) -> None:
    found, model = raw_weights(bridge), language_model()
    for layer, block in enumerate(model.transformer.h):
        width = block.mlp.c_fc.nf
        part = slice(layer * width, (layer + 1) * width)
        assert torch.equal(found.w_in[part], block.mlp.c_fc.weight.T.double())
        assert torch.equal(found.b_in[part], block.mlp.c_fc.bias.double())
        assert torch.equal(found.w_out[part], block.mlp.c_proj.weight.double())
    assert torch.equal(found.unembedding, model.lm_head.weight.double())


def test_free_directions_are_removed(bridge: Any) -> None:
    found = folded_weights(bridge)
    for vectors in (found.w_in, found.w_out, found.unembedding):
        torch.testing.assert_close(vectors.mean(1), torch.zeros(len(vectors), dtype=torch.float64), atol=1e-12, rtol=0)
    width = found.unembedding.shape[1]
    torch.testing.assert_close(found.unembedding.mean(0), torch.zeros(width, dtype=torch.float64), atol=1e-12, rtol=0)


def test_the_model_keeps_its_weights(bridge: Any) -> None:
    before = {name: value.clone() for name, value in bridge.named_parameters()}
    folded_weights(bridge)
    assert all(torch.equal(value, before[name]) for name, value in bridge.named_parameters())
