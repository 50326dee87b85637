"""The engine's effects equal the naive way: a full forward pass of the bridge per set, edited at hook_post."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformer_lens.model_bridge.sources import build_bridge_from_module
from transformers import GPT2Config, GPT2LMHeadModel

from universal_neurons.core import ablation as engine
from universal_neurons.core import unwrapped
from universal_neurons.core.ablation import (
    Ablation,
    AblationEffects,
    AblationMode,
    AblationSums,
    NonFiniteLogitsError,
    ablation_effects,
    activation_norms,
)
from universal_neurons.core.activations import mlp_activations
from universal_neurons.core.unwrapped import UnsuitableAttentionError

LAYERS, WIDTH, ROWS, POSITIONS, VOCABULARY = 3, 20, 7, 9, 31
NEURONS = LAYERS * WIDTH
SETS = {
    "one of the first layer": [3],
    "some of the last layer": [2 * WIDTH + 9, 2 * WIDTH + 4, 2 * WIDTH],
    "some of the middle layer": [20, 39, 31],
    "first and last layer": [0, 19, 40, 59],
    "unordered, all layers": [57, 2, 33, 21, 1, 44],
    "a whole layer": list(range(20, 40)),
    "literally all": list(range(NEURONS)),
}


def language_model() -> Any:
    config = GPT2Config(
        vocab_size=VOCABULARY,
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
        for name, parameter in sorted(model.named_parameters()):
            # Confident predictions: the effect of a single neuron must stand far above the tolerances.
            scale = {"transformer.ln_f.weight": 3.0}.get(name, 0.5)
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return model


def bridged(model: Any) -> Any:
    return build_bridge_from_module(model, architecture="GPT2LMHeadModel", hf_config=model.config)


@pytest.fixture(scope="module")
def rows() -> Tensor:
    return torch.randint(VOCABULARY, (ROWS, POSITIONS), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def bridge() -> Any:
    return bridged(language_model())


def effects(bridge: Any, rows: Tensor, *ablations: Ablation, **options: Any) -> AblationEffects:
    return ablation_effects(bridge, rows, ablations, **{"blocks": len(rows), "batch_rows": 3, "seed": 5, **options})


def ablation(neurons: Sequence[int], mode: AblationMode = "zero") -> Ablation:
    return Ablation(torch.tensor(neurons, dtype=torch.int64), mode)


def means_by_hand(clean: Tensor, ablated: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """KL, loss increase and clean loss per row, from logits, in float64 and by their definitions."""
    p, q = (logits.double()[:, :-1].log_softmax(-1) for logits in (clean, ablated))
    true = rows[:, 1:, None]
    log_p, log_q = p.gather(-1, true)[..., 0], q.gather(-1, true)[..., 0]
    return (p.exp() * (p - q)).sum(-1).mean(1), (log_p - log_q).mean(1), -log_p.mean(1)


@torch.no_grad()
def naive(bridge: Any, rows: Tensor, neurons: Sequence[int], value: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    """A full pass with ``value`` of all clean activations in place of those of ``neurons``, and one without."""
    replacement = value(mlp_activations(bridge, rows)).expand(*rows.shape, NEURONS)

    def edit(values: Tensor, hook: Any, *, layer: int) -> Tensor:
        chosen = [n - layer * WIDTH for n in neurons if n // WIDTH == layer]
        edited = values.clone()
        edited[..., chosen] = replacement[..., layer * WIDTH : (layer + 1) * WIDTH][..., chosen]
        return edited

    hooks = [(f"blocks.{layer}.mlp.hook_post", partial(edit, layer=layer)) for layer in range(LAYERS)]
    return means_by_hand(bridge(rows), bridge.run_with_hooks(rows, fwd_hooks=hooks), rows)


def assert_equal_to(found: AblationEffects, expected: tuple[Tensor, ...], *, number: int = 0) -> None:
    kl, loss_increase, clean_loss = expected
    for values, wanted in ((found.kl[number], kl), (found.loss_increase[number], loss_increase)):
        torch.testing.assert_close(values, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.clean_loss, clean_loss, rtol=0, atol=1e-5)


def test_effects_go_on_from_every_place_at_which_sums_were_kept(
    bridge: Any, rows: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_KEPT_EVERY", 2)
    modes: tuple[AblationMode, ...] = ("zero", "mean", "resample", "zero", "mean")
    sets = [ablation([number, number + 1], mode) for number, mode in enumerate(modes)]
    kept: list[AblationSums] = []
    whole = effects(bridge, rows, *sets, keep=lambda sums: kept.append(copy.deepcopy(sums)))
    assert [one.done for one in kept[:4]] == [2, 4, 5, 7]
    for sums in kept:
        advanced: list[int] = []
        again = effects(bridge, rows, *sets, sums=sums, progress=advanced.append)
        for name in ("kl", "loss_increase", "clean_loss"):
            torch.testing.assert_close(getattr(again, name), getattr(whole, name), rtol=0, atol=0)
        assert sum(advanced) == len(sets) * len(rows)


def zeros(values: Tensor) -> Tensor:
    return torch.zeros_like(values)


def resampled(values: Tensor) -> Tensor:
    """Every token's activations from where the engine draws them in batches of 3 rows with seed 5."""
    parts = []
    for start in range(0, len(values), 3):
        flat = values[start : start + 3].flatten(0, 1)
        parts.append(flat[engine._other_tokens(len(flat), seed=5 + start)].view_as(values[start : start + 3]))
    return torch.cat(parts)


