from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tests.cases import DRAWS, corpus_key, keys_at, null_keys, pairs, table_parts
from tests.miniature import folder_zoo
from universal_neurons.errors import ArtifactMissing
from universal_neurons.stages.ablation import ABLATIONS, ablated_partners, labels_step
from universal_neurons.stages.base import Case, read_artifact
from universal_neurons.stages.profiles import PROFILES
from universal_neurons.stages.registry import suite_artifacts, suite_keys, where
from universal_neurons.stages.tokens import EVALUATION, ONLY, corpus_ref
from universal_neurons.stages.universality import CANDIDATES, ROTATED_NULL, UNIVERSALITY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.miniature import Miniature
    from universal_neurons.stages.workspace import Workspace


def test_the_keys_of_a_suite_are_all_different_and_name_every_step(computed: Miniature) -> None:
    work = computed.workspace()
    keys = suite_keys(work)
    assert len({key.digest for key in keys}) == len(keys)
    stages = pd.Series([key.stage for key in keys]).value_counts().to_dict()
    # Three models have six directed pairs.  Untrained ones have no nulls, for they are one, and only the reference is
    # scored and ablated.
    assert stages == {
        "corpus": 1, "evaluation": 1, "universality": 14, "candidates": 7, "null-rotated": 4, "null-permuted": 2,
        "variants": 2, "ablation": 7, "ablation-blocks": 7, "extensions": 2, "extensions-blocks": 2, **table_parts(),
    }  # fmt: skip


def test_settings_with_defaults_are_not_named_by_keys_that_are_older_than_they_are(computed: Miniature) -> None:
    work = computed.workspace()
    parameters = ABLATIONS.key(work, Case(30, "a")).parameters
    assert "by_layer" not in parameters
    assert parameters["batch_rows"] == 16


def test_a_quick_suite_does_without_much_of_the_whole_one(computed: Miniature) -> None:
    work = computed.workspace(narrowing={"quick": True})
    stages = pd.Series([key.stage for key in suite_keys(work)]).value_counts().to_dict()
    assert stages == {
        "corpus": 1, "evaluation": 1, "universality": 4, "candidates": 2, "null-rotated": 4, "ablation": 2,
        "ablation-blocks": 2, "profiles": 3, "properties": 4,
    }  # fmt: skip
    assert ABLATIONS.key(work, Case(30, "a")) != ABLATIONS.key(computed.workspace(), Case(30, "a"))


def test_untrained_models_have_no_null_tables_of_their_own(computed: Miniature) -> None:
    work = computed.workspace()
    assert null_keys(work, 0) == {}
    assert {pair.model for pair, _ in null_keys(work, 30)} == {"a"}


def test_keys_of_a_pair_name_weights_and_tokens_by_digest(computed: Miniature) -> None:
    work = computed.workspace()
    pair, key = next(iter(keys_at(work, UNIVERSALITY, 30).items()))
    tokens = corpus_ref(work).sha256
    reference, partner = (work.model(name, 30).digest for name in (pair.model, pair.partner))
    assert dict(key.inputs) == {"reference": reference, "partner": partner, "tokens": tokens}


@pytest.mark.parametrize(
    ("field", "value"),
    [("draws", 5), ("half_draws", 3), ("seed", 2), ("top_k", 2), ("blocks", 8), ("rotation", "orthogonal")],
)
def test_whatever_changes_the_numbers_changes_the_key(computed: Miniature, field: str, value: object) -> None:
    work = computed.workspace()
    changed = _with_universality(work, field, value)
    pair = pairs(work, 30)[0]
    assert UNIVERSALITY.key(work, pair) != UNIVERSALITY.key(changed, pair)
    assert CANDIDATES.key(work, Case(pair.step, pair.model)) != CANDIDATES.key(changed, Case(pair.step, pair.model))


