"""Command line: thin commands over the pipeline.

A user's mistake is one line on standard error and exit status 4; a mistake in the options is status 2, an interruption
status 130.  Whatever computes is imported by the command that needs it, so ``--help`` starts at once.
"""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import re
import signal
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from universal_neurons.characters import visible
from universal_neurons.command_options import (
    Account,
    AsJson,
    Constraint,
    CpusPerTask,
    Device,
    EngineName,
    Every,
    GpusPerTask,
    HostMemory,
    Memory,
    On,
    Parallelism,
    Partition,
    Qos,
    Remote,
    StorePath,
    SuiteName,
    TimeLimit,
    selecting,
)
from universal_neurons.errors import COMPUTING, ExtraMissing, UserError
from universal_neurons.inputs.selection import WHOLE, Selection, names
from universal_neurons.progress import Reporter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from universal_neurons.stages.base import Need
    from universal_neurons.stages.tasks import Simulated
    from universal_neurons.stages.workspace import Workspace

CHANGED = 1
USER_ERROR = 4
USAGE_ERROR = 2
INTERRUPTED = 130
# Characters of a word in a message: of the longest one that is shown whole, and of a longer one.
_LONGEST_WORD = 300
_SHOWN = 60
# Refusals of the system that the user can mend; any other OSError is a defect of ours and keeps its traceback.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS})
_BAD_NAME = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR})
# What Ctrl-C leaves behind, by command; of the others, which only read, nothing.
_LEFT = {
    "compute": "finished work is kept, and the same command resumes",
    "train": "finished work is kept, and the same command resumes",
    "fetch": "what came and was verified is kept, and the same command goes on",
    "verify": "no verdict was recorded; tables that were computed are kept",
    "report": "the previous report stays as it is",
    "store import": "tables that came and were verified are kept; run the same command again",
    "store export": "what was written of the export is not complete; run the same command again",
}
# What libraries raise for input that they cannot read, such as text nested too deeply or a number that fits nowhere.
_UNREADABLE = (ValueError, OverflowError, RecursionError)
# The base of every mistake in options; some versions of typer bring a click of their own that has no public name.
_UsageError: Any = typer.BadParameter.__mro__[1]

