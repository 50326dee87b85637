"""The evidence is computed again and compared: sound evidence agrees, one altered number does not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.cases import ARTIFACTS, corpus_key, keys_at, pairs
from tests.miniature import NEVER_ON, with_a_neuron_that_is_never_on
from universal_neurons.artifacts.receipt import receipts_of
from universal_neurons.artifacts.store import Store
from universal_neurons.errors import ArtifactMissing, UserError
from universal_neurons.measures.excess import with_excess
from universal_neurons.stages import comparison, recheck, rounding
from universal_neurons.stages.ablation import ABLATIONS
from universal_neurons.stages.base import Case, Stage, read_artifact
from universal_neurons.stages.comparison import Comparison, EvidenceDiffers, Excused, column_differences
from universal_neurons.stages.models import LoadedModels
from universal_neurons.stages.profiles import PROFILES
from universal_neurons.stages.scores import RequestedScores, score_table, step_scores
from universal_neurons.stages.sharing import export_suite, pull
from universal_neurons.stages.study import imported_evidence, open_study
from universal_neurons.stages.tokens import token_set
from universal_neurons.stages.universality import UNIVERSALITY
from universal_neurons.stages.variants import VARIANTS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from tests.miniature import Miniature
    from universal_neurons.artifacts.key import Key
    from universal_neurons.stages.workspace import Workspace


def test_the_spot_check_agrees_with_sound_evidence(shipped: Miniature) -> None:
    found = recheck.spotcheck(shipped.workspace())
    assert found.agrees
    assert found.differences["correlation"].largest < 1e-6
    assert found.choices is not None
    assert found.choices.changed == 0
    assert str(found).startswith("a@30 against b@30, 48 neurons computed again")


@pytest.mark.parametrize(
    ("column", "change"), [("correlation", 0.001), ("baseline", -0.001), ("partner_neuron", 1), ("correlation", np.nan)]
)
def test_the_spot_check_finds_one_altered_number(shipped: Miniature, column: str, change: float) -> None:
    alter(shipped, column, change)
    with pytest.raises(EvidenceDiffers, match=r"^evidence of suite mini: a@30 against b@30.*run: universal"):
        recheck.spotcheck(shipped.workspace())


def test_the_spot_check_looks_at_what_is_shipped_not_at_what_was_computed_here(own: Miniature) -> None:
    ship(own, UNIVERSALITY)
    alter(own, "correlation", 0.001)
    with pytest.raises(EvidenceDiffers):
        recheck.spotcheck(own.workspace())


def test_the_spot_check_refuses_to_compare_where_the_text_is_another(own: Miniature) -> None:
    before = own.workspace()
    record, table = read_artifact(before, corpus_key(before)), UNIVERSALITY.key(before, pairs(before, 30)[0])
    found = read_artifact(before, table)
    own.pin_another_corpus()
    work = own.workspace()
    shipped = Store(own.root / "fixtures" / "evidence", warn=print)
    shipped.write(corpus_key(work), record.document, record.provenance)
    shipped.write(UNIVERSALITY.key(work, pairs(work, 30)[0]), found.table, found.provenance)
    with pytest.raises(UserError, match="is about another version of the text; run: universal-neurons compute"):
        recheck.spotcheck(own.workspace())


def test_the_spot_check_without_evidence_names_the_command(miniature: Miniature, tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match="run: universal-neurons compute --suite mini"):
        recheck.spotcheck(miniature.workspace(store=tmp_path))


def test_a_recomputation_is_compared_with_every_shipped_table(brief: Miniature, tmp_path: Path) -> None:
    project = brief.copied(tmp_path / "project")
    project.ship("brief")
    lines: list[str] = []
    study = open_study("brief", root=project.root, recompute=True, warn=lines.append)
    assert [line.split(":")[0] for line in lines] == ["recomputed"]
    # 6 directed pairs x 48 neurons, and 9 variants of 2 pairs
    assert f"all of universality, {6 * 48} neurons computed again" in lines[0]
    assert f"all of variants, {9 * 2 * 48} neurons computed again" in lines[0]
    # The sets of every model; extensions have 16.
    assert f"all of ablation, {72 + 2 * 12} sets computed again" in lines[0]
    assert "all of extensions, 16 sets computed again" in lines[0]
    assert f"all of profiles, {3 * 48} neurons computed again" in lines[0]
    assert "null" not in lines[0]
    assert study.work.store.shipped == ()


def test_a_recomputation_that_differs_from_the_evidence_is_refused(shipped: Miniature) -> None:
    alter(shipped, "baseline", 0.001)
    with pytest.raises(EvidenceDiffers, match="evidence of suite mini"):
        open_study("mini", root=shipped.root, recompute=True, only=lambda work: [(UNIVERSALITY, pairs(work, 30)[0])])


@pytest.mark.parametrize(
    ("column", "change", "rows"), [("kl", 0.001, 1), ("loss_increase", -0.001, 1), ("norm", 0.01, 60), ("draw", 1, 1)]
)
def test_altered_ablations_are_found(own: Miniature, column: str, change: float, rows: int) -> None:
    alter_table(own, ABLATIONS, column, change, rows)
    with pytest.raises(EvidenceDiffers, match=r"^evidence of suite mini: ablations.*run: universal"):
        recheck.check_recomputation(own.workspace())


def test_an_altered_block_is_found(own: Miniature) -> None:
    work = own.workspace()
    _, key = ABLATIONS.keys(work, Case(30, "a"))
    found = read_artifact(work, key)
    changed = {**found.arrays, "kl": found.arrays["kl"] + np.where(np.arange(5) == 2, 0.001, 0).astype(np.float32)}
    ship(own, ABLATIONS)
    reship(own, key, changed, found.provenance)
    with pytest.raises(EvidenceDiffers):
        recheck.check_recomputation(own.workspace())


def test_a_set_of_other_neurons_is_an_accident_of_rounding_where_it_is_rare(own: Miniature) -> None:
    alter_table(own, ABLATIONS, "norm", 0.01, 3)
    found = checked(own.workspace(), "ablation")
    assert found.choices is not None
    assert (found.count, found.choices.changed) == (180, 3)
    assert [one.largest for one in found.differences.values()] == [0, 0]


def test_without_shipped_evidence_there_is_nothing_to_compare(computed: Miniature) -> None:
    assert recheck.check_recomputation(computed.workspace()) == []


@pytest.mark.parametrize(
    ("column", "change", "rows"),
    [
        ("kurtosis", 0.01, 1),
        ("mean", np.nan, 1),
        ("kl_1", 40.0, 1),
        ("histogram_2", 60, 48),
        ("top_row_0", 1, 6),
        ("promoted_token_3", 1, 6),
    ],
)
def test_altered_profiles_are_found(own: Miniature, column: str, change: float, rows: int) -> None:
    alter_table(own, PROFILES, column, change, rows)
    with pytest.raises(EvidenceDiffers, match=r"^evidence of suite mini: profiles, 48 neurons.*run: univ"):
        recheck.check_recomputation(own.workspace())


def test_sound_profiles_agree_and_a_single_other_place_is_a_tie(own: Miniature) -> None:
    alter_table(own, PROFILES, "top_row_0", 1, 1)
    found = checked(own.workspace(), "profiles")
    assert found.choices is not None
    assert (found.count, found.choices.total, found.choices.changed) == (144, 144 * (4 + 4 + 3 + 3 + 5 + 5), 1)
    assert [one.largest for one in found.differences.values()] == [0, 0, 0]


@pytest.mark.parametrize(("name", "change"), [("correlation", 0.001), ("excess", 0.001), ("excess", np.nan)])
def test_a_recomputation_finds_one_altered_number_of_a_variant(own: Miniature, name: str, change: float) -> None:
    work = own.workspace()
    assert compared_variants(work) is None
    key = VARIANTS.key(work, Case(30, "a"))
    found = read_artifact(work, key)
    arrays = {column: array.copy() for column, array in found.arrays.items()}
    arrays[name][4, 1, 7] += change
    Store(own.root / "fixtures" / "evidence", warn=print).write(key, arrays, found.provenance)
    compared = compared_variants(own.workspace())
    assert compared is not None
    assert not compared.agrees
    with pytest.raises(EvidenceDiffers, match="evidence of suite mini: variants at step 30"):
        compared.checked("mini")


def test_differences_of_numbers_that_are_not_there() -> None:
    number, nothing = pd.Series([0.5, 0.25]), pd.Series([np.nan, np.nan])

    def largest(stored: pd.Series[float], again: pd.Series[float]) -> float:
        return column_differences(stored.to_frame("x"), again.to_frame("x"), {"x": 1e-4})["x"].largest

    assert largest(number, number + 0.5) == 0.5
    assert largest(nothing, nothing) == 0
    assert largest(number, nothing) == float("inf")
    assert largest(number, number[:1]) == float("inf")
    assert largest(number[:0], number[:0]) == 0
    assert column_differences(number.to_frame("x"), number.to_frame("y"), {})["y"].largest == float("inf")


def checked(work: Workspace, stage: str) -> Comparison:
    """The comparison of one stage with what is shipped."""
    (found,) = (one for one in recheck.check_recomputation(work) if one.what == f"all of {stage}")
    return found


def compared_variants(work: Workspace) -> Comparison | None:
    """The stored variants of the last step against the shipped ones."""
    stored, again = recheck.shipped_artifacts(work), recheck.stored_artifacts(work, work.store)
    return VARIANTS.compare(work, Case(30, "a"), stored, again)


def alter(own: Miniature, column: str, change: float, *, row: int = NEVER_ON) -> None:
    """Ship another number in one row of the reference's last table."""
    work = own.workspace()
    key = UNIVERSALITY.key(work, pairs(work, 30)[0])
    table = read_artifact(work, key)
    frame = table.table.copy()
    frame[column] += np.where(np.arange(48) == row, change, 0).astype(frame[column].to_numpy().dtype)
    reship(own, key, frame, table.provenance)