def test_a_threshold_changes_no_score_but_what_is_ablated_and_the_floor_only_candidates(computed: Miniature) -> None:
    work = computed.workspace()
    changed = _with_universality(work, "threshold", 0.05)
    ablations = {"ablation", "ablation-blocks", "extensions", "extensions-blocks"}
    assert {a.stage for a, b in zip(suite_keys(work), suite_keys(changed), strict=True) if a != b} == ablations
    changed = _with_universality(work, "floor", 0.01)
    assert {a.stage for a, b in zip(suite_keys(work), suite_keys(changed), strict=True) if a != b} == {"candidates"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tokens", 200), ("blocks", 4), ("draws", 3), ("dose", (0.4,)), ("orders", 3), ("seed", 2), ("by_layer", False),
        ("batch_rows", 8),
    ],
)  # fmt: skip
def test_whatever_changes_what_is_ablated_changes_its_keys_and_no_other(
    computed: Miniature, field: str, value: object
) -> None:
    work = computed.workspace()
    spec = work.suite.ablation.model_copy(update={field: value})
    changed = dataclasses.replace(work, suite=work.suite.model_copy(update={"ablation": spec}), cache={})
    before, after = suite_keys(work), suite_keys(changed)
    others = {"ablation", "ablation-blocks"} | ({"evaluation"} if field == "tokens" else set())
    # Extensions have neither a dose curve nor blocks of their own choice.
    others |= {"extensions", "extensions-blocks"} if field in ("tokens", "draws", "seed", "batch_rows") else set()
    assert {a.stage for a, b in zip(before, after, strict=True) if a != b} == others
    assert not {a.digest for a in before if a.stage in others} & {b.digest for b in after}


@pytest.mark.parametrize(("field", "value"), [("top", 3), ("bins", 5), ("shown", 4), ("ablation_rows", 2)])
def test_whatever_changes_profiles_changes_their_keys_and_no_other(
    computed: Miniature, field: str, value: object
) -> None:
    work = computed.workspace()
    spec = work.suite.profiles.model_copy(update={field: value})
    changed = dataclasses.replace(work, suite=work.suite.model_copy(update={"profiles": spec}), cache={})
    before, after = suite_keys(work), suite_keys(changed)
    assert {a.stage for a, b in zip(before, after, strict=True) if a != b} == {"profiles"}
    assert not {a.digest for a in before if a.stage == "profiles"} & {b.digest for b in after}


def test_only_the_last_checkpoint_has_profiles(computed: Miniature) -> None:
    work = computed.workspace()
    assert PROFILES.cases(work) == (Case(30, "a"), Case(30, "b"), Case(30, "c"))
    assert PROFILES.describe(work, Case(30, "b")) == "neurons of b"


def test_the_labels_of_untrained_models_are_those_of_the_last_checkpoint(computed: Miniature) -> None:
    work = computed.workspace()
    assert [labels_step(work, Case(step, "a")) for step in (0, 15, 30)] == [30, 15, 30]
    narrow = dataclasses.replace(work, suite=work.suite.narrowed(checkpoints=["50 %"]), cache={})
    assert [labels_step(narrow, Case(step, "a")) for step in (0, 15)] == [15, 15]
    # A checkpoint has more sets where it is the last one: another artifact.
    assert ABLATIONS.key(narrow, Case(15, "a")) != ABLATIONS.key(work, Case(15, "a"))


def test_only_the_reference_is_ablated_pair_by_pair_and_untrained(computed: Miniature) -> None:
    work = computed.workspace()
    assert [case.model for case in keys_at(work, ABLATIONS, 0)] == ["a"]
    assert [case.model for case in keys_at(work, ABLATIONS, 30)] == ["a", "b", "c"]
    assert [ablated_partners(work, Case(30, name)) for name in "abc"] == [("b", "c"), (), ()]
    assert ablated_partners(work, Case(0, "a")) == ()


def test_the_rows_of_ablations_are_known_before_anything_was_sampled(miniature: Miniature, tmp_path: Path) -> None:
    work = miniature.workspace(store=tmp_path)
    assert EVALUATION.key(work, ONLY) != corpus_key(work)
    with pytest.raises(ArtifactMissing, match=r"^evaluation \([0-9a-f]{12}\): not computed; run: universal-neurons"):
        read_artifact(work, EVALUATION.key(work, ONLY))


