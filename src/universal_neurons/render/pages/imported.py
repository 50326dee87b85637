"""Notes about imported evidence, and about samples of it that were recomputed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.render.escaping import Markdown, markdown
from universal_neurons.render.formatting import count, listed

if TYPE_CHECKING:
    from universal_neurons.artifacts.receipt import Imported

_DAY = len("2025-11-09")


def mark(imported: Imported, *, artifacts: int, command: str) -> Markdown | None:
    """The note of a page about evidence that nobody checked here; None where there is none.

    ``artifacts`` is the number of all artifacts behind the pages, ``command`` what computes a sample again.
    """
    if not imported.unchecked:
        return None
    unchecked = [source for source in imported.sources if source.sample is None]
    origin = f" from {listed(source.source for source in unchecked)}" if unchecked else ""
    number = f"{count(len(imported.unchecked))} of the {count(artifacts)} artifacts behind these pages"
    return Markdown(
        f"**{markdown('Imported evidence.')}** "
        + markdown(
            f"{number} were computed elsewhere and imported{origin}. Their digests are those of the export, but "
            "nothing of them has been computed again here; this note stays until a sample has been:"
        )
        + f" `{command}`."
    )


def checked(imported: Imported) -> tuple[str, ...]:
    """One sentence for each import of which a sample was computed again here: which, when, what came out."""
    return tuple(
        f"Imported from {source.source}; a sample was computed again here on {source.sample.created[:_DAY]}: "
        f"{source.sample.result}."
        for source in imported.sources
        if source.sample is not None
    )


def marked_stage(stage: str, digest: str, imported: Imported) -> str:
    """The name of an artifact's stage as a page shows it, marked where nobody checked the artifact here."""
    return f"{stage}, imported" if digest in imported.unchecked else stage
