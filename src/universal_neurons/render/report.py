"""Build the report: generate the static source, render it, check the pages, publish them.

A report that fails a check is not published; the previous one stays in place.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from universal_neurons.errors import UserError
from universal_neurons.evidence.history import path_of, read_history
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.log import RECORDS
from universal_neurons.evidence.record import natural_order
from universal_neurons.evidence.registration import FILE as REGISTRATIONS
from universal_neurons.evidence.untested import read_untested
from universal_neurons.files import replace_folder, restore_folder, sweep
from universal_neurons.inputs.benchmarks import read_benchmarks
from universal_neurons.render.citation import Citation
from universal_neurons.render.evidence_log import EvidenceUnusable, check_artifacts, read_claims
from universal_neurons.render.figures.figure import FIGURES_CSV
from universal_neurons.render.html.checks import ReportBroken, check_pages, check_print, content_policy
from universal_neurons.render.html.engines import HtmlEngine, RenderingFailed, available_engine, render
from universal_neurons.render.links import page_of
from universal_neurons.render.listings import PACKAGE, drawing, judging, write_listings
from universal_neurons.render.pages import comparison, mechanisms, parent, performance
from universal_neurons.render.pages.ambiguities import read_ambiguities
from universal_neurons.render.pages.beside import numbers_beside
from universal_neurons.render.pages.claim import Background, Neighbours, claim_page
from universal_neurons.render.pages.claim_neurons import about
from universal_neurons.render.pages.claims import claims_page, readings_page, stated
from universal_neurons.render.pages.deviations import deviations
from universal_neurons.render.pages.explorer import SOURCES, layer_sizes, write_explorer
from universal_neurons.render.pages.imported import mark, marked_stage
from universal_neurons.render.pages.index import index_page
from universal_neurons.render.pages.methods import methods_page
from universal_neurons.render.pages.paper import (
    REQUIRED,
    TABLE_ONE_CODE,
    Groups,
    drawn_figures,
    figures_of,
    labelled,
    paper_page,
    what_figures_rest_on,
)
from universal_neurons.render.pages.provenance import ReportProvenance
from universal_neurons.render.pages.scoreboard import in_sections, section_of
from universal_neurons.render.pages.sentences import read_sentences
from universal_neurons.render.pages.table_one import LABEL, PAIRS_CSV, TABLE_CSV, pairs_data, table_one_data
from universal_neurons.render.pdf.document import LOOK, PDF, Imprint, newest, write_pdf
from universal_neurons.render.results import Results, results
from universal_neurons.render.templates import SUFFIX, TemplateWrong, filled, stray_digits, stray_verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from universal_neurons.evidence.comparison import SideBySide
    from universal_neurons.evidence.summary import ClaimSummary
    from universal_neurons.inputs.suite import Suite
    from universal_neurons.render.html.checks import Stated
    from universal_neurons.render.listings import Listing
    from universal_neurons.render.pages.claim_neurons import ClaimNeurons
    from universal_neurons.render.pages.explorer import LocalText
    from universal_neurons.render.tables import DataTable
    from universal_neurons.stages.study import StoredStudy

PAGES = ("index", "paper", parent.PAGE, mechanisms.PAGE, "claims", "readings", "methods", performance.PAGE)
# The pages of the PDF; the others have tables of every case, which nobody reads on paper.
PRINTED = ("index", "paper", "methods")
COPIED = ("_quarto.yml", "page.html", "references.bib")
SCRIPTS = ("theme.js", "scoreboard.js")
CITATION = "CITATION.cff"
UNTESTED = Path("claims") / "untested.toml"
AMBIGUITIES = Path("claims") / "ambiguities.toml"
MECHANISMS = Path("claims") / "mechanisms.toml"
SENTENCES = Path("fixtures") / "published" / "sentences.toml"
Output = Literal["html", "pdf", "all"]
DATA = "data"
SOURCE = "source"
# The condition of page.html under which every page links to the comparison.
COMPARED = "compared"
BROKEN = ".broken"
SCRATCH = ".report-"


class ReportMisplaced(UserError):
    """The report cannot be built here: its sources are missing, or its folder holds something else."""


@dataclass(frozen=True)
class Judged:
    """The claims of a run, with the location of their tests and the neurons they are about."""

    claims: Sequence[ClaimSummary]
    tests: Mapping[str, Listing]
    neurons: Mapping[str, ClaimNeurons | None]

    @classmethod
    def of(cls, root: Path, study: StoredStudy, claims: Sequence[ClaimSummary], provenance: ReportProvenance) -> Judged:
        """Look up the tests and the neurons of ``claims`` in the checkout ``root`` and in ``study``."""
        tests = judging(root, {claim.claim: claim.first.locator for claim in claims})
        return cls(claims, tests, {claim.claim: about(claim, study, provenance.stages) for claim in claims})


def build_report(
    study: StoredStudy,
    *,
    root: Path,
    output: Path,
    text: LocalText,
    verdicts: Path | None = None,
    engine: HtmlEngine | None = None,
    both: SideBySide | None = None,
    to: Output = "html",
    say: Callable[[str], None] = lambda _: None,
    step: Callable[[str], None] = lambda _: None,
) -> Path:
    """Build the report of ``study`` into the folder ``output`` and return its first page, or the PDF alone.

    ``root`` is the checkout with ``report/``; ``text`` what the tokens of the suite say, which evidence does not hold,
    for the neuron explorer; ``verdicts`` the folder of the evidence log (default: where the claims were last run), or a
    file in it.  ``engine`` is Quarto where installed; if its pages fail a check, pandoc builds them and ``say`` gets
    one line.  ``both`` is this run beside another, which gets a page.  The folder holds a page for each of ``PAGES``,
    ``neurons.html`` with its shards, ``data/`` and the generated ``source/``, and is replaced as a whole.  ``to`` asks
    for the pages, for ``report.pdf`` (which is set from them), or for both.  ``step`` gets the name of every part of
    the work when it begins.

    Raises the study's ArtifactMissing, EvidenceUnusable, TemplateWrong, RenderingFailed, ReportBroken,
    ReportMisplaced: each a UserError, and ``output`` is left as it was; pages that fail a check are put beside it.
    """
    restore_folder(output)
    _check_places(root, output, to)
    folder = verdicts or default_evidence(root, study.suite.folder)
    claims = read_claims(folder, suite=study.suite.name, narrowed_by=study.suite.narrowed_by)
    step(f"tables behind {len(claims)} claims")
    found = results(study, root)
    provenance = ReportProvenance.of(study)
    costs = performance.performance(root, study.suite, provenance.artifacts, claims)
    check_artifacts(claims, set(provenance.artifacts["digest"]))
    judged = Judged.of(root, study, claims, provenance)
    step("numbers and figures")
    groups = labelled(drawn_figures(found), judged.tests)
    output.parent.mkdir(parents=True, exist_ok=True)
    sweep(output.parent, f"{SCRATCH}*", now=time.time())
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=output.parent) as scratch:
        built = Path(scratch) / "report"
        texts = page_texts(root, found, judged, groups, provenance, text.vocabulary) | beside(
            root / "report", costs, both
        )
        data = data_files(found, groups, provenance) | data_beside(costs, both)
        write_source(built, root / "report", announced(texts, both), data)
        _write_sources(built, root, folder, judged, groups)
        step("neurons of the explorer")
        write_explorer(built, root / "report", study, text, conditions=() if both is None else (COMPARED,))
        imprint = None if to == "html" else _imprint(root, study, provenance)
        try:
            facts = _facts(built, study.suite, claims, groups, both)
            _render(built, root, tuple(texts), claims, facts, engine=engine, imprint=imprint, say=say, step=step)
        except (RenderingFailed, ReportBroken) as wrong:
            raise _pointing_at(wrong, built, _kept(built, output)) from wrong
        if to == "pdf":
            _drop_pages(built)
        _put_in_place(built, output)
    return output / (PDF if to == "pdf" else "index.html")


def _write_sources(built: Path, root: Path, evidence: Path, judged: Judged, groups: Groups) -> None:
    """Copy what the pages were made from: code of figures and tests, evidence log, citation file."""
    shown = [TABLE_ONE_CODE, *(one.code for one in figures_of(groups).values() if not one.absence)]
    write_listings(built, root, [*judged.tests.values(), *map(drawing, shown)])
    _copy_evidence(evidence, built / DATA)
    shutil.copyfile(root / CITATION, built / DATA / CITATION)


def _facts(
    built: Path, suite: Suite, claims: Sequence[ClaimSummary], groups: Groups, both: SideBySide | None
) -> Stated:
    """What the built pages are checked against, besides the verdicts on the claims."""
    others = {} if both is None else comparison.other_verdicts(both.comparison)
    names = (suite.title, suite.description, *suite.zoo.models, *(c.label for c in suite.checkpoints))
    return replace(stated(claims, others), neurons=layer_sizes(built), names=names, listed=wanted(claims, groups))


def wanted(claims: Sequence[ClaimSummary], groups: Groups) -> dict[str, tuple[str, ...]]:
    """What a reader must find, by page: the row of every claim, and the label of whatever is drawn."""
    figures = {name: [one.label for one in group.figures if not one.absence] for name, group in groups.items()}
    methods = figures.pop("training")
    of_parent = tuple(label for name in parent.GROUPS for label in figures.pop(name))
    rows = (f"{claim.claim} {section_of(claim)} {claim.first.statement}" for claim in claims)
    return {
        "index": tuple(rows),
        "paper": (LABEL, *(label for labels in figures.values() for label in labels)),
        parent.PAGE: of_parent,
        "methods": tuple(methods),
    }


def default_evidence(root: Path, folder: str) -> Path:
    """The folder of a suite's evidence log; ``folder`` is ``Suite.folder``."""
    return root / ".universal-neurons" / "evidence" / folder


