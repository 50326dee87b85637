"""The command line: thin commands over the pipeline.

This module decides what a mistake looks like: one line on standard error and exit status 4; 2 for an option that does
not exist, 130 for an interruption.  It refuses to know how anything is computed, so that ``--help`` starts at once.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer evaluates annotations
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from universal_neurons.characters import visible
from universal_neurons.command_options import AsJson, Device, Memory, Remote, StorePath, SuiteName, selecting
from universal_neurons.errors import UserError
from universal_neurons.inputs.selection import WHOLE, Selection, names
from universal_neurons.inputs.suite import project_root
from universal_neurons.listing import show
from universal_neurons.progress import Reporter
from universal_neurons.study import Study
from universal_neurons.workspace import (
    Resources,
    Workspace,
    check_pinned,
    corpus_key,
    describe,
    hub_corpus,
    imported_evidence,
    missing,
    open_workspace,
    step_keys,
    suite_keys,
    token_keys,
    universality_key,
    where,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from universal_neurons.evidence.comparison import SideBySide
    from universal_neurons.render.pages.explorer import LocalText
    from universal_neurons.workspace import Warn

CHANGED = 1
USER_ERROR = 4
USAGE_ERROR = 2
INTERRUPTED = 130
# What a plan's table has for what has no number.
_NOT_KNOWN = {"step": "", "seconds": "unknown"}
# What the system refuses and the user can mend; any other OSError is a defect of ours and keeps its traceback.
_REFUSED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS})
# The base of every mistake in options; some versions of typer bring a click of their own that has no public name.
_UsageError: Any = typer.BadParameter.__mro__[1]

# ruff: noqa: FBT002  (a flag of the command line is a boolean with a default)
app = typer.Typer(
    name="universal-neurons",
    help="Verify the claims about universal neurons, and build the report from what was measured.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
store_app = typer.Typer(help="Look at, check and share computed artifacts.")
app.add_typer(store_app, name="store")


def main() -> NoReturn:
    """Run the command line; a user's mistake is one line and status 4, an interruption is status 130.

    Without arguments the help is shown.
    """
    try:
        # Not standalone: typer would print mistakes in options in its own way, on several lines.  It returns the status
        # of a typer.Exit and turns an interruption into one, or into typer.Abort, depending on its version.
        status = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except UserError as error:
        _fail(f"error: {error}", USER_ERROR)
    except _UsageError as error:
        _fail(f"error: {error.format_message()} (see --help)", USAGE_ERROR)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        _fail(f"error: {error.filename or 'writing'}: {error.strerror}; nothing committed is lost", USER_ERROR)
    if status == INTERRUPTED:
        _fail("interrupted; what was finished is kept, the same command goes on from there", INTERRUPTED)
    sys.exit(status)


def _fail(text: str, status: int) -> NoReturn:
    sys.stderr.write(visible(text) + "\n")
    sys.exit(status)


@contextmanager
def _workspace(
    suite: str, *, store: Path | None, selection: Selection = WHOLE, remote: str | None = None, **options: Any
) -> Iterator[Workspace]:
    """The workspace of what ``selection`` leaves of a suite, with progress drawn on standard error.

    What is missing is imported from ``remote`` first.  ``options`` are those of ``open_workspace``.
    """
    with Reporter.on_stderr() as reporter:
        if remote is not None:
            recompute = bool(options.get("recompute"))
            _pulled(suite, remote, reporter, store=store, recompute=recompute, selection=selection)
        narrowing = selection.narrowing
        yield open_workspace(suite, store=store, warn=reporter.warn, progress=reporter, narrowing=narrowing, **options)


def _pulled(
    suite: str, remote: str, reporter: Reporter, *, store: Path | None, selection: Selection, recompute: bool = False
) -> str:
    """Import from ``remote`` what is missing; the line that says what came, with what is still missing as a warning."""
    if recompute:
        raise UserError("--recompute reads nothing that was computed elsewhere; leave out --remote")
    from universal_neurons.sharing.exchange import pull

    narrowing = selection.narrowing
    return str(pull(suite, remote, store=store, warn=reporter.warn, progress=reporter, narrowing=narrowing))


@app.command()
@selecting
def plan(
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="As if nothing were there; asks no hub.")
    ] = False,
    memory: Memory = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Say what a suite computes, what of it is there, what the rest takes and about how long; computes nothing."""
    # What is narrower than what ships has keys that rest on this machine's text.
    local = bool(selection.narrowing) and not from_scratch
    resources = Resources(memory=memory, device=device)
    with _workspace(suite, store=store, local=local, resources=resources, selection=selection) as work:
        from universal_neurons import planning

        found = planning.plan(work, from_scratch=from_scratch)
    if as_json:
        sys.stdout.write(json.dumps(found.as_dict(), indent=2) + "\n")
        return
    columns = {
        "stage": "stage", "step": "step", "artifacts": "artifacts", "present": "present", "passes": "passes",
        "teraflop": "Tflop", "streamed_gb": "GB streamed", "device_mb": "GPU MB", "host_mb": "host MB",
        "disk_mb": "disk MB", "seconds": "about s",
    }  # fmt: skip
    rows = [{name: _NOT_KNOWN.get(name, value) if value is None else value for name, value in row.items()}
            for row in found.rows]  # fmt: skip
    show(rows, columns, as_json=False, title=f"suite {found.suite} on {found.device}")


