from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.evidence.records import record
from universal_neurons.evidence.ledger import Corrected, Ledger, LedgerError
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measurement import Measurement, Over

if TYPE_CHECKING:
    from pathlib import Path

REPRODUCED, REFUTED, INCONCLUSIVE = Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE

TEXT = """\
# The accepted verdicts of suite mini, compared with every run.
# Rewritten by `pytest claims --suite mini --update-verdicts`; read the diff before committing it.

[N2]
verdict = "refuted"

[N2.items]
"a-b-25%-50%" = "inconclusive"
"a-b-100%" = "refuted"

[N10]
verdict = "reproduced"
"""


def test_a_ledger_reads_back_what_it_wrote_and_is_sorted(tmp_path: Path) -> None:
    ledger = Ledger({"N10": {"": REPRODUCED}, "N2": {"a-b-100%": REFUTED, "a-b-25%-50%": INCONCLUSIVE}})
    path = tmp_path / "fixtures" / "verdicts" / "mini.toml"
    ledger.write(path, "mini")
    assert path.read_text() == TEXT
    assert Ledger.read(path) == ledger


CORRECTED = """\
# The accepted verdicts of suite mini, compared with every run.
# Rewritten by `pytest claims --suite mini --update-verdicts`; read the diff before committing it.

[N1]
verdict = "inconclusive"
correction = "holm"

[N1.items]
"" = "refuted"

[N2]
verdict = "reproduced"

[N2.readings]
"test_mean[25%]" = "refuted"
"test_mean[100%]" = "reproduced"
"""


def test_corrections_and_readings_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    ledger = Ledger(
        {"N1": {"": REFUTED}, "N2": {"": REPRODUCED}},
        {"N2": {"test_mean[100%]": REPRODUCED, "test_mean[25%]": REFUTED}},
        {"N1": Corrected("holm", INCONCLUSIVE)},
    )
    ledger.write(tmp_path / "mini.toml", "mini")
    assert (tmp_path / "mini.toml").read_text() == CORRECTED
    assert Ledger.read(tmp_path / "mini.toml") == ledger
    assert ledger.accepted_claim("N1") is INCONCLUSIVE
    assert ledger.accepted("N1", "") is REFUTED
    assert ledger.accepted_reading("N2", "test_mean[25%]") is REFUTED
    assert ledger.accepted_reading("N1", "test_mean") is None
    assert ledger.without({"N1", "N2"}) == Ledger()


def test_changes_of_readings_and_of_corrected_verdicts_are_counted() -> None:
    items = {"N1": {"": REFUTED}}
    old = Ledger(items, {"N1": {"test_mean": REFUTED}}, {"N1": Corrected("holm", REFUTED)})
    new = Ledger(items, {"N1": {"test_mean": REPRODUCED}}, {"N1": Corrected("holm", INCONCLUSIVE)})
    assert new.changes_from(old) == 2


def test_a_claim_without_its_family_keeps_its_accepted_verdict_while_that_can_be(tmp_path: Path) -> None:
    old = Ledger({"N1": {"a-b-25%": REFUTED}}, corrected={"N1": Corrected("holm", INCONCLUSIVE)})
    run = {"family": "f", "correction": "holm"}
    again = Measurement(0.2, 0.19, 0.21, 9, Over.NEURONS).as_dict()
    refuted = record(verdict=REFUTED, measurement=again, **run)
    assert old.updated([refuted], uncorrectable={"N1"}) == old
    assert old.updated([refuted]).accepted_claim("N1") is REFUTED
    assert old.updated([record(**run)], uncorrectable={"N1"}).accepted_claim("N1") is REPRODUCED
    assert old.updated([record()]).corrected == {}


def test_a_claim_that_is_gone_leaves_nothing_behind() -> None:
    old = Ledger({"N1": {"": REFUTED}}, {"N1": {"test_mean": REFUTED}}, {"N1": Corrected("holm", REFUTED)})
    assert old.updated([], complete={"N1"}) == Ledger()


def test_any_name_of_an_item_survives(tmp_path: Path) -> None:
    ledger = Ledger({"N1": {'a"b\\c\n\t\x7f[é]': REFUTED, "": REPRODUCED}})
    ledger.write(tmp_path / "mini.toml", "mini")
    assert Ledger.read(tmp_path / "mini.toml") == ledger


def test_no_ledger_accepts_nothing(tmp_path: Path) -> None:
    ledger = Ledger.read(tmp_path / "mini.toml")
    assert ledger.accepted("N1", "") is None
    assert ledger.accepted_claim("N1") is None


