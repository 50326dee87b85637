"""Source code shown in a report: the functions that drew its figures and the tests that judged its claims.

The files are copied beside the pages as plain text.  Only files of the checkout's ``claims/`` and of this package are
shown.
"""

from __future__ import annotations

import ast
import re
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from universal_neurons.errors import UserError
from universal_neurons.render.escaping import Html, html_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER = "source/code"
PACKAGE = Path(__file__).parents[1]
# What evidence records as the place of a test; anything else is text, whatever file it may name.
_TEST = re.compile(r"(claims(?:/\w+)+\.py):(\d+)")


class ListingMissing(UserError):
    """A figure names a function that the project does not have."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A location in the project's code: its name, and the report's file that shows it ("" for none).

    ``reason`` is what the docstring of a claim's file says after its first line: the rule, and why it is that one.
    """

    name: str
    line: int = 0
    path: str = ""
    reason: str = ""

    def link(self, *, root: str = "") -> Html:
        """The name, as a link to the code where the report has it; ``root`` leads from the page to the report."""
        name = Html(f"<code>{html_text(self.name)}</code>")
        return Html(f'<a href="{root}{html_text(self.path)}">{name}</a>, line {self.line}') if self.path else name


def drawing(code: str) -> Listing:
    """The function of this package that is called ``code`` ("render.figures.emergence.layer_heat_map").

    Raises ListingMissing where there is no such function.
    """
    module, _, function = code.rpartition(".")
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    line = _functions(path).get(function)
    if line is None:
        raise ListingMissing(f"{path}: expected the function {function!r}, which a figure names as {code}; got none")
    return Listing(code, line, f"{FOLDER}/{path.relative_to(PACKAGE).as_posix()}.txt")


@cache
def _functions(path: Path) -> dict[str, int]:
    """The lines of the functions of a module; none where there is no such file."""
    if not path.is_file():
        return {}
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name: node.lineno for node in body if isinstance(node, ast.FunctionDef)}


def judging(root: Path, locators: Mapping[str, str]) -> dict[str, Listing]:
    """The test of every claim from the place that its evidence records ("claims/emergence/test_n2_grows.py:21")."""
    found = {}
    for claim, locator in locators.items():
        test = _TEST.fullmatch(locator)
        if test is None or not (root / test[1]).is_file():
            found[claim] = Listing(locator)
            continue
        says = ast.get_docstring(ast.parse((root / test[1]).read_text(encoding="utf-8"))) or ""
        reason = " ".join(says.partition("\n")[2].replace("``", "").split())
        found[claim] = Listing(test[1], int(test[2]), f"{FOLDER}/{test[1]}.txt", reason)
    return found


def write_listings(built: Path, root: Path, listings: Iterable[Listing]) -> None:
    """Copy the files of ``listings`` into the report in ``built``; ``root`` is the checkout with the claims."""
    for shown in sorted({one.path for one in listings if one.path}):
        name = shown.removeprefix(f"{FOLDER}/").removesuffix(".txt")
        target = built / shown
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile((root if name.startswith("claims/") else PACKAGE) / name, target)
