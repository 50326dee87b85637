"""Selection of a part of a suite, as the options of the command line and of pytest spell it.

The fields of :class:`Selection` are the only list of these options: the commands and the pytest plugin make theirs from
:data:`OPTIONS`, so a new option is one field.  Whether the suite has such a model or checkpoint, ``Suite.narrowed``
checks; whether there is such a claim, the harness does.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_INTEGER = re.compile(r"-?[0-9]+")
_FACTORS = {"k": 10**3, "M": 10**6}


class SelectionError(UserError):
    """An option that selects a part of a suite is not spelled as it must be."""


def number_of_tokens(text: str) -> int:
    """Parse a number of tokens, which may be spelled ``50k`` or ``5M``; raises SelectionError.

    >>> number_of_tokens("50k"), number_of_tokens("5M"), number_of_tokens("300")
    (50000, 5000000, 300)
    """
    factor = _FACTORS.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    # Not int(): that also reads "1_0", " 5" and digits of other scripts.  The suite refuses too few.
    if not _INTEGER.fullmatch(digits):
        raise SelectionError(f"tokens: expected a number such as 50000, 50k or 5M, got {text!r}")
    return int(digits) * factor


def names(text: str) -> tuple[str, ...]:
    """Split ``text`` at its commas into names.

    >>> names("a, b,")
    ('a', 'b')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


@dataclass(frozen=True, slots=True)
class SelectionOption:
    """An option of the command line: ``--name METAVAR``, or a flag where ``metavar`` is empty.

    ``parse`` makes the value of its text and raises SelectionError.
    """

    name: str
    metavar: str
    help: str
    parse: Callable[[str], Any]

    @property
    def is_flag(self) -> bool:
        """True if the option takes no value."""
        return not self.metavar


def _option(metavar: str, help: str, parse: Callable[[str], Any], default: Any = None) -> Any:  # noqa: A002 - as argparse
    return field(default=default, metadata={"metavar": metavar, "help": help, "parse": parse})


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of a suite that a command is about; what is None selects everything.

    ``checkpoints`` are labels or steps, ``tokens`` a number of scored tokens, ``reference`` is the model whose neurons
    are looked at, ``references`` those whose neurons look for partners.  ``claims`` are ids: they leave the suite as it
    is and say which claims are judged.  ``quick`` is the suite at a small size, for a first look.
    """

    models: tuple[str, ...] | None = _option("NAMES", "Only these models, separated by commas.", names)
    checkpoints: tuple[str, ...] | None = _option(
        "NAMES", "Only these checkpoints (labels or steps), separated by commas.", names
    )
    tokens: int | None = _option("NUMBER", "Fewer scored tokens (50k, 5M).", number_of_tokens)
    reference: str | None = _option("NAME", "Another reference model.", str)
    references: tuple[str, ...] | None = _option(
        "NAMES", "Only these models' neurons look for partners, separated by commas.", names
    )
    claims: tuple[str, ...] | None = _option("IDS", "Only these claims, separated by commas (N1,N7).", names)
    precision: str | None = _option("NAME", "Precision of products over tokens: float32, tf32 (GPU) or bfloat16.", str)
    quick: bool = _option("", "A small part of the suite, for a first look.", bool, default=False)

    @classmethod
    def parsed(cls, texts: Mapping[str, str | bool | None]) -> Selection:
        """Parse options given by name: text, or whether a flag is set; None for one that is not given.

        Raises SelectionError.
        """
        known = {option.name: option for option in OPTIONS}
        values: dict[str, Any] = {
            name: text if isinstance(text, bool) else known[name].parse(text)
            for name, text in texts.items()
            if text is not None
        }
        return cls(**values)

    @classmethod
    def from_line(cls, line: str) -> Selection:
        """Parse options as a shell has them, the inverse of :attr:`line`; raises SelectionError."""
        known = {f"--{option.name}": option for option in OPTIONS}
        texts: dict[str, str | bool | None] = {}
        words = iter(shlex.split(line))
        for word in words:
            option = known.get(word)
            text = True if option is not None and option.is_flag else next(words, None)
            if option is None or text is None:
                raise SelectionError(f"{line!r}: expected options of {', '.join(sorted(known))}")
            texts[option.name] = text
        return cls.parsed(texts)

    @property
    def given(self) -> dict[str, Any]:
        """The options that are given, by name."""
        values = {option.name: getattr(self, option.name) for option in OPTIONS}
        return {name: value for name, value in values.items() if value is not None and value is not False}

    @property
    def narrowing(self) -> dict[str, Any]:
        """The given options that narrow the suite, as the arguments of ``Suite.narrowed``."""
        return {name: value for name, value in self.given.items() if name != "claims"}

    @property
    def words(self) -> list[str]:
        """The given options as words of a command line."""
        return [
            word
            for name, value in self.given.items()
            for word in (f"--{name}", *([] if value is True else [_spelled(value)]))
        ]

    @property
    def line(self) -> str:
        """The given options as a shell takes them."""
        return shlex.join(self.words)


OPTIONS = tuple(SelectionOption(name=entry.name, **entry.metadata) for entry in fields(Selection))
WHOLE = Selection()


def _spelled(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
