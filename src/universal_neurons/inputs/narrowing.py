"""Less of a suite, for a first look: what a command line may leave out, and how it is spelled.

This module decides the spelling, which is the same for every command and for pytest.  It refuses to know what a suite
has: whether there is such a model or checkpoint, ``Suite.narrowed`` says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

_INTEGER = re.compile(r"-?[0-9]+")
_FACTORS = {"k": 10**3, "M": 10**6}


class NarrowingError(UserError):
    """What a suite is to be narrowed to is not written as it must be."""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What is kept of a suite; None keeps all of it.

    ``models`` and ``references`` are names, ``checkpoints`` labels or steps, ``tokens`` a number of scored tokens,
    ``reference`` another model whose neurons are looked at.
    """

    models: tuple[str, ...] | None = None
    checkpoints: tuple[str, ...] | None = None
    tokens: int | None = None
    reference: str | None = None
    references: tuple[str, ...] | None = None

    @classmethod
    def parsed(cls, written: Mapping[str, str | None]) -> Narrowing:
        """The narrowing that options say: lists by commas, tokens as ``50k`` or ``5M``; raises NarrowingError."""
        chosen: dict[str, Any] = {}
        for name, text in written.items():
            if text is None:
                continue
            match name:
                case "tokens":
                    chosen[name] = number_of_tokens(text)
                case "reference":
                    chosen[name] = text
                case _:
                    chosen[name] = names(text)
        return cls(**chosen)

    def __bool__(self) -> bool:
        return bool(self.chosen)

    @property
    def chosen(self) -> dict[str, Any]:
        """What is narrowed, as the arguments of ``Suite.narrowed``."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def number_of_tokens(text: str) -> int:
    """A number of tokens, which may be spelt ``50k`` or ``5M``; raises NarrowingError.

    >>> number_of_tokens("50k"), number_of_tokens("5M"), number_of_tokens("300")
    (50000, 5000000, 300)
    """
    factor = _FACTORS.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    # Not int(): that also reads "1_0", " 5" and digits of other scripts.  What is too few, the suite says.
    if not _INTEGER.fullmatch(digits):
        raise NarrowingError(f"tokens: expected a number such as 50000, 50k or 5M, got {text!r}")
    return int(digits) * factor


def names(text: str) -> tuple[str, ...]:
    """The names in ``text``, between commas.

    >>> names("a, b,")
    ('a', 'b')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())
