from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from universal_neurons import render

MODULES = [module.name for module in pkgutil.walk_packages(render.__path__, f"{render.__name__}.")]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_the_documentation_hold(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0
