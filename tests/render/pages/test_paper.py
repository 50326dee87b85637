"""The page that rebuilds the paper: every figure of the list is there, with its data, its claims and its sources."""

from __future__ import annotations

import importlib
import math
import re
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tests.render.fakes import ARTIFACTS, CHECKOUT, CHECKPOINTS, MODELS, FakeStudy
from tests.render.test_report import build, change, text_of
from universal_neurons.errors import ArtifactMissing
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.ablation import NATS, effect
from universal_neurons.measures.ablation_table import Quantity, SetKind, SetOf
from universal_neurons.measures.persistence import persistence
from universal_neurons.render.figures.ablation import PairEffect, over_models
from universal_neurons.render.html.checks import CheckedPage
from universal_neurons.render.listings import Listing
from universal_neurons.render.pages.paper import CLAIMS, ORDER, REQUIRED, expression_of, labelled, paper_page
from universal_neurons.render.template_lines import expression_line
from universal_neurons.render.templates import TemplateWrong

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.measures.ablation_table import AblationTable
    from universal_neurons.measures.study import HasStep
    from universal_neurons.render.report import Drawn
    from universal_neurons.render.results import Results

NUMBERS = range(1, 21)


@pytest.fixture(scope="module")
def html(report: Path) -> str:
    return (report / "paper.html").read_text(encoding="utf-8")


def block(html: str, anchor: str) -> str:
    return html[html.index(f'<figure id="{anchor}"') :].partition("</figure>")[0]


@pytest.mark.parametrize("number", NUMBERS)
def test_every_figure_of_the_paper_is_there_under_its_own_number(html: str, report: Path, number: int) -> None:
    found = block(html, f"fig-paper-{number}")
    assert f"<strong>Figure {number} of the paper.</strong>" in found
    assert re.search(r'<svg class="(wide|half)"[^>]* role="img" aria-label="[^"]{60,}"', found)
    data = pd.read_csv(report / "data" / f"paper-{number}.csv")
    value = next(name for name in data.columns if name.startswith("value"))
    known = data.dropna(subset=[value])
    assert len(known) >= 12
    assert (known["low"] <= known[value]).all()
    assert (known[value] <= known["high"]).all()


def test_the_sections_stand_in_the_papers_order(html: str) -> None:
    sections = ["emergence", "persistence", "ablation", "layers", "robustness"]
    places = [html.index(f'id="sec-{name}"') for name in sections]
    assert places == sorted(places)


def test_nothing_of_the_required_list_is_missing_and_the_list_has_all_twenty(html: str) -> None:
    assert {f"fig-paper-{number}" for number in NUMBERS} | {"tbl-paper-1"} < set(REQUIRED)
    assert [anchor for anchor in REQUIRED if f'id="{anchor}"' not in html] == []


@pytest.mark.usefixtures("measured_once")
@pytest.mark.parametrize(
    ("written", "anchor", "before"),
    [
        # Each belongs below the last figure before it that is there.
        ("<< figures.paper_1 >>", "fig-paper-1", "figures.layers"),
        ("<< groups.higher >>", "fig-paper-17", "groups.lower"),
        ("<< table_one >>", "tbl-paper-1", ""),
        ("<< figures.dose >>", "fig-dose", "figures.sets"),
    ],
)
def test_a_report_without_a_figure_of_the_paper_is_not_built(
    root: Path, written: str, anchor: str, before: str
) -> None:
    change(root, "paper.qmd.j2", written, "Nothing.")
    line = expression_line(CHECKOUT / "report" / "paper.qmd.j2", before) if before else 1
    with pytest.raises(
        TemplateWrong, match=rf"paper\.qmd\.j2:{line}: the figure or table {anchor} is missing; expected"
    ):
        build(root, "built")


class WithoutAblations(FakeStudy):
    def ablation(self, *, checkpoint: HasStep, reference: str | None = None) -> AblationTable:
        command = "universal-neurons compute --suite mini"
        raise ArtifactMissing(f"ablation (model a): not computed; run: {command}", command=command)


def test_without_ablations_the_command_that_computes_them_is_named(root: Path) -> None:
    with pytest.raises(ArtifactMissing, match="run: universal-neurons compute --suite mini"):
        build(root, "built", study=WithoutAblations())
    assert not (root.parent / "built").exists()


def test_a_claim_is_a_link_where_it_was_judged_and_a_name_where_it_was_not(html: str) -> None:
    judged = block(html, "fig-layers")
    assert re.search(r'Judged by\s+<a\s+href="[^"]*n6[^"]*">N6</a>', judged)
    assert re.search(r"Judged\s+by\s+N16\.", block(html, "fig-paper-13"))


