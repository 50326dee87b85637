"""The project's documents and files: named things exist, shipped things fit, and no trace of one machine is kept."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.sources import ROOT, claim_files, kept_files, package_modules, text_of
from universal_neurons.cli import app
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.untested import read_untested
from universal_neurons.harness.scaffold import declared_ids
from universal_neurons.inputs.suite import available_suites, load_suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCUMENTS = ("README.md", ".github/CONTRIBUTING.md", "claims/README.md", "CHANGELOG.md")
VERIFY = "python3 -m venv .venv && .venv/bin/pip install -q nox && .venv/bin/nox"
MEGABYTE = 1 << 20
# The catalogue's claims of Nandan et al., version 1 and what is known of version 2.
# The claims of the parent paper, by its sections.
PARENT = (*range(1, 19), *range(20, 27), *range(31, 36), *range(40, 44), *range(50, 54), *range(60, 63))
CATALOGUE = [
    *(f"N{number}" for number in range(1, 27)),
    *(f"V{number}" for number in range(1, 9)),
    *(f"G{number}" for number in PARENT),
    *("G7b", "G9b", "G30a", "G30b"),
    *(f"R{number}" for number in (*range(1, 6), 7)),
]
# Made-up paths that tests need, and the loopback address, which every machine has.
INVENTED = ("/home/a", "/home/somebody", "/root/zoo", "http://127.0.0.1:")
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root|opt|home)\b(?:/[\w.-]+)?")
REGISTRY = re.compile(
    r"index-url|pypi\.|pythonhosted|artifactory|devpi|https?://[^\s/]*[@:]|https?://[^\s/]*\.(?:internal|local|lan|corp)\b"
)


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@cache
def project() -> dict[str, Any]:
    """The table ``project`` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads(text("pyproject.toml"))["project"]
    return table


@cache
def sessions() -> dict[str, str]:
    """The sessions of the noxfile and the source of each, read without nox."""
    return {
        node.name: ast.unparse(node)
        for node in ast.parse(text("noxfile.py")).body
        if isinstance(node, ast.FunctionDef) and any("session" in ast.unparse(d) for d in node.decorator_list)
    }


def named_sessions(document: str) -> set[str]:
    """The sessions that a text names in a command or explains in a table."""
    runs = re.findall(r"\bnox -s ([a-z]+(?: [a-z]+)*)", document)
    rows = re.findall(r"^\| (`[a-z]+`(?:, `[a-z]+`)*) \|", document, re.MULTILINE)
    return {word for found in (*runs, *rows) for word in re.findall(r"[a-z]+", found)}


def named_commands(document: str) -> set[str]:
    """The commands of ``universal-neurons`` that a text names."""
    runs = re.findall(r"(?:run: |`)universal-neurons ([a-z-]+(?: \| [a-z-]+)*)", document)
    return {word for found in runs for word in found.split(" | ")}


def code_of(document: str) -> Iterator[str]:
    """The code spans of a text and the lines of its blocks of shell commands; arguments of nox's sessions apart."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", document, flags=re.MULTILINE | re.DOTALL))
    yield from (*"".join(blocks).splitlines(), *spans)


def unknown_options(document: str) -> Iterator[str]:
    """Options in the code of a text that the command they stand with, or else no command at all, has."""
    everywhere = {option for command in commands().values() for option in options(command)}
    everywhere |= set(re.findall(r'"(--[a-z-]+)"', package_modules()["harness.plugin"]))
    everywhere |= {"--publish"}
    for code in code_of(document):
        names = [name for name in commands() if code.startswith((f"universal-neurons {name} ", f"{name} --"))]
        has = set(options(commands()[names[-1]])) if names else everywhere
        yield from (f"{code}: {option}" for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", code) if option not in has)


def options(command: Any) -> list[str]:
    """The options of a command."""
    return [option for parameter in command.params for option in parameter.opts if option.startswith("--")]


@cache
def commands() -> dict[str, Any]:
    """The commands of the command line by name, those of groups as ``store ls``."""

    def walk(group: Any, prefix: str) -> dict[str, Any]:
        found = {}
        for name, command in group.commands.items():
            found[prefix + name] = command
            if hasattr(command, "commands"):
                found |= walk(command, f"{prefix}{name} ")
        return found

    return walk(typer.main.get_command(app), "")


def pins() -> dict[str, str]:
    """The constraints: canonical name to version."""
    lines = [line.partition("#")[0].strip() for line in text("constraints.txt").splitlines()]
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def releases() -> list[tuple[str, str]]:
    """The versions and dates of the changelog, newest first."""
    return re.findall(r"^## (\S+) \(([\d-]+)\)$", text("CHANGELOG.md"), re.MULTILINE)


def field_of(name: str) -> str:
    """A field of CITATION.cff's first level."""
    found = re.search(rf"^{name}: (.+)$", text("CITATION.cff"), re.MULTILINE)
    return "" if found is None else found[1].strip('"')


