"""The path of a GPU on a pretend one: real numbers, equal to the CPU's, and nothing that a GPU would refuse.

What only a GPU can show (speed, streams that overlap, the bits of its kernels) is not here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.core.test_ablation import LAYERS, POSITIONS, SETS, VOCABULARY, WIDTH, bridged, language_model
from tests.miniature import RECIPE
from tests.pretend_gpu import GPU, GpuTensor, pretend_gpu
from universal_neurons.core.ablation import Ablation, AblationEffects, AblationEngine, ablation_effects
from universal_neurons.core.accumulator import PairwiseAccumulator
from universal_neurons.core.activations import stream
from universal_neurons.core.matmul import BOUNDS, PrecisionMode, mode_of_products
from universal_neurons.inputs.recipe import TrainingRecipe
from universal_neurons.inputs.training import train_seed
from universal_neurons.stages.ablation import ABLATIONS
from universal_neurons.stages.base import Case, Need
from universal_neurons.stages.extensions import EXTENSIONS
from universal_neurons.stages.profiles import PROFILES
from universal_neurons.stages.recheck import stored_artifacts
from universal_neurons.stages.registry import with_needs
from universal_neurons.stages.runner import compute
from universal_neurons.stages.universality import PERMUTED_NULL, ROTATED_NULL, UNIVERSALITY
from universal_neurons.stages.variants import VARIANTS
from universal_neurons.stages.workspace import Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor

    from tests.miniature import Miniature
    from tests.pretend_gpu import Noted

STEP, MODEL = 30, "a"
ROWS, BATCH, CHUNK = 12, 4, 18


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Noted]:
    with pretend_gpu(monkeypatch) as noted:
        yield noted


def model() -> Any:
    """A bridge to a small model, on the GPU."""
    return bridged(language_model().to("cuda"))


def rows() -> Tensor:
    return torch.randint(VOCABULARY, (ROWS, POSITIONS), generator=torch.Generator().manual_seed(1))


# --- the pretend GPU -------------------------------------------------------------------------------------------------


def test_tensors_of_two_devices_do_not_meet(gpu: Noted) -> None:
    here, there = torch.ones(3, 2), torch.ones(3, 2).to(GPU)
    assert there.device.type == "cuda"
    assert isinstance(there + 1.5 * torch.tensor(2.0), GpuTensor)
    assert there[torch.tensor([0, 2])].shape == (2, 2)
    mixtures: tuple[Callable[[], Any], ...] = (
        lambda: here + there,
        lambda: there @ here.T,
        lambda: torch.cat([there, here]),
        lambda: there.index_select(0, torch.tensor([0])),
        lambda: here[torch.tensor([0]).to(GPU)],
        lambda: torch.where(there > 0, there, here),
    )
    for mixed in mixtures:
        with pytest.raises(RuntimeError, match="two devices, cuda:0 and cpu"):
            mixed()


def test_the_numbers_of_a_gpu_have_to_be_fetched_and_that_is_noted(gpu: Noted) -> None:
    there = torch.arange(4.0, device="cuda")
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        there.numpy()
    # It is a copy, as it is of a GPU.
    there.cpu().zero_()
    assert there.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert gpu.waits == {"outside the package": 2}


def test_a_model_moves_in_place_and_its_tied_weights_stay_tied(gpu: Noted) -> None:
    moved = language_model()
    embedding = moved.transformer.wte.weight
    moved.to("cuda")
    assert moved.transformer.wte.weight is moved.lm_head.weight is embedding
    assert isinstance(embedding, GpuTensor)


# --- the pipeline ----------------------------------------------------------------------------------------------------


def test_a_suite_on_a_gpu_has_the_numbers_of_the_cpu(
    brief: Miniature, tmp_path: Path, gpu: Noted, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every table of one model at one checkpoint: passes, nulls, candidates, variants, ablations, patches, profiles."""
    expected = brief.workspace("brief", local=True)
    work = brief.workspace("brief", store=tmp_path / "gpu", local=True, resources=Resources(device="cuda"))
    case = Case(STEP, MODEL)
    wanted: list[Need] = [(stage, case) for stage in (VARIANTS, ABLATIONS, EXTENSIONS, PROFILES)]
    pairs = [Case(STEP, MODEL, partner) for partner in work.partners(MODEL)]
    wanted += [(stage, pair) for stage in (UNIVERSALITY, ROTATED_NULL, PERMUTED_NULL) for pair in pairs]
    assert compute(work, wanted) > 0
    compared = []
    for stage, one in with_needs(work, wanted):
        looked_up = stored_artifacts(expected, expected.store), stored_artifacts(work, work.store)
        if (found := stage.compare(work, one, *looked_up)) is not None:
            assert found.agrees, str(found)
            compared.append(stage.name)
    assert set(compared) == {"universality", "variants", "ablation", "profiles", "extensions"}
    capsys.readouterr()


