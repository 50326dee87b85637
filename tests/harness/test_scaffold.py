from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# Imported here once, because pytester forgets what an inner run imports.
import tests.claims.test_emergence  # noqa: F401
from tests.harness.worlds import claim_file
from tests.sources import ROOT
from universal_neurons.errors import UserError
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.scaffold import declared_ids, scaffold_claim

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.projects import Project

pytest_plugins = ("pytester",)

HOSTILE = [
    'He said "neurons".',
    "It's so.",
    """Both 'kinds' of "quotes" aren't "rare".""",
    'Ends with a quote "',
    '"""',
    "'''",
    "A path C:\\new\\table and a \\",
    '\\"',
    "Braces {partner} {0} {{}}, per cent %s %(a)d, dollars $x.",
    "# not a comment",
    '"); import os; os.abort() #',
    "\\N{BULLET} \\x41 \\u0041 \\777",
    "Größe, naïveté, κ ≥ 0.5, 神经元 are shared",
    "神经元" * 60,
    "w" * 400,
    "A long sentence that goes on and on, " * 9,
    "\"quoted\" and 'quoted' again, " * 12,
    "\\" * 300,
    "  spaces   around  ",
    "a" + " " * 400 + "b",
]

# A suite of the harness's own tests, with a study of which it is known what is true.
SYNTHETIC = """
from dataclasses import replace

import fake_world
from tests.claims.test_emergence import GROWING, CHECKPOINTS, SyntheticStudy


class World(fake_world.World):
    def __call__(self, suite, **settings):
        return SyntheticStudy(GROWING)

    def load_suite(self, name, root):
        universality = fake_world.Universality((0.5,))
        return replace(super().load_suite(name, root), checkpoints=CHECKPOINTS, universality=universality)


open_study = World()
"""


def section(tmp_path: Path) -> Path:
    return tmp_path / "claims" / "emergence"


def statement_in(path: Path) -> str:
    """The statement as Python reads it."""
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    declared = next(call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "claim")
    text: str = ast.literal_eval(declared.args[1])
    return text


def assert_clean(path: Path) -> None:
    """The project's formatter and linter have nothing to say, under the settings of ``claims/``."""
    for command in (("format", "--check"), ("check",)):
        arguments = [*command, "--no-cache", "--stdin-filename", "claims/emergence/test_new.py", "-"]
        ended = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments],
            input=path.read_bytes(),
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout.decode()


def test_the_file_is_about_twenty_lines_and_named_after_id_and_statement(tmp_path: Path) -> None:
    path = scaffold_claim(section(tmp_path), "X-1", "Deep neurons are universal too, says nobody.")
    assert path == section(tmp_path) / "test_x_1_deep_neurons_are_universal.py"
    assert len(path.read_text("utf-8").splitlines()) < 28
    assert list(declared_ids(path)) == ["X-1"]


def edited(path: Path) -> None:
    path.write_text(path.read_text("utf-8").replace("EDIT:", "Decided:"), "utf-8")


def test_a_scaffold_with_a_mark_left_is_neither_judged_nor_accepted(project: Project) -> None:
    project.write(claim_file())
    project.pytester.makepyfile(synthetic_world=SYNTHETIC)
    path = scaffold_claim(project.root / "claims" / "emergence", "X1", 'Some neurons are "universal".')
    arguments = ("claims", "--study-factory", "synthetic_world:open_study")
    result = project.run(*arguments, "--update-verdicts")
    result.assert_outcomes(passed=1, failed=5)
    result.stdout.fnmatch_lines(
        [f"error: {path.name}: still has EDIT: in line 1, 3, *; fill in or remove what it marks"]
    )
    assert list(Ledger.read(project.ledger).claims) == ["N1"]
    assert project.run(*arguments, "--claims", "X1").ret == 1
    assert {record.verdict for record in project.log().records if record.claim == "X1"} == {Verdict.ERROR}


def test_a_scaffold_that_was_edited_is_collected_and_judged(project: Project) -> None:
    project.pytester.makepyfile(synthetic_world=SYNTHETIC)
    edited(scaffold_claim(project.root / "claims" / "emergence", "X1", 'Some neurons are "universal".'))
    arguments = ("claims", "--study-factory", "synthetic_world:open_study")
    assert project.run(*arguments, "--update-verdicts").ret == 1
    result = project.run(*arguments)
    result.assert_outcomes(passed=4)
    assert result.ret == 0
    assert [claim.verdict for claim in project.claims()] == [Verdict.REPRODUCED]
    assert {name: record.verdict for name, record in project.records().items()} == {
        "claim X1 a-b-100%-0.5": Verdict.REPRODUCED,
        "claim X1 a-c-100%-0.5": Verdict.REPRODUCED,
        "control X1 a-b-100%-0.5": Verdict.REFUTED,
        "control X1 a-c-100%-0.5": Verdict.REFUTED,
    }


