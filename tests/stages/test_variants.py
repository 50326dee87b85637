"""Every variant is what a direct, dense computation over just its tokens gives."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.cases import keys_at
from tests.core.oracle import rotated_activations
from tests.miniature import folder_zoo
from tests.stages.test_runner import Writes
from universal_neurons.errors import UserError
from universal_neurons.inputs.corpus import MaskPolicy, score_mask
from universal_neurons.measures.robustness import with_draws
from universal_neurons.stages import token_masks
from universal_neurons.stages.base import Case, read_artifact
from universal_neurons.stages.models import LoadedModels
from universal_neurons.stages.registry import suite_keys
from universal_neurons.stages.runner import compute
from universal_neurons.stages.tokens import token_set
from universal_neurons.stages.variants import VARIANTS

if TYPE_CHECKING:
    from tests.miniature import Miniature
    from universal_neurons.stages.study import StoredStudy
    from universal_neurons.stages.workspace import Workspace

Doubles = npt.NDArray[np.float64]
PARTNERS = ("b", "c")
STEP = 30


@pytest.fixture
def study(computed: Miniature) -> StoredStudy:
    return computed.study()


def correlations(x: Doubles, y: Doubles) -> Doubles:
    """(neuron, neuron) in float64, dense."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.corrcoef(x, y, rowvar=False)[:48, 48:])


def expected_scores(
    x: Doubles, y: Doubles, *, model: str, draws: int, kind: Any = "gaussian"
) -> tuple[Doubles, Doubles]:
    """Best correlation and excess per neuron, with every layer of y really rotated."""
    best = correlations(x, y).max(axis=1)
    baseline = np.zeros((draws, 48))
    for draw in range(draws):
        turned = rotated_activations(torch.from_numpy(y), (24, 24), kind=kind, seed=1, draw=draw, model=model)
        baseline[draw] = correlations(x, turned.numpy()).max(axis=1)
    return best, best - baseline.mean(axis=0)


def activations(work: Workspace, name: str, rows: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> Doubles:
    """What goes into every MLP's down projection at the tokens of ``mask``, by Hugging Face's own model."""
    from transformers import GPT2LMHeadModel

    zoo = folder_zoo(work)
    folder = zoo.folder / zoo.manifest.models[name].checkpoints[STEP].folder
    model: Any = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32)
    model.train(mode=False)
    caught: list[torch.Tensor] = []
    for block in model.transformer.h:
        block.mlp.c_proj.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    with torch.no_grad():
        model(torch.from_numpy(rows.astype(np.int64)))
    together: Doubles = torch.cat(caught, dim=-1).double().numpy()[mask]
    return together


