from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel

from universal_neurons.errors import UserError
from universal_neurons.ids import ModelRef
from universal_neurons.inputs import training
from universal_neurons.inputs.weights import WeightsUnfit
from universal_neurons.inputs.zoo import UntrainedWeightsDiffer, Zoo, ZooError, weights_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transformer_lens.model_bridge import TransformerBridge

    from universal_neurons.inputs.corpus import TokenRows
    from universal_neurons.inputs.recipe import TrainingRecipe


def edit_manifest(zoo: Zoo, edit: Callable[[dict[str, Any]], object]) -> None:
    path = zoo.folder / "manifest.json"
    raw = json.loads(path.read_text())
    edit(raw)
    path.write_text(json.dumps(raw))


def wrapped(bridge: TransformerBridge) -> Any:
    return bridge.original_model


def batch(rows: TokenRows) -> torch.Tensor:
    return torch.from_numpy(rows[:4].astype(np.int64))


def test_names_steps_and_shares_come_from_the_manifest(zoo: Zoo) -> None:
    assert zoo.names == ("a", "b")
    assert zoo.shares == {4: 0.5, 8: 1.0}
    assert zoo.ref("b", 8) == ModelRef("b", "zoo/tiny", 8, zoo.manifest.models["b"].checkpoints[8].digest)
    assert (zoo.end_of_text, zoo.newline) == (299, zoo.tokenizer().token_to_id("Ċ"))


def test_opening_and_naming_import_no_torch(zoo: Zoo) -> None:
    program = (
        "import sys; from pathlib import Path; from universal_neurons.inputs.zoo import Zoo\n"
        f"zoo = Zoo.open(Path({str(zoo.folder)!r})); zoo.ref('a', 0); zoo.ref('a', 8); zoo.recipe()\n"
        "sys.exit(', '.join({'torch', 'transformers', 'transformer_lens'} & sys.modules.keys()) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize("step", [4, 8])
def test_a_loaded_model_computes_what_transformers_computes(zoo: Zoo, rows: TokenRows, step: int) -> None:
    folder = zoo.folder / "b" / f"step-{step}"
    theirs = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()  # type: ignore[no-untyped-call]
    seen: list[torch.Tensor] = []
    theirs.transformer.h[0].mlp.c_proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    ours = zoo.load(zoo.ref("b", step))
    with torch.no_grad():
        expected = theirs(batch(rows)).logits
        logits, cache = ours.run_with_cache(batch(rows))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(cache["blocks.0.mlp.hook_post"], seen[0], atol=1e-5, rtol=0)
    assert float(expected.abs().max()) > 0.1


def test_a_loaded_model_is_float32_frozen_and_in_evaluation_mode(zoo: Zoo) -> None:
    bridge = zoo.load(zoo.ref("a", 8))
    assert not bridge.training
    assert {(p.dtype, p.requires_grad) for p in bridge.parameters()} == {(torch.float32, False)}
    assert wrapped(bridge).config._attn_implementation == "sdpa"


def test_loading_leaves_the_global_generator_alone(zoo: Zoo) -> None:
    before = torch.get_rng_state()
    zoo.load(zoo.ref("a", 8))
    zoo.load(zoo.ref("a", 0))
    assert torch.equal(before, torch.get_rng_state())


def test_models_and_steps_have_different_weights(zoo: Zoo, rows: TokenRows) -> None:
    with torch.no_grad():
        logits = [zoo.load(zoo.ref(name, step))(batch(rows)) for name in zoo.names for step in (0, *zoo.shares)]
    distances = [float((x - y).abs().max()) for i, x in enumerate(logits) for y in logits[:i]]
    assert min(distances) > 1e-3


def test_step_0_is_the_model_that_training_starts_from(zoo: Zoo, recipe: TrainingRecipe) -> None:
    bridge = zoo.load(zoo.ref("b", 0))
    expected: Any = training.initial_model(recipe, seed=recipe.seeds["b"])
    embedding = wrapped(bridge).get_input_embeddings().weight
    torch.testing.assert_close(embedding, expected.get_input_embeddings().weight.detach(), atol=0, rtol=0)


def another_torch(recipe: TrainingRecipe, *, seed: int) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    return GPT2LMHeadModel(recipe.config())


def test_a_seed_that_gives_other_weights_here_is_never_loaded_under_the_published_name(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "initial_model", another_torch)
    with pytest.raises(UntrainedWeightsDiffer, match="a@0: untrained weights from the seed: digest") as raised:
        zoo.load(zoo.ref("a", 0))
    assert zoo.load(raised.value.here) is not None


def test_the_local_reference_names_the_weights_that_the_seed_gives_here(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    assert zoo.local_ref("a", 0, warn=lines.append) == zoo.ref("a", 0)
    assert zoo.local_ref("a", 8, warn=lines.append) == zoo.ref("a", 8)
    assert lines == []
    monkeypatch.setattr(training, "initial_model", another_torch)
    here = zoo.local_ref("a", 0, warn=lines.append)
    assert here.digest != zoo.ref("a", 0).digest
    assert zoo.load(here) is not None
    assert len(lines) == 1
    assert "\n" not in lines[0]


def test_an_unknown_model_or_step_is_one_line(zoo: Zoo) -> None:
    with pytest.raises(ZooError, match=r"zoo/tiny: unknown model 'f'; expected one of a, b$"):
        zoo.ref("f", 8)
    with pytest.raises(ZooError, match=r"zoo/tiny: model a has no step 5; expected one of 0, 4, 8$"):
        zoo.ref("a", 5)


def test_a_model_of_another_zoo_is_refused(zoo: Zoo) -> None:
    with pytest.raises(ZooError, match="a@8 belongs to zoo/other; expected a model of zoo/tiny"):
        zoo.load(ModelRef("a", "zoo/other", 8, zoo.ref("a", 8).digest))


def test_weights_that_are_not_those_of_the_reference_are_refused(zoo: Zoo) -> None:
    with pytest.raises(ZooError, match="a@8: weights: digest 000 expected, got"):
        zoo.load(ModelRef("a", zoo.source, 8, "000"))


def test_a_damaged_file_is_named_with_the_command_that_restores_it(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(zoo.folder.parent)
    path = zoo.folder / "a" / "step-8" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ZooError) as raised:
        zoo.load(zoo.ref("a", 8))
    line = str(raised.value)
    assert line.startswith("tiny/a/step-8/model.safetensors: damaged: sha256 ")
    assert line.endswith("run: git checkout -- tiny/a/step-8/model.safetensors")
    assert "\n" not in line
    assert zoo.load(zoo.ref("a", 4)) is not None


def test_a_missing_file_is_named_with_the_command_that_restores_it(zoo: Zoo) -> None:
    path = zoo.folder / "a" / "step-8" / "model.safetensors"
    path.unlink()
    with pytest.raises(ZooError, match=rf"^{path}: missing; run: git checkout -- {path}$"):
        zoo.load(zoo.ref("a", 8))


def test_a_config_that_does_not_fit_the_weights_is_refused(zoo: Zoo) -> None:
    path = zoo.folder / "a" / "step-8" / "config.json"
    path.write_text(path.read_text().replace('"n_inner": 32', '"n_inner": 64'))
    edit_manifest(zoo, lambda raw: raw["files"].update({"a/step-8/config.json": sha256(path)}))
    zoo = Zoo.open(zoo.folder)
    with pytest.raises(WeightsUnfit, match=r"weights and config.json do not fit: transformer.h.0.mlp.c_fc.bias"):
        zoo.load(zoo.ref("a", 8))
    path.write_text(path.read_text().replace('"n_inner": 64', '"n_inner": 32').replace('"n_layer": 1', '"n_layer": 2'))
    edit_manifest(zoo, lambda raw: raw["files"].update({"a/step-8/config.json": sha256(path)}))
    with pytest.raises(WeightsUnfit, match=r"weights and config.json do not fit: transformer.h.1"):
        Zoo.open(zoo.folder).load(zoo.ref("a", 8))


def sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_two_checkpoints_with_the_same_weights_are_refused(zoo: Zoo) -> None:
    def repeat(raw: dict[str, Any]) -> None:
        raw["models"]["b"]["checkpoints"]["4"]["digest"] = raw["models"]["a"]["checkpoints"]["8"]["digest"]

    edit_manifest(zoo, repeat)
    with pytest.raises(ZooError, match=r"a@8 and b@4 have the same weights \(.*\); expected all to differ"):
        Zoo.open(zoo.folder)


def test_two_untrained_models_with_the_same_weights_are_refused(zoo: Zoo) -> None:
    edit_manifest(zoo, lambda raw: raw["untrained"].update(b=raw["untrained"]["a"]))
    with pytest.raises(ZooError, match="a@0 and b@0 have the same weights"):
        Zoo.open(zoo.folder)


def test_a_folder_without_a_zoo_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(
        ZooError, match=r"manifest.json: missing; run: git checkout -- .*, or train a zoo: nox -s train$"
    ):
        Zoo.open(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda raw: raw.pop("corpus"), r"damaged \(corpus: Field required\)"),
        (lambda raw: raw["models"]["a"]["checkpoints"].pop("4"), "expected the same steps for every model"),
        (lambda raw: raw["models"].clear(), "expected one digest per model"),
        (lambda raw: raw["files"].pop("b/step-4/config.json"), "files: expected a digest of b/step-4/config.json"),
        (lambda raw: raw["untrained"].pop("a"), "untrained: expected one digest per model"),
    ],
)
def test_a_damaged_manifest_is_one_line(zoo: Zoo, edit: Callable[[dict[str, Any]], object], said: str) -> None:
    edit_manifest(zoo, edit)
    with pytest.raises(ZooError, match=said) as raised:
        Zoo.open(zoo.folder)
    assert "\n" not in str(raised.value)


