"""Invisible characters, and their spelling in text that a reader sees.

Names of claims, models and tokens may hold any character.  A text made visible here never moves a cursor, reverses its
neighbours or ends its line, on a terminal, a page or in a cell; markup and formulas are escaped where they are written.
"""

from __future__ import annotations

import re
import unicodedata

_BLANK = re.compile(r"[ \t\r\n\f\v\u2028\u2029]+")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks that are drawn as nothing: two names that look alike would be different ones.
_EMPTY = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def is_invisible(character: str) -> bool:
    """Tell whether ``character`` controls, reorders or hides instead of being seen; blanks are seen.

    >>> [is_invisible(c) for c in ("a", " ", "\\x1b", "\\u202e", "\\u3164")]
    [False, False, True, True, True]
    """
    return unicodedata.category(character) in _INVISIBLE or character in _EMPTY


def spelled_out(text: str) -> str:
    """``text`` with the code point of every invisible character in its place.

    >>> spelled_out("left\\u202eright")
    'left⟨U+202E⟩right'
    """
    if text.isprintable() and _EMPTY.isdisjoint(text):
        return text
    return "".join(f"⟨U+{ord(c):04X}⟩" if is_invisible(c) else c for c in text)


def visible(text: str) -> str:
    """``text`` on one line, blanks joined, with control, bidirectional and unassigned characters spelled out.

    >>> visible("two\\nlines"), visible("\\x1b[31mred")
    ('two lines', '⟨U+001B⟩[31mred')
    """
    return spelled_out(_BLANK.sub(" ", text).strip())
