"""Scores of any two models against hooks on the models themselves and dense float64."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.core.oracle import rotated_activations
from tests.matching import oracle
from tests.matching.tiny import BEGINNING, TEXT, letters, model, pieces, sentences
from universal_neurons.architectures import ADAPTERS
from universal_neurons.core.accumulator import PairwiseAccumulator
from universal_neurons.core.activations import neuron_reader
from universal_neurons.core.spans import SpanRows, pooled_stream
from universal_neurons.core.tiling import Pass, Workload, halved, passes
from universal_neurons.errors import UserError
from universal_neurons.matching import scoring
from universal_neurons.matching.alignment import AlignedText, TextTokenizer, aligned_text
from universal_neurons.matching.models import OpenedModel, opened_model
from universal_neurons.matching.rosetta_result import RosettaResult
from universal_neurons.matching.scoring import NotFinite, scored
from universal_neurons.matching.settings import MatchSettings
from universal_neurons.progress import NoProgress
from universal_neurons.stages.batches import batch_rows
from universal_neurons.stages.resources import less_margin

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from tests.matching.oracle import Floats
    from universal_neurons.ids import Rotation
    from universal_neurons.matching.directions import MatchedDirection
    from universal_neurons.matching.result import MatchResult

SETTINGS = MatchSettings(tokens=400, context=48, blocks=10, draws=3, half_draws=2, top_k=3)
GATED = [name for name, adapter in ADAPTERS.items() if adapter.gated]


def subjects(*given: tuple[Any, Tokenizer]) -> list[OpenedModel]:
    return [opened_model(one, tokenizer=None) for one in given]


def matches(found: list[OpenedModel], settings: MatchSettings = SETTINGS) -> dict[tuple[int, int], MatchResult]:
    return scored(found, TEXT, settings, device=torch.device("cpu"), progress=NoProgress())


def run(found: list[OpenedModel], settings: MatchSettings = SETTINGS) -> dict[tuple[int, int], MatchedDirection]:
    return dict(RosettaResult(matches(found, settings)).directions())


def text_of(found: list[OpenedModel], settings: MatchSettings = SETTINGS) -> AlignedText:
    lengths = [min(settings.context, one.context) for one in found]
    return aligned_text(TEXT, [one.tokenizer for one in found], spans=settings.tokens, lengths=lengths)


def changed(**options: Any) -> MatchSettings:
    return MatchSettings(**{**{name: getattr(SETTINGS, name) for name in SETTINGS.__dataclass_fields__}, **options})


PAIRS = {
    "one architecture, one tokenizer": (("GPT2LMHeadModel", letters, {}), ("GPT2LMHeadModel", letters, {})),
    "depth, width and tokenizer": (
        ("GPT2LMHeadModel", letters, {}),
        ("GPTNeoXForCausalLM", pieces, {"layers": 3, "width": 8, "mlp": 20}),
    ),
    "gated, and bytes spelled otherwise": (
        ("LlamaForCausalLM", sentences, {"layers": 1}),
        ("Gemma2ForCausalLM", pieces, {"mlp": 12}),
    ),
}


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("pair", PAIRS)
def test_partners_and_correlations_equal_the_dense_oracle(pair: str, pooling: Any) -> None:
    both = subjects(*((model(name, place, **sizes), kind()) for place, (name, kind, sizes) in enumerate(PAIRS[pair])))
    settings = changed(pooling=pooling)
    found, text = matches(both, settings)[0, 1], text_of(both, settings)
    x, y = (oracle.span_values(one.model, text, place, pooling) for place, one in enumerate(both))
    exact = oracle.correlation(x, y)
    for direction, expected in ((found.forward, exact), (found.backward, exact.T)):
        frame, widths = direction.frame, direction.partner.widths
        best = -np.sort(-expected, axis=1)[:, :3]
        ranks = ("", "_2", "_3")
        np.testing.assert_allclose(frame[[f"correlation{rank}" for rank in ranks]].to_numpy(), best, atol=2e-5)
        starts = np.cumsum([0, *widths])
        for column, rank in enumerate(ranks):
            flat = starts[frame[f"partner{rank}_layer"]] + frame[f"partner{rank}_neuron"]
            np.testing.assert_allclose(expected[np.arange(len(frame)), flat], best[:, column], atol=2e-5)
    assert found.spans == len(x)


def rotated_maxima(x: Floats, y: Floats, other: OpenedModel, *, draws: int, kind: Rotation, seed: int) -> Floats:
    """(draw, x) the largest correlation with explicitly rotated activations."""
    found = []
    for draw in range(draws):
        values = torch.from_numpy(y)
        turned = rotated_activations(values, other.widths, kind=kind, seed=seed, draw=draw, model=other.digest)
        found.append(oracle.correlation(x, turned.numpy()).max(axis=1))
    return np.array(found)


@pytest.mark.parametrize(("kind", "seed"), [("gaussian", 0), ("orthogonal", 7)])
def test_baselines_equal_explicitly_rotated_activations(kind: Rotation, seed: int) -> None:
    both = subjects((model("GPT2LMHeadModel", 0), letters()), (model("LlamaForCausalLM", 1), pieces()))
    found, text = run(both, changed(rotation=kind, seed=seed)), text_of(both)
    x, y = (oracle.span_values(one.model, text, place) for place, one in enumerate(both))
    expected = rotated_maxima(x, y, both[1], draws=3, kind=kind, seed=seed)
    np.testing.assert_allclose(found[0, 1].draws, expected, atol=2e-5)


def test_halves_equal_the_dense_oracle_on_their_blocks() -> None:
    both = subjects(*((model("GPT2LMHeadModel", seed), letters()) for seed in (0, 1)))
    found, text = run(both), text_of(both)
    x, y = (oracle.span_values(one.model, text, place) for place, one in enumerate(both))
    direction, block = found[0, 1], text.row * len(found[0, 1].influence) // text.rows
    for half, name in enumerate("ab"):
        ours, theirs = (values[block % 2 == half] for values in (x, y))
        exact, frame = oracle.correlation(ours, theirs), direction.frame
        best = -np.sort(-exact, axis=1)[:, :3]
        np.testing.assert_allclose(frame[f"correlation_half_{name}"], best[:, 0], atol=2e-5)
        chosen = np.take_along_axis(exact, (direction.kept.half_a, direction.kept.half_b)[half], axis=1)
        np.testing.assert_allclose(chosen, best, atol=2e-5)
        baseline = rotated_maxima(ours, theirs, both[1], draws=2, kind="gaussian", seed=0).mean(axis=0)
        np.testing.assert_allclose(frame[f"baseline_half_{name}"], baseline, atol=2e-5)


def test_halves_have_no_more_draws_than_the_whole() -> None:
    both = subjects(*((model("GPT2LMHeadModel", seed), letters()) for seed in (0, 1)))
    many, few = (run(both, changed(draws=1, half_draws=half))[0, 1].frame for half in (5, 1))
    assert many.equals(few)


@pytest.mark.parametrize("context", [48, 8])
def test_the_influence_of_a_block_is_what_leaving_it_out_changes(context: int) -> None:
    # With short rows there are several batches of them.
    settings = changed(context=context)
    both = subjects((model("GPT2LMHeadModel", 0), letters()), (model("GPT2LMHeadModel", 1), pieces()))
    found, text = run(both, settings), text_of(both, settings)
    assert (text.rows > batch_rows(context)) == (context == 8)
    x, y = (oracle.span_values(one.model, text, place) for place, one in enumerate(both))
    direction = found[0, 1]
    partner = np.cumsum([0, *both[1].widths])[direction.frame["partner_layer"]] + direction.frame["partner_neuron"]
    blocks = len(direction.influence)
    block = text.row * blocks // text.rows
    for gone in range(blocks):
        left = block != gone
        without = oracle.correlation(x[left], y[left])[np.arange(len(partner)), partner]
        change = without - direction.frame["correlation"].to_numpy()
        # First order: a weight of 0 instead of 1, whose mean over blocks is then below 1.
        predicted = -direction.influence[gone, :, 0] * blocks / (blocks - 1)
        assert np.corrcoef(change, predicted)[0, 1] > 0.9


def test_influences_do_not_depend_on_the_pairs_that_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    both = subjects((model("GPT2LMHeadModel", 0), letters()), (model("LlamaForCausalLM", 1, layers=3), letters()))
    whole = run(both)
    monkeypatch.setattr(scoring, "_PAIRS_AT_ONCE", 50)
    parts = run(both)
    for direction in whole:
        np.testing.assert_array_equal(parts[direction].influence, whole[direction].influence)


def test_blocks_are_as_many_in_both_halves() -> None:
    both = subjects(*((model("GPT2LMHeadModel", seed), letters()) for seed in (0, 1)))
    assert matches(both, changed(blocks=9))[0, 1].blocks == 8


def test_sums_that_are_off_from_float64_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    both = subjects(*((model("GPT2LMHeadModel", seed), letters()) for seed in (0, 1)))
    monkeypatch.setattr(PairwiseAccumulator, "largest_error", lambda *_: 6e-6)
    with pytest.raises(UserError, match=r"correlations: expected within 5e-06 of float64 on a sample, got 6e-06"):
        run(both)


def test_with_one_tokenizer_last_and_mean_are_the_same_numbers_to_the_last_bit() -> None:
    both = subjects((model("GPT2LMHeadModel", 0), pieces()), (model("GPTNeoXForCausalLM", 1), pieces()))
    last, mean = (run(both, changed(pooling=pooling)) for pooling in ("last", "mean"))
    for direction in last:
        assert last[direction].frame.equals(mean[direction].frame)
    assert last[0, 1].model.tokens == last[1, 0].model.tokens == text_of(both).spans


def test_with_two_tokenizers_last_and_mean_differ() -> None:
    both = subjects((model("GPT2LMHeadModel", 0), letters()), (model("GPT2LMHeadModel", 1), pieces()))
    last, mean = (run(both, changed(pooling=pooling)) for pooling in ("last", "mean"))
    assert not np.allclose(last[0, 1].frame["correlation"], mean[0, 1].frame["correlation"])


def test_the_order_of_two_models_does_not_matter() -> None:
    one, other = (model("GPT2LMHeadModel", 0), letters()), (model("LlamaForCausalLM", 1), pieces())
    there, back = run(subjects(one, other)), run(subjects(other, one))
    for direction, mirrored in (((0, 1), (1, 0)), ((1, 0), (0, 1))):
        ours, theirs = there[direction].frame, back[mirrored].frame
        np.testing.assert_allclose(ours["excess"], theirs["excess"], atol=1e-5)


def test_a_model_is_its_own_partner() -> None:
    one = (model("LlamaForCausalLM", 0), pieces())
    frame = run(subjects(one, one))[0, 1].frame
    varied = frame["correlation"].notna()
    np.testing.assert_allclose(frame["correlation"][varied], 1, atol=1e-6)
    assert (frame["partner_neuron"] == frame["neuron"]).mean() > 0.9


def test_three_models_at_once_are_three_pairs() -> None:
    three = [
        (model("GPT2LMHeadModel", 0), pieces()),
        (model("LlamaForCausalLM", 1), pieces()),
        (model("GPTNeoXForCausalLM", 2), pieces()),
    ]
    together = run(subjects(*three))
    assert len(together) == 6
    alone = run(subjects(three[0], three[2]))
    np.testing.assert_allclose(together[0, 2].frame["excess"], alone[0, 1].frame["excess"], atol=1e-5)


def workloads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Workload, int]]:
    """What passes are planned for from now on, and within how many bytes."""
    planned: list[tuple[Workload, int]] = []

    def noted(load: Workload, memory: int) -> tuple[Pass, ...]:
        planned.append((load, memory))
        return passes(load, memory)

    monkeypatch.setattr(scoring, "passes", noted)
    return planned


def test_without_a_limit_a_pass_may_use_the_free_memory_beside_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    both = subjects(*((model("GPT2LMHeadModel", seed), letters()) for seed in (0, 1)))
    monkeypatch.setattr(scoring, "free_bytes", lambda _: 2**30)
    planned = workloads(monkeypatch)
    run(both)
    ((load, memory),) = planned
    assert load.resident > 0
    assert memory == load.resident + less_margin(2**30, "cpu")


def test_few_chunks_are_summed_in_half_the_memory_of_many_and_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    both = subjects(*((model("GPT2LMHeadModel", seed), letters()) for seed in (0, 1)))
    planned = workloads(monkeypatch)
    few = run(both)
    # 400 spans are more than a tenth of a chunk of 1024, and the rows that they are in are fewer.
    monkeypatch.setattr(scoring, "_FEW_CHUNKS", 0.1)
    many = run(both, changed(null=False))
    assert [(load.sum_bytes, load.rotated_null) for load, _ in planned] == [(4, True), (8, False)]
    for direction in few:
        one, other = (found[direction].frame for found in (few, many))
        np.testing.assert_allclose(one["excess"], other["excess"], atol=1e-6)


def test_two_passes_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    both = subjects(*((model("GPT2LMHeadModel", seed, layers=4), letters()) for seed in (0, 1)))
    whole = run(both)
    monkeypatch.setattr(scoring, "passes", lambda load, _: halved(load, load.whole()))
    cut = run(both)
    for direction in whole:
        np.testing.assert_allclose(cut[direction].frame["excess"], whole[direction].frame["excess"], atol=1e-6)


def test_the_sums_of_a_pass_are_gone_before_the_next_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    both = subjects(*((model("GPT2LMHeadModel", seed, layers=4), letters()) for seed in (0, 1)))
    monkeypatch.setattr(scoring, "passes", lambda load, _: halved(load, load.whole()))
    honest, made = scoring._Run._accumulated, list[weakref.ref[Any]]()

    def accumulated(*given: Any) -> Any:
        assert [one() for one in made] == [None] * len(made)
        found = honest(*given)
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(scoring._Run, "_accumulated", accumulated)
    run(both)
    assert len(made) == 2


def test_too_little_memory_is_one_line() -> None:
    both = subjects(*((model("GPT2LMHeadModel", seed), letters()) for seed in (0, 1)))
    with pytest.raises(UserError, match=r"memory: expected at least .* got .*; free some, or give more"):
        scored(both, TEXT, SETTINGS, device=torch.device("cpu"), progress=NoProgress(), memory=2**20)


def test_activations_that_are_not_finite_name_model_and_layer() -> None:
    broken = model("GPT2LMHeadModel", 0)
    with torch.no_grad():
        broken.transformer.h[1].mlp.c_fc.bias[3] = torch.inf
    with pytest.raises(NotFinite, match="layer 1: activations"):
        run(subjects((broken, letters()), (model("GPT2LMHeadModel", 1), letters())))


@pytest.mark.parametrize("architecture", GATED)
def test_a_gated_neuron_is_the_product_that_the_output_matrix_reads(architecture: str) -> None:
    gated = model(architecture, 0)
    ids = [BEGINNING, *range(5, 40)]
    read = torch.from_numpy(oracle.neurons(gated, ids))
    seen: dict[str, torch.Tensor] = {}
    mlp = gated.model.layers[1].mlp
    hook = mlp.register_forward_pre_hook(lambda _, inputs: seen.update(given=inputs[0]))
    with torch.no_grad():
        gated(torch.tensor([ids]))
        product = mlp.act_fn(mlp.gate_proj(seen["given"])) * mlp.up_proj(seen["given"])
    hook.remove()
    torch.testing.assert_close(read[:, 24:], product[0].double())
    rows = torch.tensor([ids])
    ours = torch.cat(neuron_reader(gated, rows)(rows, range(2)), dim=-1)[0].double()
    torch.testing.assert_close(ours, read, rtol=0, atol=1e-4 * float(read.abs().max()))


def test_an_added_row_of_padding_changes_nothing() -> None:
    tokenizer = TextTokenizer(letters(), BEGINNING)
    text = aligned_text(["ab", "abc" * 9], [tokenizer] * 2, spans=100, lengths=[32, 32])
    assert text.lengths[0].tolist() == [3, 28]
    both = subjects((model("GPT2LMHeadModel", 0), letters()), (model("LlamaForCausalLM", 1), letters()))
    rows = [SpanRows(*map(torch.from_numpy, (t, n, text.row, f, e))) for t, n, f, e in zip(
        text.tokens, text.lengths, text.first, text.last, strict=True)]  # fmt: skip
    readers = [neuron_reader(one.model, own.rows[1:, :28]) for one, own in zip(both, rows, strict=True)]
    layers = [range(2), range(2)]
    ((values, row),) = pooled_stream(readers, rows, layers, pooling="last", batch_rows=8, device=torch.device("cpu"))
    for place, one in enumerate(both):
        np.testing.assert_allclose(values[place].numpy(), oracle.span_values(one.model, text, place), atol=1e-4)
    assert row.tolist() == text.row.tolist()