def assert_scores(study: StoredStudy, name: str, rows: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> None:
    """The variant's table is that of the tokens of ``mask``, three draws of the suite's rotations, no more."""
    work = study.work
    settings = study.variant_settings(study.checkpoints[-1]).to_dict("records")
    assert {"variant": name, "tokens": int(mask.sum()), "draws": 3} in settings
    x = activations(work, "a", rows, mask)
    for partner in PARTNERS:
        y = activations(work, partner, rows, mask)
        best, excess = expected_scores(x, y, model=partner, draws=3)
        frame = study.variant(name, partner=partner, checkpoint=study.checkpoints[-1]).frame
        np.testing.assert_allclose(frame["correlation"], best, rtol=0, atol=3e-6)
        np.testing.assert_allclose(frame["excess"], excess, rtol=0, atol=3e-6)


@pytest.mark.parametrize("policy", ["published", "special-only", "all"])
def test_a_mask_is_the_sum_of_its_classes(study: StoredStudy, policy: str) -> None:
    work, tokens = study.work, token_set(study.work)
    mask = score_mask(tokens.rows, MaskPolicy(policy), special=(work.zoo.end_of_text,), newline=work.zoo.newline)
    assert (mask.sum() > tokens.mask.sum()) == (policy != "published")
    assert_scores(study, f"mask:{policy}", tokens.rows, mask)


def test_fewer_tokens_are_the_first_rows_alone(study: StoredStudy) -> None:
    tokens = token_set(study.work)
    rows = 1 + int(np.searchsorted(np.cumsum(tokens.mask.sum(axis=1)), 500))
    assert 10 < rows < len(tokens.rows) / 2
    assert_scores(study, "tokens:500", tokens.rows[:rows], tokens.mask[:rows])


@pytest.mark.parametrize("counted", [True, False])
def test_padding_is_that_of_a_model_that_really_read_the_padded_rows(study: StoredStudy, counted: bool) -> None:
    work, tokens = study.work, token_set(study.work)
    padding = work.zoo.tokenizer().token_to_id("!")
    text = tokens.rows[:, 1:17].astype(np.int64)
    rows = np.hstack([text, np.full((len(text), 16), padding)])
    dropped = np.isin(rows, [work.zoo.end_of_text, work.zoo.newline])
    used = 1 + int(np.searchsorted(np.cumsum((~dropped).sum(axis=1)), 800))
    mask = ~dropped[:used]
    if not counted:
        mask[:, 16:] = False
    # Position 0 is an ordinary token here, and counts; so does the padding, which the published filter lets through.
    assert mask[:, 0].any()
    assert mask[:, 16:].all() == counted
    assert_scores(study, f"padding:{'published' if counted else 'dropped'}", rows[:used], mask)


def test_the_rotations_are_those_of_the_suites_own_tokens(study: StoredStudy) -> None:
    work, tokens, last = study.work, token_set(study.work), study.checkpoints[-1]
    x = activations(work, "a", tokens.rows, tokens.mask)
    for partner in PARTNERS:
        y = activations(work, partner, tokens.rows, tokens.mask)
        whitened = np.hstack([_whitened(layer) for layer in np.hsplit(y, 2)])
        frames = {kind: study.variant(f"rotation:{kind}", partner=partner, checkpoint=last).frame
                  for kind in ("orthogonal", "whitened")}  # fmt: skip
        best, orthogonal = expected_scores(x, y, model=partner, draws=4, kind="orthogonal")
        _, of_whitened = expected_scores(x, whitened, model=partner, draws=4)
        np.testing.assert_allclose(frames["orthogonal"]["excess"], orthogonal, rtol=0, atol=3e-6)
        # The real partners are not whitened: only the directions that they are compared with.
        expected = best - (correlations(x, whitened).max(axis=1) - of_whitened)
        np.testing.assert_allclose(frames["whitened"]["excess"], expected, rtol=0, atol=1e-4)
        np.testing.assert_allclose(frames["whitened"]["correlation"], best, rtol=0, atol=3e-6)


def test_one_draw_is_the_first_of_the_suites(study: StoredStudy) -> None:
    last = study.checkpoints[-1]
    for partner in PARTNERS:
        own = study.universality(partner=partner, checkpoint=last)
        variant = study.variant("draws:1", partner=partner, checkpoint=last)
        expected = with_draws(own, 1).frame["excess"].to_numpy()[own.candidates]
        np.testing.assert_allclose(variant.frame["excess"].to_numpy()[own.candidates], expected, rtol=0, atol=1e-6)
        np.testing.assert_allclose(variant.frame["correlation"], own.frame["correlation"], rtol=0, atol=1e-6)
        assert len(variant.draws) == 1


def test_a_variant_is_about_the_same_neurons_and_has_no_candidates(study: StoredStudy) -> None:
    own = study.universality(partner="c", checkpoint=study.checkpoints[0])
    table = study.variant("mask:all", partner="c", checkpoint=study.checkpoints[0])
    assert (table.reference, table.partner, table.step, table.candidates.size) == ("a", "c", 15, 0)
    for column in ("layer", "neuron", "partner_layer"):
        assert table.frame[column].dtype == own.frame[column].dtype
    assert table.frame[["layer", "neuron"]].equals(own.frame[["layer", "neuron"]])
    assert (table.frame["partner_layer"] == -1).all()
    assert table.frame[["excess_half_a", "excess_half_b"]].isna().all(axis=None)


def test_the_artifact_is_in_single_precision_and_named_by_its_key(computed: Miniature) -> None:
    work = computed.workspace()
    key = VARIANTS.key(work, Case(STEP, "a"))
    arrays = read_artifact(work, key).arrays
    names = work.suite.variants.names
    assert list(key.parameters["variants"]) == list(names)  # type: ignore[arg-type]
    for name in ("excess", "correlation"):
        assert arrays[name].shape == (len(names), 2, 48)
        assert arrays[name].dtype == np.float32


def test_classes_are_disjoint_and_every_mask_is_a_union_of_some() -> None:
    generator = np.random.default_rng(0)
    whole = generator.random((20, 12)) < 0.7
    masks = {"whole": whole, "part": whole & (generator.random(whole.shape) < 0.5), "same": whole.copy()}
    masks["other"] = ~whole & (generator.random(whole.shape) < 0.5)
    classes, parts = token_masks.token_classes(masks)
    for name, mask in masks.items():
        np.testing.assert_array_equal(np.isin(classes, parts[name]), mask)
    assert parts["whole"] == parts["same"]
    used = ~whole & ~masks["other"]
    assert (classes[used] == -1).all()
    assert set(np.unique(classes)) == {-1, 0, 1, 2}


def test_no_mask_leaves_out_no_position_and_there_is_no_class_beyond() -> None:
    classes, parts = token_masks.token_classes({"all": np.ones((3, 4), dtype=np.bool_)})
    assert (classes == 0).all()
    assert parts == {"all": (0,)}


def test_the_first_tokens_are_whole_rows_just_enough() -> None:
    mask = np.array([[0, 1, 1], [0, 1, 1], [0, 1, 1]], dtype=np.bool_)
    assert token_masks.first_tokens(mask, 4).sum(axis=1).tolist() == [2, 2, 0]
    assert token_masks.first_tokens(mask, 3).sum(axis=1).tolist() == [2, 2, 0]
    assert token_masks.first_tokens(mask, 60).sum(axis=1).tolist() == [2, 2, 2]


def test_a_second_compute_loads_no_model_and_writes_nothing(
    computed: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = Writes(monkeypatch)
    monkeypatch.setattr(LoadedModels, "of", _must_not_be_called)
    work = computed.workspace(local=True)
    compute(work, [(VARIANTS, case) for case in VARIANTS.cases(work)])
    assert writes.stages == []


def test_a_killed_computation_begins_its_step_again_and_ends_with_the_same_numbers(
    own: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = own.workspace(local=True)
    key = VARIANTS.key(work, Case(STEP, "a"))
    before = read_artifact(work, key).arrays
    _forget(work, key.stage, key.digest)
    with monkeypatch.context() as patch:
        Writes(patch, kill_at=1)
        with pytest.raises(KeyboardInterrupt):
            compute(work)
    assert not work.store.has(key)
    compute(work)
    after = read_artifact(work, key).arrays
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)


def test_untrained_models_have_no_variants(study: StoredStudy) -> None:
    assert keys_at(study.work, VARIANTS, 0) == {}
    assert sum(key.stage == "variants" for key in suite_keys(study.work)) == 2
    assert study.untrained is not None
    with pytest.raises(UserError, match="suite mini: no variants at step 0, only where it is trained"):
        study.variant("mask:all", partner="b", checkpoint=study.untrained)


@pytest.mark.parametrize(("name", "partner"), [("mask:none", "b"), ("mask:all", "a"), ("mask:all", "z")])
def test_a_variant_that_the_suite_does_not_have_is_a_mistake_of_the_user(
    study: StoredStudy, name: str, partner: str
) -> None:
    with pytest.raises(UserError, match="suite mini: expected one of "):
        study.variant(name, partner=partner, checkpoint=study.checkpoints[0])


def test_a_padding_that_is_no_token_is_a_mistake_of_the_user(own: Miniature) -> None:
    text = (own.root / "fixtures" / "suites" / "mini.toml").read_text()
    (own.root / "fixtures" / "suites" / "mini.toml").write_text(text.replace('padding = "!"', 'padding = "no token"'))
    work = own.workspace(local=True)
    with pytest.raises(UserError, match=r"variants.padding: expected a token of the zoo, got 'no token'"):
        VARIANTS.produce(work, Case(STEP, "a"))


def _whitened(layer: Doubles) -> Doubles:
    standardised = (layer - layer.mean(axis=0)) / layer.std(axis=0)
    left, sizes, right = np.linalg.svd(standardised, full_matrices=False)
    share = (sizes / sizes.max()) ** 2
    # Rounding moves none across the bound.
    assert (np.abs(share * 2**14 - 1) > 0.02).all()
    return np.asarray((left * (share > 2.0**-14)) @ right * len(layer) ** 0.5)


def _forget(work: Workspace, stage: str, digest: str) -> None:
    shutil.rmtree(work.store.working / stage / digest)


def _must_not_be_called(*_: object, **__: object) -> None:
    raise AssertionError("must not be called")
