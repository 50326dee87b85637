from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tests.miniature import folder_zoo
from universal_neurons.errors import ArtifactMissing
from universal_neurons.workspace import (
    Silence,
    ablated_models,
    ablated_pairs,
    ablation_key,
    candidates_key,
    corpus_key,
    corpus_ref,
    describe,
    draws_key,
    evaluation_key,
    evaluation_ref,
    labels_step,
    null_keys,
    profiles_key,
    profiles_keys,
    read,
    suite_keys,
    table_keys,
    universality_key,
    where,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.miniature import Miniature
    from universal_neurons.workspace import Workspace


def test_the_keys_of_a_suite_are_all_different_and_name_every_step(computed: Miniature) -> None:
    work = computed.workspace()
    keys = suite_keys(work)
    assert len({key.digest for key in keys}) == len(keys)
    stages = pd.Series([key.stage for key in keys]).value_counts().to_dict()
    # Three models have six directed pairs; untrained ones have no nulls, for they are one, and one of them is ablated.
    assert stages == {
        "corpus": 1, "evaluation": 1, "universality": 18, "candidates": 9, "null-rotated": 4, "null-permuted": 4,
        "variants": 2, "ablation": 7, "ablation-blocks": 7, "extensions": 2, "extensions-blocks": 2, "profiles": 3,
    }  # fmt: skip


def test_untrained_models_have_no_null_tables_of_their_own(computed: Miniature) -> None:
    work = computed.workspace()
    assert null_keys(work, 0) == {}
    assert {pair.reference.name for pair, _ in null_keys(work, 30)} == {"a"}


def test_keys_of_a_pair_name_weights_and_tokens_by_digest(computed: Miniature) -> None:
    work = computed.workspace()
    pair, key = next(iter(table_keys(work, 30).items()))
    tokens = corpus_ref(work).sha256
    assert dict(key.inputs) == {"reference": pair.reference.digest, "partner": pair.partner.digest, "tokens": tokens}


@pytest.mark.parametrize(
    ("field", "value"),
    [("draws", 5), ("half_draws", 3), ("seed", 2), ("top_k", 2), ("blocks", 8), ("rotation", "orthogonal")],
)
def test_whatever_changes_the_numbers_changes_the_key(computed: Miniature, field: str, value: object) -> None:
    work = computed.workspace()
    changed = _with_universality(work, field, value)
    pair = work.pairs(30)[0]
    assert universality_key(work, pair) != universality_key(changed, pair)
    assert candidates_key(work, pair.reference) != candidates_key(changed, pair.reference)


def test_a_threshold_changes_no_score_but_what_is_ablated_and_the_floor_only_candidates(computed: Miniature) -> None:
    work = computed.workspace()
    changed = _with_universality(work, "threshold", 0.05)
    ablations = {"ablation", "ablation-blocks", "extensions", "extensions-blocks"}
    assert {a.stage for a, b in zip(suite_keys(work), suite_keys(changed), strict=True) if a != b} == ablations
    changed = _with_universality(work, "floor", 0.01)
    assert {a.stage for a, b in zip(suite_keys(work), suite_keys(changed), strict=True) if a != b} == {"candidates"}


@pytest.mark.parametrize(
    ("field", "value"), [("tokens", 200), ("blocks", 4), ("draws", 3), ("dose", (0.4,)), ("orders", 3), ("seed", 2)]
)
def test_whatever_changes_what_is_ablated_changes_its_keys_and_no_other(
    computed: Miniature, field: str, value: object
) -> None:
    work = computed.workspace()
    spec = work.suite.ablation.model_copy(update={field: value})
    changed = dataclasses.replace(work, suite=work.suite.model_copy(update={"ablation": spec}), cache={})
    before, after = suite_keys(work), suite_keys(changed)
    others = {"ablation", "ablation-blocks"} | ({"evaluation", "profiles"} if field == "tokens" else set())
    # Extensions have neither a dose curve nor blocks of their own choice.
    others |= {"extensions", "extensions-blocks"} if field in ("tokens", "draws", "seed") else set()
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
    assert [[ref.name for ref in profiles_keys(work, step)] for step in (0, 15, 30)] == [[], [], ["a", "b", "c"]]
    assert describe(profiles_key(work, work.model("b", 30))) == "neurons of b"


def test_the_labels_of_untrained_models_are_those_of_the_last_checkpoint(computed: Miniature) -> None:
    work = computed.workspace()
    assert [labels_step(work, step) for step in (0, 15, 30)] == [30, 15, 30]
    narrow = dataclasses.replace(work, suite=work.suite.narrowed(checkpoints=["50 %"]), cache={})
    assert [labels_step(narrow, step) for step in (0, 15)] == [15, 15]
    # A checkpoint has more sets where it is the last one: another artifact.
    assert ablation_key(narrow, narrow.model("a", 15)) != ablation_key(work, work.model("a", 15))


def test_only_the_reference_is_ablated_pair_by_pair_and_untrained(computed: Miniature) -> None:
    work = computed.workspace()
    assert [ref.name for ref in ablated_models(work, 0)] == ["a"]
    assert [ref.name for ref in ablated_models(work, 30)] == ["a", "b", "c"]
    assert [ablated_pairs(work, work.model(name, 30)) for name in "abc"] == [["b", "c"], [], []]
    assert ablated_pairs(work, work.model("a", 0)) == []


def test_the_rows_of_ablations_are_known_before_anything_was_sampled(miniature: Miniature, tmp_path: Path) -> None:
    work = miniature.workspace(store=tmp_path)
    assert evaluation_key(work, "evaluation") != corpus_key(work, "corpus")
    with pytest.raises(ArtifactMissing, match=r"^evaluation \([0-9a-f]{12}\): not computed; run: universal-neurons"):
        evaluation_ref(work)


def test_a_missing_ablation_names_model_and_step(computed: Miniature) -> None:
    work = _with_universality(computed.workspace(), "seed", 7)
    with pytest.raises(ArtifactMissing, match=r"^ablation \(model b, step 30\): not computed; run: universal-neurons"):
        read(work, ablation_key(work, work.model("b", 30)))


def test_tables_nulls_and_draws_of_one_pair_have_different_keys(computed: Miniature) -> None:
    work = computed.workspace()
    pair = work.pairs(30)[0]
    keys = {universality_key(work, pair), draws_key(work, pair), universality_key(work, pair, "null-rotated")}
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
    key = universality_key(_with_universality(work, "seed", 7), work.pairs(30)[0])
    with pytest.raises(ArtifactMissing, match=r"^universality \(reference a, partner b\): not computed; run: "):
        read(work, key)
    assert where(work, key) == "absent"
    assert where(work, corpus_key(work, "corpus")) == "working"


def test_another_corpus_gets_keys_of_its_own_and_one_warning(own: Miniature) -> None:
    as_published = suite_keys(own.workspace())
    before = corpus_key(own.workspace(), "corpus")
    own.pin_another_corpus()
    lines: list[str] = []
    local = own.workspace(local=True, warn=lines.append)
    # What this machine has is what the keys name, so what was computed here is found again.
    assert corpus_key(local, "corpus") == before
    assert suite_keys(local) == as_published
    assert corpus_key(own.workspace(), "corpus") != before
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


def test_a_recomputation_reads_nothing_that_was_computed_before(own: Miniature) -> None:
    own.ship()
    work = own.workspace(recompute=True)
    assert (work.store.shipped, work.store.imported) == ((), None)
    assert work.store.working == own.root / ".universal-neurons" / "recomputed"


def test_the_working_store_can_be_named(miniature: Miniature, tmp_path: Path) -> None:
    assert miniature.workspace(store=tmp_path / "here", recompute=True).store.working == tmp_path / "here"


def test_artifacts_are_described_in_a_few_words(computed: Miniature) -> None:
    work = computed.workspace()
    assert describe(corpus_key(work, "corpus")) == "3000 tokens of wheels"
    assert describe(universality_key(work, work.pairs(30)[0])) == "a against b"
    assert describe(candidates_key(work, work.model("a", 30))) == "partners b, c"


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    silence = Silence()
    silence.start("task", 3)
    silence.advance()
    silence.finish()
    assert capsys.readouterr() == ("", "")


def _with_universality(work: Workspace, field: str, value: object) -> Workspace:
    universality = work.suite.universality.model_copy(update={field: value})
    return dataclasses.replace(work, suite=work.suite.model_copy(update={"universality": universality}), cache={})
