"""Rules about the sources that import-linter cannot express; the layers are contracts in pyproject.toml.

Every rule is a function from sources to findings, and is tested on a violation that it must find.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from tests.sources import (
    PACKAGE,
    ROOT,
    claim_files,
    docstrings,
    functions,
    imports,
    package_modules,
    public_types,
    undocumented,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# The distributions that each part of the package may import; a part is a top-level module or package.
DISTRIBUTIONS = {
    "__init__": set(),
    "ids": set(),
    "measurement": set(),
    "errors": set(),
    "characters": set(),
    "architectures": set(),
    "evidence": set(),
    "progress": {"rich"},
    "inputs": {
        "huggingface_hub", "numpy", "pydantic", "pydantic_core", "safetensors", "spacy", "tokenizers", "torch",
        "transformer_lens", "transformers", "tree_sitter", "tree_sitter_python", "zstandard",
    },
    "core": {"jaxtyping", "torch", "transformer_lens"},
    "artifacts": {"fsspec", "numpy", "pandas", "pyarrow", "pydantic", "safetensors"},
    "measures": {"numpy", "pandas", "scipy", "sklearn"},
    "files": {"filelock"},
    "stages": {"numpy", "pandas", "psutil", "submitit", "torch"},
    "zoo_training": {"numpy", "tokenizers"},
    "harness": {"pytest"},
    "render": {"jinja2", "matplotlib", "numpy", "pandas", "pypandoc", "pypdf", "typst", "yaml"},
    "compare": set(),
    "matching": {"anywidget", "matplotlib", "numpy", "pandas", "tokenizers", "torch", "traitlets"},
    "reporting": set(),
    "listing": {"rich"},
    "command_options": {"typer"},
    "cli": {"typer"},
}  # fmt: skip
# Importing torch takes seconds: outside the core it is imported inside the functions that need it.
TORCH = {"torch", "transformers", "transformer_lens", "jaxtyping"}
TORCH_WHEN_READ = {"core", "inputs.training"}
TORCH_ON_DEMAND = {
    "inputs.bridge",
    "inputs.publication",
    "inputs.recipe",
    "inputs.weights",
    "inputs.zoo",
    "matching.scoring",
    "stages",
}
PYTEST = {"harness.plugin"}
BACKEND = {
    "core.ablation", "core.activations", "core.attention", "core.entropy", "core.patching", "core.unwrapped",
    "core.weights", "inputs.bridge",
}  # fmt: skip

# What makes a file durable or keeps others out of it, and who may call that.
DURABLE = {"fsync", "mkstemp", "NamedTemporaryFile", "FileLock", "SoftFileLock"}
DURABLE_MODULES = {"files"}

CLAIMS_MAY = {f"{PACKAGE}.harness", f"{PACKAGE}.measures"}
CLAIMS_MAY_NOT = {f"{PACKAGE}.harness.plugin", f"{PACKAGE}.harness.scaffold"}
CLAIMS_STANDARD = {"__future__", "collections", "dataclasses", "functools", "itertools", "math", "typing"}

LONGEST_FUNCTION = 60

# Words of earlier docstrings for which the field has its own: threads, cost, speed, key figure, numbers.
RETIRED_WORDS = re.compile(
    r"\b(that of|those of|is that which|what becomes of|goes? on where it (?:was|is|stopped)|refuses? to know"
    r"|this module decides|lanes?|shel(?:f|ves)|efforts?|paces?|landmarks?|plates|numerals|worlds?|silences?)\b",
    re.IGNORECASE,
)
RETIRED_NAMES = {
    "Asked", "Demand", "Effort", "Ground", "Landmark", "Lives", "Pace", "Shelf", "Silence", "Wanted", "World",
    "efforts", "landmarks", "lanes", "numerals", "places", "plates", "sides", "world",
}  # fmt: skip


def is_among(module: str, allowed: set[str]) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in allowed)


def foreign_distributions(modules: Mapping[str, str]) -> Iterator[str]:
    """Imports of distributions that a part of the package may not use."""
    for module, source in modules.items():
        allowed = DISTRIBUTIONS.get(module.partition(".")[0])
        for found in imports(source):
            if allowed is None:
                yield f"{module}: not in the table of this test"
            elif not found.is_standard and found.distribution not in {PACKAGE, *allowed}:
                yield f"{module}:{found.line}: {found.name}"


def misplaced_torch(modules: Mapping[str, str]) -> Iterator[str]:
    """Imports of torch, and of distributions that import it, in a wrong module or at a wrong moment."""
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


def durable_calls(modules: Mapping[str, str]) -> Iterator[str]:
    """Calls of ``DURABLE`` functions outside of the modules that may make them."""
    for module, source in modules.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and module not in DURABLE_MODULES:
                name = ast.unparse(node.func).rpartition(".")[2]
                if name in DURABLE:
                    yield f"{module}:{node.lineno}: {name}"


def relative(modules: Mapping[str, str]) -> Iterator[str]:
    """Relative imports, which the rules of this file could not compare."""
    for module, source in modules.items():
        yield from (f"{module}:{found.line}" for found in imports(source) if found.name.startswith("."))


def beyond_the_claims(source: str) -> Iterator[str]:
    """Imports of a claim other than the harness, the measures and some of the standard library."""
    for found in imports(source):
        allowed = any(found.is_within(package) for package in CLAIMS_MAY)
        internal = any(found.is_within(package) for package in CLAIMS_MAY_NOT)
        if not (found.distribution in CLAIMS_STANDARD or (allowed and not internal)):
            yield f"{found.line}: {found.name}"


def long_functions(source: str) -> Iterator[str]:
    for function, lines in functions(source):
        if lines > LONGEST_FUNCTION:
            yield f"{function.name}: {lines} lines"


def double_names(modules: Mapping[str, str]) -> dict[str, list[str]]:
    """Public top-level types and type aliases that several modules define under one name."""
    defined: defaultdict[str, list[str]] = defaultdict(list)
    for module, source in modules.items():
        for name in set(public_types(source)):
            defined[name].append(module)
    return {name: sorted(where) for name, where in sorted(defined.items()) if len(where) > 1}


def doubtful_openings(modules: Mapping[str, str]) -> dict[str, str]:
    """Docstrings of modules that begin with a question word or a lower-case letter."""
    openings = {module: dict(docstrings(source)).get("module", "") for module, source in modules.items()}
    question = re.compile(r"(What|How|Which|Where|Who|Whether)\b|[a-z]")
    return {module: text.splitlines()[0] for module, text in openings.items() if question.match(text)}


def doubtful_words(modules: Mapping[str, str]) -> dict[str, list[str]]:
    """Retired words and phrases in public docstrings, and retired names of modules and types."""
    retired: defaultdict[str, list[str]] = defaultdict(list)
    for module, source in modules.items():
        for name, text in docstrings(source):
            retired[module] += [f"{name}: {word}" for word in RETIRED_WORDS.findall(" ".join(text.split()))]
        retired[module] += sorted(RETIRED_NAMES & {*module.split("."), *public_types(source)})
    return {module: words for module, words in retired.items() if words}


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


def test_one_module_writes_and_locks_files() -> None:
    assert list(durable_calls(package_modules())) == []


def test_a_second_writer_is_found() -> None:
    for source in ("import os\nos.fsync(3)", "from tempfile import mkstemp\nmkstemp()", "filelock.FileLock('x')"):
        assert len(list(durable_calls({"inputs.lock": source}))) == 1


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


def test_no_two_public_types_have_one_name() -> None:
    assert double_names(package_modules()) == {}


def test_no_module_begins_with_a_question_word() -> None:
    assert doubtful_openings(package_modules()) == {}


def test_docstrings_and_names_have_no_retired_words() -> None:
    assert doubtful_words(package_modules()) == {}


def test_judging_and_rendering_start_without_torch() -> None:
    """A run from the shipped evidence takes seconds, and importing torch would take several more."""
    script = (
        "import sys\n"
        f"import {PACKAGE}.cli, {PACKAGE}.harness.plugin, {PACKAGE}.render\n"
        f"import {PACKAGE}.stages.plan, {PACKAGE}.stages.study\n"
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
        ("measures.study", "def f():\n    import torch"),
        ("inputs.zoo", "import torch"),
        ("inputs.zoo", "class A:\n    from transformers import GPT2LMHeadModel"),
        ("inputs.zoo", "try:\n    import torch.nn\nexcept ImportError:\n    pass"),
        ("stages", "if TYPE_CHECKING:\n    pass\nelse:\n    import torch"),
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
        "from universal_neurons import stages",
        "from universal_neurons.core.moments import Moments",
        "from universal_neurons.harness import plugin",
        "from universal_neurons.harness.plugin import Harness",
        "from universal_neurons.measures_of_mine import share",
        "def test():\n    import universal_neurons.stages",
        "from ..measures import universality",
    ],
)
def test_a_claim_that_knows_too_much_is_found(source: str) -> None:
    assert list(beyond_the_claims(source)) != []


def test_a_missing_docstring_and_a_long_function_are_found() -> None:
    assert undocumented("def f(): ...\nclass A:\n    def g(self): ...") == ["f", "A", "A.g", "module"]
    assert undocumented('"""M."""\ndef _f(): ...\ndef g():\n    """G."""') == []
    assert list(long_functions("def f():\n" + "    x = 1\n" * LONGEST_FUNCTION)) == ["f: 61 lines"]


@pytest.mark.parametrize(
    "source", ["class Row: ...", "Row = tuple[int, ...]", "Row = int | str", "Row: TypeAlias = int", "Row = np.ndarray"]
)
def test_a_name_of_two_types_is_found(source: str) -> None:
    assert double_names({"a": "class Row: ...", "b.c": source}) == {"Row": ["a", "b.c"]}


@pytest.mark.parametrize(
    "source", ["class _Row: ...", "ROW = 3 | 4", "from a import Row", "def f():\n    class Row: ..."]
)
def test_a_name_of_one_type_is_no_finding(source: str) -> None:
    assert double_names({"a": "class Row: ...", "b": source}) == {}


@pytest.mark.parametrize(
    "opening", ["What it is.", "How to.", "Which one.", "Where.", "Who.", "Whether so.", "a thing."]
)
def test_a_doubtful_opening_is_found(opening: str) -> None:
    assert doubtful_openings({"a": f'"""{opening}"""'}) == {"a": opening}


def test_a_noun_phrase_is_no_doubtful_opening() -> None:
    fine = {"a": '"""Progress reporting."""', "b": '"""Whatever."""', "c": 'class A:\n    """What."""'}
    assert doubtful_openings(fine) == {}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("a", '"""M.\n\nThis module decides.\n"""'),
        ("a", 'class A:\n    def f(self):\n        """The size, and those\n        of others."""'),
        ("a.numerals", ""),
        ("a", "class Demand: ..."),
    ],
)
def test_a_retired_word_is_found(module: str, source: str) -> None:
    assert list(doubtful_words({module: source})) == [module]


def test_private_docstrings_and_longer_words_are_no_findings() -> None:
    fine = 'def _f():\n    """Those of it."""\nclass Workload:\n    """Templates, a landscape, side by side."""'
    assert doubtful_words({"a": fine}) == {}
