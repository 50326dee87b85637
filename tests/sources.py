"""The project's own sources as data: imports, definitions and docstrings."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
PACKAGE = "universal_neurons"
When = Literal["reading", "on demand", "types only"]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """One imported name, ``pandas.DataFrame`` or ``universal_neurons.core.moments``, and when it is imported."""

    name: str
    when: When
    line: int

    def is_within(self, package: str) -> bool:
        """Whether the name is ``package`` or lies in it."""
        return f"{self.name}.".startswith(f"{package}.")

    @property
    def distribution(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]

    @property
    def is_standard(self) -> bool:
        """Whether the import is of the standard library."""
        return self.distribution in sys.stdlib_module_names


@cache
def parsed(source: str) -> ast.Module:
    """The syntax tree of a module; every rule asks for the same ones."""
    return ast.parse(source)


@cache
def imports(source: str) -> tuple[Import, ...]:
    """Every import of a module, at whatever depth."""
    found: list[Import] = []

    def visit(node: ast.AST, when: When) -> None:
        match node:
            case ast.Import(names=names):
                found.extend(Import(alias.name, when, node.lineno) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                origin = "." * level + (module or "")
                found.extend(Import(f"{origin}.{alias.name}", when, node.lineno) for alias in names)
            case ast.If(test=test) if "TYPE_CHECKING" in ast.unparse(test):
                for statement in node.body:
                    visit(statement, "types only")
                for statement in node.orelse:
                    visit(statement, when)
                return
        inner: When = "on demand" if isinstance(node, Function | ast.Lambda) and when == "reading" else when
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    visit(parsed(source), "reading")
    return tuple(found)


def functions(source: str) -> Iterator[tuple[Function, int]]:
    """Every function with the number of its lines, decorators apart."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, Function):
            yield node, (node.end_lineno or node.lineno) - node.lineno + 1


def undocumented(source: str) -> list[str]:
    """The public functions, classes and methods without a docstring, and ``module`` for the module itself."""
    found = []

    def visit(node: ast.Module | ast.ClassDef, prefix: str) -> None:
        for child in node.body:
            if not isinstance(child, Function | ast.ClassDef) or child.name.startswith("_"):
                continue
            overloaded = any("overload" in ast.unparse(decorator) for decorator in child.decorator_list)
            if ast.get_docstring(child) is None and not overloaded:
                found.append(prefix + child.name)
            if isinstance(child, ast.ClassDef):
                visit(child, f"{prefix}{child.name}.")

    tree = parsed(source)
    visit(tree, "")
    return [*found, *(["module"] if ast.get_docstring(tree) is None else [])]


def public_types(source: str) -> Iterator[str]:
    """The public classes and type aliases that a module defines at its top level.

    An alias is a name in capitalised words that is given a type: ``Floats = NDArray[float64]``, ``Where = A | B``.
    """
    for node in parsed(source).body:
        match node:
            case ast.ClassDef(name=name):
                names = [name]
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript() | ast.BinOp() | ast.Attribute()):
                names = [name]
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind) if "TypeAlias" in ast.unparse(kind):
                names = [name]
            case _:
                names = []
        yield from (name for name in names if re.match(r"[A-Z]\w*[a-z]", name))


def docstrings(source: str) -> Iterator[tuple[str, str]]:
    """The docstrings of a module, named ``module``, and of its public classes, functions and methods."""

    def visit(node: ast.Module | ast.ClassDef | Function, prefix: str) -> Iterator[tuple[str, str]]:
        text = ast.get_docstring(node)
        if text is not None:
            yield prefix.strip(".") or "module", text
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function | ast.ClassDef) and not child.name.startswith("_"):
                yield from visit(child, f"{prefix}{child.name}.")

    yield from visit(parsed(source), "")


@cache
def package_modules() -> Mapping[str, str]:
    """The text of every module of the package by its dotted name, without the name of the package."""
    folder = ROOT / "src" / PACKAGE
    return {
        ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): file.read_text("utf-8")
        for file in sorted(folder.rglob("*.py"))
    }


def claim_files() -> list[Path]:
    """The files of the claims."""
    return sorted((ROOT / "claims").rglob("*.py"))


def kept_files() -> list[Path]:
    """The files that git tracks or would add; skips the test outside a checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = (ROOT / name for name in listed.stdout.decode("utf-8").split("\0") if name)
    return [path for path in paths if path.is_file()]


def text_of(path: Path) -> str:
    """The text of a file, empty for one that is not text."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return ""