def traces(content: str) -> list[str]:
    """Absolute paths and package registries that exist on one machine only."""
    found = [match.group() for match in (*MACHINE_PATH.finditer(content), *REGISTRY.finditer(content))]
    return [trace for trace in found if trace not in INVENTED]


def test_the_readme_has_the_two_commands_and_ci_runs_the_second() -> None:
    lines = text("README.md").splitlines()
    assert VERIFY in lines
    assert f"{VERIFY} -s tests" in lines
    assert f"{VERIFY} -s tests" in text(".ci/run").splitlines()


def test_the_first_command_verifies_the_claims_and_builds_the_report() -> None:
    assert 'nox.options.sessions = ["claims", "report"]' in text("noxfile.py")


@pytest.mark.parametrize("document", [*DOCUMENTS, ".ci/run"])
def test_every_session_that_a_document_names_exists(document: str) -> None:
    assert named_sessions(text(document)) - sessions().keys() == set()


def test_every_session_that_the_sources_name_exists_and_the_readme_explains_every_session() -> None:
    for name, source in package_modules().items():
        assert named_sessions(source) - sessions().keys() == set(), name
    assert sessions().keys() - named_sessions(text("README.md")) == set()


def test_every_session_has_a_docstring() -> None:
    assert [name for name, source in sessions().items() if '"""' not in source] == []


def test_every_command_that_the_documents_and_messages_name_exists() -> None:
    for name, source in {**{document: text(document) for document in DOCUMENTS}, **package_modules()}.items():
        assert named_commands(source) - commands().keys() == set(), name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_option_that_a_document_names_exists(document: str) -> None:
    assert list(unknown_options(text(document))) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_or_links_to_exists(document: str) -> None:
    folder = (ROOT / document).parent
    named = {ROOT / path for path in re.findall(r"\b(?:claims|src|tests)/[\w/]+\.(?:md|py|toml)\b", text(document))}
    linked = {folder / path for path in re.findall(r"\]\((?!https?:|#)([^)#]+)", text(document))}
    assert [str(path) for path in named | linked if not path.exists()] == []


def repeated(document: str) -> list[str]:
    """The headings and long paragraphs that stand more than once in a document, as after a wrong merge."""
    counts = Counter(part for part in document.split("\n\n") if part.startswith("## ") or len(part) > 80)
    return [part for part, count in counts.items() if count > 1]


@pytest.mark.parametrize("document", ["README.md", ".github/CONTRIBUTING.md", "claims/README.md"])
def test_a_document_says_nothing_twice(document: str) -> None:
    assert repeated(text(document)) == []
    assert repeated(f"{text(document)}\n\n{text(document)}") != []


@pytest.mark.parametrize(
    "document", ["`universal-neurons plan --nowhere`", "`--nowhere 3`", "```sh\nuniversal-neurons fetch --json\n```\n"]
)
def test_an_option_that_does_not_exist_is_found(document: str) -> None:
    assert list(unknown_options(document)) != []


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_and_every_argument_has_help(name: str) -> None:
    command = commands()[name]
    assert command.help
    assert [parameter.name for parameter in command.params if not parameter.help and parameter.name != "help"] == []


def test_version_and_date_are_the_same_everywhere() -> None:
    assert releases()[0] == (project()["version"], field_of("date-released"))
    assert field_of("version") == project()["version"]


def test_the_licence_is_there_and_is_the_one_that_is_named() -> None:
    assert text("LICENSE").startswith("MIT License\n")
    assert project()["license"] == field_of("license") == "MIT"


def test_every_dependency_is_pinned_to_a_version_that_it_allows() -> None:
    listed = [
        *project()["dependencies"],
        *(text for one in project()["optional-dependencies"].values() for text in one),
    ]
    needed = {canonicalize_name(requirement.name): requirement.specifier for requirement in map(Requirement, listed)}
    del needed[project()["name"]]
    assert needed.keys() - pins().keys() == set()
    assert [name for name, allowed in needed.items() if not allowed.contains(pins()[name])] == []
    assert pins()["torch"] == "2.13.0"


