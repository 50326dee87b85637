"""Templates of the report: delimiters, escaping of values, and checks of the templates' own text.

The delimiters are ``<< >>``, ``<% %>`` and ``<!--# #-->``, because Jinja's own collide with Quarto's.  A value that is
not marked as safe is escaped; a missing value is an error with file and line.  A template may state neither a number
nor a verdict itself, because such text would survive a change of the evidence.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jinja2

from universal_neurons.errors import UserError
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.render.escaping import Html, Markdown, html_text, markdown, raw_html
from universal_neurons.render.formatting import MissingNumber
from universal_neurons.render.wording import WORDING

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
# block, a link's target, code that is more than a number.
ALLOWED = re.compile(r"GPT-2|@[\w:.-]+|\{[^}\n]*\}|\]\([^)\n]*\)|`[^`\n]*`")
# The same of a template of HTML: what a tag holds is not prose.
TAG = re.compile(r"<[^>]*>")
# But these attributes are read to somebody, in either.
_SPOKEN = re.compile(r"""(?:alt|title|aria-label|placeholder|label)\s*=\s*("[^"]*"|'[^']*')""")
_TITLE = re.compile(r"""\]\([^)\n]*?("[^"\n]*")\)""")
_DIGIT = re.compile(r"\d[\d.,]*\s?%?|[\u00bc-\u00be\u2150-\u2189]")
# "Error" and "stale" have other meanings; a sentence about a claim that broke is generated like any other.
_LABELS = [words.label for verdict, words in WORDING.items() if verdict not in {Verdict.ERROR, Verdict.STALE}]
_VERDICT = re.compile(rf"\b(?:{'|'.join(_LABELS)})\b", re.IGNORECASE)
_EXPLAINS = re.compile(r"\b(?:if|would|had|can|may|when|means)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?](?=\s)|\n\s*\n|\n(?=#|:::|---)")
_NO_LINE_END = re.compile(r"[^\n]")


class TemplateWrong(UserError):
    """A template is invalid, asks for a missing value, or states a number or a verdict itself."""


def known(values: Mapping[str, Callable[[], object]]) -> dict[str, Any]:
    """The values of a template, each from its function.

    A value whose number is missing becomes an undefined value with that message, so the build stops at the template's
    line that uses it.
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        try:
            found[name] = value()
        except MissingNumber as wrong:
            found[name] = jinja2.StrictUndefined(f"{name}: {wrong}")
    return found


# A claim's template is compiled once for a hundred pages; one that changed is read again.
@lru_cache(maxsize=8)
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
    """The value of an expression as Markdown: safe Markdown unchanged, HTML as a raw block, text escaped.

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
    """The value of an expression as HTML: safe HTML unchanged, text escaped; raises TypeError as :func:`emitted`."""
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
        for path in _sources(folder)
        for line, number in _digits(path.read_text(encoding="utf-8"), allowed=_allowed(path))
    )


def stray_verdicts(folder: Path) -> tuple[str, ...]:
    """Every sentence in which a template itself states a verdict, as "file:line: sentence".

    A template may explain when a claim would have a verdict (if, only if, would, had), never that one has it.
    """
    return tuple(
        f"{path}:{line}: {sentence}"
        for path in _sources(folder)
        for line, sentence in _verdicts(path.read_text(encoding="utf-8"), allowed=_allowed(path))
    )


def _sources(folder: Path) -> list[Path]:
    """The templates, and the frame that pandoc puts around every page."""
    return sorted({*folder.glob(f"*{SUFFIX}"), *folder.glob("page.html")})


def _allowed(path: Path) -> re.Pattern[str]:
    return TAG if path.name.removesuffix(SUFFIX).endswith(".html") else ALLOWED


def _prose(source: str, allowed: re.Pattern[str]) -> str:
    """A template with blanks for everything that is not prose or that is ``allowed``; line numbers are kept."""
    tokens = jinja2.Environment(**DELIMITERS, autoescape=True).lex(source)
    return "".join(
        allowed.sub(_blanked, text) if kind == "data" else _NO_LINE_END.sub(" ", text) for _, kind, text in tokens
    )


def _blanked(found: re.Match[str]) -> str:
    """Replace the match with blanks, except attributes that are read aloud, and numbers written as code."""
    text = found[0]
    if text.startswith("`") and not any(map(str.isalpha, text)):
        return text
    spoken = [one.span(1) for pattern in (_SPOKEN, _TITLE) for one in pattern.finditer(text)]
    kept = {place for low, high in spoken for place in range(low, high)}
    return "".join(c if c == "\n" or place in kept else " " for place, c in enumerate(text))


def _digits(source: str, *, allowed: re.Pattern[str] = ALLOWED) -> list[tuple[int, str]]:
    prose = _prose(source, allowed)
    return [(prose.count("\n", 0, found.start()) + 1, found[0].strip()) for found in _DIGIT.finditer(prose)]


def _verdicts(source: str, *, allowed: re.Pattern[str] = ALLOWED) -> list[tuple[int, str]]:
    prose, found, begin = _prose(source, allowed), [], 0
    for end in _SENTENCE_END.finditer(f"{prose}\n\n"):
        sentence, words = prose[begin : end.end()], " ".join(prose[begin : end.end()].split())
        if _VERDICT.search(words) and not _EXPLAINS.search(words):
            start = end.end() - len(sentence.lstrip())
            found.append((prose.count("\n", 0, start) + 1, words))
        begin = end.end()
    return found
