"""Escaping of text for each output format: Markdown, HTML, Typst, CSV, tokens and anchors.

Whatever a claim, a model or a file is called, it is plain text when it reaches a page.
"""

from __future__ import annotations

import hashlib
import html
import re

from universal_neurons.characters import spelled_out, visible

_SYMBOL = re.compile(r"([!-/:-@\[-`{-~])")
_BLANK = re.compile(r"[ \t\r\n\f\v\u2028\u2029]+")
_BREAK = re.compile(r"[\t\r\f\v\u2028\u2029]")
_PER_CENT = re.compile(r"(?<=\d) %")
# What begins a formula in some spreadsheet; those of full width do so under East Asian settings.
_FORMULA = re.compile(r"((?:^|[;|])\s*)(?=[-=+@\uff1d\uff0b\uff0d\uff20])")
_SIGNS = str.maketrans({"\n": "↵", "\t": "⇥"})
# A file system takes names of 255 bytes; suffixes and the folder of a report need some.
_LONGEST_FRAGMENT = 80


class Markdown(str):
    """Markdown that is already safe: written by this project or made by :func:`markdown`."""

    __slots__ = ()


class Html(str):
    """HTML that is already safe: written by this project or made by :func:`html_text`."""

    __slots__ = ()


class Typst(str):
    """Typst markup that is already safe: written by this project or made by :func:`typst_text`."""

    __slots__ = ()


def _kept_together(line: str) -> str:
    """``line`` with a space that does not break between a number and its per cent sign."""
    return _PER_CENT.sub("\u00a0%", line)


def markdown(text: str) -> Markdown:
    r"""``text`` as literal Markdown: every ASCII symbol escaped, which also defuses Quarto's short codes and citations.

    >>> markdown("{{< include x >}} *bold* @fig-x")
    '\\{\\{\\< include x \\>\\}\\} \\*bold\\* \\@fig\\-x'
    """
    return Markdown(_SYMBOL.sub(r"\\\1", _kept_together(visible(text))))


def token_text(text: str) -> str:
    """What one token says, its spaces kept: line ends and tabs as signs, what cannot be seen spelled out.

    >>> token_text(" def\\n"), token_text("\\u202e\\x00")
    (' def↵', '⟨U+202E⟩⟨U+0000⟩')
    """
    return spelled_out(text.translate(_SIGNS))


def html_text(text: str) -> Html:
    """``text`` as HTML text or as the value of a quoted attribute.

    Braces and backticks are escaped too: Quarto reads short codes inside raw HTML, and a fence of backticks ends it.

    >>> html_text('<b title="x">{{< y >}}`')
    '&lt;b title=&quot;x&quot;&gt;&#123;&#123;&lt; y &gt;&#125;&#125;&#96;'
    """
    escaped = html.escape(_kept_together(visible(text)), quote=True)
    return Html(escaped.replace("{", "&#123;").replace("}", "&#125;").replace("`", "&#96;"))


def typst_text(text: str) -> Typst:
    r"""``text`` as literal Typst markup, its outer spaces kept: every ASCII symbol escaped.

    A call is ended by that too: without it a bracket or dot after ``#emph[x]`` would go on with the call.

    >>> print(typst_text('#eval("1") *b* @fig'))
    \#eval\(\"1\"\) \*b\* \@fig
    """
    return Typst(_SYMBOL.sub(r"\\\1", spelled_out(_BLANK.sub(" ", text))))


def typst_string(text: str) -> Typst:
    r"""``text`` as a string of Typst's code, quotation marks included; its lines and their indents are kept.

    >>> print(typst_string('a "b" \\'))
    "a \"b\" \\"
    """
    lines = (spelled_out(_BREAK.sub(" ", line)).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n"))
    return Typst('"' + "\\n".join(lines) + '"')


def csv_text(text: str) -> str:
    """``text`` for a CSV cell; a spreadsheet must not run it, or a part of it, as a formula.

    Where semicolons or bars separate cells, what follows one inside ``text`` is a cell of its own.

    >>> csv_text("=1+1"), csv_text("a; =1+1"), csv_text("a = b")
    ("'=1+1", "a; '=1+1", 'a = b')
    """
    return _FORMULA.sub(r"\1'", visible(text))


def raw_html(block: Html) -> Markdown:
    """``block`` as a raw HTML block of Markdown, fenced with more backticks than it contains in a row."""
    longest = max((len(run) for run in re.findall(r"`+", block)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markdown(f"{fence}{{=html}}\n{block}\n{fence}")


def fragment(text: str) -> str:
    """``text`` as an id that is safe in a URL, an attribute and a selector.

    A long text is cut and ends with a digest of the whole, so that two of them do not meet.

    >>> fragment("N1 <b>"), fragment("<>")
    ('n1-b', 'x')
    """
    words = re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-") or "x"
    if len(words) <= _LONGEST_FRAGMENT:
        return words
    return f"{words[:_LONGEST_FRAGMENT]}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
