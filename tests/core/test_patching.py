"""Patching by suffix runs equals a naive run: the bridge with hooks that write the donor's activations."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.core.test_ablation import LAYERS, NEURONS, ROWS, SETS, WIDTH, bridge, bridged, language_model, rows
from universal_neurons.core.activations import mlp_activations
from universal_neurons.core.patching import PatchingEffects, donors, patching_effects
from universal_neurons.core.unwrapped import UnsuitableAttentionError

__all__ = ["bridge", "rows"]


def patched(
    bridge: Any, rows: Tensor, *sets: list[int], donor: Tensor | None = None, batch_rows: int = 3
) -> PatchingEffects:
    """Per row: every row a block, its donor the row before it."""
    chosen = torch.arange(len(rows)).roll(1) if donor is None else donor
    tensors = [torch.tensor(neurons, dtype=torch.int64) for neurons in sets]
    return patching_effects(bridge, rows, chosen, tensors, blocks=len(rows), batch_rows=batch_rows)


def by_definition(x: Tensor, y: Tensor, q: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
    p_x, p_y, log_q = (logits.double()[:, :-1].log_softmax(-1) for logits in (x, y, q))

    def kl(p: Tensor, q: Tensor) -> Tensor:
        return (p.exp() * (p - q)).sum(-1).mean(1)

    loss = (p_x - log_q).gather(-1, rows[:, 1:, None])[..., 0].mean(1)
    return kl(p_x, log_q), loss, kl(p_y, p_x) - kl(p_y, log_q), kl(p_y, p_x)


@torch.no_grad()
@pytest.mark.parametrize("name", SETS)
def test_the_suffix_run_equals_hooks_that_write_the_donors_activations(bridge: Any, rows: Tensor, name: str) -> None:
    found, given = patched(bridge, rows, SETS[name]), rows.roll(1, 0)
    values = mlp_activations(bridge, given)

    def edit(own: Tensor, hook: Any, *, layer: int) -> Tensor:
        chosen = [n - layer * WIDTH for n in SETS[name] if n // WIDTH == layer]
        edited = own.clone()
        edited[..., chosen] = values[..., layer * WIDTH : (layer + 1) * WIDTH][..., chosen]
        return edited

    hooks = [(f"blocks.{layer}.mlp.hook_post", partial(edit, layer=layer)) for layer in range(LAYERS)]
    expected = by_definition(bridge(rows), bridge(given), bridge.run_with_hooks(rows, fwd_hooks=hooks), rows)
    for values_found, wanted in zip((found.kl, found.loss_increase, found.toward), expected[:3], strict=True):
        torch.testing.assert_close(values_found[0], wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.distance, expected[3], rtol=1e-4, atol=1e-5)
    assert float(found.toward.abs().mean()) > 1e-3


@torch.no_grad()
def test_effects_agree_with_a_dense_model_in_float64(bridge: Any, rows: Tensor) -> None:
    exact, given = language_model().double(), rows.roll(1, 0)
    seen: list[Tensor] = []
    downs = [block.mlp.c_proj for block in exact.transformer.h]
    keep = [down.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone())) for down in downs]
    logits_y = exact(given).logits
    for handle in keep:
        handle.remove()
    logits_x = exact(rows).logits
    for layer, down in enumerate(downs):
        chosen = [n - layer * WIDTH for n in SETS["unordered, all layers"] if n // WIDTH == layer]

        def write(_: Any, inputs: Any, layer: int = layer, chosen: list[int] = chosen) -> Any:
            edited = inputs[0].clone()
            edited[..., chosen] = seen[layer][..., chosen]
            return (edited,)

        down.register_forward_pre_hook(write)
    expected = by_definition(logits_x, logits_y, exact(rows).logits, rows)
    found = patched(bridge, rows, SETS["unordered, all layers"])
    for values, wanted in zip((found.kl[0], found.loss_increase[0], found.toward[0]), expected[:3], strict=True):
        torch.testing.assert_close(values, wanted, rtol=1e-4, atol=1e-5)


def test_a_row_patched_with_itself_changes_nothing(bridge: Any, rows: Tensor) -> None:
    found = patched(bridge, rows, *SETS.values(), donor=torch.arange(ROWS))
    assert not found.distance.any()
    for effect in (found.kl, found.loss_increase, found.toward):
        assert float(effect.abs().max()) < 1e-6


def test_an_empty_set_changes_nothing_and_the_size_of_a_batch_does_not_matter(bridge: Any, rows: Tensor) -> None:
    small, large = (patched(bridge, rows, [], list(range(NEURONS)), batch_rows=size) for size in (2, 100))
    assert not small.toward[0].any()
    torch.testing.assert_close(small.toward, large.toward, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("size", "blocks"), [(24, 12), (7, 3), (2, 1), (9, 1)])
def test_every_row_is_the_donor_of_another_row_of_its_block(size: int, blocks: int) -> None:
    given = donors(size, blocks=blocks)
    assert sorted(given.tolist()) == list(range(size))
    assert not (given == torch.arange(size)).any()
    assert torch.equal(given * blocks // size, torch.arange(size) * blocks // size)


def test_the_donor_is_the_next_row_of_the_block() -> None:
    assert donors(7, blocks=2).tolist() == [1, 2, 3, 0, 5, 6, 4]


def test_a_row_without_a_donor_and_eager_attention_are_refused(rows: Tensor) -> None:
    with pytest.raises(ValueError, match="alone in its block"):
        donors(3, blocks=2)
    model = language_model()
    bridge = bridged(model)
    model.config._attn_implementation = "eager"
    with pytest.raises(UnsuitableAttentionError):
        patched(bridge, rows, [1])
