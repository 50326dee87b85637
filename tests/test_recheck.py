"""The evidence is computed again and compared: sound evidence agrees, one altered number does not."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from universal_neurons import recheck
from universal_neurons.artifacts.store import Store
from universal_neurons.errors import ArtifactMissing, UserError
from universal_neurons.study import open_study
from universal_neurons.workspace import corpus_key, read, universality_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.miniature import Miniature


def test_the_spot_check_agrees_with_sound_evidence(own: Miniature) -> None:
    own.ship()
    found = recheck.spotcheck(own.workspace())
    assert found.agrees
    assert found.correlation_error < 1e-6
    assert found.partners_changed == 0
    assert str(found).startswith("a@30 against b@30, 48 neurons computed again")


@pytest.mark.parametrize(
    ("column", "change"), [("correlation", 0.001), ("baseline", -0.001), ("partner_neuron", 1), ("correlation", np.nan)]
)
def test_the_spot_check_finds_one_altered_number(own: Miniature, column: str, change: float) -> None:
    own.ship()
    alter(own, column, change)
    with pytest.raises(recheck.EvidenceDiffers, match=r"^evidence of suite mini: a@30 against b@30.*run: universal"):
        recheck.spotcheck(own.workspace())


def test_the_spot_check_looks_at_what_is_shipped_not_at_what_was_computed_here(own: Miniature, tmp_path: Path) -> None:
    kept = shutil.copytree(own.working, tmp_path / "kept")
    own.ship()
    alter(own, "correlation", 0.001)
    with pytest.raises(recheck.EvidenceDiffers):
        recheck.spotcheck(own.workspace(store=kept))


def test_the_spot_check_refuses_to_compare_where_the_text_is_another(own: Miniature) -> None:
    before = own.workspace()
    record, table = read(before, corpus_key(before, "corpus")), universality_key(before, before.pairs(30)[0])
    found = read(before, table)
    own.pin_another_corpus()
    work = own.workspace()
    shipped = Store(own.root / "fixtures" / "evidence", warn=print)
    shipped.write(corpus_key(work, "corpus"), record.document, record.provenance)
    shipped.write(universality_key(work, work.pairs(30)[0]), found.table, found.provenance)
    with pytest.raises(UserError, match="is about another version of the text; run: universal-neurons compute"):
        recheck.spotcheck(own.workspace())


def test_the_spot_check_without_evidence_names_the_command(miniature: Miniature, tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match="run: universal-neurons compute --suite mini"):
        recheck.spotcheck(miniature.workspace(store=tmp_path))


def test_a_recomputation_is_compared_with_every_shipped_table(own: Miniature) -> None:
    own.ship()
    lines: list[str] = []
    study = open_study("mini", root=own.root, recompute=True, warn=lines.append)
    assert [line.split(":")[0] for line in lines] == ["recomputed"]
    # 3 steps x 6 directed pairs x 48 neurons
    assert f"all tables, {3 * 6 * 48} neurons computed again" in lines[0]
    assert study.work.store.shipped == ()


def test_a_recomputation_that_differs_from_the_evidence_is_refused(own: Miniature) -> None:
    own.ship()
    alter(own, "baseline", 0.001)
    with pytest.raises(recheck.EvidenceDiffers, match="evidence of suite mini"):
        open_study("mini", root=own.root, recompute=True, warn=lambda _: None)


def test_differences_of_numbers_that_are_not_there() -> None:
    number, nothing = pd.Series([0.5, 0.25]), pd.Series([np.nan, np.nan])
    assert recheck.largest_difference(number, number + 0.5) == 0.5
    assert recheck.largest_difference(nothing, nothing) == 0
    assert recheck.largest_difference(number, nothing) == float("inf")
    assert recheck.largest_difference(number, number[:1]) == float("inf")


def alter(own: Miniature, column: str, change: float) -> None:
    """Ship another number in one row of the reference's last table."""
    work = own.workspace()
    key = universality_key(work, work.pairs(30)[0])
    table = read(work, key)
    frame = table.table.copy()
    frame[column] += np.where(np.arange(48) == 7, change, 0).astype(frame[column].to_numpy().dtype)
    evidence = own.root / "fixtures" / "evidence"
    shutil.rmtree(evidence / key.stage / key.digest)
    Store(evidence, warn=print).write(key, frame, table.provenance)