def test_half_a_manifest_is_one_line(zoo: Zoo) -> None:
    path = zoo.folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"manifest.json: damaged \(Invalid JSON.*run: git checkout --"):
        Zoo.open(zoo.folder)


def test_a_weights_digest_sees_names_types_shapes_and_values_but_no_order() -> None:
    x, y = np.arange(6, dtype=np.float16), np.ones(2, dtype=np.float32)
    digest = weights_digest({"x": x, "y": y})
    assert digest == weights_digest({"y": y, "x": x.copy()})
    assert digest == weights_digest({"x": x.astype(">f2"), "y": y})
    others: list[dict[str, Any]] = [
        {"x": y, "y": x},
        {"x": x.astype(np.float32), "y": y},
        {"x": x.reshape(2, 3), "y": y},
        {"x": x + 1, "y": y},
        {"x": x},
    ]
    assert digest not in {weights_digest(other) for other in others}


def test_a_zoo_moved_elsewhere_keeps_its_references(zoo: Zoo, tmp_path: Path) -> None:
    moved = Zoo.open(shutil.copytree(zoo.folder, tmp_path / "elsewhere" / "zoo" / "tiny"))
    assert moved.ref("a", 8) == zoo.ref("a", 8)


def test_the_training_log_names_the_model_of_every_record(zoo: Zoo) -> None:
    log = zoo.training_log()
    assert [(record["model"], record["step"]) for record in log] == [(m, s) for m in "ab" for s in (2, 4, 6, 8)]
    assert [record["step"] for record in log if "held_out_loss" in record] == [4, 8, 4, 8]