def test_every_figure_says_which_claims_judge_it(found: Results, drawn: Drawn) -> None:
    named = labelled(found, drawn.paper, {"N16": Listing("claims/x.py", 3)})
    assert list(named) == list(CLAIMS)
    assert named["paper-13"].sources.judged == ("N16",)
    assert named["paper-2"].sources.judged == ()


def test_every_figure_is_found_under_the_expression_that_the_template_shows_it_by(found: Results, drawn: Drawn) -> None:
    page = paper_page(found, drawn.paper, {})
    for anchor in ORDER:
        kind, _, name = expression_of(anchor).partition(".")
        assert f'id="{anchor}"' in (page[kind][name] if name else page[kind])
        assert expression_line(CHECKOUT / "report" / "paper.qmd.j2", expression_of(anchor)) is not None


def test_figures_of_ours_have_letters_and_no_number(found: Results, drawn: Drawn) -> None:
    named = labelled(found, drawn.paper, {})
    ours = [one.label for one in drawn.paper.all if not one.label]
    letters = [one.label for one in named.values() if "of the paper." not in one.label or "version" in one.label]
    assert len(letters) == len(ours) == len(set(letters)) == 13
    assert letters[0] == "Figure A, not in the paper."
    assert not any(re.search(r"\d", label) for label in letters)


def test_what_every_figure_rests_on_is_a_file(report: Path) -> None:
    rests = pd.read_csv(report / "data" / "figures.csv", dtype=str)
    assert {f"Figure {number} of the paper" for number in NUMBERS} < set(rests["figure"])
    digests = rests.set_index("anchor")["artifact"]
    assert digests["fig-paper-1"] == ARTIFACTS[1]
    assert digests["fig-paper-2"] == ARTIFACTS[0]


def test_the_text_says_what_was_measured_beside_what_was_printed(report: Path, found: Results) -> None:
    said = text_of(report / "paper.html")
    assert "of them do; the paper printed over 80 %" in said
    value = found.persistence.all_spans["25 %", "75 %"].value
    assert f"From 25 % to 75 % of the training, {value * 100:.1f} % [" in said


def test_the_numbers_are_those_that_the_claims_ask_for(found: Results) -> None:
    study = FakeStudy()
    given, then = (study.reference_tables(checkpoint=CHECKPOINTS[place]) for place in (0, 2))
    assert found.persistence.all_spans["25 %", "75 %"] == persistence(given, then, 0.5)
    table = study.ablation(checkpoint=CHECKPOINTS[1])
    shown = found.ablation.pairs[PairEffect(SetKind.RANDOM_OTHERS, 0.6, Quantity.LOSS, "c", "50 %")]
    assert shown == effect(table, SetOf(0.6, "c"), SetKind.RANDOM_OTHERS, quantity=Quantity.LOSS)


def test_figures_that_are_compared_by_eye_share_their_scale(drawn: Drawn) -> None:
    for pair in (drawn.paper.ablation.losses, drawn.paper.ablation.layers[:2], drawn.paper.ablation.higher[2:]):
        labels = [re.findall(r">([−\d.]+)</text>", one.drawings[0]) for one in pair]
        assert labels[0] == labels[1]


def in_nats(value: float, size: float = 10) -> Measurement:
    return Measurement(value, value, value, 24, Over.TOKEN_BLOCKS, 0.95, NATS, {"size": size})


def test_the_mean_over_models_has_students_interval_over_models() -> None:
    found = over_models([in_nats(v) for v in (1.0, 2.0, 3.0, 4.0, 5.0)])
    reach = 2.776445 * math.sqrt(2.5 / 5)
    assert (found.value, found.n, found.over) == (3.0, 5, Over.MODELS)
    assert (found.low, found.high) == pytest.approx((3 - reach, 3 + reach))
    assert found.details["size"] == 10


def test_a_mean_over_models_is_missing_where_one_model_is() -> None:
    assert over_models([in_nats(1.0), Measurement.missing(unit=NATS)]).is_missing
    assert over_models([in_nats(1.0)]).is_missing


def test_every_model_and_every_checkpoint_is_in_the_layer_figures(report: Path) -> None:
    data = pd.read_csv(report / "data" / "paper-9.csv")
    assert set(data["checkpoint"]) == {c.label for c in CHECKPOINTS}
    assert set(data["n"]) == {len(MODELS)}
    assert set(data["interval over"]) == {"models"}


def test_a_page_names_each_place_once(report: Path) -> None:
    assert [name for name, times in CheckedPage.read(report / "paper.html").ids.items() if times > 1] == []


def test_the_function_that_drew_a_figure_can_be_found(drawn: Drawn) -> None:
    for one in (*drawn.front, *drawn.paper.all):
        module, _, function = one.code.rpartition(".")
        found = getattr(importlib.import_module(f"universal_neurons.{module}"), function)
        assert callable(found), one.code
