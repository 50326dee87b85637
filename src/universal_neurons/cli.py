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
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from universal_neurons.characters import visible
from universal_neurons.errors import UserError
from universal_neurons.inputs.suite import project_root
from universal_neurons.progress import Reporter
from universal_neurons.study import Study
from universal_neurons.workspace import Workspace, describe, open_workspace, step_keys, suite_keys, token_keys, where

if TYPE_CHECKING:
    from collections.abc import Iterator

    from universal_neurons.render.explorer import LocalText

USER_ERROR = 4
USAGE_ERROR = 2
INTERRUPTED = 130
# Characters in a line of a table that no terminal shows.
_WIDE = 1000
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

SuiteName = Annotated[str, typer.Option("--suite", help="The suite: a file of fixtures/suites without .toml.")]
StorePath = Annotated[Path | None, typer.Option("--store", help="Working store instead of .universal-neurons/store.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Models = Annotated[str | None, typer.Option("--models", help="Only these models, separated by commas.")]
Checkpoints = Annotated[
    str | None, typer.Option("--checkpoints", help="Only these checkpoints (labels or steps), separated by commas.")
]


def _number(text: str) -> int:
    """A number of tokens, which may be spelt ``50k`` or ``5M``."""
    factor = {"k": 10**3, "M": 10**6}.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    try:
        return int(digits) * factor
    except ValueError:
        raise typer.BadParameter(f"expected a number such as 50000, 50k or 5M, got {text!r}") from None


Tokens = Annotated[
    int | None, typer.Option("--tokens", parser=_number, metavar="NUMBER", help="Fewer scored tokens (50k, 5M).")
]
ReferenceName = Annotated[str | None, typer.Option("--reference", help="Another reference model.")]
References = Annotated[
    str | None, typer.Option("--references", help="Only these models' neurons look for partners, separated by commas.")
]


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
    suite: str,
    *,
    store: Path | None,
    recompute: bool = False,
    local: bool = False,
    **narrowing: Any,
) -> Iterator[Workspace]:
    """The suite's workspace, with progress drawn on standard error; ``narrowing`` as in ``Suite.narrowed``."""
    with Reporter.on_stderr() as reporter:
        yield open_workspace(
            suite,
            store=store,
            recompute=recompute,
            local=local,
            warn=reporter.warn,
            progress=reporter,
            narrowing={name: value for name, value in narrowing.items() if value is not None},
        )


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _show(rows: list[dict[str, Any]], columns: dict[str, str], *, as_json: bool, title: str) -> None:
    """Print rows as JSON or as a table whose columns are ``{field: heading}``.

    A table that is read by a program is as wide as its longest row: nothing is wrapped, cut or coloured.
    """
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2, default=str) + "\n")
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name, heading in columns.items():
        numeric = all(isinstance(row[name], int | float) for row in rows) if rows else False
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=numeric or not sys.stdout.isatty())
    for row in rows:
        table.add_row(*(visible(str(row[name])) for name in columns))
    _console().print(table)


def _console() -> Console:
    # NO_COLOR alone would leave bold and italic, which are escape codes too.
    plain = bool(os.environ.get("NO_COLOR"))
    wide = None if sys.stdout.isatty() else _WIDE
    return Console(color_system=None if plain else "auto", width=wide, highlight=False, markup=False)


@app.command()
def plan(
    suite: SuiteName = "mini",
    store: StorePath = None,
    models: Models = None,
    checkpoints: Checkpoints = None,
    tokens: Tokens = None,
    reference: ReferenceName = None,
    references: References = None,
    as_json: AsJson = False,
) -> None:
    """Say what a suite computes, what of it is there, and about how long the rest takes."""
    narrowing = _narrowing(models, checkpoints, tokens, reference, references)
    with _workspace(suite, store=store, local=_is_narrow(narrowing), **narrowing) as work:
        from universal_neurons import planning

        rows = [stage.as_dict() for stage in planning.plan(work)]
    columns = {
        "stage": "stage", "step": "step", "artifacts": "artifacts", "present": "present", "teraflop": "Tflop",
        "seconds": "about s", "megabytes": "MB in memory",
    }  # fmt: skip
    _show(rows, columns, as_json=as_json, title=f"suite {suite}")


@app.command()
def compute(
    suite: SuiteName = "mini",
    store: StorePath = None,
    models: Models = None,
    checkpoints: Checkpoints = None,
    tokens: Tokens = None,
    reference: ReferenceName = None,
    references: References = None,
    recompute: Annotated[bool, typer.Option("--recompute", help="Ignore the shipped evidence.")] = False,
) -> None:
    """Compute what the suite still lacks; a killed run goes on where it stopped."""
    narrowing = _narrowing(models, checkpoints, tokens, reference, references)
    with _workspace(suite, store=store, recompute=recompute, local=True, **narrowing) as work:
        from universal_neurons.pipeline import stages

        count = stages.compute(work)
    typer.echo(
        f"suite {suite}: {count} artifacts computed, everything is there"
        if count
        else f"suite {suite}: everything was there"
    )