def test_a_missing_ablation_names_model_and_step(computed: Miniature) -> None:
    work = _with_universality(computed.workspace(), "seed", 7)
    with pytest.raises(ArtifactMissing, match=r"^ablation \(model b, step 30\): not computed; run: universal-neurons"):
        read_artifact(work, ABLATIONS.key(work, Case(30, "b")))


def test_tables_nulls_and_draws_of_one_pair_have_different_keys(computed: Miniature) -> None:
    work = computed.workspace()
    pair = pairs(work, 30)[0]
    keys = {UNIVERSALITY.key(work, pair), UNIVERSALITY.key(work, pair, DRAWS), ROTATED_NULL.key(work, pair)}
    assert len({key.digest for key in keys}) == 3


def test_missing_evidence_names_itself_and_the_command(miniature: Miniature) -> None:
    work = miniature.workspace("brief")
    with pytest.raises(ArtifactMissing) as caught:
        corpus_ref(work)
    assert caught.value.command == "universal-neurons compute --suite brief"
    assert str(caught.value).startswith("corpus (")
    assert str(caught.value).endswith(caught.value.command)


def test_a_missing_table_names_its_pair(computed: Miniature) -> None:
    work = computed.workspace()
    key = UNIVERSALITY.key(_with_universality(work, "seed", 7), pairs(work, 30)[0])
    with pytest.raises(ArtifactMissing, match=r"^universality \(reference a, partner b\): not computed; run: "):
        read_artifact(work, key)
    assert where(work, key) == "absent"
    assert where(work, corpus_key(work)) == "working"


def test_another_corpus_gets_keys_of_its_own_and_one_warning(own: Miniature) -> None:
    as_published = suite_keys(own.workspace())
    before = corpus_key(own.workspace())
    own.pin_another_corpus()
    lines: list[str] = []
    local = own.workspace(local=True, warn=lines.append)
    # What this machine has is what the keys name, so what was computed here is found again.
    assert corpus_key(local) == before
    assert suite_keys(local) == as_published
    assert corpus_key(own.workspace()) != before
    assert len(lines) == 1
    assert "jaxtyping 9.9 ->" in lines[0]
    assert lines[0].endswith("not compared with the shipped ones")


def test_the_same_corpus_warns_of_nothing(computed: Miniature) -> None:
    assert suite_keys(computed.workspace(local=True)) == suite_keys(computed.workspace())


def test_other_untrained_weights_get_keys_of_their_own_and_one_warning_each(own: Miniature) -> None:
    published = folder_zoo(own.workspace()).manifest.untrained["b"]
    own.replace("fixtures/zoo/mini/manifest.json", published, "0" * 64)
    lines: list[str] = []
    local = own.workspace(local=True, warn=lines.append)
    assert (own.workspace().model("b", 0).digest, local.model("b", 0).digest) == ("0" * 64, published)
    local.model("b", 0)
    assert len(lines) == 1
    assert "b@0" in lines[0]


def test_a_recomputation_reads_nothing_that_was_computed_before(computed: Miniature) -> None:
    work = computed.workspace(recompute=True)
    assert (work.store.shipped, work.store.imported) == ((), None)
    assert work.store.working == computed.root / ".universal-neurons" / "recomputed"


def test_the_working_store_can_be_named(miniature: Miniature, tmp_path: Path) -> None:
    assert miniature.workspace(store=tmp_path / "here", recompute=True).store.working == tmp_path / "here"


def test_artifacts_are_described_in_a_few_words(computed: Miniature) -> None:
    work = computed.workspace()
    described = {(one.stage.name, one.stage.describe(work, one.case)) for one in suite_artifacts(work)}
    assert {
        ("corpus", "3000 tokens of wheels"),
        ("universality", "a against b"),
        ("candidates", "candidates of a"),
    } < described


def _with_universality(work: Workspace, field: str, value: object) -> Workspace:
    universality = work.suite.universality.model_copy(update={field: value})
    return dataclasses.replace(work, suite=work.suite.model_copy(update={"universality": universality}), cache={})