@pytest.mark.parametrize("statement", HOSTILE)
def test_a_hostile_statement_is_quoted_and_the_file_is_clean(statement: str, tmp_path: Path) -> None:
    path = scaffold_claim(section(tmp_path), "X1", statement)
    assert statement_in(path) == " ".join(statement.split())
    assert_clean(path)


@given(statement=st.text(alphabet=st.sampled_from("ab \"'\\{}#%\N{SNOWMAN}神"), min_size=1, max_size=300))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_statement_is_read_back_as_it_was_given(statement: str, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "claims", ignore_errors=True)
    if statement.strip():
        path = scaffold_claim(section(tmp_path), "X1", statement)
        assert statement_in(path) == " ".join(statement.split())
        assert path.parent == section(tmp_path)


@pytest.mark.parametrize("claim_id", ["", "1X", "X 1", "../X1", 'X1"', "X1\n", "Ä1", "X" * 40])
def test_an_invalid_id_is_refused(claim_id: str, tmp_path: Path) -> None:
    assert_refused(section(tmp_path), claim_id, "A statement.")


@pytest.mark.parametrize(
    "statement",
    [
        "",
        "   ",
        "two\nlines",
        "tab\there",
        "nul\0",
        "escape\x1b[31m",
        "reversed \u202e",
        "line\u2028end",
        "\ud800",
        "a " * 400,
    ],
)
def test_an_unusable_statement_is_refused(statement: str, tmp_path: Path) -> None:
    assert_refused(section(tmp_path), "X1", statement)


@pytest.mark.parametrize(
    "folder", ["emergence", "claims", "claims/../tests", "claims/a/b", "claims/Emergence", "claims/.x"]
)
def test_a_folder_that_is_no_section_of_the_claims_is_refused(folder: str, tmp_path: Path) -> None:
    assert_refused(tmp_path / folder, "X1", "A statement.")


@pytest.mark.parametrize("again", ["X-1", "x-1", "X_1"])
def test_an_id_that_another_section_uses_is_refused(again: str, tmp_path: Path) -> None:
    scaffold_claim(tmp_path / "claims" / "ablation", "X-1", "One statement.")
    assert_refused(section(tmp_path), again, "Another statement.", "X-1 is declared in claims/ablation/test_x_1_one")


def test_an_id_that_is_listed_as_untested_is_refused(tmp_path: Path) -> None:
    (tmp_path / "claims").mkdir()
    fields = ("id", "statement", "source", "reason")
    text = "".join(f'{name} = "X1"\n' for name in fields)
    (tmp_path / "claims" / "untested.toml").write_text(f'[[untested]]\n{text}kind = "untestable"\nsee = []\n')
    assert_refused(section(tmp_path), "x1", "A statement.", "untested.toml says why no test judges it")
    assert scaffold_claim(section(tmp_path), "X2", "A statement.").exists()


def test_an_id_given_by_name_or_by_the_module_is_found(tmp_path: Path) -> None:
    file = tmp_path / "test_some.py"
    file.write_text("@harness.claim(id='X1', statement='s')\ndef f(): ...\n@claim('X2')\ndef g(): ...\n")
    assert list(declared_ids(file)) == ["X1", "X2"]


@pytest.mark.parametrize("name", [".#test_n1.py", "._test_n1.py", ".ipynb_checkpoints/test_n1.py"])
def test_files_that_editors_hide_hold_no_claims(project: Project, name: str) -> None:
    project.write(claim_file())
    project.accept(N1="reproduced")
    hidden = project.root / "claims" / "emergence" / name
    hidden.parent.mkdir(parents=True)
    hidden.write_bytes(b"\0\5\x16\7 no Python")
    assert project.run().ret == 0
    assert scaffold_claim(project.root / "claims" / "emergence", "X1", "A statement.").exists()


def test_a_claim_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    section(tmp_path).mkdir(parents=True)
    (section(tmp_path) / "test_broken.py").write_text("def f(:\n")
    assert_refused(section(tmp_path), "X1", "A statement.", "test_broken.py: not valid Python")


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    section(tmp_path).mkdir(parents=True)
    existing = section(tmp_path) / "test_x1_a_statement.py"
    existing.write_text("# mine\n")
    assert_refused(section(tmp_path), "X1", "A statement.", "exists already")
    assert existing.read_text() == "# mine\n"


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "claims").mkdir()
    section(tmp_path).write_text("")
    assert_refused(section(tmp_path), "X1", "A statement.", "exists already")


def assert_refused(folder: Path, claim_id: str, statement: str, message: str = "") -> None:
    """One line that can be printed, and nothing written."""
    before = sorted(folder.parent.rglob("*")) if folder.parent.exists() else []
    with pytest.raises(UserError) as refused:
        scaffold_claim(folder, claim_id, statement)
    line = str(refused.value)
    assert message in line
    assert line.isprintable()
    assert (sorted(folder.parent.rglob("*")) if folder.parent.exists() else []) == before