@pytest.mark.skipif(not (ROOT / "fixtures/zoo/mini/manifest.json").exists(), reason="the mini zoo is not there yet")
@pytest.mark.parametrize("name", available_suites(ROOT))
def test_every_suite_loads(name: str) -> None:
    assert load_suite(name, ROOT).name == name


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "fixtures" / "zoo").iterdir()))
def test_a_zoo_is_small_enough_to_be_cloned(name: str) -> None:
    size = sum(file.stat().st_size for file in (ROOT / "fixtures" / "zoo" / name).rglob("*") if file.is_file())
    assert 0 < size <= 60 * MEGABYTE


@pytest.mark.parametrize("suite", ["mini", "midi"])
def test_the_accepted_verdicts_are_those_of_the_claims(suite: str) -> None:
    ledger = ROOT / "fixtures" / "verdicts" / f"{suite}.toml"
    assert sorted(Ledger.read(ledger).claims) == sorted(claim for file in claim_files() for claim in declared_ids(file))


def declared_claims() -> list[str]:
    return [claim for file in claim_files() for claim in declared_ids(file)]


@pytest.mark.parametrize("claim", CATALOGUE)
def test_every_claim_of_the_catalogue_is_tested_or_listed_with_the_reason_and_none_twice(claim: str) -> None:
    untested = [entry.id for entry in read_untested(ROOT / "claims" / "untested.toml")]
    assert [*declared_claims(), *untested].count(claim) == 1


def test_what_is_untested_is_in_the_catalogue_and_points_to_claims() -> None:
    untested = read_untested(ROOT / "claims" / "untested.toml")
    assert {entry.id for entry in untested} - set(CATALOGUE) == set()
    assert {other for entry in untested for other in entry.see} - set(declared_claims()) == set()


def test_the_readme_shows_a_claim_in_under_25_lines(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", text("README.md"), re.MULTILINE | re.DOTALL)
    (tmp_path / "example.py").write_text(example, "utf-8")
    assert len(list(declared_ids(tmp_path / "example.py"))) == 1
    assert len(example.splitlines()) < 25


def test_no_claim_is_left_as_it_was_scaffolded() -> None:
    assert [file.name for file in claim_files() if "EDIT" in file.read_text("utf-8")] == []


def test_nothing_of_one_machine_is_kept() -> None:
    found = {
        str(file.relative_to(ROOT)): traces(text_of(file)) for file in kept_files() if file.name != "test_project.py"
    }
    assert {name: list(lines) for name, lines in found.items() if lines} == {}


def test_every_hook_before_a_commit_is_run_by_a_session_too() -> None:
    hooks = re.findall(r"^ +entry: (.+)$", text(".pre-commit-config.yaml"), re.MULTILINE)
    run = sessions()["lint"] + sessions()["types"]
    assert hooks == ["ruff check .", "ruff format --check .", "lint-imports", "mypy"]
    assert [hook for hook in hooks if ", ".join(map(repr, hook.split())) not in run] == []


@pytest.mark.parametrize(
    "content",
    [
        "see /work/notes", "'/root/.cache'", "(/home/me/x)", "cd /opt", "--extra-index-url x", "http://mirror:3141/simple",
        "https://user:secret@host/x", "https://packages.corp/simple",
    ],
)  # fmt: skip
def test_a_trace_of_a_machine_is_found(content: str) -> None:
    assert traces(content) != []


@pytest.mark.parametrize("content", ["frame/work", "../root", "the /homes of", "https://arxiv.org/abs/2508.00903"])
def test_what_only_resembles_a_trace_is_not_one(content: str) -> None:
    assert traces(content) == []


def test_a_session_or_command_that_does_not_exist_is_found() -> None:
    assert named_sessions("`nox -s lint nothing -- -k x`\n| `report`, `gone` | text |") == {
        "lint",
        "nothing",
        "report",
        "gone",
    }
    assert named_commands("run: universal-neurons explode --now; `universal-neurons plan | gone`") == {
        "explode",
        "plan",
        "gone",
    }


def test_a_file_that_is_not_text_has_no_text(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"\xff\xfe\x00\x80")
    assert text_of(tmp_path / "weights") == ""


def test_the_readme_states_the_accepted_verdict_of_every_claim() -> None:
    ledger = Ledger.read(ROOT / "fixtures" / "verdicts" / "mini.toml")
    rows = re.findall(r"^\| ([\w-]+) \|.*\| \*\*([a-z ]+)\*\*", text("README.md"), re.MULTILINE)
    accepted = {claim: ledger.accepted_claim(claim) for claim in ledger.claims}
    assert dict(rows) == {claim: str(verdict).replace("_", " ") for claim, verdict in accepted.items()}
