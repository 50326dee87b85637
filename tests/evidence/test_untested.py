from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from universal_neurons.evidence.entries import EntryError
from universal_neurons.evidence.untested import Untested, read_untested

if TYPE_CHECKING:
    from pathlib import Path

RIGHT = {
    "id": '"N25"',
    "statement": '"It is the first study."',
    "source": '"section 1"',
    "kind": '"untestable"',
    "reason": '"It is about the literature."',
    "see": '["N1", "V5"]',
}


def entry(**changes: str | None) -> str:
    values = {**RIGHT, **changes}
    return "[[untested]]\n" + "".join(f"{name} = {text}\n" for name, text in values.items() if text is not None)


def test_the_entries_are_read_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "untested.toml").write_text(entry() + entry(id='"N3"', kind='"interpretive"', see="[]"))
    first, second = read_untested(tmp_path / "untested.toml")
    assert first == Untested(
        "N25", "It is the first study.", "section 1", "untestable", "It is about the literature.", ("N1", "V5")
    )
    assert (second.id, second.kind, second.see) == ("N3", "interpretive", ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[untested]", "not a TOML file"),
        ("", r"expected tables \[\[untested\]\] and nothing else, got nothing"),
        ("untested = 1", "expected tables"),
        (entry() + "[more]\n", "and nothing else, got untested, more"),
        ("untested = [1]", "entry 1: expected id, statement, source, kind, reason, see; got 1"),
        (entry(reason=None), "entry 1: expected id, .*; got id, statement, source, kind, see"),
        (entry() + entry(note='"x"'), "entry 2: expected .*; got .*, note"),
        (entry(statement='" "'), "entry 1: statement must be a text, got ' '"),
        (entry(source="1"), "source must be a text, got 1"),
        (entry(kind='"vague"'), "kind must be interpretive or untestable or open, got 'vague'"),
        (entry(kind="[]"), r"kind must be interpretive or untestable or open, got \[\]"),
        (entry(id='"N 25"'), "id must be an id such as N7, got 'N 25'"),
        (entry(see='"N1"'), "see must be a list of ids such as N7, got 'N1'"),
        (entry(see="[1]"), "see must be a list of ids"),
        (entry(see='["N25"]'), "N25 points to itself"),
        (entry() + entry(), "listed twice: N25"),
    ],
)
def test_a_list_written_wrongly_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "untested.toml"
    path.write_text(text)
    with pytest.raises(EntryError, match=message) as caught:
        read_untested(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_list_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(EntryError, match=r"untested\.toml: cannot be read \(No such file"):
        read_untested(tmp_path / "untested.toml")