@app.command()
def fetch(
    suite: SuiteName = "mini",
    store: StorePath = None,
    models: Models = None,
    checkpoints: Checkpoints = None,
    tokens: Tokens = None,
    reference: ReferenceName = None,
    references: References = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Take what the hub changed since the suite was pinned.")
    ] = False,
) -> None:
    """Fetch a suite's models and text from their hub and pin them; what is here and verified is not fetched again."""
    narrowing = _narrowing(models, checkpoints, tokens, reference, references)
    with _workspace(suite, store=store, local=True, **narrowing) as work:
        from universal_neurons.pipeline.fetching import fetch as fetched

        count = fetched(work, accept=accept_changes, done=lambda line: typer.echo(visible(line)))
    typer.echo(
        f"suite {suite}: everything is here and verified"
        if count
        else f"suite {suite}: nothing to fetch, everything lies in the checkout"
    )


def _narrowing(
    models: str | None, checkpoints: str | None, tokens: int | None, reference: str | None, references: str | None
) -> dict[str, Any]:
    lists = {"models": models, "checkpoints": checkpoints, "references": references}
    return {**{name: _names(text) for name, text in lists.items()}, "tokens": tokens, "reference": reference}


def _is_narrow(narrowing: dict[str, Any]) -> bool:
    return any(value is not None for value in narrowing.values())


@app.command()
def verify(
    suite: SuiteName = "mini",
    recompute: Annotated[bool, typer.Option("--recompute", help="Compute everything again first.")] = False,
    select: Annotated[str | None, typer.Option("-k", help="Only claims that match (as pytest -k).")] = None,
) -> None:
    """Judge the claims of a suite (the same as: pytest claims)."""
    import subprocess

    root = project_root()
    arguments = ["--suite", suite, *(["--recompute"] if recompute else []), *(["-k", select] if select else [])]
    status = subprocess.run([sys.executable, "-m", "pytest", "claims", *arguments], cwd=root, check=False).returncode
    raise typer.Exit(status)


@app.command()
def report(suite: SuiteName = "mini", store: StorePath = None) -> None:
    """Build the report from what the claims measured."""
    from universal_neurons.render import build_report

    root = project_root()
    with _workspace(suite, store=store) as work:
        page = build_report(Study(work), root=root, output=root / "report" / "_build", text=_local_text(work))
    typer.echo(f"report: {page.relative_to(root)}")


def _local_text(work: Workspace) -> LocalText:
    """What the tokens of the suite say; without rows, and with the reason, where this machine has another text."""
    from universal_neurons.pipeline.tokens import token_set
    from universal_neurons.render.explorer import LocalText

    tokenizer = work.zoo.tokenizer()
    vocabulary = [tokenizer.decode([i], skip_special_tokens=False) for i in range(tokenizer.get_vocab_size())]
    try:
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
def status(suite: SuiteName = "mini", store: StorePath = None, as_json: AsJson = False) -> None:
    """List the artifacts of a suite and where each one is."""
    with _workspace(suite, store=store) as work:
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
    _show(rows, columns, as_json=as_json, title=f"suite {suite}")


@store_app.command("ls")
def store_ls(suite: SuiteName = "mini", store: StorePath = None, as_json: AsJson = False) -> None:
    """List every artifact in the working store and in the shipped evidence."""
    with _workspace(suite, store=store) as work:
        rows = [
            {"stage": e.key.stage, "digest": e.key.digest[:12], "origin": e.origin.value, "size": e.manifest.size}
            for e in work.store.entries()
        ]
    columns = {"stage": "stage", "digest": "digest", "origin": "origin", "size": "bytes"}
    _show(rows, columns, as_json=as_json, title="artifacts")


@store_app.command("verify")
def store_verify(
    suite: SuiteName = "mini",
    store: StorePath = None,
    recompute_sample: Annotated[
        bool, typer.Option("--recompute-sample", help="Compute one table again and compare.")
    ] = False,
) -> None:
    """Check the digest of every artifact, and with --recompute-sample one table's numbers against the weights."""
    with _workspace(suite, store=store) as work:
        problems = work.store.verify()
        if problems:
            raise UserError("; ".join(map(str, problems)))
        typer.echo("store: every digest fits")
        if recompute_sample:
            from universal_neurons.recheck import spotcheck

            typer.echo(f"evidence: {spotcheck(work)}")


@store_app.command("export")
def store_export(
    target: Annotated[Path, typer.Argument(help="The folder that receives the artifacts.")],
    suite: SuiteName = "mini",
    store: StorePath = None,
) -> None:
    """Copy a suite's artifacts into a folder that others can read as shipped evidence (never the text itself)."""
    with _workspace(suite, store=store) as work:
        keys = suite_keys(work)
        work.store.export(keys, target)
    typer.echo(f"exported {len(keys)} artifacts to {target}")


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
        train_zoo(root, target, models=_names(model), device=device, jobs=jobs, progress=reporter)
        if publish:
            publish_zoo(root, target)
            typer.echo("published: fixtures/zoo/mini; run: universal-neurons compute --suite mini")


if __name__ == "__main__":
    main()