VALUES: dict[AblationMode, Callable[[Tensor], Tensor]] = {
    "zero": zeros,
    "mean": lambda values: values.mean((0, 1)),
    "resample": resampled,
}


@pytest.mark.parametrize("mode", get_args(AblationMode))
@pytest.mark.parametrize("name", SETS)
def test_the_suffix_run_equals_the_full_run(bridge: Any, rows: Tensor, name: str, mode: AblationMode) -> None:
    found = effects(bridge, rows, ablation(SETS[name], mode))
    assert_equal_to(found, naive(bridge, rows, SETS[name], VALUES[mode]))
    assert float(found.kl.mean()) > 1e-4


def test_the_number_of_threads_changes_no_bit(bridge: Any, rows: Tensor) -> None:
    # Each set often enough that two lanes do work at the same time; their hooks must not meet.
    sets = [ablation(neurons, mode) for mode in get_args(AblationMode) for neurons in SETS.values()] * 4
    before = torch.get_num_threads()
    try:
        found = {}
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found[threads] = effects(bridge, rows, *sets)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found[3].kl, found[1].kl, rtol=0, atol=0)
    torch.testing.assert_close(found[3].loss_increase, found[1].loss_increase, rtol=0, atol=0)


def test_many_sets_at_once_have_the_effects_of_each_alone(bridge: Any, rows: Tensor) -> None:
    sets = [ablation(neurons, mode) for neurons in SETS.values() for mode in get_args(AblationMode)]
    together = effects(bridge, rows, *sets)
    for number, one in enumerate(sets):
        alone = effects(bridge, rows, one)
        assert torch.equal(together.kl[number], alone.kl[0])
        assert torch.equal(together.loss_increase[number], alone.loss_increase[0])