def data_files(found: Results, groups: Groups, provenance: ReportProvenance) -> dict[str, DataTable]:
    """The tables that lie beside the report as CSV, by file name."""
    figures = figures_of(groups).values()
    shown = {figure.csv_name: figure.data for figure in figures if not figure.absence}
    tables = {TABLE_CSV: table_one_data(found), PAIRS_CSV: pairs_data(found)}
    return {**shown, **tables, **provenance.data_files(), FIGURES_CSV: what_figures_rest_on(figures)}


def beside(folder: Path, costs: performance.Performance, both: SideBySide | None) -> dict[str, str]:
    """The performance page and, if there is another run, the comparison page."""
    values = {performance.PAGE: performance.performance_page(costs)}
    if both is not None:
        values[comparison.PAGE] = comparison.comparison_page(both)
    return {name: filled(folder, f"{name}.qmd{SUFFIX}", context) for name, context in values.items()}


def data_beside(costs: performance.Performance, both: SideBySide | None) -> dict[str, DataTable]:
    """The tables of these pages as CSV, by file name."""
    return {**performance.performance_data(costs), **({} if both is None else comparison.comparison_data(both))}


def announced(texts: Mapping[str, str], both: SideBySide | None) -> dict[str, str]:
    """The pages, with the header field that makes ``page.html`` link to the comparison, if there is one."""
    if both is None:
        return dict(texts)
    return {name: text.replace("---\n", f"---\n{COMPARED}: true\n", 1) for name, text in texts.items()}


