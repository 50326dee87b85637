"""Citation of the project from its ``CITATION.cff``, as a sentence and as BibTeX.

Only the few top-level lines that a citation needs are read; this is no general YAML reader.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.errors import UserError
from universal_neurons.render.escaping import Html, html_text
from universal_neurons.render.formatting import listed

if TYPE_CHECKING:
    from pathlib import Path

_FIELD = re.compile(r'^([a-z-]+): *"?(.*?)"? *$')
_AUTHOR = re.compile(r'^ {2}(?:- | {2})(name|family-names|given-names): *"?(.*?)"? *$')
WANTED = ("title", "version", "date-released", "license")


class CitationError(UserError):
    """``CITATION.cff`` cannot be read or lacks a field that a citation needs."""


@dataclass(frozen=True, slots=True)
class Citation:
    """What a citation of the project says."""

    title: str
    version: str
    released: str
    license: str
    authors: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Citation:
        """The citation in the file at ``path``; raises :class:`CitationError`."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as wrong:
            raise CitationError(f"{path}: cannot be read ({wrong.strerror or wrong})") from wrong
        fields = {match[1]: match[2] for line in lines if (match := _FIELD.match(line))}
        for name in WANTED:
            if not fields.get(name):
                raise CitationError(f"{path}: {name} is missing")
        title, version, released, licence = (fields[name] for name in WANTED)
        return cls(title, version, released, licence, _authors(lines))

    @property
    def sentence(self) -> str:
        """The citation as prose."""
        who = f"{listed(self.authors)}: " if self.authors else ""
        return f"{who}{self.title}. Version {self.version}, {self.released}. Licence: {self.license}."

    def bibtex(self) -> Html:
        """The citation as a block of BibTeX."""
        fields = {
            "author": " and ".join(f"{{{author}}}" for author in self.authors),
            "title": self.title,
            "version": self.version,
            "date": self.released,
        }
        inside = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
        entry = f"@software{{universal-neurons,\n{inside}\n}}"
        lines = "\n".join(_indented(line) for line in entry.split("\n"))
        return Html(f'<pre tabindex="0" role="region" aria-label="BibTeX"><code>{lines}</code></pre>')


def _indented(line: str) -> str:
    """``line`` escaped, with the blanks at its start, which escaping drops."""
    return " " * (len(line) - len(line.lstrip())) + html_text(line)


def _authors(lines: list[str]) -> tuple[str, ...]:
    """The names under the top-level key ``authors``, given names first."""
    found: list[dict[str, str]] = []
    inside = False
    for line in lines:
        if not line.startswith(" "):
            inside = line.startswith("authors:")
        elif inside and (match := _AUTHOR.match(line)):
            if line.startswith("  - "):
                found.append({})
            found[-1][match[1]] = match[2]
    return tuple(
        " ".join(part for part in (one.get("given-names"), one.get("name") or one.get("family-names")) if part)
        for one in found
    )