@app.command()
@selecting
def compute(
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
    recompute: Annotated[bool, typer.Option("--recompute", help="Ignore the shipped evidence.")] = False,
    memory: Memory = None,
    device: Device = None,
    remote: Remote = None,
) -> None:
    """Compute what the suite still lacks; a killed run goes on where it stopped."""
    opened: dict[str, Any] = {"resources": Resources(memory=memory, device=device), "remote": remote}
    with _workspace(suite, store=store, recompute=recompute, local=True, selection=selection, **opened) as work:
        from universal_neurons.pipeline import stages

        count = stages.compute(work)
    typer.echo(
        f"suite {suite}: {count} artifacts computed, everything is there"
        if count
        else f"suite {suite}: everything was there"
    )


@app.command()
@selecting
def fetch(
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Take what the hub changed since the suite was pinned.")
    ] = False,
) -> None:
    """Fetch a suite's models and text from their hub and pin them; what is here and verified is not fetched again."""
    with _workspace(suite, store=store, local=True, selection=selection) as work:
        from universal_neurons.pipeline.fetching import fetch as fetched

        count = fetched(work, accept=accept_changes, done=lambda line: typer.echo(visible(line)))
    typer.echo(
        f"suite {suite}: everything is here and verified"
        if count
        else f"suite {suite}: nothing to fetch, everything lies in the checkout"
    )


