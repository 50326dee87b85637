"""Other texts: the scores are what dense matrices give; planned, computed, resumed, shared and rechecked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.stages.suites import speed
from tests.stages.test_runner import Writes
from tests.stages.test_variants import activations, expected_scores
from universal_neurons.artifacts.store import Store
from universal_neurons.errors import NotOnSuite, UserError
from universal_neurons.inputs.corpus import CorpusError, CorpusManifest, CorpusRecipe
from universal_neurons.stages import recheck
from universal_neurons.stages.base import Case, read_artifact
from universal_neurons.stages.comparison import EvidenceDiffers
from universal_neurons.stages.dry_run import needs_of
from universal_neurons.stages.plan import plan
from universal_neurons.stages.registry import suite_artifacts, suite_keys, where
from universal_neurons.stages.runner import compute
from universal_neurons.stages.sharing import export_suite, pull
from universal_neurons.stages.study import StoredStudy
from universal_neurons.stages.tasks import tasks
from universal_neurons.stages.texts import SCORES, TEXTS
from universal_neurons.stages.tokens import text_tokens, token_set

if TYPE_CHECKING:
    from pathlib import Path

    from tests.miniature import Miniature
    from universal_neurons.stages.workspace import Workspace

NAMES = ("other_rows", "other", "english")
CASES = [Case(30, text=name) for name in NAMES]
RECIPES = {
    "other": 'distributions = ["filelock"]\nheld_out_share = 1.0\nseed = 1\n',
    "english": 'distributions = ["rich", "threadpoolctl"]\nheld_out_share = 1.0\nseed = 1\ntext = "descriptions"\n',
}


def with_texts(project: Miniature) -> Miniature:
    """The project with three other texts, two of them of recipes of their own."""
    project.replace("fixtures/suites/mini.toml", "draws = 3\n", f"draws = 3\ntexts = {list(NAMES)}\n")
    corpora = project.root / "fixtures" / "corpora"
    for name, recipe in RECIPES.items():
        (corpora / f"{name}.toml").write_text(recipe)
        manifest = CorpusRecipe.read(corpora / f"{name}.toml").manifest()
        (corpora / f"{name}.json").write_text(json.dumps(manifest.as_dict()))
    return project


@pytest.fixture(scope="module")
def read(computed: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    """A computed project with its texts."""
    project = with_texts(computed.copied(tmp_path_factory.mktemp("texts") / "project"))
    assert compute(project.workspace(local=True)) == 2 * len(CASES)
    return project


@pytest.fixture
def asked(own: Miniature) -> Miniature:
    """A project that is computed but for its texts."""
    return with_texts(own)


def test_a_suite_without_texts_has_the_keys_that_it_had(read: Miniature, computed: Miniature) -> None:
    before = suite_keys(computed.workspace())
    assert [key for key in suite_keys(read.workspace()) if key.stage not in TEXTS.parts] == list(before)


@pytest.mark.parametrize("text", NAMES)
def test_scores_are_what_dense_matrices_of_the_texts_tokens_give(read: Miniature, text: str) -> None:
    work = read.workspace(local=True)
    tables, tokens = StoredStudy(work).table("texts", text=text), text_tokens(work, text)
    assert set(tables) == {"b", "c"}
    block = np.arange(len(tokens.rows)) * work.suite.universality.blocks // len(tokens.rows)
    even = (block % 2 == 0)[:, None]
    masks = {"excess": (tokens.mask, 4), "excess_half_a": (tokens.mask & even, 2)}
    masks["excess_half_b"] = (tokens.mask & ~even, 2)
    for column, (mask, draws) in masks.items():
        x, y = (activations(work, name, tokens.rows, mask) for name in ("a", "c"))
        _, expected = expected_scores(x, y, model="c", draws=draws)
        np.testing.assert_allclose(tables["c"].column(column), expected, atol=3e-4)
        assert np.abs(tables["b"].column(column) - expected).max() > 0.01


def test_a_text_has_as_many_tokens_in_the_same_rows_and_no_row_of_the_suites(read: Miniature) -> None:
    work = read.workspace(local=True)
    own = token_set(work)
    for name in NAMES:
        tokens = text_tokens(work, name)
        assert tokens.rows.shape[1] == own.rows.shape[1]
        assert 0 <= tokens.scored - 3000 < 31
        assert tokens.ref.mask == own.ref.mask
        assert not {row.tobytes() for row in tokens.rows} & {row.tobytes() for row in own.rows}
        record: Any = read_artifact(work, TEXTS.key(work, Case(30, text=name), "texts-tokens")).document
        assert record["ref"]["sha256"] == tokens.ref.sha256
        assert record["ref"]["name"] == {"other_rows": "wheels"}.get(name, name)


def test_they_are_planned_as_tasks_of_their_own(asked: Miniature) -> None:
    planned = plan(asked.workspace(), measure=lambda _: speed())
    rows = {row.stage: row for row in planned.stages}
    assert (rows["texts"].artifacts, rows["texts"].present) == (6, 0)
    assert (rows["texts"].seconds or 0) > 0
    assert all(not row.seconds for name, row in rows.items() if name != "texts")
    names = [task.name for task in tasks(asked.workspace()) if task.name.startswith("texts")]
    assert names == [f"texts@30:{name}" for name in NAMES]


def test_a_killed_computation_resumes_with_what_is_missing(
    asked: Miniature, read: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Writes(patch, kill_at=4)
        with pytest.raises(KeyboardInterrupt):
            compute(asked.workspace(local=True))
    writes, passes = Writes(monkeypatch), spied_passes(monkeypatch)
    assert compute(asked.workspace(local=True)) == 3
    # Of the second text the record is there, and written again with its table.
    assert writes.stages == ["texts-tokens", "texts"] * 2
    assert passes == ["step 30: other", "step 30: english"]
    for case in CASES:
        assert_same(asked.workspace(), read.workspace(), case)


def spied_passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of the passes that are asked for."""
    from universal_neurons.stages import passes, scores

    asked: list[str] = []
    streamed = passes.streamed

    def spied(models: Any, load: Any, reading: Any, *rest: Any, **named: Any) -> Any:
        asked.append(reading.title)
        return streamed(models, load, reading, *rest, **named)

    monkeypatch.setattr(scores, "streamed", spied)
    return asked


