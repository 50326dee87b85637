from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.cases import keys_at, null_keys, pairs
from universal_neurons.errors import ArtifactMissing, NotOnSuite, UserError
from universal_neurons.measures.universality import universal_share
from universal_neurons.stages.ablation import ABLATIONS
from universal_neurons.stages.base import Case
from universal_neurons.stages.dry_run import DryRunStudy
from universal_neurons.stages.registry import suite_keys
from universal_neurons.stages.study import open_study
from universal_neurons.stages.tokens import corpus_ref
from universal_neurons.stages.universality import CANDIDATES, UNIVERSALITY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.miniature import Miniature
    from universal_neurons.measures.study import NullKind
    from universal_neurons.measures.study import Study as StudyOfMeasures
    from universal_neurons.stages.study import StoredStudy


@pytest.fixture
def study(computed: Miniature) -> StoredStudy:
    return computed.study()


def test_a_study_knows_its_suite(study: StoredStudy, computed: Miniature) -> None:
    assert (study.reference, study.partners(), study.partners("b")) == ("a", ("b", "c"), ("a", "c"))
    assert [c.step for c in study.checkpoints] == [15, 30]
    assert study.untrained is not None
    assert study.untrained.step == 0
    assert study.corpus() == corpus_ref(study.work)


def test_a_study_is_what_measures_expect(study: StoredStudy) -> None:
    accepted: StudyOfMeasures = study
    assert accepted.partners() == ("b", "c")


