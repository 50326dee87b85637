from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.cases import keys_at, pairs
from tests.refusals import refusal
from tests.stages.test_runner import Writes
from universal_neurons.core import ablation as core
from universal_neurons.core.ablation import row_sums
from universal_neurons.errors import ArtifactMissing
from universal_neurons.stages import resume
from universal_neurons.stages.ablation import ABLATIONS, ablations, population, set_plan
from universal_neurons.stages.base import Case, Stage, read_artifact
from universal_neurons.stages.extensions import EXTENSIONS
from universal_neurons.stages.models import ModelNotFinite
from universal_neurons.stages.profiles import PROFILES
from universal_neurons.stages.runner import compute
from universal_neurons.stages.tokens import EVALUATION, ONLY, corpus_ref_from, evaluation_tokens, token_set
from universal_neurons.stages.universality import UNIVERSALITY, read_table
from universal_neurons.stages.workspace import Resources

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from torch import Tensor

    from tests.miniature import Miniature
    from universal_neurons.ids import ModelRef
    from universal_neurons.stages.workspace import Workspace


def frame_of(work: Workspace, name: str, step: int) -> pd.DataFrame:
    return read_artifact(work, ABLATIONS.key(work, Case(step, name))).table


# --- the rows ---------------------------------------------------------------------------------------------------------


def test_no_row_is_both_identified_on_and_judged_on(computed: Miniature) -> None:
    work = computed.workspace()
    identified, judged = token_set(work), evaluation_tokens(work)
    own, others = ({row.tobytes() for row in rows} for rows in (identified.rows, judged.rows))
    assert not own & others
    # 300 predictions wanted, 31 in a row.
    assert len(judged.rows) == 10
    assert judged.rows.shape[1] == 32


def test_every_position_but_the_last_predicts_its_successor(computed: Miniature) -> None:
    work = computed.workspace()
    judged = evaluation_tokens(work)
    assert judged.mask[:, :-1].all()
    assert not judged.mask[:, -1].any()
    assert judged.ref == corpus_ref_from(read_artifact(work, EVALUATION.key(work, ONLY)).document)
    assert (judged.ref.tokens, judged.scored) == (310, 310)
    assert judged.ref.sha256 != token_set(work).ref.sha256


def test_stored_rows_are_the_ones_that_were_sampled(computed: Miniature, miniature: Miniature, tmp_path: Path) -> None:
    stored, sampled = (evaluation_tokens(work) for work in (computed.workspace(), miniature.workspace(store=tmp_path)))
    np.testing.assert_array_equal(stored.rows, sampled.rows)
    assert stored.ref == sampled.ref


def test_shipped_evidence_knows_the_rows_by_name_only(shipped: Miniature) -> None:
    work = shipped.workspace()
    assert corpus_ref_from(read_artifact(work, EVALUATION.key(work, ONLY)).document).tokens == 310
    stages_shipped = {path.name for path in (shipped.root / "fixtures" / "evidence").iterdir()}
    assert not stages_shipped & {"tokens", "evaluation-tokens"}
    assert {"evaluation", "ablation", "ablation-blocks"} <= stages_shipped


