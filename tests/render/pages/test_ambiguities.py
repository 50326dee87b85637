from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests.render.fakes import CHECKOUT
from universal_neurons.evidence.entries import EntryError
from universal_neurons.render.pages.ambiguities import read_ambiguities

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = '[[ambiguity]]\nid = "A1"\nquestion = "Which?"\ndefault = "This."\n'


def test_every_ambiguity_that_a_reading_names_is_explained() -> None:
    named = {
        keyword.value.value
        for path in (CHECKOUT / "claims").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "ambiguity" and isinstance(keyword.value, ast.Constant)
    }
    assert len(named) > 5
    assert named <= read_ambiguities(CHECKOUT / "claims" / "ambiguities.toml").keys()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x = [", "not a TOML file"),
        ("x = 1", "expected tables"),
        (ENTRY + "more = 1\n", "expected id, question, default; got"),
        (ENTRY.replace("This.", " "), "default must be a text, got ' '"),
        (ENTRY + ENTRY, "listed twice: A1"),
    ],
)
def test_a_wrong_list_is_refused_with_its_place(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(EntryError, match=fault):
        read_ambiguities(tmp_path / "a.toml")


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(EntryError, match=r"a\.toml: cannot be read"):
        read_ambiguities(tmp_path / "a.toml")