@app.command()
@selecting
def verify(
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
    recompute: Annotated[bool, typer.Option("--recompute", help="Compute everything again first.")] = False,
    select: Annotated[str | None, typer.Option("-k", help="Only claims that match (as pytest -k).")] = None,
    remote: Remote = None,
) -> None:
    """Judge the claims of a suite (the same as: pytest claims)."""
    import subprocess

    root = project_root()
    given = {"suite": suite, "store": store, "remote": remote}
    arguments = [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
    arguments += [*selection.words, *(["--recompute"] if recompute else []), *(["-k", select] if select else [])]
    status = subprocess.run([sys.executable, "-m", "pytest", "claims", *arguments], cwd=root, check=False).returncode
    raise typer.Exit(status)


@app.command()
@selecting
def report(
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
    remote: Remote = None,
    beside: Annotated[
        str | None, typer.Option("--compare", metavar="OTHER", help="A suite, run or evidence to set beside this one.")
    ] = None,
    to: Annotated[Literal["html", "pdf", "all"], typer.Option("--to", help="The pages, the PDF, or both.")] = "all",
) -> None:
    """Build the report from what the claims measured: its pages and the same as PDF."""
    from universal_neurons.render import build_report

    root = project_root()
    with _workspace(suite, store=store, remote=remote, selection=selection) as work:
        check_pinned(work)
        both = None if beside is None else _side_by_side(_own_run(work), beside, store=store, warn=work.warn)
        page = build_report(
            Study(work),
            root=root,
            output=root / "report" / "_build",
            text=_local_text(work),
            both=both,
            to=to,
            say=lambda line: typer.echo(line, err=True),
        )
    documents = [] if to == "pdf" else sorted(page.parent.glob("*.pdf"))
    typer.echo(f"report: {', '.join(str(one.relative_to(root)) for one in (page, *documents))}")


def _own_run(work: Workspace) -> str:
    """The record of the run that the report of ``work`` is about."""
    from universal_neurons.render.report import default_evidence

    return str(default_evidence(work.root, work.suite.folder))


_SIDES = "a suite, a folder with the record of a run, a built report, or a folder of artifacts"


@app.command()
def compare(
    left: Annotated[str, typer.Argument(help=f"One side: {_SIDES}.")],
    right: Annotated[str, typer.Argument(help="The other side: the same choice.")],
    store: StorePath = None,
    only_changed: Annotated[bool, typer.Option("--changed", help="Only claims with another verdict.")] = False,
    fail_on_change: Annotated[
        bool, typer.Option("--fail-on-change", help="Exit with status 1 if any verdict differs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Set two suites or two runs side by side: verdicts, values, shares, ablations, and what else differs."""
    from universal_neurons.render.pages import comparison_text

    with Reporter.on_stderr() as reporter:
        both = _side_by_side(left, right, store=store, warn=reporter.warn)
    if as_json:
        from universal_neurons.evidence.record import strict_json

        sys.stdout.write(strict_json(both.as_dict()))
    else:
        for table in comparison_text.tables(both, only_changed=only_changed):
            show(table.rows, table.columns, as_json=False, title=table.title)
        for line in comparison_text.lines(both):
            typer.echo(line)
    if fail_on_change and both.comparison.changed:
        raise typer.Exit(CHANGED)


def _side_by_side(left: str, right: str, *, store: Path | None, warn: Warn) -> SideBySide:
    from universal_neurons.sides import open_side, side_by_side

    root = project_root()
    return side_by_side(*(open_side(name, root=root, store=store, warn=warn) for name in (left, right)))


def _local_text(work: Workspace) -> LocalText:
    """What the tokens of the suite say; without rows, and with the reason, where this machine has another text."""
    from universal_neurons.pipeline.tokens import token_set
    from universal_neurons.render.pages.explorer import LocalText

    try:
        tokenizer = work.zoo.tokenizer()
        vocabulary = [tokenizer.decode([i], skip_special_tokens=False) for i in range(tokenizer.get_vocab_size())]
    except UserError as absent:
        vocabulary = [f"token {i}" for i in range(work.zoo.recipe().vocabulary)]
        return LocalText(vocabulary, absence=f"Numbers only: the tokenizer is not on this machine ({absent}).")
    try:
        # Whoever reads what others computed should not have to download the text for it.
        if hub_corpus(work) is not None and not work.store.has(corpus_key(work, "tokens")):
            raise missing(work, corpus_key(work, "tokens"))
        tokens = token_set(work)
    except UserError as absent:
        return LocalText(vocabulary, absence=f"Positions only: the text is not on this machine ({absent}).")
    return LocalText(vocabulary, tokens.rows, tokens.ref.sha256)


@app.command()
def why(digest: Annotated[str, typer.Argument(help="The first characters of an artifact's digest.")],
        suite: SuiteName = "mini", store: StorePath = None) -> None:  # fmt: skip
    """Say where an artifact is, or why it is absent."""
    with _workspace(suite, store=store) as work:
        for key in suite_keys(work):
            if key.digest.startswith(digest):
                typer.echo(work.store.why(key))
                return
    raise UserError(
        f"digest {digest}: no artifact of suite {suite} starts like this; run: universal-neurons status --suite {suite}"
    )


@app.command()
@selecting
def status(
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
    as_json: AsJson = False,
) -> None:
    """List the artifacts of a suite and where each one is."""
    with _workspace(suite, store=store, selection=selection) as work:
        of_steps = [(f"{step}", key) for step in work.steps for key in step_keys(work, step)]
        rows = [
            {
                "stage": key.stage,
                "step": step,
                "what": describe(key),
                "digest": key.digest[:12],
                "where": where(work, key),
            }
            for step, key in [*(("", key) for key in token_keys(work)), *of_steps]
        ]
    columns = {"stage": "stage", "step": "step", "what": "what", "digest": "digest", "where": "where"}
    show(rows, columns, as_json=as_json, title=f"suite {suite}")


@store_app.command("ls")
def store_ls(suite: SuiteName = "mini", store: StorePath = None, as_json: AsJson = False) -> None:
    """List every artifact in the working store, in the shipped and in the imported evidence."""
    with _workspace(suite, store=store) as work:
        rows = [
            {"stage": e.key.stage, "digest": e.key.digest[:12], "origin": e.origin.value, "size": e.manifest.size}
            for e in work.store.entries()
        ]
    columns = {"stage": "stage", "digest": "digest", "origin": "origin", "size": "bytes"}
    show(rows, columns, as_json=as_json, title="artifacts")


@store_app.command("verify")
@selecting
def store_verify(
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
    recompute_sample: Annotated[
        bool, typer.Option("--recompute-sample", help="Compute one table again and compare.")
    ] = False,
) -> None:
    """Check the digest of every artifact, and with --recompute-sample one table's numbers against the weights.

    Of every import one table is drawn and computed again; the report marks an import until that was done once.
    """
    with _workspace(suite, store=store, selection=selection) as work:
        problems = work.store.verify()
        if problems:
            raise UserError("; ".join(map(str, problems)))
        typer.echo("store: every digest fits")
        if recompute_sample:
            for line in _samples(work):
                typer.echo(line)


def _samples(work: Workspace) -> Iterator[str]:
    """Compute a sample of every import again, and of the shipped evidence where that is what claims are judged from."""
    from universal_neurons.recheck import imported_sample, spotcheck, spotchecked_pair

    imported = imported_evidence(work)
    for receipt in imported.sources:
        yield f"imported from {receipt.source}: {imported_sample(work, receipt)}"
    if imported.unchecked - {digest for receipt in imported.sources for digest in receipt.artifacts}:
        yield "imported: an import broke off before its end; run it again, then this"
    if where(work, universality_key(work, spotchecked_pair(work))) != "imported":
        yield f"evidence: {spotcheck(work)}"


@store_app.command("export")
@selecting
def store_export(
    target: Annotated[Path, typer.Argument(help="A folder, or an archive: a name that ends in .zip or .tar.")],
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
) -> None:
    """Write a suite's evidence to a folder or an archive that others can import (never the text itself)."""
    with _workspace(suite, store=store, selection=selection) as work:
        from universal_neurons.sharing.exchange import export_suite

        typer.echo(str(export_suite(work, target)))


@store_app.command("import")
@selecting
def store_import(
    place: Annotated[
        str, typer.Argument(help="A folder, an archive, a URL of fsspec, or hf://datasets/OWNER/NAME@COMMIT[/FOLDER].")
    ],
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
) -> None:
    """Take over evidence that others exported, verified; the report marks it until a sample was computed again."""
    with Reporter.on_stderr() as reporter:
        said = _pulled(suite, place, reporter, store=store, selection=selection)
    with _workspace(suite, store=store, selection=selection) as work:
        command = work.suite.command("universal-neurons store verify --recompute-sample")
    typer.echo(f"{said}; to compute a sample of it again run: {command}")


@app.command("new-claim")
def new_claim(
    claim_id: Annotated[str, typer.Argument(help="The claim's id, such as X1.")],
    statement: Annotated[str, typer.Argument(help="What is claimed, in one sentence.")],
    section: Annotated[str, typer.Option(help="The folder of claims/ it belongs to.")] = "emergence",
) -> None:
    """Write a claim file with its negative control, ready to be filled in."""
    from universal_neurons.harness.scaffold import scaffold_claim

    root = project_root()
    path = scaffold_claim(root / "claims" / section, claim_id, statement)
    typer.echo(
        f"{path.relative_to(root)}: fill in the measure and the criterion, then run: nox -s claims -- -k {claim_id}"
    )


@app.command()
def train(
    model: Annotated[str | None, typer.Option(help="Only this seed (a letter); default: one after the other.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where state, logs and checkpoints go.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    jobs: Annotated[int, typer.Option(help="Seeds side by side, one core each.", min=1)] = os.cpu_count() or 1,
    publish: Annotated[
        bool, typer.Option("--publish", help="Replace the shipped zoo by finished checkpoints.")
    ] = False,
) -> None:
    """Train the mini zoo; a killed run goes on where it stopped."""
    from universal_neurons.zoo_training import publish as publish_zoo
    from universal_neurons.zoo_training import train_zoo

    with Reporter.on_stderr() as reporter:
        root = project_root()
        target = folder or root / ".universal-neurons" / "training"
        train_zoo(
            root, target, models=None if model is None else names(model), device=device, jobs=jobs, progress=reporter
        )
        if publish:
            publish_zoo(root, target)
            typer.echo("published: fixtures/zoo/mini; run: universal-neurons compute --suite mini")


if __name__ == "__main__":
    main()
