"""Rendering of the generated source as HTML pages, by Quarto where it is installed and by pandoc otherwise.

Both programs render the same files with the settings of ``report/_quarto.yml``.  Their exit status is not trusted: the
pages are checked in :mod:`universal_neurons.render.html.checks`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

HtmlEngine = Literal["quarto", "pandoc"]
# For one page; Quarto renders all of them in one run.
TIME_LIMIT_SECONDS = 300
QUARTO_OUTPUT = "_pages"


class RenderingFailed(UserError):
    """The rendering program rejected the source; the message is its output."""


def available_engine() -> HtmlEngine:
    """Quarto if it is on PATH, otherwise the pandoc that comes with a Python package."""
    return "quarto" if shutil.which("quarto") else "pandoc"


def render(source: Path, pages: Sequence[str], output: Path, *, engine: HtmlEngine, pdf: bool = False) -> None:
    """Render ``pages`` of ``source`` (names without suffix, perhaps in a folder) as HTML into ``output``.

    With ``pdf`` each page has a link to the PDF, which must then be put beside them.  Raises RenderingFailed.
    """
    if engine == "quarto":
        _with_quarto(source, pages, output, pdf=pdf)
    else:
        _with_pandoc(source, pages, output, pdf=pdf)


def pandoc_command(page: str, target: Path, *, pdf: bool = False) -> list[str]:
    """The pandoc command equivalent to ``_quarto.yml``.

    Only Quarto is asked to embed resources, its own: a page has none, and looking for them takes most of the time.
    """
    import pypandoc

    command = [
        str(pypandoc.get_pandoc_path()), f"{page}.qmd", f"--output={target}", "--from=markdown", "--to=html5",
        "--standalone", "--template=page.html", "--include-in-header=head.html", "--metadata=lang:en-GB",
        "--toc", "--toc-depth=2", "--wrap=preserve", "--fail-if-warnings", *(["--metadata=has-pdf"] if pdf else []),
        # Not the user's folder: a citation style of their own there would be used for ours.
        "--data-dir=.",
    ]  # fmt: skip
    # Pages in a folder are made in numbers and cite nothing: asking for it would double their time.
    if "/" in page:
        return command
    return [*command, "--citeproc", "--bibliography=references.bib", "--metadata=link-citations", "--mathml"]


def _with_pandoc(source: Path, pages: Sequence[str], output: Path, *, pdf: bool) -> None:
    """Run pandoc once per page, in parallel; raise the first fault in page order."""
    targets = [output / f"{page}.html" for page in pages]
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
    commands = [pandoc_command(page, target.absolute(), pdf=pdf) for page, target in zip(pages, targets, strict=True)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        list(threads.map(lambda command: run(command, source), commands))


def _with_quarto(source: Path, pages: Sequence[str], output: Path, *, pdf: bool) -> None:
    command = ["quarto", "render", "--to", "html", "--no-clean", *(["-M", "has-pdf:true"] if pdf else [])]
    log = run(command, source, limit=TIME_LIMIT_SECONDS * len(pages))
    warned = [line.strip() for line in log.splitlines() if "WARN" in line]
    if warned:
        raise RenderingFailed(f"quarto warned about {source}: {warned[0]}")
    for page in pages:
        built = source / QUARTO_OUTPUT / f"{page}.html"
        if not built.is_file():
            raise RenderingFailed(f"quarto left no {built}")
        target = output / f"{page}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built, target)


def run(command: Sequence[str], folder: Path, *, limit: float = TIME_LIMIT_SECONDS) -> str:
    """Run a program in ``folder`` and return its output; raises RenderingFailed, also after ``limit`` seconds."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, encoding="utf-8", errors="replace",
            timeout=limit, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as wrong:
        raise RenderingFailed(f"{Path(command[0]).name} could not run: {wrong}") from wrong
    log = done.stdout + done.stderr
    if done.returncode != 0:
        said = " ".join(line.strip() for line in log.splitlines() if line.strip())
        raise RenderingFailed(
            f"{Path(command[0]).name} {command[1]} stopped with status {done.returncode} in {folder}: {said}"
        )
    return log
