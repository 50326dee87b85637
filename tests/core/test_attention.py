"""Heads, scores and path ablation against transformers models with eager attention and hooks, in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from universal_neurons.architectures import ADAPTERS, UnknownArchitecture, adapter_of
from universal_neurons.core.attention import AttentionModel, head_statistics, path_effects
from universal_neurons.core.moments import NonFiniteActivationError
from universal_neurons.core.unwrapped import affine_matrix
from universal_neurons.inputs.bridge import frozen_bridge

LAYERS, WIDTH, HEADS, MLP, POSITIONS = 3, 32, 4, 24, 12
SIZES = {"layers": LAYERS, "width": WIDTH, "heads": HEADS, "mlp": MLP, "context": POSITIONS, "vocabulary": 31}
ROWS = torch.randint(31, (20, POSITIONS), generator=torch.Generator().manual_seed(1))
FIRST = 5
ARCHITECTURES = [
    "GPT2LMHeadModel", "GPT2LMHeadModel scaled", "GPTNeoXForCausalLM", "GPTNeoXForCausalLM serial",
    "Starcoder2ForCausalLM grouped", "Starcoder2ForCausalLM single",
]  # fmt: skip


def made(name: str) -> Any:
    """A model of transformers whose weights are large enough for every part to matter."""
    class_name, _, kind = name.partition(" ")
    adapter = adapter_of(class_name)
    kinds: dict[str, dict[str, Any]] = {
        "scaled": {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
        "serial": {"use_parallel_residual": False},
        "grouped": {"num_key_value_heads": 2},
        "single": {"num_key_value_heads": 1},
        "": {},
    }
    options = kinds[kind]
    model_class: Any = getattr(transformers, class_name)
    config = model_class.config_class(**adapter.configuration(**SIZES), bos_token_id=0, eos_token_id=0, **options)
    model = model_class(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture(params=ARCHITECTURES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def eager(name: str) -> Any:
    model = made(name)
    model.set_attn_implementation("eager")
    for part in model.modules():
        # It insists on float32; the order of its products changes nothing else.
        part.reorder_and_upcast_attn = False
    return model.double()


def blocks(model: Any) -> list[Any]:
    return list(model.get_submodule(adapter_of(type(model).__name__).blocks).children())


def patterns(model: Any) -> list[Tensor]:
    """The attention of every layer (row head query position)."""
    with torch.no_grad():
        found = model(ROWS, output_attentions=True).attentions
    return list(found)


def outputs_of_heads(model: Any, layer: int) -> Tensor:
    """|z W_O| of every head (row position head): the output matrix applied to one head's part of its input."""
    adapter = adapter_of(type(model).__name__)
    part: Any = blocks(model)[layer].get_submodule(adapter.attention_output)
    inputs: list[Tensor] = []
    handle = part.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    with torch.no_grad():
        model(ROWS)
    handle.remove()
    split = inputs[0].view(*ROWS.shape, HEADS, WIDTH // HEADS)
    matrix = affine_matrix(part).reshape(HEADS, WIDTH // HEADS, WIDTH)
    found: Tensor = torch.linalg.vector_norm(torch.einsum("rthd,hdw->rthw", split, matrix), dim=-1)
    return found


def hooked_path(name: str, layer: int, source: int, neuron: int) -> tuple[Tensor, Tensor]:
    """Attention to position 0 (row head query) and |z W_O| (row query head) with the query's input changed by hooks.

    Where queries, keys and values are one matrix its output is made of two, of the changed and of the clean input.
    """
    model = eager(name)
    adapter = adapter_of(type(model).__name__)
    chosen = blocks(model)[layer]
    norm, joint = chosen.get_submodule(adapter.attention_norm), chosen.get_submodule(adapter.attention_input[0])
    writes: Any = blocks(model)[source].get_submodule(adapter.mlp_output)
    seen: dict[str, Tensor] = {}
    w_out = affine_matrix(writes)[neuron]

    def see(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen["activation"] = args[0][..., neuron]

    def change(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen["ablated"] = args[0] - seen["activation"][..., None] * w_out

    def with_new_queries(module: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if "inside" in seen:
            return output
        seen["inside"] = output
        changed: Tensor = joint(nn.functional.layer_norm(seen["ablated"], (WIDTH,), norm.weight, norm.bias, norm.eps))
        del seen["inside"]
        if len(adapter.attention_input) > 1:
            return changed
        shape = (3, HEADS) if adapter.packing == "parts" else (HEADS, 3)
        mixed, new = (one.clone().view(*ROWS.shape, *shape, WIDTH // HEADS) for one in (output, changed))
        if adapter.packing == "parts":
            mixed[..., 0, :, :] = new[..., 0, :, :]
        else:
            mixed[..., :, 0, :] = new[..., :, 0, :]
        return mixed.view_as(output)

    writes.register_forward_pre_hook(see)
    norm.register_forward_pre_hook(change)
    joint.register_forward_hook(with_new_queries)
    return patterns(model)[layer][..., 0], outputs_of_heads(model, layer)


def test_heads_give_the_attention_and_the_norms_of_the_transformers_model(name: str) -> None:
    expected = patterns(eager(name))
    attention = AttentionModel.of(frozen_bridge(made(name), name="tiny"), positions=POSITIONS)
    runs = attention.run(ROWS)
    for layer, (heads, run) in enumerate(zip(attention.layers, runs, strict=True)):
        normed = heads.norm(run.residual)
        found = heads.attention(heads.queries(normed), heads.keys(normed)).transpose(0, 1)
        torch.testing.assert_close(found.double(), expected[layer], rtol=0, atol=1e-5)
        statistics = head_statistics(heads, run, first=FIRST)
        torch.testing.assert_close(
            statistics.to_first.double(), expected[layer][:, :, FIRST:, 0].mean((0, 2)), rtol=0, atol=1e-5
        )


def test_norms_are_of_single_values_through_the_output_matrix(name: str) -> None:
    attention = AttentionModel.of(frozen_bridge(made(name), name="tiny"), positions=POSITIONS)
    for heads, run in zip(attention.layers, attention.run(ROWS), strict=True):
        statistics, values = head_statistics(heads, run, first=FIRST), heads.values(heads.norm(run.residual))
        for head in range(HEADS):
            norms = torch.linalg.vector_norm(values[head] @ heads.output[head], dim=-1)
            torch.testing.assert_close(statistics.first_norm[head], norms[:, 0].mean())
            torch.testing.assert_close(statistics.middle_norm[head], norms[:, POSITIONS // 2].mean())
            torch.testing.assert_close(statistics.other_norm[head], norms[:, 1:].mean())


@pytest.mark.parametrize(("layer", "source", "neuron"), [(1, 0, 3), (2, 0, 7), (2, 1, 11)])
def test_path_ablation_is_that_of_a_hooked_model(name: str, layer: int, source: int, neuron: int) -> None:
    attention = AttentionModel.of(frozen_bridge(made(name), name="tiny"), positions=POSITIONS)
    runs, heads = attention.run(ROWS), attention.layers[layer]
    before, size = patterns(eager(name))[layer][..., 0], outputs_of_heads(eager(name), layer)
    after, changed = hooked_path(name, layer, source, neuron)
    assert float((after - before).abs().max()) > 1e-4
    # More neurons than are ablated at a time, so that the one in question is in a second part.
    order = [*range(neuron), *range(neuron + 1, MLP), neuron]
    activations = runs[source].activations[:, FIRST:, order].permute(2, 0, 1)
    w_out = attention.model.output_weights(source)[order]
    for head in range(HEADS):
        found = path_effects(heads, runs[layer], head, activations, w_out, first=FIRST)
        expected = (after - before)[:, head, FIRST:].flatten()
        torch.testing.assert_close(found.attention[-1].double(), expected, rtol=0, atol=2e-6)
        expected = (changed / size - 1)[:, FIRST:, head].flatten()
        torch.testing.assert_close(found.norm[-1].double(), expected, rtol=1e-4, atol=3e-6)


def test_a_neuron_that_is_put_in_and_taken_out_is_the_ablation_of_the_model_with_it(name: str) -> None:
    attention = AttentionModel.of(frozen_bridge(made(name), name="tiny"), positions=POSITIONS)
    runs, heads = attention.run(ROWS), attention.layers[2]
    activations = runs[1].activations[:, FIRST:, :1].permute(2, 0, 1)
    w_out = attention.model.output_weights(1)[:1]
    inside = path_effects(heads, runs[2], 1, activations, w_out, first=FIRST)
    with_it = runs[2].residual.clone()
    with_it[:, FIRST:] += activations[0][..., None] * w_out[0]
    # Keys and values are of the model without it, the query alone is changed, and back.
    added = path_effects(heads, runs[2], 1, activations, w_out, first=FIRST, added=True)
    normed = heads.norm(runs[2].residual)
    queries = heads.queries(heads.norm(with_it)[:, FIRST:], FIRST)[1]
    pattern = heads.attention(queries, heads.keys(normed)[1], FIRST)
    clean = heads.attention(heads.queries(normed[:, FIRST:], FIRST)[1], heads.keys(normed)[1], FIRST)
    torch.testing.assert_close(added.attention[0], (clean - pattern)[..., 0].flatten(), rtol=0, atol=1e-5)
    assert float((added.attention - inside.attention).abs().max()) > 2e-6


def test_scores_are_mean_differences_of_products_of_queries_and_rotated_keys(name: str) -> None:
    attention = AttentionModel.of(frozen_bridge(made(name), name="tiny"), positions=POSITIONS)
    runs = attention.run(ROWS)
    heads, run = attention.layers[1], runs[1]
    statistics, keys = head_statistics(heads, run, first=FIRST), heads.keys(heads.norm(run.residual)).double()
    written = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    written -= written.mean(1, keepdim=True)
    for head in range(HEADS):
        matrix = heads.norm.weight.double()[:, None] * heads.query[head].double()
        raw, relative = [], []
        for position in range(FIRST, POSITIONS):
            query = heads.rotated((written @ matrix)[:, None], position)[:, 0]
            first, others = keys[head, :, 0], keys[head, :, 1 : position + 1].mean(1)
            raw.append(query @ first.T * heads.scale)
            relative.append(query @ (first - others).T * heads.scale)
        torch.testing.assert_close(written @ statistics.raw[head], torch.stack(raw).mean((0, 2)))
        torch.testing.assert_close(written @ statistics.relative[head], torch.stack(relative).mean((0, 2)))


def test_small_changes_of_attention_follow_the_relative_score(name: str) -> None:
    # A head whose queries and keys are nearly 0 attends evenly, and then the score is its derivative.
    source = made(name)
    adapter = adapter_of(type(source).__name__)
    with torch.no_grad():
        for block in blocks(source):
            for path in adapter.attention_input:
                block.get_submodule(path).weight.mul_(0.03)
                block.get_submodule(path).bias.mul_(0.03)
    attention = AttentionModel.of(frozen_bridge(source, name="tiny"), positions=POSITIONS)
    runs, heads = attention.run(ROWS), attention.layers[2]
    w_out = attention.model.output_weights(1)
    activations = torch.full((MLP, len(ROWS), POSITIONS - FIRST), 1e-2)
    score = (w_out - w_out.mean(1, keepdim=True)).double() @ head_statistics(heads, runs[2], first=FIRST).relative[0]
    change = path_effects(heads, runs[2], 0, activations, w_out, first=FIRST).attention.mean(1).double()
    assert float(torch.corrcoef(torch.stack([score, change]))[0, 1]) < -0.8


def test_an_infinite_activation_is_refused_with_its_neuron() -> None:
    source = made("GPT2LMHeadModel")
    with torch.no_grad():
        blocks(source)[1].mlp.c_fc.bias[5] = torch.inf
    with pytest.raises(NonFiniteActivationError) as caught:
        AttentionModel.of(frozen_bridge(source, name="tiny"), positions=POSITIONS).run(ROWS)
    assert caught.value.column == MLP + 5


def test_keys_that_heads_share_are_refused_in_one_line_where_the_adapter_does_not_name_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    adapter = replace(adapter_of("Starcoder2ForCausalLM"), key_heads="")
    monkeypatch.setitem(ADAPTERS, adapter.class_name, adapter)
    bridge = frozen_bridge(made("Starcoder2ForCausalLM grouped"), name="tiny")
    said = "expected 96 columns of 4 heads of queries and 4 of keys and values, got 64"
    with pytest.raises(UnknownArchitecture, match=f"^attention of Starcoder2ForCausalLM: {said}$"):
        AttentionModel.of(bridge, positions=POSITIONS)


def test_a_model_whose_heads_are_unknown_is_refused_in_one_line() -> None:
    # Norms without a mean are not in the formulas.
    bridge = frozen_bridge(made("LlamaForCausalLM grouped"), name="tiny")
    with pytest.raises(UnknownArchitecture, match=r"^attention of LlamaForCausalLM: expected [^\n]*$"):
        AttentionModel.of(bridge, positions=POSITIONS)
