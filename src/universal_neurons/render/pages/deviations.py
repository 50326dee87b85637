"""Deviations from the papers, collected from the docstrings of the code.

A ``Deviation:`` line in any docstring of the package, with its continuation up to a blank line, is one entry of the
methods page.  The sources are parsed, not imported, so a report needs no torch.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARK = "Deviation:"
_ROLE = re.compile(r":\w+:`~?([^`]+)`")


@dataclass(frozen=True, slots=True, order=True)
class Deviation:
    """A declared deviation: the object whose docstring declares it (``core.nulls.rotation``), and its text."""

    where: str
    text: str


def deviations(package: Path = Path(__file__).parents[2], *others: Path) -> tuple[Deviation, ...]:
    """Every deviation in the sources of the package and of ``others`` (the claims), by module and name."""
    found = []
    for folder in (package, *others):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(package if folder is package else folder.parent).with_suffix("").parts
            module = ".".join(parts).removesuffix(".__init__")
            text = path.read_text(encoding="utf-8")
            # To parse every source would take seconds.
            tree = ast.parse(text if _MARK in text else "", filename=str(path))
            for where, docstring in _docstrings(tree, module):
                found += [Deviation(where, text) for text in deviation_lines(docstring)]
    return tuple(sorted(found))


def _docstrings(node: ast.AST, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        docstring = ast.get_docstring(node)
        if docstring:
            yield where, docstring
        for child in node.body:
            yield from _docstrings(child, f"{where}.{getattr(child, 'name', '')}")


def deviation_lines(docstring: str) -> tuple[str, ...]:
    """The text after each ``Deviation:`` in ``docstring``, up to a blank line or the next one.

    >>> deviation_lines("Share.\\n\\nDeviation: twenty draws,\\nnot one.\\n\\nMore.")
    ('twenty draws, not one.',)
    """
    found: list[list[str]] = []
    inside = False
    for line in (line.strip() for line in docstring.splitlines()):
        if line.startswith(_MARK):
            found.append([line.removeprefix(_MARK).strip()])
            inside = True
        elif inside and line:
            found[-1].append(line)
        else:
            inside = False
    return tuple(_plain(" ".join(part for part in parts if part)) for parts in found)


def _plain(text: str) -> str:
    """``text`` without the markup of docstrings."""
    return _ROLE.sub(r"\1", text).replace("``", "")