def test_a_table_has_its_candidates_influences_and_draws(study: StoredStudy) -> None:
    last = study.checkpoints[-1]
    table = study.universality(partner="c", checkpoint=last)
    assert (table.reference, table.partner, table.step, len(table.frame)) == ("a", "c", 30, 48)
    assert table.influence.shape == (10, len(table.candidates))
    assert table.draws.shape == (4, len(table.candidates))
    rows = table.frame.iloc[table.candidates]
    np.testing.assert_allclose(table.draws.mean(axis=0), rows["baseline"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(rows["excess"], rows["correlation"] - rows["baseline"], rtol=0, atol=1e-7)
    # Influences add up to nothing over the blocks, whichever partner they belong to.
    np.testing.assert_allclose(table.influence.sum(axis=0), 0, atol=1e-3)


@pytest.mark.parametrize("reference", [None, "b"])
def test_one_table_is_the_same_alone_and_among_all_of_its_reference(study: StoredStudy, reference: str | None) -> None:
    first = study.checkpoints[0]
    tables = study.reference_tables(checkpoint=first, reference=reference)
    assert tables.partners == study.partners(reference)
    for partner in tables.partners:
        alone = study.universality(partner=partner, checkpoint=first, reference=reference)
        among = tables.tables[partner]
        assert alone.frame.equals(among.frame)
        np.testing.assert_array_equal(alone.influence, among.influence)
        np.testing.assert_array_equal(alone.draws, among.draws)


def test_a_share_has_an_interval_that_contains_it(study: StoredStudy) -> None:
    measured = universal_share(study.universality(partner="b", checkpoint=study.checkpoints[-1]), 0.03)
    assert measured.value is not None
    assert measured.low is not None
    assert measured.high is not None
    assert 0 < measured.value < 1
    assert measured.low <= measured.value <= measured.high
    assert measured.low < measured.high


def test_reads_lists_what_was_read_in_order_and_nothing_else(study: StoredStudy) -> None:
    first = study.checkpoints[0]
    study.universality(partner="c", checkpoint=first)
    pair = next(p for p in pairs(study.work, 15) if (p.model, p.partner) == ("a", "c"))
    expected = [
        CANDIDATES.key(study.work, Case(pair.step, pair.model)).digest,
        UNIVERSALITY.key(study.work, pair).digest,
    ]
    assert study.reads == expected
    study.universality(partner="c", checkpoint=first)
    assert study.reads == expected * 2
    study.null(partner="b", checkpoint=first, kind="rotated")
    null = {(p.partner, kind): key.digest for (p, kind), key in null_keys(study.work, 15).items()}
    assert study.reads[4:] == [null["b", "rotated"]]


def test_several_suites_are_read_over_the_same_stores(own: Miniature) -> None:
    study = own.study()
    name, suites = study.suite.name, own.root / "fixtures" / "suites"
    for other in ("twin", "longer"):
        shutil.copy(suites / f"{name}.toml", suites / f"{other}.toml")
    text = (suites / "longer.toml").read_text("utf-8")
    (suites / "longer.toml").write_text(re.sub(r"(?m)^row_length = .*", "row_length = 16", text), "utf-8")
    studies = study.beside("twin", "longer", name)
    assert (list(studies), studies[name]) == (["twin", "longer", name], study)
    last = study.checkpoints[-1]
    mine, theirs = (studies[one].universality(partner="b", checkpoint=last) for one in (name, "twin"))
    assert theirs.frame.equals(mine.frame)
    # What another suite reads is in no record of this one.
    assert len(study.reads) == len(studies["twin"].reads) == 2
    with pytest.raises(ArtifactMissing) as caught:
        studies["longer"].universality(partner="b", checkpoint=last)
    assert "--suite longer" in caught.value.command
    with pytest.raises(NotOnSuite, match=f"it compares the suites twin, longer, and this is {name}"):
        study.beside("twin", "longer")


def test_the_evidence_of_other_suites_is_no_need_of_a_suite(computed: Miniature) -> None:
    dry = DryRunStudy.of(computed.workspace())
    studies = dry.beside("larger", dry.suite.name)
    assert list(studies) == ["larger", dry.suite.name]
    for study in studies.values():
        study.universality(partner="b", checkpoint=study.checkpoints[-1])
    assert set(dry.needs) == {(UNIVERSALITY, Case(30, "a", "b")), (CANDIDATES, Case(30, "a"))}
    with pytest.raises(NotOnSuite):
        dry.beside("larger")


@pytest.mark.parametrize(("kind", "at"), [("rotated", 0), ("permuted", -1)])
def test_a_null_table_has_no_candidates_and_hardly_any_excess(study: StoredStudy, kind: NullKind, at: int) -> None:
    table = study.null(partner="c", checkpoint=study.checkpoints[at], kind=kind)
    assert len(table.candidates) == 0
    measured = universal_share(table, 0.2)
    assert (measured.value, measured.low, measured.high) == (0, 0, 0)


def test_the_untrained_null_is_the_table_of_the_untrained_models(study: StoredStudy) -> None:
    assert study.untrained is not None
    null = study.null(partner="b", checkpoint=study.checkpoints[0], kind="untrained")
    assert null.step == 0
    assert null.frame.equals(study.universality(partner="b", checkpoint=study.untrained).frame)


@pytest.mark.parametrize(("reference", "sets"), [(None, 72), ("b", 12)])
def test_ablations_have_a_row_per_set_and_a_column_per_block(
    study: StoredStudy, reference: str | None, sets: int
) -> None:
    table = study.ablation(checkpoint=study.checkpoints[-1], reference=reference)
    assert (table.reference, table.step, len(table.frame)) == (reference or "a", 30, sets)
    assert table.kl.shape == table.loss_increase.shape == (sets, 5)
    assert table.predictions.sum() == study.table("evaluation").tokens == 310
    np.testing.assert_allclose(table.kl.mean(axis=1), table.frame["kl"], rtol=0, atol=1e-7)
    assert table.resampling.resamples == 100


def test_untrained_ablations_are_those_of_the_reference(study: StoredStudy) -> None:
    assert study.untrained is not None
    table = study.ablation(checkpoint=study.untrained)
    assert (table.step, set(table.frame["labels_step"])) == (0, {30})
    with pytest.raises(UserError, match="suite mini: ablations at step 0: expected one of a, got 'b'"):
        study.ablation(checkpoint=study.untrained, reference="b")
    with pytest.raises(UserError, match="suite mini: ablations at step 30: expected one of a, b, c, got 'z'"):
        study.ablation(checkpoint=study.checkpoints[-1], reference="z")


def test_ablations_that_were_read_are_in_the_evidence(study: StoredStudy) -> None:
    study.ablation(checkpoint=study.checkpoints[0])
    assert study.reads == [key.digest for key in ABLATIONS.keys(study.work, Case(15, "a"))]


def test_a_suite_without_untrained_models_says_so(computed: Miniature) -> None:
    study = computed.study("brief")
    with pytest.raises(UserError, match="suite brief: no untrained checkpoint"):
        study.null(partner="b", checkpoint=study.checkpoints[0], kind="untrained")


@pytest.mark.parametrize(
    ("partner", "reference", "said"),
    [
        ("a", None, "expected one of b, c, got 'a'"),
        ("z", None, "expected one of b, c, got 'z'"),
        ("b", "b", "expected one of a, c, got 'b'"),
        ("b", "z", "universality at step 15: expected one of a, b, c, got 'z'"),
    ],
)
def test_a_model_that_the_suite_does_not_have_is_a_mistake_of_the_user(
    study: StoredStudy, partner: str, reference: str | None, said: str
) -> None:
    with pytest.raises(UserError, match=f"^suite mini: {said}$"):
        study.universality(partner=partner, checkpoint=study.checkpoints[0], reference=reference)


def test_nulls_that_are_never_computed_are_not_promised(study: StoredStudy) -> None:
    with pytest.raises(UserError, match="suite mini: rotated null: expected reference a, got b") as caught:
        study.null(partner="c", checkpoint=study.checkpoints[0], kind="rotated", reference="b")
    assert not isinstance(caught.value, ArtifactMissing)
    with pytest.raises(UserError, match="suite mini: permuted null: expected step 30, got 15"):
        study.null(partner="c", checkpoint=study.checkpoints[0], kind="permuted")
    with pytest.raises(UserError, match="suite mini: universality at step 0: expected one of a, got 'b'"):
        study.null(partner="c", checkpoint=study.checkpoints[0], kind="untrained", reference="b")


def test_missing_evidence_names_the_command(miniature: Miniature, tmp_path: Path) -> None:
    study = miniature.study(store=tmp_path)
    with pytest.raises(ArtifactMissing) as caught:
        study.universality(partner="b", checkpoint=study.checkpoints[0])
    assert caught.value.command == "universal-neurons compute --suite mini"
    assert caught.value.command in str(caught.value)


def test_the_training_log_has_every_model(study: StoredStudy) -> None:
    log = study.training_log()
    assert {"model", "step", "tokens", "loss", "held_out_loss", "seconds", "device"} <= set(log.columns)
    assert set(log["model"]) == {"a", "b", "c"}
    assert log.groupby("model")["step"].max().tolist() == [30, 30, 30]


def test_provenance_has_a_row_per_artifact(study: StoredStudy) -> None:
    rows = study.provenance()
    assert rows["digest"].tolist() == [key.digest for key in suite_keys(study.work)]
    assert set(rows["origin"]) == {"working"}
    assert (rows["wall_seconds"] >= 0).all()
    shares = {stage for stage, shared in zip(rows["stage"], rows["shared"], strict=True) if shared}
    assert shares == {"universality", "null-rotated", "null-permuted", "candidates"}


JUDGE = """
import sys
from pathlib import Path
from universal_neurons.measures.universality import universal_share
from universal_neurons.stages.study import open_study
study = open_study("mini", root=Path(sys.argv[1]))
measured = universal_share(study.universality(partner="b", checkpoint=study.checkpoints[-1]), 0.03)
study.null(partner="b", checkpoint=study.checkpoints[-1], kind="permuted")
study.ablation(checkpoint=study.checkpoints[-1])
study.training_log()
study.provenance()
loaded = [name for name in ("torch", "transformers", "transformer_lens", "pytest") if name in sys.modules]
print(measured.value, loaded, sep=";")
"""


def test_shipped_evidence_is_judged_without_torch_and_without_writing(shipped: Miniature, study: StoredStudy) -> None:
    root = shipped.root
    for path in [root, *root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(root.rglob("*"))
    done = subprocess.run([sys.executable, "-c", JUDGE, str(root)], capture_output=True, text=True, check=False)
    after = sorted(root.rglob("*"))
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755)
    assert done.stderr == ""
    value, loaded = done.stdout.strip().split(";")
    assert loaded == "[]"
    expected = universal_share(study.universality(partner="b", checkpoint=study.checkpoints[-1]), 0.03)
    assert float(value) == expected.value
    assert after == before


def test_a_recomputed_study_reads_only_what_it_computed(shipped: Miniature) -> None:
    again = open_study(
        "mini", root=shipped.root, recompute=True, only=lambda work: [(UNIVERSALITY, pair) for pair in pairs(work, 30)]
    )
    assert set(again.provenance()["stage"]) == {"corpus", "universality"}
    assert set(again.provenance()["origin"]) == {"working"}
    assert (shipped.root / ".universal-neurons" / "recomputed" / "finished").exists()
    keys = keys_at(again.work, UNIVERSALITY, 30)
    assert all(again.work.store.has(key) for key in keys.values())