def alter_table(own: Miniature, stage: Stage, column: str, change: float, rows: int) -> None:
    """Ship a stage, with other numbers in the first ``rows`` rows of the reference's last table."""
    work = own.workspace()
    key = stage.key(work, Case(30, "a"))
    found = read_artifact(work, key)
    frame = found.table.copy()
    numbers = frame[column].to_numpy()
    frame[column] = numbers + np.where(np.arange(len(frame)) < rows, change, 0).astype(numbers.dtype)
    ship(own, stage)
    reship(own, key, frame, found.provenance)


def ship(own: Miniature, stage: Stage) -> None:
    """Ship the evidence of one stage, and leave the working store as it is."""
    work = own.workspace()
    keys = [key for case in stage.cases(work) for key in stage.keys(work, case)]
    work.store.export(keys, own.root / "fixtures" / "evidence")


def reship(own: Miniature, key: Key, value: Any, provenance: Any) -> None:
    """Ship another payload under ``key``."""
    evidence = own.root / "fixtures" / "evidence"
    shutil.rmtree(evidence / key.stage / key.digest)
    Store(evidence, warn=print).write(key, value, provenance)


# --- neurons that rounding moves


# Of 48 neurons the permitted share is not even one.
SOME = 0.1
NORMAL = 8


@pytest.fixture(scope="module")
def _rounded(_shipped: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    project = _shipped.copied(tmp_path_factory.mktemp("rounded") / "project")
    with pytest.MonkeyPatch.context() as patch:
        with_a_neuron_that_is_never_on(patch, "a")
        ship_the_first_table(project)
    return project


@pytest.fixture
def rounded(_rounded: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Miniature:
    """A project whose reference has a neuron that is never on, with the table of the first pair shipped."""
    with_a_neuron_that_is_never_on(monkeypatch, "a")
    monkeypatch.setattr(comparison, "EXCUSED", SOME)
    return _rounded.copied(tmp_path / "project")


def test_a_neuron_that_is_never_on_may_move_and_is_reported(rounded: Miniature) -> None:
    assert recheck.spotcheck(rounded.workspace()).excused == ()
    alter(rounded, "correlation", 9e-4)
    found = recheck.spotcheck(rounded.workspace())
    (excused,) = found.excused
    assert excused.neuron == "a L0.7"
    assert excused.moved == pytest.approx(9e-4, abs=1e-6)
    assert 9e-4 < excused.may <= rounding.FURTHEST
    assert found.differences["correlation"].largest < 1e-6
    assert found.count == 48
    assert ", without 1 neurons that rounding moves: at most 9.0e-04 where" in str(found)
    assert str(found).endswith("is possible (a L0.7)")


def test_another_partner_of_a_neuron_that_is_never_on_is_no_difference(rounded: Miniature) -> None:
    alter(rounded, "partner_neuron", 1)
    found = recheck.spotcheck(rounded.workspace())
    assert [one.neuron for one in found.excused] == ["a L0.7"]
    assert found.choices is not None
    assert found.choices.changed == 0


@pytest.mark.parametrize(("column", "change"), [("correlation", 2e-4), ("baseline", -2e-4), ("partner_neuron", 1)])
def test_a_normal_neuron_may_not_move(rounded: Miniature, column: str, change: float) -> None:
    alter(rounded, column, change, row=NORMAL)
    with pytest.raises(EvidenceDiffers, match=r"partners changed; run:"):
        recheck.spotcheck(rounded.workspace())


@pytest.mark.parametrize(("column", "change"), [("correlation", 0.06), ("baseline", -0.06), ("correlation", np.nan)])
def test_rounding_excuses_nothing_that_it_cannot_do(rounded: Miniature, column: str, change: float) -> None:
    alter(rounded, column, change)
    with pytest.raises(EvidenceDiffers):
        recheck.spotcheck(rounded.workspace())


def test_a_neuron_that_consists_of_rounding_may_not_become_anything(
    rounded: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    alter(rounded, "correlation", 9e-4)
    monkeypatch.setattr(rounding, "FURTHEST", 8e-4)
    with pytest.raises(EvidenceDiffers):
        recheck.spotcheck(rounded.workspace())


def test_more_of_them_than_the_permitted_share_are_refused(rounded: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    alter(rounded, "correlation", 9e-4)
    monkeypatch.setattr(comparison, "EXCUSED", 0.02)
    with pytest.raises(EvidenceDiffers):
        recheck.spotcheck(rounded.workspace())
    one = Excused("a L0.7", 9e-4, 1e-2)
    few = Comparison("a table", "neurons", 100, {}, None, (one,) * 2)
    assert few.agrees
    assert not replace(few, excused=(one,) * 3).agrees


def test_a_neuron_that_crosses_a_threshold_is_never_excused(rounded: Miniature) -> None:
    alter(rounded, "correlation", 9e-4)
    shipped = excess(rounded)[NEVER_ON]
    assert recheck.spotcheck(with_threshold(rounded, shipped + 1e-4)).agrees
    with pytest.raises(EvidenceDiffers):
        recheck.spotcheck(with_threshold(rounded, shipped - 4.5e-4))


def test_nor_is_one_whose_mean_over_the_partners_does(rounded: Miniature) -> None:
    alter(rounded, "correlation", 9e-4)
    shipped = np.array([excess(rounded)[NEVER_ON], excess(rounded, 1)[NEVER_ON]])
    between = shipped.mean() - 2e-4
    assert (np.abs(shipped - between) > 1e-3).all()
    assert recheck.spotcheck(with_threshold(rounded, between + 3e-4)).agrees
    with pytest.raises(EvidenceDiffers):
        recheck.spotcheck(with_threshold(rounded, between))


def test_a_normal_neuron_may_move_with_a_partner_that_is_never_on(
    shipped: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_neuron_that_is_never_on(monkeypatch, "b")
    monkeypatch.setattr(comparison, "EXCUSED", SOME)
    ship_the_first_table(shipped)
    alter(shipped, "correlation", 9e-4, row=NORMAL)
    with pytest.raises(EvidenceDiffers):
        recheck.spotcheck(shipped.workspace())
    work = shipped.workspace()
    table = read_artifact(work, UNIVERSALITY.key(work, pairs(work, 30)[0])).table
    alter(shipped, "partner_layer", -int(table["partner_layer"][NORMAL]), row=NORMAL)
    alter(shipped, "partner_neuron", NEVER_ON - int(table["partner_neuron"][NORMAL]), row=NORMAL)
    found = recheck.spotcheck(shipped.workspace())
    assert [one.neuron for one in found.excused] == [f"a L0.{NORMAL}"]
    # What is rotated is a whole layer, of which one neuron is nearly nothing.
    alter(shipped, "baseline", 2e-4, row=NORMAL)
    with pytest.raises(EvidenceDiffers):
        recheck.spotcheck(shipped.workspace())


def test_a_table_of_another_size_is_refused(rounded: Miniature) -> None:
    work = rounded.workspace()
    key = UNIVERSALITY.key(work, pairs(work, 30)[0])
    found = read_artifact(work, key)
    reship(rounded, key, found.table[:-1], found.provenance)
    with pytest.raises(EvidenceDiffers):
        recheck.spotcheck(rounded.workspace())


def test_nothing_is_measured_where_the_evidence_agrees(rounded: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("universal_neurons.stages.universality.distances", None)
    assert recheck.spotcheck(rounded.workspace()).agrees


def test_the_excused_of_several_tables_are_counted_together_and_the_furthest_named() -> None:
    each = tuple(Excused(f"a L0.{n}", n * 1e-4, 1e-2) for n in range(7))
    found = Comparison("one", "neurons", 600, {}, None, each[:4]) + Comparison("two", "neurons", 600, {}, None, each)
    assert found.count == 1200
    assert ", without 11 neurons that rounding moves" in str(found)
    assert "at most 6.0e-04 where 1.0e-02 is possible" in str(found)
    assert str(found).endswith("(a L0.6, a L0.5, a L0.4, a L0.3, a L0.2 and 2 more)")


@pytest.mark.parametrize("never_on", ["a", "b"])
def test_a_variant_may_move_with_a_neuron_or_a_partner_that_is_never_on(
    own: Miniature, monkeypatch: pytest.MonkeyPatch, never_on: str
) -> None:
    ship(own, VARIANTS)
    with_a_neuron_that_is_never_on(monkeypatch, never_on)
    neuron = NEVER_ON if never_on == "a" else NORMAL
    again = own.workspace(recompute=True)
    token_set(again)
    VARIANTS.produce(again, Case(30, "a"))
    key = VARIANTS.key(again, Case(30, "a"))
    found = read_artifact(again, key)

    def compared(partner: int, which: int, **changes: float) -> Comparison:
        arrays = {name: array.copy() for name, array in found.arrays.items()}
        for name, change in changes.items():
            arrays[name][4, partner, which] += change
        reship(own, key, arrays, found.provenance)
        one = compared_variants(again)
        assert one is not None
        return one

    assert compared(0, neuron).excused == ()
    moved = compared(0, neuron, correlation=9e-4, excess=9e-4)
    assert moved.agrees
    assert [one.neuron for one in moved.excused] == [f"a L0.{neuron}"]
    # The second partner is sound, and so is every other neuron.
    other = (1, NORMAL) if never_on == "b" else (0, NORMAL)
    assert not compared(*other, correlation=4e-4, excess=4e-4).agrees
    if never_on == "b":
        assert not compared(0, neuron, excess=6e-4).agrees


def with_threshold(own: Miniature, threshold: float) -> Workspace:
    """A workspace whose neurons are universal above ``threshold``, however small it is."""
    work = own.workspace()
    spec = work.suite.universality.model_copy(update={"threshold": threshold, "thresholds": (threshold,)})
    return replace(work, suite=work.suite.model_copy(update={"universality": spec}), cache={})


def excess(own: Miniature, pair: int = 0) -> npt.NDArray[np.float64]:
    """The shipped excess of every neuron of the reference, against one of its partners."""
    work = own.workspace()
    table = with_excess(read_artifact(work, UNIVERSALITY.key(work, pairs(work, 30)[pair])).table)
    return table["excess"].to_numpy(dtype=np.float64)


def ship_the_first_table(own: Miniature) -> None:
    """Compute the reference's last table with the models as they are loaded now, and ship it."""
    work = own.workspace()
    pair = pairs(work, 30)[0]
    key = UNIVERSALITY.key(work, pair)
    models = LoadedModels.of(work, 30, (pair.model, pair.partner))
    found = step_scores(models, RequestedScores((pair,)))
    reship(own, key, score_table(found.table(pair)), read_artifact(work, key).provenance)
    found.passes.forget()


# --- imported evidence


@pytest.fixture(scope="module")
def _imported(computed: Miniature, miniature: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    folder = tmp_path_factory.mktemp("imported")
    project = miniature.copied(folder / "project")
    export_suite(computed.workspace(), folder / "evidence.zip")
    pull("mini", str(folder / "evidence.zip"), root=project.root, warn=print)
    return project


@pytest.fixture
def imported(_imported: Miniature, tmp_path: Path) -> Miniature:
    """A project whose evidence was imported, with nothing of its own."""
    return _imported.copied(tmp_path / "project")


def test_a_sample_of_an_import_that_agrees_takes_its_mark_away(imported: Miniature) -> None:
    work = imported.workspace()
    before = imported_evidence(work)
    assert (len(before.unchecked), before.checked) == (ARTIFACTS, frozenset())
    (receipt,) = before.sources
    found = recheck.imported_sample(work, receipt)
    assert found.agrees
    assert found.differences["correlation"].largest < 1e-6
    after = imported_evidence(imported.workspace())
    # The tokens were sampled again for it, so their identity is no longer imported.
    assert (after.unchecked, len(after.checked)) == (frozenset(), ARTIFACTS - 1)
    (sampled,) = after.sources
    assert sampled.sample is not None
    assert sampled.sample.result == str(found)
    assert sampled.sample.artifact in {
        key.digest for step in (15, 30) for key in keys_at(work, UNIVERSALITY, step).values()
    }
    assert sampled.artifacts == receipt.artifacts


def test_the_sample_is_drawn_from_all_trained_tables_of_the_import(
    imported: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []

    def nothing(pairs: list[Any]) -> Any:
        drawn.extend(pairs)
        raise UserError("drawn")

    monkeypatch.setattr("secrets.choice", nothing)
    work = imported.workspace()
    (receipt,) = imported_evidence(work).sources
    with pytest.raises(UserError, match="drawn"):
        recheck.imported_sample(work, receipt)
    assert drawn == [pair for step in (15, 30) for pair in pairs(work, step)]


def forged(project: Miniature, column: str, change: float) -> Miniature:
    """The same import, as if whoever exported it had altered a number in every table and sealed that."""
    work = project.workspace()
    for step in (15, 30):
        for key in keys_at(work, UNIVERSALITY, step).values():
            found = read_artifact(work, key)
            altered = found.table.assign(**{column: found.table[column].to_numpy() + np.float32(change)})
            folder = project.root / ".universal-neurons" / "imported" / key.stage / key.digest
            shutil.rmtree(folder)
            Store(folder.parents[1], warn=print).write(key, altered, found.provenance)
    (receipt,) = receipts_of(project.root / ".universal-neurons" / "imported", "mini")
    here = {entry.key.digest: entry.manifest.sha256 for entry in project.workspace().store.entries()}
    replace(receipt, artifacts={**receipt.artifacts, **here}).write(project.root / ".universal-neurons" / "imported")
    return project


@pytest.mark.parametrize(("column", "change"), [("correlation", 0.001), ("baseline", -0.001)])
def test_a_forged_import_is_found_and_keeps_its_mark(imported: Miniature, column: str, change: float) -> None:
    work = forged(imported, column, change).workspace()
    (receipt,) = imported_evidence(work).sources
    with pytest.raises(
        EvidenceDiffers,
        match=r"^evidence imported from evidence\.zip: .*do not rely on it: remove \.universal-neurons/imported, then",
    ):
        recheck.imported_sample(work, receipt)
    # All but the identity of the tokens, which are this machine's own again.
    assert len(imported_evidence(imported.workspace()).unchecked) == ARTIFACTS - 1


def test_an_import_without_tables_cannot_be_sampled(imported: Miniature) -> None:
    work = imported.workspace()
    (receipt,) = imported_evidence(work).sources
    with pytest.raises(UserError, match="has no table of suite mini to compute again"):
        recheck.imported_sample(work, replace(receipt, artifacts={}))


def test_a_recomputation_is_compared_with_what_was_imported_where_nothing_is_shipped(imported: Miniature) -> None:
    assert len(recheck.spotcheck(imported.workspace()).what) > 0
    forged(imported, "correlation", 0.001)
    with pytest.raises(EvidenceDiffers):
        recheck.spotcheck(imported.workspace())
