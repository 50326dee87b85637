"""Report of a workspace: its latest run, the text of its tokens on this machine, and another run beside it.

``render`` builds the pages from what this module gathers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from universal_neurons.compare import compare_runs, open_run
from universal_neurons.errors import UserError
from universal_neurons.evidence.log import PARTIAL, EvidenceLog
from universal_neurons.evidence.record import natural_order
from universal_neurons.render import build_report
from universal_neurons.render.pages.explorer import LocalText
from universal_neurons.render.report import default_evidence
from universal_neurons.stages.base import missing
from universal_neurons.stages.study import StoredStudy, caching_measures
from universal_neurons.stages.workspace import check_pinned, hub_corpus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from universal_neurons.evidence.comparison import SideBySide
    from universal_neurons.stages.workspace import Workspace

Format = Literal["html", "pdf", "all"]


def report_of(
    work: Workspace,
    *,
    beside: str | None,
    store: Path | None,
    to: Format,
    say: Callable[[str], None],
    step: Callable[[str], None] = lambda _: None,
    partial: bool = False,
    evidence: Path | None = None,
    out: Path | None = None,
) -> str:
    """Build the report of ``work``, with the run called ``beside`` next to it, and return the paths of its documents.

    The paths are separated by commas, and relative to the checkout where they are in it.  With ``partial`` it is about
    the latest run, also where that was one of a part of the claims.  ``evidence`` is the folder with the record of the
    run, ``out`` the folder of the report, both for a checkout that cannot be written.
    """
    check_pinned(work)
    folder = evidence or default_evidence(work.root, work.suite.folder)
    part = folder / PARTIAL
    if partial and part.is_file():
        judged = {record.claim for record in EvidenceLog.read(part).records}
        say(f"partial report, of the latest run only: claims {', '.join(sorted(judged, key=natural_order))}")
    step("text of the tokens")
    with caching_measures(work.root):
        page = build_report(
            StoredStudy(work),
            root=work.root,
            output=(out or work.root / "report" / "_build").absolute(),
            text=local_text(work),
            verdicts=part if partial and part.is_file() else folder,
            both=None if beside is None else _beside(work, beside, own=folder, store=store),
            to=to,
            say=say,
            step=step,
        )
    documents = [] if to == "pdf" else sorted(page.parent.glob("*.pdf"))
    shown = (document.relative_to(work.root) if out is None else document for document in (page, *documents))
    return ", ".join(map(str, shown))


def _beside(work: Workspace, beside: str, *, own: Path, store: Path | None) -> SideBySide:
    return compare_runs(*(open_run(name, root=work.root, store=store, warn=work.warn) for name in (str(own), beside)))


def local_text(work: Workspace) -> LocalText:
    """The text of the suite's tokens; without rows, and with the reason, where this machine has another text."""
    from universal_neurons.stages.tokens import ONLY, TOKENS, token_set

    try:
        tokenizer = work.zoo.tokenizer()
        vocabulary = [tokenizer.decode([i], skip_special_tokens=False) for i in range(tokenizer.get_vocab_size())]
    except UserError as absent:
        vocabulary = [f"token {i}" for i in range(work.zoo.recipe().vocabulary)]
        return LocalText(vocabulary, absence=f"Numbers only: the tokenizer is not on this machine ({absent}).")
    try:
        # Reading what others computed must not download the text.
        rows = TOKENS.key(work, ONLY, TOKENS.scratch[0])
        if hub_corpus(work) is not None and not work.store.has(rows):
            raise missing(work, rows)
        tokens = token_set(work)
    except UserError as absent:
        return LocalText(vocabulary, absence=f"Positions only: the text is not on this machine ({absent}).")
    return LocalText(vocabulary, tokens.rows, tokens.ref.sha256)
