"""What import-linter cannot say about who may know what; the floors themselves are contracts in pyproject.toml.

Every rule is a function from sources to findings, and is shown a violation that it must find.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.sources import PACKAGE, ROOT, claim_files, functions, imports, package_modules, undocumented

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# The distributions that each part of the package may import, at whatever moment; a part is a module or a package.
DISTRIBUTIONS = {
    "__init__": set(),
    "ids": set(),
    "measurement": set(),
    "errors": set(),
    "characters": set(),
    "evidence": set(),
    "progress": {"rich"},
    "inputs": {
        "filelock", "huggingface_hub", "numpy", "pydantic", "pydantic_core", "safetensors", "tokenizers", "torch",
        "transformer_lens", "transformers", "zstandard",
    },
    "core": {"jaxtyping", "torch", "transformer_lens"},
    "artifacts": {"filelock", "numpy", "pandas", "pyarrow", "safetensors"},
    "measures": {"numpy", "pandas", "scipy"},
    "workspace": {"numpy", "pandas"},
    "pipeline": {"numpy", "pandas", "psutil", "torch"},
    "study": {"numpy", "pandas"},
    "planning": {"tokenizers", "torch"},
    "recheck": {"numpy", "pandas"},
    "sharing": {"fsspec"},
    "zoo_training": {"numpy", "tokenizers"},
    "harness": {"pytest"},
    "render": {"jinja2", "matplotlib", "numpy", "pandas", "pypandoc", "typst"},
    "compare": set(),
    "reporting": set(),
    "listing": {"rich"},
    "command_options": {"typer"},
    "cli": {"typer"},
}  # fmt: skip
# torch takes seconds to import: outside the core, whoever needs it for some of its work imports it there.
TORCH = {"torch", "transformers", "transformer_lens", "jaxtyping"}
TORCH_WHEN_READ = {"core", "inputs.training"}
TORCH_ON_DEMAND = {
    "inputs.bridge",
    "inputs.publication",
    "inputs.recipe",
    "inputs.weights",
    "inputs.zoo",
    "pipeline",
    "planning",
}
PYTEST = {"harness.plugin"}
BACKEND = {"core.ablation", "core.activations", "core.bare", "core.patching", "core.weights", "inputs.bridge"}

CLAIMS_MAY = {f"{PACKAGE}.harness", f"{PACKAGE}.measures"}
CLAIMS_MAY_NOT = {f"{PACKAGE}.harness.plugin", f"{PACKAGE}.harness.scaffold"}
CLAIMS_STANDARD = {"__future__", "collections", "dataclasses", "functools", "itertools", "math", "typing"}

LONGEST_FUNCTION = 60
LONGER_FUNCTIONS: set[str] = set()


def is_among(module: str, allowed: set[str]) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in allowed)


def foreign_distributions(modules: Mapping[str, str]) -> Iterator[str]:
    """Distributions that a part of the package has no business with."""
    for module, source in modules.items():
        allowed = DISTRIBUTIONS.get(module.partition(".")[0])
        for found in imports(source):
            if allowed is None:
                yield f"{module}: not in the table of this test"
            elif not found.is_standard and found.distribution not in {PACKAGE, *allowed}:
                yield f"{module}:{found.line}: {found.name}"


def misplaced_torch(modules: Mapping[str, str]) -> Iterator[str]:
    """Imports of torch, or of what imports it, where or when they do not belong."""
    for module, source in modules.items():
        for found in imports(source):
            if found.distribution not in TORCH or found.when == "types only":
                continue
            allowed = TORCH_WHEN_READ | (TORCH_ON_DEMAND if found.when == "on demand" else set())
            if not is_among(module, allowed):
                yield f"{module}:{found.line}: {found.name} {found.when}"


def misplaced(modules: Mapping[str, str], distributions: set[str], allowed: set[str]) -> Iterator[str]:
    """Imports of ``distributions`` outside the ``allowed`` modules, types included."""
    for module, source in modules.items():
        for found in imports(source):
            if found.distribution in distributions and module not in allowed:
                yield f"{module}:{found.line}: {found.name}"


def relative(modules: Mapping[str, str]) -> Iterator[str]:
    """Relative imports: the rules of this file compare whole names."""
    for module, source in modules.items():
        yield from (f"{module}:{found.line}" for found in imports(source) if found.name.startswith("."))


def beyond_the_claims(source: str) -> Iterator[str]:
    """What a claim imports besides the harness, the measures and a little of the standard library."""
    for found in imports(source):
        allowed = any(found.is_within(package) for package in CLAIMS_MAY)
        internal = any(found.is_within(package) for package in CLAIMS_MAY_NOT)
        if not (found.distribution in CLAIMS_STANDARD or (allowed and not internal)):
            yield f"{found.line}: {found.name}"


def long_functions(source: str) -> Iterator[str]:
    for function, lines in functions(source):
        if lines > LONGEST_FUNCTION and function.name not in LONGER_FUNCTIONS:
            yield f"{function.name}: {lines} lines"


def test_every_part_imports_only_the_distributions_it_is_about() -> None:
    assert list(foreign_distributions(package_modules())) == []


def test_the_table_of_distributions_names_nothing_that_is_not_used() -> None:
    used = {
        (module.partition(".")[0], found.distribution)
        for module, source in package_modules().items()
        for found in imports(source)
    }
    assert [(part, name) for part, names in DISTRIBUTIONS.items() for name in names if (part, name) not in used] == []


def test_torch_is_imported_only_where_and_when_it_is_needed() -> None:
    assert list(misplaced_torch(package_modules())) == []


def test_only_the_plugin_imports_pytest() -> None:
    assert list(misplaced(package_modules(), {"pytest", "_pytest"}, PYTEST)) == []


def test_the_model_backend_is_visible_in_six_modules() -> None:
    assert list(misplaced(package_modules(), {"transformer_lens"}, BACKEND)) == []


def test_imports_name_their_module_in_full() -> None:
    assert list(relative(package_modules())) == []


@pytest.mark.parametrize("file", claim_files(), ids=lambda file: file.stem)
def test_a_claim_knows_the_harness_and_the_measures_only(file: Path) -> None:
    assert list(beyond_the_claims(file.read_text("utf-8"))) == []


def test_everything_public_has_a_docstring() -> None:
    assert {name: found for name, source in package_modules().items() if (found := undocumented(source))} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    files = [*(ROOT / "src").rglob("*.py"), *claim_files(), *(ROOT / "tests").rglob("*.py"), ROOT / "noxfile.py"]
    assert {str(file): found for file in files if (found := list(long_functions(file.read_text("utf-8"))))} == {}


def test_judging_and_rendering_start_without_torch() -> None:
    """From the shipped evidence a run takes seconds; torch alone would take several."""
    script = (
        "import sys\n"
        f"import {PACKAGE}.cli, {PACKAGE}.harness.plugin, {PACKAGE}.render, {PACKAGE}.study\n"
        f"print(*sorted({TORCH} & sys.modules.keys()))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, ""), ended.stderr


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("evidence.record", "import numpy"),
        ("measures.counts", "def f():\n    from torch import tensor"),
        ("core.moments", "import numpy as np"),
        ("helpers", "import numpy"),
    ],
)
def test_a_foreign_distribution_is_found(module: str, source: str) -> None:
    assert list(foreign_distributions({module: source})) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("study", "def f():\n    import torch"),
        ("inputs.zoo", "import torch"),
        ("inputs.zoo", "class A:\n    from transformers import GPT2LMHeadModel"),
        ("inputs.zoo", "try:\n    import torch.nn\nexcept ImportError:\n    pass"),
        ("pipeline", "if TYPE_CHECKING:\n    pass\nelse:\n    import torch"),
    ],
)
def test_misplaced_torch_is_found(module: str, source: str) -> None:
    assert list(misplaced_torch({module: source})) != []


def test_torch_where_it_belongs_is_no_finding() -> None:
    fine = {
        "core.moments": "import torch",
        "inputs.zoo": "if TYPE_CHECKING:\n    import torch\ndef f():\n    import torch",
    }
    assert list(misplaced_torch(fine)) == []


def test_pytest_elsewhere_and_a_relative_import_are_found() -> None:
    assert list(misplaced({"harness.run": "if TYPE_CHECKING:\n    import pytest"}, {"pytest"}, PYTEST)) != []
    assert list(relative({"core.moments": "from . import nulls"})) != []


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "import numpy as np",
        "import importlib",
        "from universal_neurons import pipeline",
        "from universal_neurons.core.moments import Moments",
        "from universal_neurons.harness import plugin",
        "from universal_neurons.harness.plugin import Harness",
        "from universal_neurons.measures_of_mine import share",
        "def test():\n    import universal_neurons.pipeline",
        "from ..measures import universality",
    ],
)
def test_a_claim_that_knows_too_much_is_found(source: str) -> None:
    assert list(beyond_the_claims(source)) != []


def test_a_missing_docstring_and_a_long_function_are_found() -> None:
    assert undocumented("def f(): ...\nclass A:\n    def g(self): ...") == ["f", "A", "A.g", "module"]
    assert undocumented('"""M."""\ndef _f(): ...\ndef g():\n    """G."""') == []
    assert list(long_functions("def f():\n" + "    x = 1\n" * LONGEST_FUNCTION)) == ["f: 61 lines"]
