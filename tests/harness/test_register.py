"""Digests of claims, and the option that registers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.claims.declared import declared_in
from tests.harness.projects import assert_refused
from tests.harness.worlds import claim_file
from universal_neurons.evidence.registration import Register
from universal_neurons.harness.register import parts_of

pytest_plugins = ["pytester"]

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.projects import Project

CLAIM = '''
from universal_neurons.harness import AtMost, Measurement, claim, control, reading

@claim("N1", "Few.", source="s", expect=AtMost(0.05))
def test_few(study) -> Measurement:
    """As it is."""
    return study.few(1)

@control(of=test_few)
def test_many(study) -> Measurement:
    return study.many()

@reading(of=test_few, ambiguity="A1", says="otherwise")
def test_other(study) -> Measurement:
    return study.few(2)
'''


def parts(tmp_path: Path, text: str) -> dict[str, str]:
    file = tmp_path / f"test_{abs(hash(text))}.py"
    file.write_text(text)
    return parts_of(declared_in([file])["N1"], "mini")


def test_a_digest_is_of_the_rule_and_not_of_its_layout(tmp_path: Path) -> None:
    own = parts(tmp_path, CLAIM)
    assert sorted(own) == ["control test_many", "criterion", "reading test_other"]
    assert parts(tmp_path, CLAIM.replace("As it is.", "In other words.").replace("few(1)", "few( 1 )")) == own


def test_every_part_of_a_rule_changes_its_own_digest(tmp_path: Path) -> None:
    own = parts(tmp_path, CLAIM)

    def changed(old: str, new: str) -> list[str]:
        found = parts(tmp_path, CLAIM.replace(old, new))
        return [name for name in own if own[name] != found[name]]

    assert changed("AtMost(0.05)", "AtMost(0.06)") == ["criterion"]
    assert changed("few(1)", "few(3)") == ["criterion"]
    assert changed("many()", "many(2)") == ["control test_many"]
    assert changed("few(2)", "few(3)") == ["reading test_other"]
    assert changed('"A1"', '"A2"') == ["reading test_other"]


def test_registering_writes_the_rules_and_judges_nothing(project: Project) -> None:
    project.write(claim_file())
    result = project.run("claims", "--register", "before measuring")
    assert result.ret == 0
    (entry,) = Register.read(project.root / "fixtures" / "verdicts" / "registered.toml").entries
    assert (entry.suite, entry.claim, entry.reason) == ("mini", "N1", "")
    project.run()
    assert project.records()["claim N1"].registration == ""


def test_a_rule_that_is_not_as_registered_is_said_beside_its_verdict(project: Project) -> None:
    project.write(claim_file())
    project.run("claims", "--register", "before measuring")
    project.write(claim_file().replace("AtMost(0.05)", "AtMost(0.06)"))
    result = project.run()
    assert project.records()["claim N1"].registration.startswith("not as registered on ")
    result.stdout.fnmatch_lines(["N1: not as registered on *: criterion"])


def test_registering_needs_a_reason(project: Project) -> None:
    project.write(claim_file())
    assert_refused(project.run("claims", "--register", " "), "--register: expected the reason")
