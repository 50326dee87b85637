"""Citation of the project from its ``CITATION.cff``, as a sentence and as BibTeX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from universal_neurons.errors import UserError
from universal_neurons.render.escaping import Html, html_text
from universal_neurons.render.formatting import listed

if TYPE_CHECKING:
    from pathlib import Path

FIELDS = ("title", "version", "date-released", "license")


class CitationError(UserError):
    """``CITATION.cff`` cannot be read or lacks a field that a citation needs."""


@dataclass(frozen=True, slots=True)
class Citation:
    """The fields of a citation of the project."""

    title: str
    version: str
    released: str
    license: str
    authors: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Citation:
        """The citation in the file at ``path``; raises :class:`CitationError`."""
        try:
            fields: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as wrong:
            reason = " ".join(str(getattr(wrong, "strerror", None) or wrong).split())
            raise CitationError(f"{path}: cannot be read ({reason})") from wrong
        for name in FIELDS:
            if not isinstance(fields, dict) or not fields.get(name):
                raise CitationError(f"{path}: {name} is missing")
        authors = fields.get("authors") or []
        if not isinstance(authors, list) or not all(isinstance(author, dict) for author in authors):
            raise CitationError(f"{path}: authors: expected a list of names")
        title, version, released, licence = (str(fields[name]) for name in FIELDS)
        return cls(title, version, released, licence, tuple(map(_named, authors)))

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


def _named(author: dict[str, str]) -> str:
    """The name of an author, given names first."""
    parts = (author.get("given-names"), author.get("name") or author.get("family-names"))
    return " ".join(part for part in parts if part)
