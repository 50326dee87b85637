"""The page that rebuilds the paper: every figure of the list is there, with its data, its claims and its sources."""

from __future__ import annotations

import importlib
import math
import re
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tests.render.fakes import ARTIFACTS, CHECKPOINTS, MODELS, FakeStudy
from tests.render.test_report import build, change, text_of
from universal_neurons.errors import ArtifactMissing
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.ablation import NATS, effect
from universal_neurons.measures.ablation_table import Quantity, SetKind, SetOf
from universal_neurons.measures.persistence import persistence
from universal_neurons.render.figures.ablation import over_models
from universal_neurons.render.html.checks import CheckedPage, ReportBroken
from universal_neurons.render.listings import Listing
from universal_neurons.render.pages.paper import CLAIMS, REQUIRED, figures_of, labelled

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.measures.ablation_table import AblationTable
    from universal_neurons.measures.study import HasStep
    from universal_neurons.render.pages.paper import Groups
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
    ("written", "anchor", "label"),
    [
        ("<< figures.paper_1 >>", "fig-paper-1", "Figure 1 of the paper."),
        ("<< figures.higher >>", "fig-paper-17", "Figure 17 of the paper."),
        ("<< table_one >>", "tbl-paper-1", "Table 1 of the paper."),
        ("<< figures.dose >>", "fig-dose", "Figure K, not in the paper."),
    ],
)
def test_a_report_without_a_figure_of_the_paper_is_not_built(root: Path, written: str, anchor: str, label: str) -> None:
    change(root, "paper.qmd.j2", written, "Nothing.")
    with pytest.raises(ReportBroken) as broken:
        build(root, "built")
    assert f"paper.html: the figure or table {anchor} is missing" in str(broken.value)
    assert f"paper.html: does not list: {label}" in str(broken.value)


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


def test_every_figure_says_which_claims_judge_it(drawn: Groups) -> None:
    named = figures_of(labelled(drawn, {"N16": Listing("claims/x.py", 3)}))
    assert sorted(named) == sorted(CLAIMS)
    assert named["paper-13"].sources.judged == ("N16",)
    assert named["paper-2"].sources.judged == ()


def test_figures_of_ours_have_letters_and_no_number(drawn: Groups) -> None:
    named = figures_of(labelled(drawn, {}))
    ours = [one.label for one in figures_of(drawn).values() if not one.label]
    letters = [one.label for one in named.values() if re.match(r"Figure [A-Z],", one.label)]
    assert len(letters) == len(ours) == len(set(letters)) == 18
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
    value = found.persistence.over(("25 %", "75 %")).value
    assert f"From 25 % to 75 % of the training, {value * 100:.1f} % [" in said


def test_the_numbers_are_those_that_the_claims_ask_for(found: Results) -> None:
    study = FakeStudy()
    given, then = (study.reference_tables(checkpoint=CHECKPOINTS[place]) for place in (0, 2))
    assert found.persistence.over(("25 %", "75 %")) == persistence(given, then, 0.5)
    table = study.ablation(checkpoint=CHECKPOINTS[1])
    shown = found.ablation.of_pair(SetKind.LAYER_MATCHED, 0.6, Quantity.LOSS, "c")[1]
    assert shown == effect(table, SetOf(0.6, "c"), SetKind.LAYER_MATCHED, quantity=Quantity.LOSS)


def test_figures_that_are_compared_by_eye_share_their_scale(drawn: Groups) -> None:
    losses, layers, higher = (drawn[name].figures for name in ("losses", "layers_alone", "higher"))
    for pair in (losses, layers[:2], higher[2:]):
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


def test_a_mean_divergence_has_no_interval_below_zero() -> None:
    found = over_models([in_nats(v) for v in (0.1, 0.0, 0.9)], least=0.0)
    assert found.low == 0.0
    assert over_models([in_nats(v) for v in (0.1, 0.0, 0.9)]).low < 0


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


def test_the_function_that_drew_a_figure_can_be_found(drawn: Groups) -> None:
    for one in figures_of(drawn).values():
        module, _, function = one.code.rpartition(".")
        found = getattr(importlib.import_module(f"universal_neurons.{module}"), function)
        assert callable(found), one.code
