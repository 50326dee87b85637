"""What every figure of a report has: words made from its numbers, its data, and what it rests on."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from tests.measures.attended import Attended
from tests.measures.entropic import Entropic
from tests.measures.written import Written
from tests.render.fakes import CHECKOUT, LAYERS, FakeStudy, fake_records, fake_roles
from universal_neurons.evidence.summary import summaries
from universal_neurons.render.listings import Listing, ListingMissing, drawing, judging
from universal_neurons.render.pages.paper import REQUIRED, drawn_figures, figures_of
from universal_neurons.render.results import results

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.inputs.suite import Suite
    from universal_neurons.measures.ablation_table import AblationTable
    from universal_neurons.measures.study import HasStep
    from universal_neurons.measures.tables import ReferenceTables
    from universal_neurons.render.figures.figure import Figure
    from universal_neurons.render.pages.paper import Groups

PAGES = ("index", "paper", "parent", "methods")
FIGURE = re.compile(r'<figure id="(fig-[\w-]+)".*?</figure>', re.DOTALL)


@pytest.fixture(scope="module")
def blocks(report: Path) -> dict[tuple[str, str], str]:
    """Every figure of the report by page and anchor."""
    return {
        (page, found[1]): found[0]
        for page in PAGES
        for found in FIGURE.finditer((report / f"{page}.html").read_text(encoding="utf-8"))
    }


def test_every_figure_has_its_words_its_data_its_claim_its_test_its_artifact_and_its_function(
    report: Path, blocks: dict[tuple[str, str], str]
) -> None:
    assert {anchor for anchor in REQUIRED if anchor.startswith("fig-")} <= {anchor for _, anchor in blocks}
    assert len(blocks) >= 35
    judged = {claim.claim for claim in summaries(fake_records())}
    rests = pd.read_csv(report / "data" / "figures.csv", dtype=str)
    lacking: list[str] = []
    for (page, anchor), block in blocks.items():
        name, rows = anchor.removeprefix("fig-"), rests[rests["anchor"] == anchor]
        caption = unescape(re.sub(r"<[^>]+>", "", block[block.index("<figcaption>") :]))
        alts = {unescape(alt) for alt in re.findall(r'role="img" aria-label="([^"]+)"', block)}
        claims = set(rows["claims"].iloc[0].split(", "))
        has = {
            "a caption with a number": re.search(r"\d", caption) is not None and len(caption) > 60,
            "an alternative text with a number": len(alts) == 1 and all(re.search(r"\d", alt) for alt in alts),
            "a table of its data": "<table" in block and f'href="data/{name}.csv"' in block,
            "its data": len(pd.read_csv(report / "data" / f"{name}.csv")) >= 2,
            "a claim": claims != {""} and all(claim in caption for claim in claims),
            "a page for each of its claims": all(f'href="claims/{c.lower()}.html"' in block for c in claims & judged),
            "a test": not claims & judged or 'href="source/code/claims/emergence/test_share.py.txt"' in block,
            "an artifact": bool(digests(block)) and set(digests(block)) <= set(rows["artifact"].str[:12]),
            "its function": re.search(r'Drawn by <a href="source/code/render/[\w/]+\.py\.txt"><code>render\.', block),
        }
        lacking += [f"{page}.html#{anchor} lacks {what}" for what, is_there in has.items() if not is_there]
    assert lacking == []


def digests(block: str) -> list[str]:
    return re.findall(r'class="digest">([0-9a-f]{12})</span>', block)


def test_the_code_that_a_figure_names_is_the_code_that_drew_it(
    report: Path, blocks: dict[tuple[str, str], str]
) -> None:
    for block in blocks.values():
        found = re.search(r'<a href="(source/code/[^"]+)"><code>([\w.]+)</code></a>, line (\d+)', block)
        assert found is not None
        line = (report / found[1]).read_text(encoding="utf-8").splitlines()[int(found[3]) - 1]
        assert line.startswith(f"def {found[2].rpartition('.')[2]}(")


OTHERWISE = (
    Written(layers=LAYERS, rise=0.05, suppression=0.4, auc=0.7, matched=0.45),
    Entropic(raised=0.8, scaled=0.2, kept=0.7, others_kept=0.5, planted_kept=0.8),
    Attended(strength=0.5, matched=0.1),
)


class Otherwise(FakeStudy):
    """The same study with other numbers: its first checkpoints and models change places."""

    def reference_tables(self, *, checkpoint: HasStep, reference: str | None = None) -> ReferenceTables:
        return super().reference_tables(checkpoint=_moved(checkpoint, self.suite), reference=reference)

    def ablation(self, *, checkpoint: HasStep, reference: str | None = None) -> AblationTable:
        return super().ablation(checkpoint=_moved(checkpoint, self.suite), reference=reference)

    def table(
        self,
        stage: str,
        *,
        model: str | None = None,
        partner: str | None = None,
        checkpoint: HasStep | None = None,
        text: str | None = None,
    ) -> Any:
        roles = fake_roles(stage, model or self.reference, OTHERWISE)
        if roles is not None:
            return roles
        table = super().table(stage, model=model, partner=partner, checkpoint=checkpoint, text=text)
        if not isinstance(table, pd.DataFrame):
            return table
        names = [str(name) for name in table if name not in ("layer", "neuron")]
        return table.assign(**{name: table[name].to_numpy()[::-1] * 0.9 for name in names})

    def training_log(self) -> pd.DataFrame:
        log = super().training_log()
        return log.assign(loss=log["loss"] * 1.1, held_out_loss=log["held_out_loss"] * 1.1)


def _moved(checkpoint: HasStep, suite: Suite) -> HasStep:
    """The checkpoints in reverse order."""
    places = [c.step for c in suite.checkpoints]
    return suite.checkpoints[-1 - places.index(checkpoint.step)]


def test_every_caption_every_alternative_text_and_every_table_follows_its_numbers(drawn: Groups) -> None:
    """Words that stay when the numbers change were written by hand."""
    changed = figures_of(drawn_figures(results(Otherwise(), CHECKOUT)))
    same = [
        f"{name}: {what}"
        for name, one in figures_of(drawn).items()
        for what, said in parts(one).items()
        if said == parts(changed[name])[what]
    ]
    assert same == []


def parts(one: Figure) -> dict[str, object]:
    alternatives = re.findall(r'aria-label="([^"]*)"', "".join(one.drawings))
    return {"caption": one.caption, "alt": alternatives, "data": one.data, "drawings": one.drawings}


def test_a_function_that_is_not_there_is_no_source() -> None:
    assert drawing("render.figures.emergence.layer_heat_map").path == "source/code/render/figures/emergence.py.txt"
    for code in ("render.figures.emergence.nothing", "render.nothing.figure", "figures"):
        with pytest.raises(ListingMissing, match=f"which a figure names as {re.escape(code)}"):
            drawing(code)


@pytest.mark.parametrize(
    "locator",
    [
        "claims/emergence/test_gone.py:3",
        "claims/../secret.py:3",
        "/etc/passwd:1",
        "claims/emergence/test_here.py",
        "claims/emergence/test_here.py:1:2",
        "claims/emergence/test_here.txt:1",
        "x",
    ],
)
def test_a_place_that_is_no_test_of_the_project_is_named_and_not_copied(tmp_path: Path, locator: str) -> None:
    (tmp_path / "claims" / "emergence").mkdir(parents=True)
    (tmp_path / "secret.py").touch()
    (tmp_path / "claims" / "emergence" / "test_here.py").touch()
    assert judging(tmp_path, {"N1": locator}) == {"N1": Listing(locator)}
    here = judging(tmp_path, {"N1": "claims/emergence/test_here.py:7"})["N1"]
    assert (here.name, here.line) == ("claims/emergence/test_here.py", 7)
    link = here.link(root="../")
    assert link.startswith('<a href="../source/code/claims/emergence/test_here.py.txt"><code>claims/emergence/')
    assert link.endswith("</a>, line 7")