def assert_same(one: Workspace, other: Workspace, case: Case) -> None:
    for mine, theirs in zip(TEXTS.keys(one, case), TEXTS.keys(other, case), strict=True):
        assert read_artifact(one, mine).sha256 == read_artifact(other, theirs).sha256


def test_they_are_listed_exported_and_imported(read: Miniature, miniature: Miniature, tmp_path: Path) -> None:
    export_suite(read.workspace(), tmp_path / "evidence.zip")
    reader = with_texts(miniature.copied(tmp_path / "reader"))
    pull("mini", str(tmp_path / "evidence.zip"), root=reader.root, warn=print)
    work = reader.workspace()
    listed = [artifact for artifact in suite_artifacts(work) if artifact.stage is TEXTS]
    assert [TEXTS.describe(work, one.case) for one in listed[::2]] == [f"the reference on {name}" for name in NAMES]
    assert {where(work, artifact.key) for artifact in listed} == {"imported"}
    for case in CASES:
        assert_same(work, read.workspace(), case)


def test_an_altered_number_is_found(read: Miniature, tmp_path: Path) -> None:
    project = read.copied(tmp_path / "project")
    work = project.workspace(local=True)
    work.store.export([key for case in CASES for key in TEXTS.keys(work, case)], work.root / "fixtures" / "evidence")
    (compared,) = recheck.check_recomputation(project.workspace())
    assert compared.agrees
    assert str(compared).startswith("all of texts, 864 scores computed again: largest difference 0.0e+00 in excess")
    key = TEXTS.key(work, CASES[1])
    found = work.store.read(key)
    assert found is not None
    shutil.rmtree(work.store.working / key.stage / key.digest)
    altered = found.table.assign(**{"excess b": found.table["excess b"] + 0.06})
    Store(work.store.working, warn=print).write(key, altered, found.provenance)
    with pytest.raises(EvidenceDiffers, match=r"texts on other, 288 scores computed again: .* 6\.0e-02 in excess"):
        recheck.check_recomputation(project.workspace())


def test_scores_that_move_together_and_other_tokens_are_found(read: Miniature) -> None:
    work, case = read.workspace(), CASES[0]
    stored = tuple(read_artifact(work, key) for key in TEXTS.keys(work, case))
    assert TEXTS.comparison(work, case, stored, stored).agrees
    moved = stored[0].table.assign(**{name: stored[0].table[name] + 0.01 for name in stored[0].table.columns[2:6]})
    again: Any = (SimpleNamespace(table=moved), stored[1])
    assert not TEXTS.comparison(work, case, stored, again).agrees
    record: Any = stored[1].document
    again = (stored[0], SimpleNamespace(document={"ref": record["ref"] | {"sha256": "0" * 64}}))
    assert not TEXTS.comparison(work, case, stored, again).agrees


def test_a_reader_of_one_text_needs_that_text_alone(read: Miniature) -> None:
    work = read.workspace()
    assert needs_of(work, [lambda study: study.table("texts", text="english")]) == ((TEXTS, CASES[2]),)
    study = StoredStudy(work)
    with pytest.raises(NotOnSuite, match=r"^suite mini: variants.texts: expected one of .*, english, got 'french'$"):
        study.table("texts", text="french")
    with pytest.raises(UserError, match=r"^suite mini: texts: expected one of .*other_rows@30.*, got .*english@15"):
        study.table("texts", text="english", checkpoint=SimpleNamespace(step=15))
    assert TEXTS.cases(read.workspace("brief")) == ()
    assert TEXTS.cases(read.workspace(narrowing={"quick": True})) == ()


def test_a_text_that_is_not_installed_as_pinned_is_one_line(asked: Miniature) -> None:
    path = asked.root / "fixtures" / "corpora" / "other.json"
    (here,) = CorpusManifest.read(path).distributions
    path.write_text(json.dumps(CorpusManifest((replace(here, sha256="0" * 64),), 1.0, 1).as_dict()))
    with pytest.raises(UserError, match=r"^corpus other: the shipped evidence is about another version of the text"):
        text_tokens(asked.workspace(), "other")
    lines: list[str] = []
    assert text_tokens(asked.workspace(local=True, warn=lines.append), "other").scored >= 3000
    assert len(lines) == 1
    assert lines[0].startswith("corpus ")
    path.with_suffix(".toml").write_text(RECIPES["other"].replace("filelock", "no-such-distribution"))
    with pytest.raises(CorpusError, match="distribution 'no-such-distribution' is not installed"):
        text_tokens(asked.workspace(local=True), "other")


def test_every_score_is_a_column_of_every_partner(read: Miniature) -> None:
    frame = read_artifact(read.workspace(), TEXTS.key(read.workspace(), CASES[0])).table
    assert list(frame.columns) == ["layer", "neuron", *(f"{score} {partner}" for partner in "bc" for score in SCORES)]
