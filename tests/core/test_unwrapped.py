"""The unwrapped model in fewer kernels computes the same functions, and the bridge is unchanged."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from tests.core.test_activations import LAYERS, ROWS, bridged, language_model
from universal_neurons.core import unwrapped
from universal_neurons.core.unwrapped import FusedAffine, UnwrappedModel, affine_matrix

needs_kernel = pytest.mark.skipif(not unwrapped._has_kernel(), reason="this build of torch has no such kernel")


def affine(kind: str) -> nn.Module:
    kinds: dict[str, Any] = {"Conv1D": partial(Conv1D, 48, 16), "Linear": partial(nn.Linear, 16, 48)}
    made: nn.Module = kinds[kind]()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


@pytest.fixture
def values() -> Tensor:
    return torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(3))


@needs_kernel
@pytest.mark.parametrize("kind", ["Conv1D", "Linear"])
@pytest.mark.parametrize("precision", ["highest", "medium"])
@torch.no_grad()
def test_an_affine_map_with_its_gelu_equals_float64(kind: str, precision: str, values: Tensor) -> None:
    fused = FusedAffine(affine(kind))
    expected: Tensor = affine(kind).double()(values.double())
    gelu: nn.Module = NewGELUActivation()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        torch.testing.assert_close(fused(values).double(), expected, rtol=0, atol=2e-5)
        fused.gelu = "fused"
        torch.testing.assert_close(fused(values).double(), gelu(expected), rtol=0, atol=2e-5)
    finally:
        torch.set_float32_matmul_precision(before)


@needs_kernel
@torch.no_grad()
def test_a_quick_gelu_is_exact_far_below_0_and_in_all_of_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unwrapped, "_ELEMENTS", 7)
    fused = FusedAffine(nn.Linear(16, 16))
    fused.weight, fused.bias, fused.gelu = torch.eye(16), None, "quick"
    values = torch.linspace(-6, 6, 160).view(2, 5, 16)
    gelu: nn.Module = NewGELUActivation()
    torch.testing.assert_close(fused(values).double(), gelu(values.double()), rtol=1e-5, atol=0)
    assert (gelu(values) / gelu(values.double()) - 1).abs().max() > 0.1
    assert fused(torch.tensor([[-(2.0**100), 2.0**100] * 8])).tolist() == [[0.0, 2.0**100] * 8]


@needs_kernel
@pytest.mark.parametrize("kind", ["Conv1D", "Linear"])
def test_the_weights_are_shared(kind: str) -> None:
    given: Any = affine(kind)
    fused = FusedAffine(given)
    assert fused.weight.data_ptr() == given.weight.data_ptr()
    assert torch.equal(affine_matrix(fused), affine_matrix(given))
    assert fused.weight.shape == (16, 48)


@needs_kernel
def test_every_affine_map_of_a_gpt2_is_fused_and_gelu_with_the_mlp_input() -> None:
    bridge = bridged(language_model())
    found: list[Any] = list(UnwrappedModel.of(bridge).blocks)
    assert [type(block.mlp.c_fc) for block in found] == [FusedAffine] * LAYERS
    assert [(block.mlp.c_fc.gelu, type(block.mlp.act)) for block in found] == [("fused", nn.Identity)] * LAYERS
    others = [part for block in found for part in (block.attn.c_attn, block.attn.c_proj, block.mlp.c_proj)]
    assert {part.gelu for part in others} == {"none"}
    assert not [part for part in bridge.original_model.modules() if isinstance(part, FusedAffine | nn.Identity)]


@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
@torch.no_grad()
def test_the_unwrapped_model_has_the_predictions_of_the_model(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without the kernel, and with an activation that it does not have."""
    config = GPT2Config(
        vocab_size=31, n_positions=9, n_embd=16, n_layer=2, n_head=2, n_inner=20, activation_function=activation,
        bos_token_id=30, eos_token_id=30, use_cache=False,
    )  # fmt: skip
    source: Any = GPT2LMHeadModel(config)
    bridge = bridged(source.eval())
    rows = torch.randint(31, (ROWS, 9), generator=torch.Generator().manual_seed(1))
    expected = source(rows).logits
    fast = UnwrappedModel.of(bridge).model(rows, use_cache=False).logits
    monkeypatch.setattr(unwrapped, "_has_kernel", lambda: False)
    plain = UnwrappedModel.of(bridge)
    assert not [part for part in plain.model.modules() if isinstance(part, FusedAffine)]
    for found in (fast, plain.model(rows, use_cache=False).logits):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_double_precision_is_left_to_torch() -> None:
    bridge = bridged(language_model().double())
    assert not [part for part in UnwrappedModel.of(bridge).model.modules() if isinstance(part, FusedAffine)]
