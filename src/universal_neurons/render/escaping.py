"""One encoder per sink: whatever a claim, a model or a file is called, it is text when it reaches a page.

Decides what is escaped and how, for Markdown (pandoc's and Quarto's), HTML text and attributes, Typst, and CSV.  Knows
nothing of templates or tables.
"""

from __future__ import annotations

import html
import re
import unicodedata

_SYMBOL = re.compile(r"([!-/:-@\[-`{-~])")
_BLANK = re.compile(r"[ \t\r\n\f\v\u2028\u2029]+")
_BREAK = re.compile(r"[\t\r\f\v\u2028\u2029]")
_PER_CENT = re.compile(r"(?<=\d) %")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SIGNS = {"\n": "↵", "\t": "⇥"}


class Markdown(str):
    """Markdown that is already safe: written by this project or made by :func:`markdown`."""

    __slots__ = ()


class Html(str):
    """HTML that is already safe: written by this project or made by :func:`html_text`."""

    __slots__ = ()


class Typst(str):
    """Typst markup that is already safe: written by this project or made by :func:`typst_text`."""

    __slots__ = ()


def visible(text: str) -> str:
    """``text`` on one line, with control, bidirectional and unassigned characters spelled out.

    >>> visible("left\\u202eright")
    'left⟨U+202E⟩right'
    >>> visible("two\\nlines")
    'two lines'
    """
    return _spelled(_BLANK.sub(" ", text).strip())


def _spelled(line: str) -> str:
    return "".join(f"⟨U+{ord(c):04X}⟩" if unicodedata.category(c) in _INVISIBLE else c for c in line)


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
    return "".join(_SIGNS.get(c) or (f"⟨U+{ord(c):04X}⟩" if unicodedata.category(c) in _INVISIBLE else c) for c in text)


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
    return Typst(_SYMBOL.sub(r"\\\1", _spelled(_BLANK.sub(" ", text))))


def typst_string(text: str) -> Typst:
    r"""``text`` as a string of Typst's code, quotation marks included; its lines and their indents are kept.

    >>> print(typst_string('a "b" \\'))
    "a \"b\" \\"
    """
    lines = (_spelled(_BREAK.sub(" ", line)).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n"))
    return Typst('"' + "\\n".join(lines) + '"')


def csv_text(text: str) -> str:
    """``text`` for a CSV cell; a spreadsheet must not run it as a formula.

    >>> csv_text("=1+1")
    "'=1+1"
    """
    line = visible(text)
    return f"'{line}" if line.startswith(_FORMULA) else line


def raw_html(block: Html) -> Markdown:
    """``block`` as a raw HTML block of Markdown, fenced with more backticks than it contains in a row."""
    longest = max((len(run) for run in re.findall(r"`+", block)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markdown(f"{fence}{{=html}}\n{block}\n{fence}")


def fragment(text: str) -> str:
    """``text`` as an id that is safe in a URL, an attribute and a selector.

    >>> fragment("N1 <b>")
    'n1-b'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-") or "x"
