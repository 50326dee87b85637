"""The figures about other texts: what they say, and what becomes of them where there is nothing to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.render.fakes import FakeStudy, fake_suite
from universal_neurons.measures.pooled import own_pairs, pooled_share
from universal_neurons.measures.texts import overlap_beyond_ceiling, text_pairs
from universal_neurons.render.figures.texts import on_texts, text_figures
from universal_neurons.render.formatting import NO_BREAK, decimal

if TYPE_CHECKING:
    from universal_neurons.render.figures.figure import Figure


def figures(study: FakeStudy) -> dict[str, Figure]:
    groups = text_figures(on_texts(study), tokens=100_000, threshold=0.5, last="100 %")
    return {name: group.figures[0] for name, group in groups.items()}


@pytest.fixture(scope="module")
def drawn() -> dict[str, Figure]:
    return figures(FakeStudy())


def test_each_text_has_its_share_and_how_far_it_is_from_the_suites(drawn: dict[str, Figure]) -> None:
    study, figure = FakeStudy(), drawn["texts_share"]
    assert [row[0] for row in figure.data.rows] == ["other rows of the same text", "English"]
    own, there = (pooled_share(own_pairs(study, study.checkpoints[at]), 0.5).value for at in (-1, 0))
    same, english = figure.data.rows
    assert (same[1], english[1]) == pytest.approx((0, 100 * (there - own)))
    assert (same[-1], english[-1]) == pytest.approx((own, there))
    said = str(figure.caption).replace(NO_BREAK, " ").replace("\\", "")
    assert f"{decimal(100 * there, 2)} % on English" in said


def test_each_text_has_the_overlap_beside_the_one_of_halves(drawn: dict[str, Figure]) -> None:
    study, figure = FakeStudy(), drawn["texts_overlap"]
    expected = overlap_beyond_ceiling(text_pairs(study, "english", study.checkpoints[-1]), 0.5)
    names = [column.title for column in figure.data.columns]
    english = dict(zip(names, figure.data.rows[1], strict=True))
    assert english["overlap"] == pytest.approx(expected.details["overlap"])
    assert english["halves of the other text"] == pytest.approx(expected.details["second"])
    overlap, within = (decimal(100 * expected.details[name], 0) for name in ("overlap", "within"))
    said = str(figure.caption).replace(NO_BREAK, " ").replace("\\", "")
    assert f"{overlap} % with English where halves of one text share {within} %" in said


def test_captions_say_what_the_bars_are_over(drawn: dict[str, Figure]) -> None:
    captions = [str(figure.caption).replace("\\", "") for figure in drawn.values()]
    assert [one for one in captions if not one.endswith("bars are intervals over its partners.")] == []


def test_two_models_or_one_text_leave_the_figures_out() -> None:
    two = FakeStudy(suite=fake_suite().narrowed(models=["a", "b"]))
    assert all(one.absence.startswith("it compares texts") for one in figures(two).values())
    bare = fake_suite().variants.model_copy(update={"texts": ()})
    assert all(one.absence for one in figures(FakeStudy(suite=fake_suite(variants=bare))).values())
