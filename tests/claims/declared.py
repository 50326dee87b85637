"""The claims of this checkout as their files declare them."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import TYPE_CHECKING

from tests.sources import ROOT
from universal_neurons.harness.declare import ClaimDeclaration, declaration_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def declared_in(files: Iterable[Path]) -> dict[str, ClaimDeclaration]:
    """The claims that ``files`` declare, by id."""
    found: dict[str, ClaimDeclaration] = {}
    for file in files:
        spec = importlib.util.spec_from_file_location(f"claims_{file.stem}", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        declared = [declaration_of(value) for value in vars(module).values()]
        found |= {one.claim.id: one for one in declared if isinstance(one, ClaimDeclaration)}
    return found


@cache
def claims_of(section: str) -> dict[str, ClaimDeclaration]:
    """The claims of a folder of ``claims/``, by id."""
    return declared_in(sorted((ROOT / "claims" / section).glob("test_*.py")))


def number_of_files(section: str) -> int:
    """How many claim files a folder of ``claims/`` has."""
    return len(list((ROOT / "claims" / section).glob("test_*.py")))
