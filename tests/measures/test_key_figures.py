from __future__ import annotations

import pytest

from tests.render.fakes import FakeStudy, fake_ablation, fake_suite
from universal_neurons.measures.ablation import effect
from universal_neurons.measures.ablation_table import Quantity, SetKind, SetOf
from universal_neurons.measures.key_figures import COMPARED, KeyFigure, ablation_key_figures, share_key_figures
from universal_neurons.measures.tables import Definition
from universal_neurons.measures.universality import definition_share


@pytest.fixture
def study() -> FakeStudy:
    full = fake_suite()
    return FakeStudy(fake_suite(checkpoints=full.checkpoints[-2:]))


def test_shares_are_those_of_table_1_by_threshold_and_label(study: FakeStudy) -> None:
    figures = share_key_figures(study, (0.4, 0.5))
    assert list(figures) == [
        KeyFigure("share", "universal", t, label) for t in (0.4, 0.5) for label in ("75 %", "100 %")
    ]
    last = study.reference_tables(checkpoint=study.checkpoints[-1])
    assert figures[KeyFigure("share", "universal", 0.5, "100 %")] == definition_share(last, Definition.PAIR, 0.5)


def test_ablations_are_the_universal_neurons_and_their_control(study: FakeStudy) -> None:
    figures = ablation_key_figures(study, 0.5)
    assert len(figures) == 2 * len(Quantity) * len(COMPARED)
    table = fake_ablation(study.checkpoints[-1])
    which = SetOf(0.5, definition=Definition.AVERAGED)
    expected = effect(table, which, SetKind.LAYER_MATCHED, quantity=Quantity.LOSS)
    assert figures[KeyFigure("loss_increase", "layer_matched", 0.5, "100 %")] == expected


def test_a_kind_of_set_that_was_not_ablated_has_no_key_figure(study: FakeStudy) -> None:
    assert ablation_key_figures(study, 0.123) == {}