@pytest.mark.parametrize("neuron", [0, 25, NEURONS - 1])
def test_ablating_a_neuron_is_zeroing_its_row_of_the_output_matrix(rows: Tensor, neuron: int) -> None:
    model, damaged = language_model(), language_model()
    with torch.no_grad():
        damaged.transformer.h[neuron // WIDTH].mlp.c_proj.weight[neuron % WIDTH] = 0
        expected = means_by_hand(model(rows).logits, damaged(rows).logits, rows)
    assert_equal_to(effects(bridged(model), rows, ablation([neuron])), expected)


def test_ablating_nothing_has_no_effect_at_all(bridge: Any, rows: Tensor) -> None:
    found = effects(bridge, rows, ablation([]), ablation([3]), ablation([], "mean"))
    assert not found.kl[[0, 2]].any()
    assert not found.loss_increase[[0, 2]].any()
    assert found.kl[1].all()


def test_ablating_neurons_without_output_weights_has_no_effect_at_all(rows: Tensor) -> None:
    """Unlike an empty set this runs the model; the effect must not be the difference of two rounded losses."""
    model = language_model()
    with torch.no_grad():
        model.transformer.h[1].mlp.c_proj.weight[:5] = 0
    found = effects(bridged(model), rows, ablation(range(WIDTH, WIDTH + 5)), batch_rows=ROWS)
    assert float(found.kl.abs().max()) < 1e-7
    assert float(found.loss_increase.abs().max()) < 1e-6


def test_effects_agree_with_a_dense_model_in_float64(bridge: Any, rows: Tensor) -> None:
    exact = language_model().double()
    for name in ("one of the first layer", "unordered, all layers", "literally all"):
        damaged = copy.deepcopy(exact)
        with torch.no_grad():
            for neuron in SETS[name]:
                damaged.transformer.h[neuron // WIDTH].mlp.c_proj.weight[neuron % WIDTH] = 0
            kl, gain, loss = means_by_hand(exact(rows).logits, damaged(rows).logits, rows)
        found = effects(bridge, rows, ablation(SETS[name]))
        # The models compute in float32: on one processor an effect is off by 1.4e-6 nats, on others by less than 1e-6.
        torch.testing.assert_close(found.kl[0], kl, rtol=1e-5, atol=3e-6)
        torch.testing.assert_close(found.loss_increase[0], gain, rtol=1e-5, atol=3e-6)
        torch.testing.assert_close(found.clean_loss, loss, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1e-3, 1.0, 30.0])
def test_the_divergence_of_any_change_is_exact_and_never_negative(bridge: Any, rows: Tensor, scale: float) -> None:
    """From no effect to one whose exponentials overflow; rounding goes at most 1e-6 nats per prediction below 0."""
    runner = engine.AblationEngine(bridge)
    with torch.no_grad():
        clean = runner.clean(rows, seed=0)
        change = scale * torch.randn(clean.final.shape, generator=torch.Generator().manual_seed(2))
        kl, gain = runner.effects(clean, change)
        logits, shift = ((x.double() @ runner.unembedding.double().T) for x in (clean.final, change))
    p, q = logits.log_softmax(-1), (logits + shift).log_softmax(-1)
    true = rows[:, 1:].reshape(-1, 1)
    torch.testing.assert_close(kl.double(), (p.exp() * (p - q)).sum(-1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(gain.double(), (p - q).gather(-1, true)[:, 0], rtol=1e-4, atol=1e-6)
    assert float(kl.min()) >= -1e-6
    overflows = bool((shift.amax(-1) > 89).any())
    assert overflows == (scale == 30.0)


@pytest.mark.parametrize("batch_rows", [1, 2, 4, 100])
def test_the_size_of_a_batch_does_not_matter(bridge: Any, rows: Tensor, batch_rows: int) -> None:
    sets = [ablation(neurons, mode) for neurons in SETS.values() for mode in ("zero", "mean")]
    expected, found = effects(bridge, rows, *sets), effects(bridge, rows, *sets, batch_rows=batch_rows)
    torch.testing.assert_close(found.kl, expected.kl, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.loss_increase, expected.loss_increase, rtol=0, atol=1e-6)


def test_blocks_add_up_to_the_total(bridge: Any, rows: Tensor) -> None:
    sets = [ablation(neurons) for neurons in SETS.values()]
    by_row, by_block = effects(bridge, rows, *sets), effects(bridge, rows, *sets, blocks=3)
    assert by_block.predictions.tolist() == [3 * (POSITIONS - 1), 2 * (POSITIONS - 1), 2 * (POSITIONS - 1)]
    assert by_row.predictions.tolist() == [POSITIONS - 1] * ROWS
    for name in ("kl", "loss_increase", "clean_loss"):
        totals = [(getattr(e, name) * e.predictions).sum(-1) for e in (by_row, by_block)]
        torch.testing.assert_close(*totals, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(by_block.kl[:, 0], by_row.kl[:, :3].mean(1))


def test_resampled_tokens_are_any_other_token_and_never_the_same() -> None:
    drawn = torch.stack([engine._other_tokens(5, seed=seed) for seed in range(200)])
    assert not bool((drawn == torch.arange(5)).any())
    assert all(len(column.unique()) == 4 for column in drawn.T)


def test_resampling_is_repeated_by_its_seed(bridge: Any, rows: Tensor) -> None:
    one, same, other = (effects(bridge, rows, ablation([3, 30], "resample"), seed=seed).kl for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_model_is_left_as_it_was(rows: Tensor) -> None:
    bridge = bridged(language_model())

    def hooks() -> list[int]:
        return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in bridge.modules()]

    with torch.no_grad():
        logits, before = bridge(rows), hooks()
        effects(bridge, rows, ablation([3, 30]))
        assert torch.equal(bridge(rows), logits)
    assert hooks() == before
    assert type(bridge.blocks[0].mlp.original_component.act).__name__ == "NewGELUActivation"


def test_only_blocks_above_the_first_ablated_layer_run_again(
    bridge: Any, rows: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    built = unwrapped.UnwrappedModel.of

    def counted(source: Any, **options: Any) -> Any:
        found = built(source, **options)
        for layer, block in enumerate(found.blocks):
            block.register_forward_hook(lambda *_, layer=layer: calls.append(layer))
        return found

    monkeypatch.setattr(unwrapped.UnwrappedModel, "of", counted)
    effects(bridge, rows, ablation([WIDTH]), ablation([2 * WIDTH]), ablation([5, 25]), batch_rows=ROWS)
    check, clean, of_the_sets = [0, 1, 2], [0, 1, 2], [2, 1, 2]
    assert calls[: 2 * LAYERS] == [*check, *clean]
    # The sets run side by side where there are threads for it: their blocks come in any order.
    assert sorted(calls[2 * LAYERS :]) == sorted(of_the_sets)


def test_the_activation_function_in_one_kernel_is_the_same_function() -> None:
    from transformers.activations import NewGELUActivation

    values = torch.linspace(-12, 12, 100_001, dtype=torch.float64)
    unfused: nn.Module = NewGELUActivation()
    torch.testing.assert_close(functional.gelu(values, approximate="tanh"), unfused(values), rtol=0, atol=1e-14)
    assert isinstance(unwrapped._twin(unfused, {}), nn.GELU)


@pytest.mark.skipif(not unwrapped._has_kernel(), reason="this build of torch has no such kernel")
def test_ablated_models_alone_take_a_quick_gelu(bridge: Any) -> None:
    ablated, read = engine.AblationEngine(bridge).model, unwrapped.UnwrappedModel.runnable(bridge)
    assert [{part.gelu for part in model.mlp_inputs} for model in (ablated, read)] == [{"quick"}, {"fused"}]


def test_norms_are_mean_sizes_of_the_outputs_of_neurons(bridge: Any, rows: Tensor) -> None:
    weights = torch.cat([block.mlp.c_proj.weight for block in language_model().transformer.h]).detach()
    expected = mlp_activations(bridge, rows).abs().mean((0, 1)) * weights.square().sum(1).sqrt()
    for batch_rows in (1, 3, 100):
        found = activation_norms(bridge, rows, batch_rows=batch_rows)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, expected.double(), rtol=1e-5, atol=1e-7)


def test_progress_counts_every_finished_row(bridge: Any, rows: Tensor) -> None:
    steps: list[int] = []
    effects(bridge, rows, ablation([]), ablation([3]), batch_rows=3, progress=steps.append)
    assert steps == [3, 3, 3, 3, 1, 1]


def test_eager_attention_is_refused(rows: Tensor) -> None:
    model = language_model()
    bridge = bridged(model)
    model.config._attn_implementation = "eager"
    with pytest.raises(UnsuitableAttentionError, match="'eager'; expected 'sdpa'"):
        effects(bridge, rows, ablation([1]))


def test_a_bridge_that_differs_from_the_model_that_it_wraps_is_refused(rows: Tensor) -> None:
    bridge = bridged(language_model())
    bridge.blocks[1].mlp.hook_out.add_hook(lambda values, hook: 2 * values)
    with pytest.raises(ValueError, match="raw weights and without hooks"):
        effects(bridge, rows, ablation([1]))


def test_a_model_that_overflows_is_refused(rows: Tensor) -> None:
    model = language_model()
    with torch.no_grad():
        model.transformer.h[1].mlp.c_fc.weight.mul_(1e30)
        model.transformer.h[1].mlp.c_proj.weight.mul_(1e30)
    with pytest.raises((NonFiniteLogitsError, ValueError)):
        effects(bridged(model), rows, ablation([1]))


def test_neurons_named_twice_or_outside_the_model_are_refused(bridge: Any, rows: Tensor) -> None:
    with pytest.raises(ValueError, match="names neuron 4 twice"):
        ablation([4, 7, 2, 4])
    for outside in (-1, NEURONS):
        with pytest.raises(ValueError, match=f"ablation 1 names neuron {outside}; the model has {NEURONS}"):
            effects(bridge, rows, ablation([1]), ablation([0, outside]))


def test_rows_of_one_position_and_too_many_blocks_are_refused(bridge: Any, rows: Tensor) -> None:
    with pytest.raises(ValueError, match="nothing is predicted"):
        effects(bridge, rows[:, :1], ablation([1]))
    with pytest.raises(ValueError, match="cannot be cut"):
        effects(bridge, rows, ablation([1]), blocks=ROWS + 1)
