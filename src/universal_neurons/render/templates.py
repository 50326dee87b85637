"""The templates of the report: how a value enters a page, and what a template may not say itself.

Decides the delimiters (``<< >>``, ``<% %>``, ``<!--# #-->``: Jinja's own collide with Quarto's), that whatever is not
marked safe is escaped, that a missing value is an error with file and line, and that no digit stands in prose: a
number in a template would survive a change of the evidence.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jinja2

from universal_neurons.errors import UserError
from universal_neurons.render.escaping import Html, Markdown, html_text, markdown, raw_html

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SUFFIX = ".j2"
DELIMITERS: Any = {
    "variable_start_string": "<<",
    "variable_end_string": ">>",
    "block_start_string": "<%",
    "block_end_string": "%>",
    "comment_start_string": "<!--#",
    "comment_end_string": "#-->",
}
# What may contain a digit without stating a number: a name of the papers' models, a citation or reference, an attribute
# block, a link's target, code.
ALLOWED = re.compile(r"GPT-2|@[\w:.-]+|\{[^}\n]*\}|\]\([^)\n]*\)|`[^`\n]*`")
# The same of a template of HTML: what a tag holds is not prose.
TAG = re.compile(r"<[^>]*>")
_DIGIT = re.compile(r"\d[\d.,]*\s?%?")


class TemplateWrong(UserError):
    """A template asks for a value that is not there, cannot be read, or states a number itself."""


def environment(folder: Path, finalize: Callable[[object], str] | None = None) -> jinja2.Environment:
    """The templates in ``folder``; values enter a page as ``finalize`` says, by default as :func:`emitted` does."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        # HTML escaping would be the wrong one: these templates are Markdown, and ``finalize`` escapes for it.
        autoescape=False,  # noqa: S701
        finalize=finalize or emitted,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        **DELIMITERS,
    )


def emitted(value: object) -> str:
    """How a value of an expression enters the page: safe Markdown as it is, HTML as a raw block, text escaped.

    Raises TypeError for floats, which must be given decimals first, and for anything that is not text or a count.
    """
    if isinstance(value, Markdown):
        return str(value)
    if isinstance(value, Html):
        return raw_html(value)
    if isinstance(value, str):
        return markdown(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, jinja2.Undefined):
        return str(value)
    raise TypeError(f"a template was given {type(value).__name__} {value!r}; expected text")


def emitted_html(value: object) -> str:
    """How a value enters a template of HTML: safe HTML as it is, text escaped; raises TypeError as :func:`emitted`."""
    if isinstance(value, Html | jinja2.Undefined):
        return str(value)
    if isinstance(value, str) and not isinstance(value, Markdown):
        return html_text(value)
    raise TypeError(f"a template was given {type(value).__name__} {value!r}; expected text or HTML")


def filled_html(folder: Path, name: str, context: Mapping[str, Any]) -> str:
    """The template ``name`` of a whole page, which pandoc does not see; raises TemplateWrong with file and line."""
    return _rendered(environment(folder, emitted_html), folder, name, context)


def filled(folder: Path, name: str, context: Mapping[str, Any]) -> str:
    """The template ``name`` of ``folder`` with its values; raises TemplateWrong with file and line."""
    text = _rendered(environment(folder), folder, name, context)
    # Escaped values never contain one, and pandoc would print it: the template itself uses a short code of Quarto's.
    if "{{<" in text:
        raise TemplateWrong(f"{folder / name}: expected no short code of Quarto's, got {{{{<")
    return text


def _rendered(templates: jinja2.Environment, folder: Path, name: str, context: Mapping[str, Any]) -> str:
    try:
        return templates.get_template(name).render(context)
    except jinja2.TemplateSyntaxError as wrong:
        raise TemplateWrong(f"{folder / name}:{wrong.lineno}: {wrong.message}") from wrong
    except (jinja2.UndefinedError, TypeError, KeyError) as wrong:
        raise TemplateWrong(f"{folder / name}:{_line(wrong, name)}: {wrong}") from wrong


def _line(wrong: BaseException, name: str) -> int:
    """The line of the template that was being filled when ``wrong`` was raised."""
    line = 0
    trace = wrong.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(name):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def stray_digits(folder: Path) -> tuple[str, ...]:
    """Every number that a template states itself, as "file:line: number"."""
    return tuple(
        f"{path}:{line}: {number}"
        for path in sorted(folder.glob(f"*{SUFFIX}"))
        for line, number in _digits(path.read_text(encoding="utf-8"), allowed=_allowed(path))
    )


def _allowed(path: Path) -> re.Pattern[str]:
    return TAG if path.name.endswith(f".html{SUFFIX}") else ALLOWED


def _digits(source: str, *, allowed: re.Pattern[str] = ALLOWED) -> list[tuple[int, str]]:
    found = []
    for start, kind, text in jinja2.Environment(**DELIMITERS, autoescape=True).lex(source):
        if kind != "data":
            continue
        prose = allowed.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
        found += [(start + prose.count("\n", 0, m.start()), m[0].strip()) for m in _DIGIT.finditer(prose)]
    return found