def test_a_model_whose_logits_are_not_finite_is_named(computed: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    work = computed.workspace()
    damaged = work.zoo.load(work.model("a", 30))
    with torch.no_grad():
        # No activation depends on it, every logit does.
        damaged.blocks[-1].mlp.b_out[0] = torch.nan
    monkeypatch.setattr("universal_neurons.stages.ablation.loaded", lambda *_: damaged)
    said = refusal(ModelNotFinite, lambda: ablations(work, Case(30, "a")))
    assert said.startswith("model a at step 30, logits are not finite; expected numbers, got infinity or NaN")


# --- the effects ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "b"])
def test_effects_are_those_of_hooks_that_set_activations_to_zero(computed: Miniature, name: str) -> None:
    work = computed.workspace()
    ref = work.model(name, 30)
    frame, effects = (read_artifact(work, key) for key in ABLATIONS.keys(work, Case(30, ref.name)))
    kl, loss, clean = _by_hooks(work, ref, frame.table)
    zero = (frame.table["mode"] == "zero").to_numpy()
    assert frame.table["size"][zero].nunique() > 3
    # Models that were hardly trained: the effects of small sets are small themselves.
    np.testing.assert_allclose(effects.arrays["kl"][zero], kl[zero], rtol=1e-2, atol=2e-8)
    np.testing.assert_allclose(effects.arrays["loss_increase"][zero], loss[zero], rtol=0, atol=1e-6)
    np.testing.assert_allclose(effects.arrays["clean_loss"], clean, rtol=0, atol=1e-5)
    assert effects.arrays["predictions"].tolist() == [62] * 5
    for column in ("kl", "loss_increase"):
        np.testing.assert_allclose(frame.table[column], effects.arrays[column].mean(axis=1), rtol=0, atol=1e-7)


def test_other_modes_have_other_effects_on_the_same_neurons(computed: Miniature) -> None:
    frame = frame_of(computed.workspace(), "a", 30)
    same = frame[(frame["layer"] == -1) & (frame["definition"] == "averaged") & (frame["fraction"] == 1)]
    same = same[(same["threshold"] == np.float32(0.03)) & same["neurons"].isin(["universal", "layer_matched"])]
    for _, rows in same.groupby(["neurons", "draw"]):
        assert set(rows["mode"]) == {"zero", "mean", "resample"}
        assert rows["norm"].nunique() == rows["size"].nunique() == 1
        assert rows["size"].iloc[0] == 0 or rows["kl"].nunique() == 3


def test_empty_sets_have_no_effect_at_all(computed: Miniature) -> None:
    work = computed.workspace()
    frames = [frame_of(work, case.model, step) for step in work.steps for case in keys_at(work, ABLATIONS, step)]
    empty = [frame[frame["size"] == 0] for frame in frames]
    assert sum(map(len, empty)) > 0
    for frame in empty:
        assert (frame[["kl", "loss_increase", "norm"]] == 0).all(axis=None)


def test_the_frame_says_what_each_set_is(computed: Miniature) -> None:
    work = computed.workspace()
    for step in work.steps:
        for case in keys_at(work, ABLATIONS, step):
            frame = frame_of(work, case.model, step)
            sets = set_plan(work, case).sets()
            assert len(frame) == len(sets)
            for row, one in zip(frame.itertuples(), sets, strict=True):
                assert (row.partner, row.definition, row.neurons, row.draw, row.layer, row.mode) == (
                    one.partner, one.definition, one.neurons, one.draw, one.layer, one.mode,
                )  # fmt: skip
                assert (row.threshold, row.fraction) == (np.float32(one.threshold), np.float32(one.fraction))


def test_universal_neurons_are_those_of_the_tables(computed: Miniature) -> None:
    work = computed.workspace()
    frame = frame_of(work, "a", 15)
    tables = {pair.partner: read_table(work, pair) for pair in pairs(work, 15) if pair.model == "a"}
    scores = np.mean([table["excess"] for table in tables.values()], axis=0)
    universal = frame[(frame["neurons"] == "universal") & (frame["layer"] == -1)]
    for row in universal.itertuples():
        above = scores if row.partner == "" else tables[str(row.partner)]["excess"].to_numpy()
        assert row.size == (above > row.threshold).sum()
    assert universal["size"].max() > 0
    assert len(universal) == 2 + 2 * 2


def test_untrained_models_are_ablated_where_the_last_ones_have_universal_neurons(computed: Miniature) -> None:
    work = computed.workspace()
    assert [case.model for case in keys_at(work, ABLATIONS, 0)] == ["a"]
    untrained, last, first = (frame_of(work, "a", step) for step in (0, 30, 15))
    assert set(untrained["labels_step"]) == {30}
    assert (set(last["labels_step"]), set(first["labels_step"])) == ({30}, {15})
    norm = np.ones(48)
    ends, here = (population(work, Case(step, "a"), norm) for step in (30, 0))
    for one in set_plan(work, Case(0, "a")).sets():
        np.testing.assert_array_equal(ends.neurons(one), here.neurons(one))
    assert (untrained["size"] > 0).any()


# --- computing --------------------------------------------------------------------------------------------------------


def test_a_killed_ablation_loses_one_model_at_most(
    own: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = own.workspace(local=True)
    cases = list(keys_at(work, ABLATIONS, 30))
    whole = {case: [read_artifact(work, key) for key in ABLATIONS.keys(work, case)] for case in cases}
    _forget(own, *ABLATIONS.parts)
    with monkeypatch.context() as patch:
        # The first model is done, the blocks of the second are written: its table is not.
        Writes(patch, kill_at=4)
        with pytest.raises(KeyboardInterrupt):
            compute(own.workspace(local=True), [(ABLATIONS, case) for case in cases])
    writes = Writes(monkeypatch)
    work = own.workspace(local=True)
    compute(work, [(ABLATIONS, case) for case in cases])
    assert writes.stages == ["ablation-blocks", "ablation"] * 2
    for case in cases:
        table, blocks = (read_artifact(work, key) for key in ABLATIONS.keys(work, case))
        assert table.table.equals(whole[case][0].table)
        for name, array in whole[case][1].arrays.items():
            np.testing.assert_array_equal(blocks.arrays[name], array)


@pytest.mark.parametrize("stage", [ABLATIONS, EXTENSIONS, PROFILES], ids=lambda stage: stage.name)
def test_a_killed_ablation_goes_on_where_it_was(own: Miniature, monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    monkeypatch.setattr(core, "_KEPT_EVERY", 1)
    monkeypatch.setattr(resume, "_SHARE", float("inf"))
    often, calls, kill_at = Resources(state_seconds=0), list[int](), 0

    def counted(*args: Any, **kwargs: Any) -> Tensor:
        calls.append(len(args[2]))
        if len(calls) == kill_at:
            raise KeyboardInterrupt
        return row_sums(*args, **kwargs)

    monkeypatch.setattr(core, "row_sums", counted)

    def computed() -> list[str]:
        work = own.workspace(local=True, resources=often)
        case = next(case for case in stage.cases(work) if case.step == 30)
        compute(work, [(stage, case)])
        assert not list(work.states.glob("*"))
        return [read_artifact(work, key).sha256 for key in stage.keys(work, case)]

    _forget(own, *stage.parts)
    whole, every = computed(), len(calls)
    _forget(own, *stage.parts)
    calls.clear()
    kill_at = 3
    with pytest.raises(KeyboardInterrupt):
        computed()
    calls.clear()
    kill_at = 0
    assert computed() == whole
    assert len(calls) == every - 2


def test_a_state_of_other_sets_is_not_used(own: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    work = own.workspace(local=True, resources=Resources(state_seconds=0))
    case = Case(30, "a")
    whole = [read_artifact(work, key).sha256 for key in ABLATIONS.keys(work, case)]
    _forget(own, *ABLATIONS.parts)
    state = ABLATIONS.state(work, case)
    shape = (2, len(set_plan(work, case).sets()), len(evaluation_tokens(work).rows))
    kept = [("effects", torch.ones(shape, dtype=torch.float64)), ("loss", torch.ones(shape[2], dtype=torch.float64))]
    state.write({"name": "of other sets", "done": shape[1]}, kept)
    compute(work, [(ABLATIONS, case)])
    assert [read_artifact(work, key).sha256 for key in ABLATIONS.keys(work, case)] == whole


def test_without_its_tables_an_ablation_says_what_to_run(computed: Miniature, tmp_path: Path) -> None:
    work = computed.workspace(store=tmp_path, local=True)
    token_set(work)
    with pytest.raises(ArtifactMissing, match=r"^universality \(reference a, partner b\): .*run: universal-neurons"):
        ABLATIONS.produce(work, Case(30, "a"))


def test_a_new_spec_computes_ablations_and_nothing_else(
    brief: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = brief.copied(tmp_path / "project")
    project.replace("fixtures/suites/brief.toml", "orders = 2", "orders = 3")
    writes = Writes(monkeypatch)
    # Three models, a table and blocks each.
    assert compute(project.workspace("brief", local=True)) == 6
    assert set(writes.stages) == {"ablation", "ablation-blocks"}


def test_tables_that_decide_are_inputs_of_the_key(computed: Miniature) -> None:
    work = computed.workspace()
    untrained = ABLATIONS.key(work, Case(0, "a"))
    against = {f"against {pair.partner}": UNIVERSALITY.key(work, pair).digest for pair in pairs(work, 30)[:2]}
    assert against.items() <= dict(untrained.inputs).items()
    assert untrained.inputs["model"] == work.model("a", 0).digest


def _forget(project: Miniature, *stages: str) -> None:
    import shutil

    for stage in stages:
        shutil.rmtree(project.working / stage)


def _by_hooks(work: Workspace, ref: ModelRef, frame: pd.DataFrame) -> tuple[Any, Any, Any]:
    """KL and loss increase (set, block) and the clean loss (block,) the slow way: a whole forward pass per set."""
    import torch

    bridge: Any = work.zoo.load(ref)
    rows = torch.from_numpy(evaluation_tokens(work).rows.astype(np.int64))
    neurons = _chosen(work, ref)
    assert [len(one) for one in neurons] == frame["size"].tolist()

    def log_probabilities(zeroed: Any) -> Tensor:
        def without(values: Tensor, hook: Any) -> Tensor:
            layer = int(hook.name.split(".")[1])
            changed = values.clone()
            changed[..., [n - 24 * layer for n in zeroed if n // 24 == layer]] = 0
            return changed

        hooks = [(f"blocks.{layer}.mlp.hook_post", without) for layer in range(2)]
        logits: Tensor = bridge.run_with_hooks(rows, fwd_hooks=hooks, return_type="logits")
        return logits.double().log_softmax(dim=-1)[:, :-1]

    def loss(log_q: Tensor) -> Tensor:
        return -log_q.gather(-1, rows[:, 1:, None])[..., 0]

    def blocks(values: Tensor) -> Any:
        return values.numpy().reshape(5, -1).mean(axis=1)

    with torch.no_grad():
        clean = log_probabilities([])
        ablated = [log_probabilities(one) for one in neurons]
        kl = [blocks((clean.exp() * (clean - log_q)).sum(dim=-1)) for log_q in ablated]
        increase = [blocks(loss(log_q) - loss(clean)) for log_q in ablated]
        return np.array(kl), np.array(increase), blocks(loss(clean))


def _chosen(work: Workspace, ref: ModelRef) -> list[list[int]]:
    import torch

    from universal_neurons.core.ablation import activation_norms

    rows = torch.from_numpy(evaluation_tokens(work).rows.astype(np.int64))
    case = Case(ref.step, ref.name)
    people = population(work, case, activation_norms(work.zoo.load(ref), rows).numpy())
    return [people.neurons(one).tolist() for one in set_plan(work, case).sets()]
