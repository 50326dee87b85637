"""Trace a fault of the report to the lines of the templates that cause it.

The fault quotes a part of the source, or the page lacks what one expression of the template should have inserted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from universal_neurons.render.templates import DELIMITERS, SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What the filter of the pandoc route and the checks of pages say of something that is written in the source.
_QUOTED = re.compile(
    r"(?:reference to nothing|citation of nothing|unresolved reference): \??(?P<name>@[\w:.-]*\w)"
    r"|image that is not there: (?P<image>[^\s;]+)"
    r"|two blocks with the name (?P<block>[\w-]+)"
    r"|(?P<bare>(?:fig|tbl)-[\w-]+) has no caption"
    r"|link to a (?:file|place) that is not there: (?P<link>[^\s;]+)"
)
# Sentences that a page must say word for word, and the expression that says them.
_SAYING = re.compile(r"(?P<page>[\w/.-]+)\.html: does not say: ")
_SENTENCES = {"index": "summary", "readings": "summary", "claims": "outcome"}


def expression_line(template: Path, expression: str) -> int | None:
    """The first line of ``template`` that has ``expression`` between the delimiters of a value or of a block."""
    wanted = re.compile(rf"(?<![\w.]){re.escape(expression)}(?![\w.])")
    begin, end = re.escape(DELIMITERS["variable_start_string"]), re.escape(DELIMITERS["variable_end_string"])
    inside = re.compile(rf"{begin}(.*?){end}|<%(.*?)%>")
    for number, line in enumerate(template.read_text(encoding="utf-8").splitlines(), start=1):
        if any(wanted.search(found[1] or found[2]) for found in inside.finditer(line)):
            return number
    return None


def place(template: Path, line: int | None) -> str:
    """A line of a template as messages name it; its first line where there is none."""
    return f"{template}:{line or 1}"


def traced(fault: str, templates: Path, source: Path) -> str:
    """``fault`` after the lines of ``templates`` that it is about; what only the ``source`` quotes is named there.

    A fault that quotes nothing stays as it is.
    """
    places = list(dict.fromkeys((*_quoting(fault, templates, source), *_unsaid(fault, templates))))
    return f"{', '.join(places)}: {fault}" if places else fault


def _quoting(fault: str, templates: Path, source: Path) -> Iterator[str]:
    for found in _QUOTED.finditer(fault):
        quoted = next(part for part in found.groups() if part)
        here = list(_lines_with(quoted, templates, f"*.qmd{SUFFIX}"))
        yield from here or list(_lines_with(quoted, source, "*.qmd"))[:1]


def _lines_with(quoted: str, folder: Path, pattern: str) -> Iterator[str]:
    whole = re.compile(rf"(?<![\w-]){re.escape(quoted)}(?![\w-])")
    for path in sorted(folder.rglob(pattern)):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if whole.search(line):
                yield place(path, number)


def _unsaid(fault: str, templates: Path) -> Iterator[str]:
    for found in _SAYING.finditer(fault):
        page = found["page"].partition("/")[0]
        template = templates / f"{'claim' if '/' in found['page'] else page}.qmd{SUFFIX}"
        if page in _SENTENCES and template.is_file():
            yield place(template, expression_line(template, _SENTENCES[page]))
