"""Published tables of neurons: the pinned file is read, any other is refused in one line."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from tests.refusals import refusal
from tests.sources import ROOT
from universal_neurons.errors import NotOnSuite
from universal_neurons.inputs.catalogue import CATALOGUE, Catalogue
from universal_neurons.inputs.published_neurons import (
    VARIABLE,
    PinnedTables,
    PublishedNeuronsError,
    published_neurons,
)
from universal_neurons.inputs.validation import read_model

if TYPE_CHECKING:
    from pathlib import Path

TABLE = "layer,neuron,w_in_norm\n0,7,0.5\n1,2,0.25\n"
ASKED: dict[str, Any] = {"family": "tiny", "model": "a", "step": 400}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one pinned table, and the folder that holds it."""
    listed = tmp_path / "fixtures" / "published" / "neurons.toml"
    listed.parent.mkdir(parents=True)
    digest = sha256(TABLE.encode()).hexdigest()
    listed.write_text(
        f'[[table]]\nfamily = "tiny"\nmodel = "a"\nstep = 400\nfile = "some/universal.csv"\nsha256 = "{digest}"\n'
    )
    file = tmp_path / "dataframes" / "some" / "universal.csv"
    file.parent.mkdir(parents=True)
    file.write_text(TABLE)
    monkeypatch.setenv(VARIABLE, "dataframes")
    return tmp_path


def test_the_columns_of_the_pinned_file_are_read(checkout: Path) -> None:
    columns = {name: values.tolist() for name, values in published_neurons(checkout, **ASKED).items()}
    assert columns == {"layer": [0, 1], "neuron": [7, 2], "w_in_norm": [0.5, 0.25]}


def test_a_suite_without_a_table_or_a_folder_cannot_answer(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(NotOnSuite, lambda: published_neurons(checkout, **{**ASKED, "step": 300}))
    assert said == "no table of the neurons of tiny-a at step 300 was published; there are tiny-a at step 400"
    monkeypatch.delenv(VARIABLE)
    said = refusal(NotOnSuite, lambda: published_neurons(checkout, **ASKED))
    assert said.startswith("the published table some/universal.csv is not part of this project; set")


def test_another_file_is_refused(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = checkout / "dataframes" / "some" / "universal.csv"
    file.write_text(TABLE.replace("0.25", "0.26"))
    assert "expected the file with sha256" in refusal(
        PublishedNeuronsError, lambda: published_neurons(checkout, **ASKED)
    )
    monkeypatch.setenv(VARIABLE, "elsewhere")
    assert "cannot be read" in refusal(PublishedNeuronsError, lambda: published_neurons(checkout, **ASKED))


def test_every_pinned_table_is_of_a_published_checkpoint() -> None:
    pinned = read_model(
        PinnedTables, ROOT / "fixtures" / "published" / "neurons.toml", error=PublishedNeuronsError, advice=""
    )
    families = Catalogue.read(ROOT / CATALOGUE)
    for one in pinned.table:
        family = families.family(one.family)
        assert one.model in family.models
        assert one.step in family.every_step
