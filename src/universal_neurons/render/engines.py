"""The two programs that turn the generated source into pages: Quarto where it is installed, pandoc everywhere.

Decides which one runs, with which settings (those of ``report/_quarto.yml``).  Both render the same files; what comes
out is judged by :mod:`universal_neurons.render.checks`, never by an exit status alone.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

Engine = Literal["quarto", "pandoc"]
TIME_LIMIT_SECONDS = 300
QUARTO_OUTPUT = "_pages"


class RenderingFailed(UserError):
    """The rendering program refused the source; the message is what it said."""


def available_engine() -> Engine:
    """Quarto if it is on PATH, otherwise the pandoc that comes with a Python package."""
    return "quarto" if shutil.which("quarto") else "pandoc"


def render(source: Path, pages: Sequence[str], output: Path, *, engine: Engine) -> None:
    """Render ``pages`` (names without suffix) of ``source`` as HTML into ``output``; raises RenderingFailed."""
    if engine == "quarto":
        _with_quarto(source, pages, output)
    else:
        for page in pages:
            _run(pandoc_command(page, output / f"{page}.html"), source)


def pandoc_command(page: str, target: Path) -> list[str]:
    """The call of pandoc that does what ``_quarto.yml`` asks of Quarto, references and numbers by ``crossref.lua``."""
    import pypandoc

    return [
        str(pypandoc.get_pandoc_path()), f"{page}.qmd", f"--output={target}", "--from=markdown", "--to=html5",
        "--standalone", "--template=page.html", "--include-in-header=head.html", "--lua-filter=crossref.lua",
        "--citeproc", "--bibliography=references.bib", "--metadata=link-citations", "--metadata=lang:en-GB",
        "--mathml", "--number-sections", "--toc", "--toc-depth=2", "--embed-resources", "--wrap=preserve",
        "--fail-if-warnings",
    ]  # fmt: skip


def _with_quarto(source: Path, pages: Sequence[str], output: Path) -> None:
    log = _run(["quarto", "render", "--to", "html", "--no-clean"], source)
    warned = [line.strip() for line in log.splitlines() if "WARN" in line]
    if warned:
        raise RenderingFailed(f"quarto warned about {source}: {warned[0]}")
    for page in pages:
        built = source / QUARTO_OUTPUT / f"{page}.html"
        if not built.is_file():
            raise RenderingFailed(f"quarto left no {built}")
        shutil.copyfile(built, output / built.name)


def _run(command: Sequence[str], folder: Path) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, encoding="utf-8", errors="replace",
            timeout=TIME_LIMIT_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as wrong:
        raise RenderingFailed(f"{Path(command[0]).name} could not run: {wrong}") from wrong
    log = done.stdout + done.stderr
    if done.returncode != 0:
        said = " ".join(line.strip() for line in log.splitlines() if line.strip())
        raise RenderingFailed(f"{Path(command[0]).name} stopped with status {done.returncode} in {folder}: {said}")
    return log