def page_texts(
    root: Path,
    found: Results,
    judged: Judged,
    groups: Groups,
    provenance: ReportProvenance,
    vocabulary: Sequence[str],
) -> dict[str, str]:
    """The pages as Quarto Markdown, by name; raises TemplateWrong with file and line."""
    folder, claims = root / "report", judged.claims
    ambiguities, sentences = read_ambiguities(root / AMBIGUITIES), read_sentences(root / SENTENCES)
    printed = numbers_beside(root)
    check_prose(folder)
    # Of a narrowed suite nothing is accepted: it is another question.
    ledger = _ledger_path(root, found.suite.name)
    accepted = Ledger() if found.suite.narrowing else Ledger.read(ledger)
    values = {
        "index": index_page(found, claims, groups, claims_left_out(ledger.parent, claims), printed),
        "paper": paper_page(found, groups, judged.tests),
        parent.PAGE: parent.parent_page(found, groups, vocabulary),
        mechanisms.PAGE: mechanisms.mechanisms_page(mechanisms.read_mechanisms(root / MECHANISMS), claims),
        "claims": claims_page(claims, read_untested(root / UNTESTED), sentences),
        "readings": readings_page(claims, ambiguities),
        "methods": methods_page(
            found, groups, deviations(PACKAGE, root / "claims"), provenance, claims, ambiguities,
            Citation.read(root / CITATION), read_benchmarks(root),
        ),
    }  # fmt: skip
    sampling = found.suite.command("universal-neurons store verify --recompute-sample")
    note = mark(provenance.imported, artifacts=len(provenance.artifacts), command=sampling)
    texts = {
        name: filled(folder, f"{name}.qmd{SUFFIX}", {**context, "imported": note or ""})
        for name, context in values.items()
    }
    past = read_history(path_of(ledger))
    stages = {digest: marked_stage(stage, digest, provenance.imported) for digest, stage in provenance.stages.items()}
    background = Background(accepted, past, stages, judged.tests, judged.neurons, sentences, printed)
    return texts | claim_texts(root, claims, background)


