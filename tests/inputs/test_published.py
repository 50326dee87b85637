"""The published numbers: each found, each consistent with the others, and one clear line for everything else."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from universal_neurons.errors import UserError
from universal_neurons.inputs.published import PublishedError, published, published_table

ROOT = Path(__file__).parents[2]
NEURONS = 36864

TABLE = """
[paper]
title = "A paper"

[shares]
title = "Shares"
where = "table 3"
kind = "printed"
unit = "percent"
keys = ["step"]
rows = [{ step = 1, as = "2.50" }, { step = 2, as = "3", where = "text", kind = "calculated", note = "ours" }]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "fixtures" / "published").mkdir(parents=True)
    return tmp_path


def write(root: Path, text: str) -> None:
    (root / "fixtures" / "published" / "paper2020.toml").write_text(text, encoding="utf-8")


def test_a_percentage_is_read_as_a_share() -> None:
    assert published("nandan2025.table1", threshold=0.5, step=100000, root=ROOT) == 0.0474


def test_without_a_root_the_project_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("UNIVERSAL_NEURONS_ROOT", raising=False)
    assert published("gurnee2024.prevalence", model="gpt2-small-a") == 0.0416


def test_table_1_has_its_nine_values_as_printed() -> None:
    table = published_table("nandan2025.table1", root=ROOT)
    texts = {(row.keys["threshold"], row.keys["step"]): row.text for row in table.rows}
    assert [texts[0.4, step] for step in (100000, 200000, 300000)] == ["9.58", "10.99", "11.33"]
    assert [texts[0.5, step] for step in (100000, 200000, 300000)] == ["4.74", "5.56", "5.71"]
    assert [texts[0.6, step] for step in (100000, 200000, 300000)] == ["2.00", "2.35", "2.41"]
    assert {row.kind for row in table.rows} == {"printed"}


def test_what_is_calculated_from_table_1_agrees_with_it() -> None:
    for row in published_table("nandan2025.table1_counts", root=ROOT).rows:
        assert round(published("nandan2025.table1", root=ROOT, **row.keys) * NEURONS) == row.value
    for row in published_table("nandan2025.table1_growth", root=ROOT).rows:
        earlier, later = (
            published("nandan2025.table1", threshold=row.keys["threshold"], step=row.keys[key], root=ROOT)
            for key in ("earlier", "later")
        )
        assert later - earlier == pytest.approx(row.value)


@pytest.mark.parametrize("model", ["gpt2-small-a", "gpt2-medium-a", "pythia-160m"])
def test_the_counts_per_layer_sum_to_the_count_and_the_count_to_the_prevalence(model: str) -> None:
    layers = [row.value for row in published_table("gurnee2024.layers", root=ROOT).rows if row.keys["model"] == model]
    count = published("gurnee2024.counts", model=model, threshold=0.5, root=ROOT)
    assert sum(layers) == count
    share = count / published("gurnee2024.neurons", model=model, root=ROOT)
    assert share == pytest.approx(published("gurnee2024.prevalence", model=model, root=ROOT), abs=5e-5)


@pytest.mark.parametrize("paper", ["nandan2025", "gurnee2024"])
def test_every_number_says_where_it_stands(paper: str) -> None:
    raw = tomllib.loads((ROOT / "fixtures" / "published" / f"{paper}.toml").read_text(encoding="utf-8"))
    for name in raw.keys() - {"paper"}:
        table = published_table(f"{paper}.{name}", root=ROOT)
        assert table.rows
        assert all(row.where.strip() for row in table.rows)


def test_a_row_takes_from_its_table_what_it_does_not_say_itself(root: Path) -> None:
    write(root, TABLE)
    first, second = published_table("paper2020.shares", root=root).rows
    assert (first.text, first.value, first.where, first.kind, first.note) == ("2.50", 0.025, "table 3", "printed", "")
    assert (second.value, second.where, second.kind, second.note) == (0.03, "text", "calculated", "ours")


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("smith1999.table1", {"step": 1}, "no paper 'smith1999' in .*; there are paper2020"),
        ("paper2020.table9", {"step": 1}, "no table 'table9' in .*; there are shares"),
        ("paper2020", {"step": 1}, "no table ''"),
        ("paper2020.shares", {}, "expected the keys step, got none"),
        ("paper2020.shares", {"step": 1, "layer": 2}, "expected the keys step, got step, layer"),
        ("paper2020.shares", {"step": 3}, "no row has step=3; it has 1, 2"),
    ],
)
def test_a_number_that_is_not_there_is_one_clear_line(
    root: Path, name: str, keys: dict[str, Any], message: str
) -> None:
    write(root, TABLE)
    with pytest.raises(PublishedError, match=message) as caught:
        published(name, root=root, **keys)
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)


def test_labels_that_exist_but_not_together_are_said_to_be_so() -> None:
    with pytest.raises(PublishedError, match=r"no row has .*, threshold=0\.8 together"):
        published("gurnee2024.counts", model="gpt2-medium-a", threshold=0.8, root=ROOT)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'unit = "percent"',
            'unit = "per mille"',
            r"\[shares\] unit: Input should be 'percent', .*, got 'per mille'",
        ),
        ('kind = "printed"', 'kind = "heard"', "kind: Input should be 'printed', .*, got 'heard'"),
        ('"2.50"', '"2.5O"', "rows.0.as: expected a finite number, .*, got '2.5O'"),
        ('"2.50"', "2.50", "rows.0.as: Input should be a valid string, got 2.5"),
        ('"2.50"', '"nan"', "expected a finite number"),
        ("step = 2,", "step = 1,", "two rows have step=1"),
        ("step = 2, ", "", "rows.1: expected the keys step, got "),
        ('where = "table 3"\n', "", "where: Field required"),
        ('title = "Shares"', 'title = "Shares"\npage = 4', "page: Extra inputs are not permitted"),
        ("[shares]", "[shares", "not TOML"),
        ('{ step = 1, as = "2.50" }', "7", "rows.0: Input should be .*, got 7"),
    ],
)
def test_a_file_written_wrongly_is_one_clear_line(root: Path, old: str, new: str, message: str) -> None:
    assert old in TABLE
    write(root, TABLE.replace(old, new))
    with pytest.raises(PublishedError, match=message) as caught:
        published("paper2020.shares", step=1, root=root)
    assert "\n" not in str(caught.value)
