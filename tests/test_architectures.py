"""Adapters against the transformers models that they describe, and one more architecture added in this file."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from pydantic import ValidationError
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from universal_neurons.architectures import ADAPTERS, ModelAdapter, UnknownArchitecture, adapter_of
from universal_neurons.core.ablation import Ablation, AblationEngine, ablation_effects, activation_norms
from universal_neurons.core.activations import layer_widths, stream
from universal_neurons.core.unwrapped import UnwrappedModel, affine_matrix
from universal_neurons.core.weights import folded_weights
from universal_neurons.inputs.bridge import frozen_bridge, random_bridge
from universal_neurons.inputs.catalogue import Architecture

SIZES = {"layers": 3, "width": 16, "heads": 2, "mlp": 24, "context": 9, "vocabulary": 31}
ROWS = torch.randint(31, (4, 9), generator=torch.Generator().manual_seed(1))

# All that the package has to be told about one more architecture: attention and MLP read the same layer norm.
PHI = ModelAdapter(
    class_name="PhiForCausalLM",
    model_type="phi",
    options={
        "layers": "num_hidden_layers", "width": "hidden_size", "heads": "num_attention_heads",
        "mlp": "intermediate_size", "context": "max_position_embeddings", "vocabulary": "vocab_size",
    },
    blocks="model.layers",
    final_norm="model.final_layernorm",
    attention="self_attn",
    mlp_norm="input_layernorm",
    mlp_input="mlp.fc1",
    mlp_activation="mlp.activation_fn",
    mlp_output="mlp.fc2",
    parallel=True,
    buffers=(),
    tied=("embed_tokens.weight", "lm_head.weight"),
)  # fmt: skip


@pytest.fixture(params=["GPT2LMHeadModel", "GPTNeoXForCausalLM", "Starcoder2ForCausalLM", "PhiForCausalLM"])
def adapter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModelAdapter:
    monkeypatch.setitem(ADAPTERS, PHI.class_name, PHI)
    return adapter_of(request.param)


def model(adapter: ModelAdapter, **options: Any) -> Any:
    """A model of transformers whose weights and biases are large enough for every part to matter."""
    kind: Any = getattr(transformers, adapter.class_name)
    made = kind(kind.config_class(**adapter.configuration(**SIZES), bos_token_id=0, eos_token_id=0, **options))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, parameter in sorted(made.named_parameters()):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return made.eval()


def blocks(source: Any, adapter: ModelAdapter) -> list[nn.Module]:
    return list(source.get_submodule(adapter.blocks).children())


def captured(source: Any, part: nn.Module) -> Tensor:
    """The input of a module in a forward pass."""
    inputs: list[Tensor] = []
    handle = part.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    with torch.no_grad():
        source(ROWS)
    handle.remove()
    return inputs[0]


def test_the_parts_are_those_of_the_transformers_model(adapter: ModelAdapter) -> None:
    source = model(adapter)
    assert source.config.model_type == adapter.model_type
    assert len(blocks(source, adapter)) == SIZES["layers"]
    assert isinstance(source.get_submodule(adapter.final_norm), nn.LayerNorm)
    for block in blocks(source, adapter):
        assert isinstance(block.get_submodule(adapter.mlp_norm), nn.LayerNorm)
        maps: list[Any] = [block.get_submodule(path) for path in (adapter.mlp_input, adapter.mlp_output)]
        assert all(isinstance(part, nn.Linear | Conv1D) for part in maps)
        assert [tuple(affine_matrix(part).shape) for part in maps] == [(16, 24), (24, 16)]
        read = captured(source, block.get_submodule(adapter.mlp_input))
        activation: nn.Module = block.get_submodule(adapter.mlp_activation)
        torch.testing.assert_close(captured(source, activation), maps[0](read))
        torch.testing.assert_close(captured(source, maps[1]), activation(maps[0](read)))


@pytest.mark.parametrize("option", [True, False])
def test_parallel_blocks_have_mlps_that_do_not_read_the_output_of_attention(
    adapter: ModelAdapter, *, option: bool
) -> None:
    named = isinstance(adapter.parallel, str)
    source = model(adapter, **({adapter.parallel: option} if isinstance(adapter.parallel, str) else {}))
    block: Any = blocks(source, adapter)[0]
    before = captured(source, block.get_submodule(adapter.mlp_input))
    attention = block.get_submodule(adapter.attention)
    attention.register_forward_hook(lambda _, args, output: (output[0].flip(-1), *output[1:]))
    after = captured(source, block.get_submodule(adapter.mlp_input))
    assert torch.equal(before, after) == (option if named else adapter.parallel)


def test_the_unwrapped_parts_are_those_of_the_bridge(adapter: ModelAdapter) -> None:
    bridge: Any = frozen_bridge(model(adapter), name="tiny")
    parts = UnwrappedModel.of(bridge)
    for layer in range(SIZES["layers"]):
        assert torch.equal(affine_matrix(parts.mlp_inputs[layer]), bridge.W_in[layer])
        assert torch.equal(parts.output_weights(layer), bridge.W_out[layer])
    assert torch.equal(affine_matrix(parts.unembedding), bridge.W_U)
    assert layer_widths(bridge) == (SIZES["mlp"],) * SIZES["layers"]


def test_activations_are_those_of_the_transformers_model(adapter: ModelAdapter) -> None:
    source = model(adapter)
    expected = torch.cat([captured(source, b.get_submodule(adapter.mlp_output)) for b in blocks(source, adapter)], -1)
    (batch,) = stream(frozen_bridge(source, name="tiny"), ROWS, torch.ones_like(ROWS, dtype=torch.bool))
    torch.testing.assert_close(batch.values, expected.flatten(0, 1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("layer", range(3))
def test_ablation_is_that_of_the_transformers_model(adapter: ModelAdapter, layer: int) -> None:
    source = model(adapter)
    part: Any = blocks(source, adapter)[layer].get_submodule(adapter.mlp_output)

    def without_half(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (inputs[0].index_fill(-1, torch.arange(12), 0),)

    with torch.no_grad():
        clean = source(ROWS).logits[:, :-1].log_softmax(-1)
        handle = part.register_forward_pre_hook(without_half)
        ablated = source(ROWS).logits[:, :-1].log_softmax(-1)
        handle.remove()
    expected = (clean.exp() * (clean - ablated)).sum(-1).double().mean()
    ablation = Ablation(torch.arange(12) + layer * SIZES["mlp"])
    effects = ablation_effects(frozen_bridge(source, name="tiny"), ROWS, [ablation], blocks=1, batch_rows=4, seed=0)
    assert float(expected) > 1e-4
    torch.testing.assert_close(effects.kl[0, 0], expected, rtol=1e-2, atol=1e-6)


@torch.no_grad()
def test_an_effect_whose_exponentials_overflow_counts_the_bias_of_the_unembedding(adapter: ModelAdapter) -> None:
    engine = AblationEngine(frozen_bridge(model(adapter), name="tiny"))
    clean = engine.clean(ROWS, seed=0)
    change = 100 * torch.randn(clean.final.shape, generator=torch.Generator().manual_seed(2))
    rise = change.double() @ affine_matrix(engine.model.unembedding).double()
    assert float((rise - (clean.probabilities.double() * rise).sum(-1, keepdim=True)).max()) > 100
    logits = engine.model.model(ROWS).logits[:, :-1].flatten(0, 1).double()
    before, after = logits.log_softmax(-1), (logits + rise).log_softmax(-1)
    expected = (before.exp() * (before - after)).sum(-1)
    torch.testing.assert_close(engine.effects(clean, change)[0].double(), expected, rtol=1e-5, atol=1e-2)


def test_pre_activations_are_products_of_folded_weights(adapter: ModelAdapter) -> None:
    source = model(adapter)
    expected, read = [], []
    for block in blocks(source, adapter):
        expected.append(captured(source, block.get_submodule(adapter.mlp_activation)).double())
        read.append(captured(source, block.get_submodule(adapter.mlp_norm)).double())
    bridge = frozen_bridge(source, name="tiny")
    folded, width = folded_weights(bridge), SIZES["mlp"]
    for layer, (values, pre_activations) in enumerate(zip(read, expected, strict=True)):
        centred = values - values.mean(-1, keepdim=True)
        standard = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        neurons = slice(layer * width, (layer + 1) * width)
        found = standard @ folded.w_in[neurons].T + folded.b_in[neurons]
        torch.testing.assert_close(found, pre_activations, rtol=1e-4, atol=1e-4)
    assert activation_norms(bridge, ROWS).shape == (SIZES["layers"] * width,)


def test_random_models_have_the_sizes_that_were_asked_for(adapter: ModelAdapter) -> None:
    before = torch.get_rng_state()
    config: Any = random_bridge(**SIZES, architecture=adapter.class_name).original_model.config
    assert {name: getattr(config, option) for name, option in adapter.options.items()} == SIZES
    assert torch.equal(torch.get_rng_state(), before)
    assert Architecture(name=adapter.class_name, **SIZES).mlp == SIZES["mlp"]


@pytest.mark.parametrize(
    ("class_name", "name", "expected"),
    [
        ("GPT2LMHeadModel", "transformer.h.0.attn.bias", True),
        ("GPT2LMHeadModel", "h.11.attn.masked_bias", True),
        ("GPT2LMHeadModel", "h.11.attn.c_attn.bias", False),
        ("GPT2LMHeadModel", "h.11.cross_attn.bias", False),
        ("GPTNeoXForCausalLM", "gpt_neox.layers.3.attention.bias", True),
        ("GPTNeoXForCausalLM", "gpt_neox.layers.3.attention.rotary_emb.inv_freq", True),
        ("GPTNeoXForCausalLM", "gpt_neox.layers.3.attention.dense.bias", False),
    ],
)
def test_buffers_of_older_checkpoints_are_no_weights(class_name: str, name: str, *, expected: bool) -> None:
    assert adapter_of(class_name).is_buffer(name) is expected


def test_an_architecture_without_adapter_is_named() -> None:
    with pytest.raises(
        UnknownArchitecture, match=r"expected one of GPT2LMHeadModel, GPTNeoXForCausalLM, .* got 'Bert'"
    ):
        adapter_of("Bert")
    with pytest.raises(ValidationError, match=r"expected one of GPT2LMHeadModel, GPTNeoXForCausalLM, .* got 'Bert'"):
        Architecture(name="Bert", **SIZES)


def test_a_gated_architecture_is_for_matching_and_not_for_suites() -> None:
    with pytest.raises(
        ValidationError, match="expected one without gates, got 'LlamaForCausalLM'; compare it by match"
    ):
        Architecture(name="LlamaForCausalLM", **SIZES)