def check_prose(templates: Path) -> None:
    """Raise TemplateWrong, naming file and line, if a template itself states a number or a verdict."""
    stray = [
        f"{one}: a template states a number; expected an expression over the evidence"
        for one in stray_digits(templates)
    ] + [f"{one}: a template states a verdict; expected the generated sentence" for one in stray_verdicts(templates)]
    if stray:
        raise TemplateWrong("\n  ".join(stray))


def claim_texts(root: Path, claims: Sequence[ClaimSummary], background: Background) -> dict[str, str]:
    """The page of every claim, by name (``claims/n1``).

    Raises TemplateWrong, and EvidenceUnusable for two claims whose pages would have one name.
    """
    ordered = [claim for section in in_sections(claims).values() for claim in section]
    names: list[str | None] = [None, *(claim.claim for claim in ordered), None]
    texts: dict[str, str] = {}
    for at, claim in enumerate(ordered):
        name = page_of(claim.claim).removesuffix(".html")
        if name in texts:
            raise EvidenceUnusable(f"claim {claim.claim}: another claim has the same page {name}.html; rename one")
        values = claim_page(claim, Neighbours(names[at], names[at + 2]), background)
        texts[name] = filled(root / "report", f"claim.qmd{SUFFIX}", values)
    return texts


def claims_left_out(ledgers: Path, claims: Sequence[ClaimSummary]) -> list[str]:
    """The claims of the project that were not part of the run, in natural order.

    The project's claims are those with an accepted verdict on any suite, so that a run on a suite without accepted
    verdicts, or on a narrowed one, is not taken for a whole one.
    """
    paths = [path for path in ledgers.glob("[!.]*.toml") if path.name != REGISTRATIONS]
    every = {claim for path in paths for claim in Ledger.read(path).claims}
    return sorted(every - {claim.claim for claim in claims}, key=natural_order)


def _ledger_path(root: Path, suite: str) -> Path:
    return root / "fixtures" / "verdicts" / f"{suite}.toml"


def write_source(built: Path, templates: Path, texts: Mapping[str, str], data: Mapping[str, DataTable]) -> None:
    """The static Quarto project and the data files of a report."""
    source = built / SOURCE
    source.mkdir(parents=True)
    (built / DATA).mkdir()
    for name in COPIED:
        shutil.copyfile(templates / name, source / name)
    (source / "head.html").write_text(page_head(templates), encoding="utf-8", newline="\n")
    for name, text in texts.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / f"{name}.qmd").write_text(text, encoding="utf-8", newline="\n")
    for name, table in data.items():
        (built / name).write_text(table.csv(), encoding="utf-8", newline="\n")