def test_updating_keeps_what_was_not_run_and_drops_what_is_gone() -> None:
    old = Ledger({"N1": {"a-b": REFUTED, "a-gone": REFUTED}, "N9": {"": REPRODUCED}})
    run = [record("a-b"), record("a-c", verdict=INCONCLUSIVE)]
    assert old.updated(run).claims == {
        "N1": {"a-b": REPRODUCED, "a-gone": REFUTED, "a-c": INCONCLUSIVE},
        "N9": {"": REPRODUCED},
    }
    assert old.updated(run, complete={"N1"}).claims["N1"] == {"a-b": REPRODUCED, "a-c": INCONCLUSIVE}


def test_errors_and_missing_evidence_are_never_accepted() -> None:
    old = Ledger({"N1": {"a-b": REFUTED, "a-c": REPRODUCED}})
    run = [
        record("a-b", verdict=Verdict.ERROR),
        record("a-c", verdict=Verdict.NOT_EVALUATED, command="universal-neurons compute"),
        record("a-d", verdict=Verdict.ERROR),
    ]
    assert old.updated(run, complete={"N1"}) == old


def test_nothing_measured_can_be_accepted() -> None:
    run = [record("a-b", verdict=Verdict.NOT_EVALUATED)]
    assert Ledger().updated(run).accepted("N1", "a-b") is Verdict.NOT_EVALUATED


def test_controls_are_not_in_the_ledger() -> None:
    assert Ledger().updated([record("a-b", role="control")]) == Ledger()


def test_readings_of_a_claim_without_items_are_not_in_the_ledger() -> None:
    assert Ledger().updated([record("a-b", role="reading")]) == Ledger()


def test_changes_are_counted_by_item() -> None:
    old = Ledger({"N1": {"a-b": REFUTED, "a-c": REPRODUCED}})
    new = Ledger({"N1": {"a-b": REPRODUCED, "a-c": REPRODUCED, "a-d": REFUTED}})
    assert new.changes_from(old) == 2
    assert old.changes_from(new) == 2
    assert old.changes_from(old) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[N1", "not a TOML file"),
        ("a = " + "[" * 5000, "not a TOML file"),
        ("N1 = 3", r"\[N1\] must hold verdict"),
        ("[N1]\n", r"\[N1\] must hold verdict"),
        ('[N1]\nverdict = "fine"', r"\[N1\] has verdict 'fine', expected one of reproduced, refuted"),
        ("[N1]\nverdict = 1", r"\[N1\] has verdict 1, expected one of"),
        ('[N1]\nverdict = "error"', r"\[N1\] has verdict 'error', expected one of"),
        ('[N1]\nverdict = "refuted"\nnote = "x"', r"\[N1\] must hold verdict"),
        ('[N1]\nverdict = "refuted"\n[N1.items]\n', r"\[N1\.items\] must be a table"),
        (
            '[N1]\nverdict = "reproduced"\n[N1.items]\n"a-b" = "refuted"\n',
            r"\[N1\] says reproduced, its items give refuted; run: pytest claims --update-verdicts",
        ),
        (
            '[N1]\nverdict = "inconclusive"\n[N1.items]\n"a-b" = "refuted"\n',
            r"\[N1\] says inconclusive, its items give refuted;",
        ),
        (
            '[N1]\nverdict = "reproduced"\ncorrection = "holm"\n[N1.items]\n"a-b" = "refuted"\n"a-c" = "reproduced"\n',
            r"\[N1\] says reproduced, its items give refuted or inconclusive;",
        ),
        (
            '[N1]\nverdict = "inconclusive"\ncorrection = "holm"\n[N1.items]\n"a-b" = "reproduced"\n',
            r"\[N1\] says inconclusive, its items give reproduced;",
        ),
        (
            '[N1]\nverdict = "refuted"\ncorrection = "sidak"',
            r"\[N1\] has correction 'sidak', expected one of holm, benj",
        ),
        ('[N1]\nverdict = "refuted"\nreadings = 1', r"\[N1\.readings\] must be a table"),
        ('[N1]\nverdict = "refuted"\n[N1.readings]\nt = "no"', r"\[N1\.readings\] has verdict 'no', expected one of"),
    ],
)
def test_a_damaged_ledger_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mini.toml"
    path.write_text(text)
    with pytest.raises(LedgerError, match=message) as caught:
        Ledger.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