# ruff: noqa: FBT002  (a flag of the command line is a boolean with a default)
app = typer.Typer(
    name="universal-neurons",
    help="Verify the claims about universal neurons and build the report.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_RUNS = "a suite (its latest run), a folder with the record of a run, a built report, or a folder of artifacts"
store_app = typer.Typer(help="List, check and share computed artifacts.")
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
    except ModuleNotFoundError as error:
        if error.name not in COMPUTING:
            raise
        _fail(f"error: {ExtraMissing('this command', error.name)}", USER_ERROR)
    except OSError as error:
        if error.errno in _BAD_NAME:
            _fail(f"error: {error.filename}: {error.strerror}; expected another name", USER_ERROR)
        if error.errno not in _NO_ROOM:
            raise
        _fail(f"error: {error.filename or 'writing'}: {error.strerror}; nothing committed is lost", USER_ERROR)
    if status == INTERRUPTED:
        _fail(f"interrupted; {_left(sys.argv[1:])}", INTERRUPTED)
    sys.exit(status)


def _left(words: Sequence[str]) -> str:
    """What the command line ``words`` leaves when it is interrupted."""
    return next((left for name, left in _LEFT.items() if words[: len(name.split())] == name.split()), "nothing changed")


def _say(line: str) -> None:
    """Show a line that is not the result: on standard error."""
    typer.echo(line, err=True)


def _fail(text: str, status: int) -> NoReturn:
    # A name of thousands of characters would hide what is wrong with it.
    shown = re.sub(rf"\S{{{_LONGEST_WORD},}}", lambda word: f"{word[0][:_SHOWN]}...", visible(text))
    sys.stderr.write(shown + "\n")
    sys.exit(status)


@contextmanager
def _workspace(
    suite: str, *, store: Path | None, selection: Selection = WHOLE, remote: str | None = None, **options: Any
) -> Iterator[Workspace]:
    """The workspace of what ``selection`` leaves of a suite, with progress drawn on standard error.

    What is missing is imported from ``remote`` first.  ``options`` are those of ``open_workspace``.
    """
    from universal_neurons.stages.workspace import open_workspace

    with Reporter.on_stderr() as reporter:
        if remote is not None:
            recompute = bool(options.get("recompute"))
            _pulled(suite, remote, reporter, store=store, recompute=recompute, selection=selection)
        options |= {"warn": reporter.warn, "progress": reporter, "narrowing": selection.narrowing}
        try:
            work = open_workspace(suite, store=store, **options)
        except _UNREADABLE as error:
            raise UserError(f"suite {suite}: cannot be read ({error})") from error
        yield work


def _needs(work: Workspace, selection: Selection) -> tuple[Need, ...] | None:
    """The cases that the selected claims read; None for all of the suite."""
    if selection.claims is None:
        return None
    from universal_neurons.harness.needs import needs_of_claims

    return needs_of_claims(work, selection.claims)


def _pulled(
    suite: str, remote: str, reporter: Reporter, *, store: Path | None, selection: Selection, recompute: bool = False
) -> str:
    """Import from ``remote`` what is missing; the line that says what came, with what is still missing as a warning."""
    if recompute:
        raise UserError("--recompute reads nothing that was computed elsewhere; leave out --remote")
    from universal_neurons.stages.sharing import pull

    narrowing = selection.narrowing
    return str(pull(suite, remote, store=store, warn=reporter.warn, progress=reporter, narrowing=narrowing))


def _version(asked: bool) -> None:  # noqa: FBT001 - typer calls it like this
    if asked:
        typer.echo(f"universal-neurons {importlib.metadata.version('universal-neurons')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command()
@selecting
def plan(
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Plan as if nothing were computed yet; asks no hub.")
    ] = False,
    memory: Memory = None,
    device: Device = None,
    on: On = None,
    by_step: Annotated[bool, typer.Option("--by-step", help="One row per stage and checkpoint.")] = False,
    engine: EngineName = None,
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="With --engine: devices to compute tasks on.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Show what is computed already, and the cost of the rest.

    Nothing is computed.  The speed of the device is measured on made-up work, once, and kept.
    """
    from universal_neurons.stages.workspace import Resources

    # The keys of a narrowed suite depend on this machine's text.
    local = bool(selection.narrowing) and not from_scratch
    resources = Resources(memory=memory, device=device)
    with _workspace(suite, store=store, local=local, resources=resources, selection=selection) as work:
        from universal_neurons.stages.plan import plan as planned_suite
        from universal_neurons.stages.plan_table import simulation_sentence, table

        only = _needs(work, selection)
        planned = planned_suite(work, only=only, from_scratch=from_scratch, on=on)
        run = None if engine is None else _simulated(work, only, from_scratch=from_scratch, on=on, workers=gpus)
    if as_json:
        simulation = {} if run is None else {"simulated": run.as_dict()}
        text = json.dumps(planned.as_dict() | simulation, indent=2)
    elif by_step or run is not None or planned.whole.present < planned.whole.artifacts:
        text = "\n\n".join([table(planned, by_step=by_step), *([] if run is None else [simulation_sentence(run)])])
    else:
        text = visible(f"suite {planned.suite}: nothing to do, all {planned.whole.present} artifacts are there")
    sys.stdout.write(text + "\n")


def _simulated(
    work: Workspace, only: tuple[Need, ...] | None, *, from_scratch: bool, on: str | None, workers: int
) -> Simulated:
    from universal_neurons.stages.plan import speed_of
    from universal_neurons.stages.tasks import simulated, tasks
    from universal_neurons.stages.workspace import unpinned

    work = unpinned(work) if from_scratch else work
    return simulated(work, tasks(work, only), speed_of(work, on), workers=workers)


@app.command("tasks")
@selecting
def list_tasks(
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
    memory: Memory = None,
    device: Device = None,
    on: On = None,
    as_json: AsJson = False,
) -> None:
    """List the tasks of a suite.

    Separate machines can compute them: see compute --task, --tasks and --engine.  What each takes is as if nothing were
    there.
    """
    from universal_neurons.listing import show
    from universal_neurons.stages.workspace import Resources

    resources = Resources(memory=memory, device=device)
    with _workspace(suite, store=store, local=True, resources=resources, selection=selection) as work:
        from universal_neurons.stages.engines import under_way_of
        from universal_neurons.stages.plan import speed_of
        from universal_neurons.stages.plan_table import spoken_bytes, spoken_time
        from universal_neurons.stages.tasks import planned, tasks

        listed = tasks(work, _needs(work, selection))
        jobs = under_way_of(work, selection.words)
        rows = [
            {
                "task": task.name,
                "state": task.state(work, jobs),
                "makes": task.makes(work),
                "operations": row.operations,
                "seconds": row.seconds if as_json else spoken_time(row.seconds),
                "device_bytes": row.device_bytes if as_json else spoken_bytes(row.device_bytes),
                "host_bytes": row.host_bytes if as_json else spoken_bytes(row.host_bytes),
                "needs": list(task.needs) if as_json else ", ".join(task.needs),
            }
            for task, row in zip(listed, planned(work, listed, speed_of(work, on)), strict=True)
        ]
    columns = {
        "task": "task", "state": "state", "operations": "operations", "seconds": "time", "device_bytes": "device",
        "host_bytes": "host", "needs": "needs",
    }  # fmt: skip
    show(rows, columns, as_json=as_json, title=f"tasks of suite {suite}")


@app.command()
@selecting
def compute(
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
    recompute: Annotated[bool, typer.Option("--recompute", help="Compute everything again.")] = False,
    memory: Memory = None,
    device: Device = None,
    remote: Remote = None,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="I/N", help="Only one of N shares of the tasks, or one task by name."),
    ] = None,
    task_file: Annotated[
        Path | None, typer.Option("--tasks", help="Only the tasks that a file names, by line.")
    ] = None,
    engine: EngineName = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Local: processes at a time; default: one per GPU.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Slurm: submit, and do not wait; see status.")] = False,
    partition: Partition = None,
    account: Account = None,
    qos: Qos = None,
    constraint: Constraint = None,
    gpus_per_task: GpusPerTask = None,
    cpus_per_task: CpusPerTask = None,
    mem: HostMemory = None,
    time: TimeLimit = None,
    array_parallelism: Parallelism = 64,
) -> None:
    """Compute what the suite still lacks.

    After an interruption the same command resumes.  With --engine, every task is a process or a job of its own.
    """
    from universal_neurons.stages import engines
    from universal_neurons.stages.workspace import Resources

    if sum(given is not None for given in (task, task_file, engine)) > 1:
        raise typer.BadParameter("expected one of --task, --tasks and --engine")
    opened: dict[str, Any] = {"resources": Resources(memory=memory, device=device), "remote": remote}
    with _workspace(suite, store=store, recompute=recompute, local=True, selection=selection, **opened) as work:
        only = _needs(work, selection)
        if engine is not None:
            words = ["--suite", suite, *selection.words, *(["--recompute"] if recompute else [])]
            words += ["--store", str(work.store.working), *(["--device", device] if device else [])]
            slurm = engines.SlurmOptions(
                partition, account, qos, constraint, gpus_per_task, cpus_per_task, mem, time or 240, array_parallelism
            )
            chosen = engines.engine(
                engine, work, selection.words, ["compute", *words], workers=workers, memory=memory, options=slurm
            )
            typer.echo(f"suite {suite}: {engines.run(work, only, chosen, detach=detach)}")
            return
        count = _computed(work, only, task=task, file=task_file)
    rest = "everything" if task is None and task_file is None else "every task that was asked for"
    typer.echo(
        f"suite {suite}: {count} artifacts computed, {rest} is there" if count else f"suite {suite}: {rest} was there"
    )


def _computed(work: Workspace, only: tuple[Need, ...] | None, *, task: str | None, file: Path | None) -> int:
    """Compute what is lacking, or some tasks; returns how many artifacts."""
    if task is None and file is None:
        from universal_neurons.stages.runner import compute as compute_suite

        return compute_suite(work, only)
    from universal_neurons.stages.tasks import chosen, compute_tasks, named, tasks

    listed = tasks(work, only)
    if file is None:
        return compute_tasks(work, listed, chosen(listed, task or ""))
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--tasks: {file} cannot be read: {error}") from None
    return compute_tasks(work, listed, named(listed, names))


@app.command()
@selecting
def fetch(
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Accept what changed on the hub since the suite was pinned.")
    ] = False,
) -> None:
    """Fetch and pin the models and the text of a suite.

    They come from their hub; files that are here and verified are not fetched again.
    """
    with _workspace(suite, store=store, local=True, selection=selection) as work:
        from universal_neurons.stages.fetching import fetch as fetched

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
    remote: Remote = None,
) -> None:
    """Judge the claims of a suite (the same as: pytest claims)."""
    import subprocess

    from universal_neurons.inputs.suite import project_root

    root = project_root()
    given = {"suite": suite, "store": store, "remote": remote}
    arguments = [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
    arguments += [*selection.words, *(["--recompute"] if recompute else [])]
    status = subprocess.run([sys.executable, "-m", "pytest", "claims", *arguments], cwd=root, check=False).returncode
    if status < 0:
        cause = signal.strsignal(-status) or f"signal {-status}"
        _fail(f"error: the judging process was killed ({cause}); nothing was recorded; run again", USER_ERROR)
    raise typer.Exit(status)


@app.command()
@selecting
def report(
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
    remote: Remote = None,
    beside: Annotated[
        str | None,
        typer.Option("--compare", metavar="OTHER", help="Add a page that compares with another run (see compare)."),
    ] = None,
    to: Annotated[Literal["html", "pdf", "all"], typer.Option("--to", help="Only the pages or only the PDF.")] = "all",
    partial: Annotated[
        bool, typer.Option("--partial", help="Of the latest run, also where it judged a part of the claims only.")
    ] = False,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", help="Folder of the run's record (as pytest's --evidence-dir).")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the report instead of report/_build.")] = None,
) -> None:
    """Build the report of the last whole run.

    As pages and as PDF.
    """
    from universal_neurons.reporting import report_of

    with _workspace(suite, store=store, remote=remote, selection=selection) as work:
        documents = report_of(
            work,
            beside=beside,
            store=store,
            to=to,
            say=_say,
            step=lambda name: _say(f"report: {name} ..."),
            partial=partial,
            evidence=evidence,
            out=out,
        )
    typer.echo(f"report: {documents}")


@app.command()
def compare(
    left: Annotated[str, typer.Argument(help=f"A run: {_RUNS}.")],
    right: Annotated[str, typer.Argument(help="Another run, given in the same way.")],
    store: StorePath = None,
    only_changed: Annotated[bool, typer.Option("--changed", help="Only claims with another verdict.")] = False,
    fail_on_change: Annotated[
        bool, typer.Option("--fail-on-change", help="Exit with status 1 if any verdict differs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two runs.

    Lists verdicts, values, shares, ablations, and the settings that differ.
    """
    from universal_neurons.compare import compare_runs, open_run
    from universal_neurons.evidence.record import strict_json
    from universal_neurons.inputs.suite import project_root
    from universal_neurons.listing import show
    from universal_neurons.render.pages import comparison_text

    with Reporter.on_stderr() as reporter:
        options: dict[str, Any] = {"root": project_root(), "store": store, "warn": reporter.warn}
        both = compare_runs(open_run(left, **options), open_run(right, **options))
    if as_json:
        sys.stdout.write(strict_json(both.as_dict()))
    else:
        if both.is_same:
            typer.echo(f"{both.comparison.left.name} and {both.comparison.right.name}: nothing differs")
            return
        for table in comparison_text.tables(both, only_changed=only_changed):
            show(table.rows, table.columns, as_json=False, title=table.title)
        for line in comparison_text.lines(both):
            typer.echo(line)
    if fail_on_change and both.comparison.changed:
        raise typer.Exit(CHANGED)


@app.command()
def why(digest: Annotated[str, typer.Argument(help="The first characters of an artifact's digest.")],
        suite: SuiteName = "mini", store: StorePath = None) -> None:  # fmt: skip
    """Show where an artifact is, or why it is absent."""
    from universal_neurons.stages.registry import suite_keys

    if not digest:
        raise UserError("digest: expected its first characters, got nothing")
    with _workspace(suite, store=store) as work:
        keys = [key for key in suite_keys(work) if key.digest.startswith(digest)]
        if len(keys) == 1:
            typer.echo(work.store.why(keys[0]))
            return
    listed = f"run: universal-neurons status --all --suite {suite}"
    if keys:
        some = ", ".join(f"{key.digest[:12]} ({key.stage})" for key in keys[:3])
        raise UserError(
            f"digest {digest}: {len(keys)} artifacts of suite {suite} start like this: {some} ...; {listed}"
        )
    raise UserError(f"digest {digest}: no artifact of suite {suite} starts like this; {listed}")


@app.command()
@selecting
def status(
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
    every: Every = False,
    as_json: AsJson = False,
) -> None:
    """Show where the artifacts of a suite are.

    The first line says how far submitted tasks are.
    """
    from universal_neurons.listing import show
    from universal_neurons.stages.registry import suite_artifacts, where
    from universal_neurons.stages.tokens import ONLY, TOKENS

    with _workspace(suite, store=store, selection=selection) as work:
        from universal_neurons.stages.engines import submitted_line

        if not as_json and (line := submitted_line(work, _needs(work, selection), selection.words)):
            typer.echo(line)
            if not TOKENS.is_present(work, ONLY):
                # The artifacts have no keys before the first task is done.
                return
        rows = [
            {
                "stage": artifact.key.stage,
                "step": "" if artifact.case.step is None else f"{artifact.case.step}",
                "what": artifact.stage.describe(work, artifact.case),
                "digest": artifact.key.digest[:12],
                "where": where(work, artifact.key),
            }
            for artifact in suite_artifacts(work)
        ]
    title = f"suite {suite}: {_counted(row['where'] for row in rows)}"
    if as_json or every:
        columns = {"stage": "stage", "step": "step", "what": "what", "digest": "digest", "where": "where"}
        show(rows, columns, as_json=as_json, title=title)
        return
    columns = {"stage": "stage", "where": "where", "artifacts": "artifacts"}
    show(_summed(rows, "where"), columns, as_json=False, title=title)


@store_app.command("ls")
def store_ls(suite: SuiteName = "mini", store: StorePath = None, every: Every = False, as_json: AsJson = False) -> None:
    """Show what lies in the stores of a suite.

    These are the working store, the shipped evidence, and what was imported.
    """
    from universal_neurons.listing import show

    with _workspace(suite, store=store) as work:
        rows = [
            {"stage": e.key.stage, "digest": e.key.digest[:12], "origin": e.origin.value, "size": e.manifest.size}
            for e in work.store.entries()
        ]
    title = _counted(str(row["origin"]) for row in rows)
    if as_json or every:
        columns = {"stage": "stage", "digest": "digest", "origin": "origin", "size": "bytes"}
        show(rows, columns, as_json=as_json, title=title)
        return
    columns = {"stage": "stage", "origin": "origin", "artifacts": "artifacts", "size": "bytes"}
    show(_summed(rows, "origin"), columns, as_json=False, title=title)


def _counted(stores: Iterable[str]) -> str:
    """How many artifacts there are, and in which stores."""
    counts = Counter(stores)
    return f"{counts.total()} artifacts" + "".join(f", {number} {store}" for store, number in counts.items())


def _summed(rows: Iterable[Mapping[str, Any]], store: str) -> list[dict[str, Any]]:
    """One row for all artifacts of a stage in one store, which the column ``store`` names."""
    sizes: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        sizes.setdefault((row["stage"], row[store]), []).append(row.get("size", 0))
    return [
        {"stage": stage, store: name, "artifacts": len(found), "size": sum(found)}
        for (stage, name), found in sizes.items()
    ]


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
    """Check the digest of every artifact.

    With --recompute-sample also one table's numbers against the weights: of every import one table is drawn and
    computed again; the report marks an import until that was done once.
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
    from universal_neurons.stages.recheck import imported_sample, spotcheck, spotchecked_case
    from universal_neurons.stages.registry import where
    from universal_neurons.stages.study import imported_evidence
    from universal_neurons.stages.universality import UNIVERSALITY

    imported = imported_evidence(work)
    for receipt in imported.sources:
        yield f"imported from {receipt.source}: {imported_sample(work, receipt)}"
    if imported.unchecked - {digest for receipt in imported.sources for digest in receipt.artifacts}:
        yield "imported: an import broke off before its end; run it again, then this"
    if where(work, UNIVERSALITY.key(work, spotchecked_case(work))) != "imported":
        yield f"evidence: {spotcheck(work)}"


@store_app.command("export")
@selecting
def store_export(
    target: Annotated[Path, typer.Argument(help="A folder, or an archive: a name that ends in .zip.")],
    suite: SuiteName = "mini",
    store: StorePath = None,
    selection: Selection = WHOLE,
) -> None:
    """Write a suite's evidence for others to import.

    Into a folder or an archive; never the text itself.
    """
    with _workspace(suite, store=store, selection=selection) as work:
        from universal_neurons.stages.sharing import export_suite

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
    """Import evidence that others exported.

    Every digest is verified; the report marks the evidence until a sample was computed again.
    """
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
    """Write a claim file with its control, to be filled in."""
    from universal_neurons.harness.scaffold import scaffold_claim
    from universal_neurons.inputs.suite import project_root

    root = project_root()
    path = scaffold_claim(root / "claims" / section, claim_id, statement)
    command = f"universal-neurons verify --claims {claim_id}"
    typer.echo(f"{path.relative_to(root)}: fill in measure and criterion, then run: {command}")


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")] = Path("universal-neurons-study"),
) -> None:
    """Write a study into a folder, to work without a clone.

    These are suites, claims, published numbers and templates.  Evidence is not among them: import an export of it there
    (--remote, store import).
    """
    from universal_neurons.inputs.packaged_study import unpack_study

    typer.echo(f"study: {unpack_study(folder)}; cd there and run: universal-neurons verify --remote PLACE")


@app.command()
def match(
    model_a: Annotated[str, typer.Argument(help="A folder with a model, or OWNER/NAME[@REVISION] of a hub.")],
    model_b: Annotated[str, typer.Argument(help="The other one.")],
    text: Annotated[Path, typer.Option(help="A file or folder of text (.txt, .md, .rst, .jsonl with text).")],
    tokens: Annotated[int | None, typer.Option(help="Spans of text to score; default: a million, or 50000.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Settings for a first look.")] = False,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="PLACE", help="The tokenizer of models that bring none: a file or a model.")
    ] = None,
    pooling: Annotated[
        Literal["last", "mean"], typer.Option(help="A neuron's value for a span: at its last token, or the mean.")
    ] = "last",
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page to find neurons in.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write tables and settings.")] = None,
    device: Device = None,
    memory: Memory = None,
) -> None:
    """Match any two models, neuron by neuron.

    Sizes, architectures and tokenizers may differ.  In Python: universal_neurons.match.
    """
    from universal_neurons.matching import match as matched

    with Reporter.on_stderr() as reporter:
        found = matched(
            model_a, model_b, text=text, tokens=tokens, quick=quick, tokenizer=tokenizer, pooling=pooling,
            device=device, memory=memory, progress=reporter,
        )  # fmt: skip
    typer.echo(str(found))
    if html is not None:
        typer.echo(f"page: {found.to_html(html)}")
    if out is not None:
        typer.echo(f"result: {found.save(out)}")


@app.command()
def train(
    suite: SuiteName = "mini",
    model: Annotated[str | None, typer.Option(help="Only this seed (a letter); default: one after the other.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Folder of state, logs and checkpoints.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    jobs: Annotated[int, typer.Option(help="Seeds at the same time, one core each.", min=1)] = os.cpu_count() or 1,
    publish: Annotated[
        bool, typer.Option("--publish", help="Replace the shipped models by the finished checkpoints.")
    ] = False,
) -> None:
    """Train the models of a suite by the recipe of its zoo.

    After an interruption the same command resumes.
    """
    from universal_neurons.inputs.suite import project_root
    from universal_neurons.zoo_training import Training, train_zoo
    from universal_neurons.zoo_training import publish as publish_zoo

    with Reporter.on_stderr() as reporter:
        training = Training.of_suite(suite, project_root(), folder=folder)
        train_zoo(training, models=None if model is None else names(model), device=device, jobs=jobs, progress=reporter)
        if publish:
            publish_zoo(training)
            zoo = training.zoo.relative_to(training.root).as_posix()
            typer.echo(f"published: {zoo}; run: universal-neurons compute --suite {suite}")


if __name__ == "__main__":
    main()