def page_head(templates: Path) -> str:
    """Style, script and the policy under which a page makes no request and runs no script but this one."""
    style = (templates / "theme.css").read_text(encoding="utf-8")
    script = "\n" + "".join((templates / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return (
        f'<meta http-equiv="Content-Security-Policy" content="{content_policy(script)}">\n'
        f"<style>\n{style}</style>\n<script>{script}</script>\n"
    )


def _imprint(root: Path, study: StoredStudy, provenance: ReportProvenance) -> Imprint:
    written = newest(str(created) for created in provenance.artifacts["created"])
    return Imprint(study.suite.name, study.suite.title, Citation.read(root / CITATION), written)


def _drop_pages(built: Path) -> None:
    """Remove everything but the PDF, the data and the source."""
    for path in built.iterdir():
        if path.name not in {PDF, DATA, SOURCE}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _render(
    built: Path,
    root: Path,
    names: Sequence[str],
    claims: Sequence[ClaimSummary],
    facts: Stated,
    *,
    engine: HtmlEngine | None,
    imprint: Imprint | None,
    say: Callable[[str], None],
    step: Callable[[str], None],
) -> None:
    verdicts = {claim.claim: claim.verdict.value for claim in claims}

    def build(program: HtmlEngine) -> None:
        step(f"{len(names)} pages by {program}")
        render(built / SOURCE, names, built, engine=program, pdf=imprint is not None)
        if imprint is not None:
            step("PDF")
            write_pdf(built, PRINTED, root / "report", imprint)
            check_print(built / PDF, {name: facts.listed[name] for name in PRINTED})
        step("checks")
        check_pages(built, verdicts, {"paper.html": REQUIRED, f"{parent.PAGE}.html": parent.REQUIRED}, stated=facts)

    chosen = engine or available_engine()
    try:
        build(chosen)
    except UserError as wrong:
        # Quarto's output differs between its versions; a reader with Quarto must not be worse off than one without.
        if chosen == "pandoc" or engine is not None:
            raise
        say(f"quarto did not give sound pages, pandoc builds them instead ({str(wrong).splitlines()[0]})")
        build("pandoc")


def _pointing_at(wrong: UserError, built: Path, kept: Path) -> UserError:
    """The failure with paths in the ``kept`` pages, as the folder where they were built is removed."""
    if isinstance(wrong, ReportBroken):
        return ReportBroken(wrong.message.replace(str(built), str(kept)), wrong.faults)
    return RenderingFailed(str(wrong).replace(str(built), str(kept)))


def _kept(built: Path, output: Path) -> Path:
    """Copy a failed report next to the output and return that folder, to which the messages refer."""
    kept = output.with_name(f"{output.name}{BROKEN}")
    if kept.exists() and not (kept / SOURCE / "_quarto.yml").is_file():
        return built
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(built, kept)
    return kept


def _copy_evidence(evidence: Path, target: Path) -> None:
    shutil.copyfile(evidence / RECORDS if evidence.is_dir() else evidence, target / RECORDS)


def _check_places(root: Path, output: Path, to: Output) -> None:
    looks = () if to == "html" else (LOOK,)
    templates = (f"{page}.qmd{SUFFIX}" for page in (*PAGES, "claim", comparison.PAGE))
    for name in (*COPIED, *SCRIPTS, *SOURCES, *looks, *templates):
        if not (root / "report" / name).is_file():
            raise ReportMisplaced(
                f"{root / 'report' / name}: missing; the report is built in a checkout of the project"
            )
    if output.exists() and any(output.iterdir()) and not (output / SOURCE / "_quarto.yml").is_file():
        raise ReportMisplaced(f"{output}: holds something that is not a report; name another folder or empty this one")


def _put_in_place(built: Path, output: Path) -> None:
    """Replace ``output`` by ``built``."""
    shutil.rmtree(built / SOURCE / "_pages", ignore_errors=True)
    shutil.rmtree(built / SOURCE / ".quarto", ignore_errors=True)
    replace_folder(output, built)
    broken = output.with_name(f"{output.name}{BROKEN}")
    if (broken / SOURCE / "_quarto.yml").is_file():
        shutil.rmtree(broken)
