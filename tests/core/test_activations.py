"""The stream gives the model's post-GELU activations at the scored tokens, for every batch size."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformer_lens.model_bridge.sources import build_bridge_from_module
from transformers import GPT2Config, GPT2LMHeadModel

from universal_neurons.core import activations
from universal_neurons.core.activations import layer_widths, mlp_activations, row_blocks, stream

LAYERS, WIDTH, ROWS, POSITIONS = 3, 20, 7, 9


def language_model() -> Any:
    config = GPT2Config(
        vocab_size=31,
        n_positions=POSITIONS,
        n_embd=16,
        n_layer=LAYERS,
        n_head=2,
        n_inner=WIDTH,
        bos_token_id=30,
        eos_token_id=30,
        use_cache=False,
    )
    model: Any = GPT2LMHeadModel(config)
    model.eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def bridged(model: Any) -> Any:
    return build_bridge_from_module(model, architecture="GPT2LMHeadModel", hf_config=model.config)


@pytest.fixture(scope="module")
def rows() -> Tensor:
    return torch.randint(31, (ROWS, POSITIONS), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def bridge() -> Any:
    return bridged(language_model())


@pytest.fixture(scope="module")
def expected(rows: Tensor) -> Tensor:
    """The input of every MLP output matrix of the Hugging Face model, before any bridge changes it."""
    model = language_model()
    caught: list[Tensor] = []

    def catch(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        caught.append(inputs[0])

    for block in model.transformer.h:
        block.mlp.c_proj.register_forward_pre_hook(catch)
    with torch.no_grad():
        model(rows)
    return torch.cat(caught, dim=-1)


def test_activations_are_the_input_of_the_output_matrix(bridge: Any, rows: Tensor, expected: Tensor) -> None:
    found = mlp_activations(bridge, rows)
    assert found.shape == (ROWS, POSITIONS, LAYERS * WIDTH)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert found.dtype == torch.float32
    assert not found.requires_grad


def test_the_forward_pass_ends_before_the_unembedding(bridge: Any, rows: Tensor) -> None:
    calls: list[str] = []
    handle = bridge.unembed.register_forward_hook(lambda *_: calls.append("unembed"))
    try:
        mlp_activations(bridge, rows)
        assert calls == []
        bridge(rows)
        assert calls == ["unembed"]
    finally:
        handle.remove()


def test_the_hooks_are_gone_after_the_pass(bridge: Any, rows: Tensor) -> None:
    mlp_activations(bridge, rows)
    assert all(not block.mlp.hook_post.fwd_hooks for block in bridge.blocks)


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 100])
def test_the_stream_is_the_scored_tokens_in_order(bridge: Any, rows: Tensor, expected: Tensor, batch_rows: int) -> None:
    mask = torch.rand(ROWS, POSITIONS, generator=torch.Generator().manual_seed(2)) < 0.6
    mask[3:6] = False
    batches = list(stream(bridge, rows, mask, batch_rows=batch_rows))
    assert all(len(batch) for batch in batches)
    torch.testing.assert_close(torch.cat([b.values for b in batches]), expected[mask], rtol=0, atol=1e-5)
    assert torch.equal(torch.cat([b.row for b in batches]), mask.nonzero()[:, 0])


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_stream_before_gelu_is_the_output_of_the_input_matrix(rows: Tensor, attention: str) -> None:
    model = language_model()
    caught: list[Tensor] = []
    for block in model.transformer.h:
        block.mlp.c_fc.register_forward_hook(lambda _, inputs, output: caught.append(output))
    with torch.no_grad():
        model(rows)
    expected = torch.cat(caught, dim=-1).flatten(0, 1)
    model = language_model()
    model.set_attn_implementation(attention)
    found = stream(bridged(model), rows, torch.ones_like(rows, dtype=torch.bool), batch_rows=3, place="hook_pre")
    torch.testing.assert_close(torch.cat([batch.values for batch in found]), expected, rtol=0, atol=2e-5)


def test_rows_may_be_arrays_of_short_integers(bridge: Any, rows: Tensor, expected: Tensor) -> None:
    mask = torch.ones(ROWS, POSITIONS, dtype=torch.bool)
    (batch,) = stream(bridge, rows.numpy().astype("uint16"), mask.numpy(), batch_rows=ROWS)
    torch.testing.assert_close(batch.values, expected[mask], rtol=0, atol=1e-5)


def test_half_precision_weights_give_float32_activations(rows: Tensor, expected: Tensor) -> None:
    found = mlp_activations(bridged(language_model().to(torch.bfloat16)), rows)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0.5)


def test_no_scored_token_and_other_shapes_are_refused(bridge: Any, rows: Tensor) -> None:
    for mask in (torch.zeros(ROWS, POSITIONS, dtype=torch.bool), torch.ones(ROWS, 2, dtype=torch.bool)):
        with pytest.raises(ValueError, match="no token is scored"):
            next(stream(bridge, rows, mask, batch_rows=2))


def test_the_layers_of_a_model_are_as_wide_as_its_mlps(bridge: Any) -> None:
    assert layer_widths(bridge) == (WIDTH,) * LAYERS


def test_blocks_are_contiguous_and_of_nearly_one_size() -> None:
    block = row_blocks(torch.arange(23), rows=23, blocks=5)
    assert torch.equal(block, block.sort().values)
    sizes = torch.bincount(block)
    assert len(sizes) == 5
    assert int(sizes.max() - sizes.min()) <= 1
    with pytest.raises(ValueError, match="3 rows cannot be cut into 4 blocks"):
        row_blocks(torch.arange(3), rows=3, blocks=4)


@pytest.mark.parametrize("layers", [[0], [1], [0, 2], [2]])
def test_chosen_layers_are_columns_of_all_layers(bridge: Any, rows: Tensor, layers: list[int]) -> None:
    every = torch.split(mlp_activations(bridge, rows), WIDTH, dim=-1)
    expected = torch.cat([every[layer] for layer in layers], dim=-1)
    torch.testing.assert_close(mlp_activations(bridge, rows, layers=layers), expected, rtol=0, atol=0)


def test_the_forward_pass_ends_at_the_last_chosen_layer(bridge: Any, rows: Tensor) -> None:
    calls: list[int] = []
    handles = [
        block.register_forward_hook(lambda *_, number=number: calls.append(number))
        for number, block in enumerate(bridge.blocks)
    ]
    try:
        mlp_activations(bridge, rows, layers=[1])
    finally:
        for handle in handles:
            handle.remove()
    assert calls == [0]


def test_a_model_without_chosen_layers_is_not_run(bridge: Any, rows: Tensor) -> None:
    handle = bridge.embed.register_forward_hook(lambda *_: pytest.fail("was run"))
    try:
        (batch,) = stream(bridge, rows, torch.ones_like(rows, dtype=torch.bool), layers=[])
    finally:
        handle.remove()
    assert batch.values.shape == (ROWS * POSITIONS, 0)


@pytest.mark.parametrize("skip", [0, 1, 2, 9])
def test_skipped_batches_are_the_first_ones_with_scored_tokens(bridge: Any, rows: Tensor, skip: int) -> None:
    mask = torch.ones_like(rows, dtype=torch.bool)
    mask[2:4] = False
    every = list(stream(bridge, rows, mask, batch_rows=2))
    rest = list(stream(bridge, rows, mask, batch_rows=2, skip=skip))
    assert len(every) == 3
    assert len(rest) == max(0, 3 - skip)
    for found, expected in zip(rest, every[skip:], strict=True):
        assert torch.equal(found.values, expected.values)
        assert torch.equal(found.row, expected.row)


def test_a_stream_reads_the_unwrapped_model_where_it_equals_the_bridge(
    bridge: Any, rows: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = torch.ones(ROWS, POSITIONS, dtype=torch.bool)
    seen: list[int] = []
    hooked = activations._hooked

    def counted(source: Any, part: Tensor, layers: Any, **options: Any) -> list[Tensor]:
        seen.append(len(part))
        return hooked(source, part, layers, **options)

    monkeypatch.setattr(activations, "_hooked", counted)
    found = torch.cat([batch.values for batch in stream(bridge, rows, mask, batch_rows=3)])
    # One row, to compare.
    assert seen == [1]
    torch.testing.assert_close(found, mlp_activations(bridge, rows).flatten(0, 1), rtol=0, atol=2e-5)


def test_a_bridge_that_hooks_have_changed_is_read_through_its_hooks(bridge: Any, rows: Tensor) -> None:
    mask = torch.ones(ROWS, POSITIONS, dtype=torch.bool)
    plain = mlp_activations(bridge, rows).flatten(0, 1)
    bridge.add_hook("blocks.0.hook_resid_pre", lambda values, hook: 1.5 * values)
    try:
        found = torch.cat([batch.values for batch in stream(bridge, rows, mask, batch_rows=3)])
        changed = mlp_activations(bridge, rows).flatten(0, 1)
    finally:
        bridge.reset_hooks()
    assert float((changed - plain).abs().max()) > 0.1
    torch.testing.assert_close(found, changed, rtol=0, atol=1e-5)


def test_a_model_without_fused_attention_is_read_through_its_hooks(rows: Tensor) -> None:
    eager = bridged(language_model())
    eager.original_model.config._attn_implementation = "eager"
    mask = torch.ones(ROWS, POSITIONS, dtype=torch.bool)
    found = torch.cat([batch.values for batch in stream(eager, rows, mask, batch_rows=ROWS)])
    assert torch.equal(found, mlp_activations(eager, rows).flatten(0, 1))