def test_a_pass_waits_for_a_gpu_once_per_batch_and_twice_per_chunk(gpu: Noted) -> None:
    """What the host has to know: that a batch is not packed (transformers asks), that a chunk is finite.

    Of a chunk the sample that is summed up in float64 is asked too; its chunks are longer.
    """
    bridge, mask = model(), torch.ones(ROWS, POSITIONS, dtype=torch.bool)
    accumulator = PairwiseAccumulator(
        [[WIDTH] * LAYERS] * 2, chunk_tokens=CHUNK, accumulate=torch.float32, device="cuda"
    )
    batches = stream(bridge, rows(), mask, batch_rows=BATCH)
    accumulator.add(*both(next(batches)))
    gpu.clear()
    for batch in batches:
        accumulator.add(*both(batch))
    accumulator.finish()
    left = ROWS * POSITIONS - BATCH * POSITIONS
    assert gpu.waits.pop("core/activations.py _captured") == ROWS // BATCH - 1
    assert gpu.waits.pop("core/comoments.py flush") <= left // CHUNK + 2 + 2
    assert not gpu.waits


def both(batch: Any) -> tuple[list[Any], Any]:
    """The same activations for two models, and the token blocks."""
    return [batch.values, batch.values + 1], torch.arange(len(batch)) % 2


def ablated(bridge: Any, mode: PrecisionMode = "float32") -> AblationEffects:
    sets = [Ablation(torch.tensor(own), how) for own in SETS.values() for how in ("zero", "mean", "resample")]
    return ablation_effects(bridge, rows(), sets, blocks=3, batch_rows=BATCH, seed=1, mode=mode)


def test_ablations_wait_for_a_gpu_once_per_batch_whatever_the_number_of_sets(gpu: Noted) -> None:
    ablated(model())
    once = {"ablation_effects", "row_sums", "_log_probabilities", "_mean_activations"}
    checks = {"check_against": 4, "_hooked": ROWS // BATCH}
    expected = dict.fromkeys(once, ROWS // BATCH) | checks
    assert {place.split()[1]: count for place, count in gpu.waits.items()} == expected


def test_an_index_on_the_wrong_device_is_refused(gpu: Noted, monkeypatch: pytest.MonkeyPatch) -> None:
    split = AblationEngine._by_layer

    def on_the_host(engine: AblationEngine, ablation: Ablation) -> dict[int, Any]:
        return {layer: part.cpu() for layer, part in split(engine, ablation).items()}

    monkeypatch.setattr(AblationEngine, "_by_layer", on_the_host)
    monkeypatch.setattr(AblationEngine, "_replacement", lambda self, clean, *_: clean.residual[0].cpu()[0, :1])
    with pytest.raises(RuntimeError, match="two devices"):
        ablated(model())


# --- precisions ------------------------------------------------------------------------------------------------------


def test_tf32_changes_effects_by_less_than_a_hundredth_of_the_largest(gpu: Noted) -> None:
    on_cpu, exact, rounded = ablated(bridged(language_model())), ablated(model()), ablated(model(), "tf32")
    torch.testing.assert_close(exact.kl, on_cpu.kl, rtol=0, atol=1e-6)
    torch.testing.assert_close(exact.loss_increase, on_cpu.loss_increase, rtol=0, atol=1e-6)
    error = float((rounded.kl - on_cpu.kl).abs().max())
    assert 1e-6 < error < 0.01 * float(on_cpu.kl.max())


@pytest.mark.parametrize("mode", ["float32", "tf32", "bfloat16"])
def test_the_error_of_products_is_measured_on_a_gpu_too(gpu: Noted, mode: PrecisionMode) -> None:
    values = torch.randn(2048, 32, generator=torch.Generator().manual_seed(0)).to("cuda")
    accumulator = PairwiseAccumulator(
        [[16, 16]] * 2, chunk_tokens=512, mode=mode, accumulate=torch.float32, device="cuda"
    )
    with mode_of_products(mode, device="cuda"):
        accumulator.add([values, values.roll(1, 1)], torch.arange(2048) % 2)
        error = accumulator.largest_error(((0, 1),))
    assert {"float32": 0, "tf32": 1e-6, "bfloat16": 1e-5}[mode] <= error <= BOUNDS[mode]


# --- training --------------------------------------------------------------------------------------------------------


def losses(folder: Path, device: str) -> list[float]:
    """The loss of every step of a short training."""
    recipe = TrainingRecipe.parse(RECIPE.replace("tokens = 7680", "tokens = 1024"), where="a recipe")
    tokens = np.random.default_rng(0).integers(recipe.vocabulary, size=(64, recipe.context)).astype(np.uint16)
    records = train_seed(recipe, tokens, tokens[:8], folder, seed=1, log_every=1, device=device)
    return [float(record["loss"]) for record in records]


def test_training_on_a_gpu_has_the_losses_of_the_cpu(gpu: Noted, tmp_path: Path) -> None:
    on_gpu, on_cpu = losses(tmp_path / "gpu", "cuda"), losses(tmp_path / "cpu", "cpu")
    # The CPU multiplies in bfloat16, the pretend GPU in float32.
    assert on_gpu == pytest.approx(on_cpu, abs=1e-3)
    assert len(on_gpu) == 4
    # The state can be written and read on the device: the same call again has nothing left to do.
    assert losses(tmp_path / "gpu", "cuda") == []
