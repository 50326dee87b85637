"""The schema of every artifact: what is shipped fits, and what somebody else made up is one line."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.refusals import refusal
from tests.sources import ROOT
from universal_neurons.artifacts.codec import PayloadError, PayloadLimits, decode, encode
from universal_neurons.artifacts.schema import MalformedArtifact
from universal_neurons.stages.base import Case, Stage
from universal_neurons.stages.registry import stage_named, stages
from universal_neurons.stages.schemas import check, schemas
from universal_neurons.stages.sharing import largest_export
from universal_neurons.stages.workspace import open_workspace

if TYPE_CHECKING:
    from universal_neurons.artifacts.schema import Schema
    from universal_neurons.stages.workspace import Workspace

Change = Callable[[Any], Any]


@pytest.fixture(scope="module")
def work() -> Workspace:
    return open_workspace("mini", root=ROOT, warn=print)


def stage_of(part: str) -> Stage:
    return next(stage for stage in stages() if part in stage.parts)


def shipped(work: Workspace, part: str) -> tuple[Schema, Any]:
    """The schema and a copy of the value of the last shipped artifact of a part."""
    stage = stage_of(part)
    case = stage.cases(work)[-1]
    artifact = work.store.read(stage.key(work, case, part))
    assert artifact is not None
    return schemas(work, stage, case)[part], copy.deepcopy(artifact.value)


def test_everything_that_is_shipped_has_the_form_that_its_stage_gives_it(work: Workspace) -> None:
    for stage in stages():
        for case in stage.cases(work):
            artifacts = [work.store.read(key) for key in stage.keys(work, case)]
            check(work, stage, case, [artifact for artifact in artifacts if artifact is not None])
            for artifact, form in zip(artifacts, schemas(work, stage, case).values(), strict=True):
                assert artifact is not None
                suffix, data = encode(artifact.value)
                assert len(data) <= form.limits.size
                decode(suffix, data, form.limits)


def test_nothing_of_mini_may_be_larger_than_some_megabytes(work: Workspace) -> None:
    limits = [
        form.limits for stage in stages() for case in stage.cases(work) for form in schemas(work, stage, case).values()
    ]
    assert max(limit.size for limit in limits) < 80e6
    assert max(limit.cells for limit in limits) < 8e6
    files = (ROOT / "fixtures" / "evidence").glob("*/*/*")
    assert sum(path.stat().st_size for path in files) < largest_export(work) < 600e6


def without(name: str) -> Change:
    return lambda value: (
        value.drop(columns=name)
        if isinstance(value, pd.DataFrame)
        else {key: item for key, item in value.items() if key != name}
    )


def with_(name: str, make: Callable[[Any], Any]) -> Change:
    def change(value: Any) -> Any:
        changed = value.copy() if isinstance(value, pd.DataFrame) else dict(value)
        changed[name] = make(value[name])
        return changed

    return change


def one(number: float) -> Callable[[Any], Any]:
    """An array with one entry changed."""

    def make(array: Any) -> Any:
        changed = np.array(array)
        changed.flat[3] = number
        return changed

    return make


def of_ref(**changes: Any) -> Change:
    return lambda record: {**record, "ref": {**record["ref"], **changes}}


# What a stranger's artifact may be: its part, the change, and the words of the line.  A new fault is a new row.
MALFORMED: list[tuple[str, Change, str]] = [
    ("universality", without("correlation"), "'correlation': expected numbers or text, got no such column"),
    ("universality", lambda frame: frame.assign(more=1.0), "'more': expected no such column"),
    ("universality", with_("correlation", lambda one: ["much"] * len(one)), "expected numbers, got text"),
    ("universality", with_("partner_layer", lambda one: one.astype(np.float64)), "expected integers, got numbers"),
    ("universality", lambda frame: frame.iloc[: len(frame) // 2], "expected 2048 values, got 1024"),
    ("universality", lambda frame: frame.iloc[:1], "expected 2048 values, got 1"),
    ("universality", lambda frame: frame.iloc[:0], "expected 2048 values, got 0"),
    ("universality", with_("layer", one(-5)), "'layer': expected 0 in row 3, got -5"),
    ("universality", with_("neuron", one(0)), "'neuron': expected 3 in row 3, got 0"),
    ("universality", with_("partner_layer", one(20_000)), "'partner_layer': expected -1 to 3, got 20000"),
    ("universality", with_("partner_2_neuron", one(512)), "'partner_neuron': expected -1 to 511, got 512"),
    ("universality", with_("correlation", one(1.5)), "'correlation': expected -1.001 to 1.001, got 1.5"),
    ("universality", with_("baseline_sd", one(np.inf)), "'baseline_sd': expected finite numbers, got infinity"),
    ("universality", with_("correlation", lambda one: one * np.nan), "got none that is defined"),
    ("universality", lambda _: {"correlation": 1}, "expected columns or arrays, got a record"),
    ("null-rotated", without("baseline"), "'baseline': expected numbers or text, got no such column"),
    ("candidates", with_("neuron", lambda one: one[:5]), "values, got 5"),
    ("candidates", with_("influence", lambda one: one[:2]), "values, got 2 x 100 x "),
    ("candidates", with_("neuron", one(2048)), "'neuron': expected 0 to 2047, got 2048"),
    ("variants", with_("excess", lambda one: one[..., :7]), "expected 11 x 4 x 2048 values, got 11 x 4 x 7"),
    ("texts", without("excess_half_b e"), "'excess_half_b e': expected numbers or text, got no such column"),
    ("texts", with_("neuron", one(0)), "'neuron': expected 3 in row 3, got 0"),
    ("texts-tokens", of_ref(row_length=64), "'ref.row_length': expected 128 to 128, got 64"),
    ("ablation", lambda frame: frame.iloc[:9], "values, got 9"),
    ("ablation", with_("layer", one(4)), "'layer': expected -1 to 3, got 4"),
    ("ablation-blocks", without("clean_loss"), "'clean_loss': expected numbers or text, got no such column"),
    ("extensions-blocks", with_("token", one(10**6)), "'token': expected -1 to 1023, got 1e+06"),
    ("profiles", with_("promoted_token_0", one(4096)), "'promoted_token': expected 0 to 1023, got 4096"),
    ("profiles", with_("top_position_0", one(500)), "'top_position': expected -1 to 127, got 500"),
    ("properties", without("pre_mean"), "'pre_mean': expected numbers or text, got no such column"),
    ("properties", lambda frame: frame.iloc[:9], "expected 2048 values, got 9"),
    ("properties", with_("layer", one(1)), "'layer': expected 0 in row 3, got 1"),
    ("predictions", without("auc"), "'auc': expected numbers or text, got no such column"),
    ("predictions", with_("layer", one(1)), "'layer': expected 0 in row 3, got 1"),
    ("predictions-directions", lambda frame: frame.iloc[:9], "expected 4096 values, got 9"),
    ("predictions-planted", lambda frame: frame.iloc[:9], "expected 64 values, got 9"),
    ("heads", lambda frame: frame.iloc[:9], "expected 16 values, got 9"),
    ("paths", with_("source_neuron", lambda one: one.astype(np.float64)), "expected integers, got numbers"),
    ("path-points", without("norm"), "'norm': expected numbers or text, got no such column"),
    ("entropy", lambda frame: frame.iloc[:9], "values, got 9"),
    ("entropy-clamps", without("first_kept"), "'first_kept': expected numbers or text, got no such column"),
    ("entropy-below", lambda frame: frame.iloc[:9], "expected 144 values, got 9"),
    ("labels", without("family"), "'family': expected numbers or text, got no such column"),
    ("labels", with_("count", lambda one: one * 1.0), "'count': expected integers, got numbers"),
    ("labels-bits", without("place"), "'place': expected numbers or text, got no such column"),
    ("explanations", without("any_first"), "'any_first': expected numbers or text, got no such column"),
    ("explanations", lambda frame: frame.iloc[:9], "expected 2048 values, got 9"),
    ("explanations", with_("layer", one(1)), "'layer': expected 0 in row 3, got 1"),
    ("explanations-directions", lambda frame: frame.iloc[:9], "expected 200 values, got 9"),
    ("duplicates", with_("correlation", one(1.5)), "'correlation': expected -1.001 to 1.001, got 1.5"),
    ("duplicates", with_("layer", one(1)), "'layer': expected 0 in row 3, got 1"),
    ("positions", without("first"), "'first': expected numbers or text, got no such column"),
    ("positions", lambda frame: frame.iloc[:9], "expected 2048 values, got 9"),
    ("positions", with_("layer", one(1)), "'layer': expected 0 in row 3, got 1"),
    ("precisions", without("kept"), "'kept': expected numbers or text, got no such column"),
    ("precisions", lambda frame: frame.iloc[:3], "expected 5 values, got 3"),
    ("precisions", with_("correlation", one(1.5)), "'correlation': expected -1.001 to 1.001, got 1.5"),
    ("explanations-carried", with_("score", one(np.inf)), "'score': expected finite numbers, got infinity"),
    ("corpus", lambda _: {}, "'ref': expected a value, got none"),
    ("corpus", lambda _: {"a": np.zeros(1)}, "expected a record, got columns or arrays"),
    ("corpus", without("rows"), "'rows': expected a value, got none"),
    ("corpus", with_("rows", lambda _: "many"), "'rows': expected int, got str"),
    ("corpus", with_("rows", lambda _: True), "'rows': expected int, got bool"),
    ("corpus", with_("rows", lambda _: 10**12), "'rows': expected 1 to 100000, got 1e+12"),
    ("corpus", with_("ref", lambda _: None), "'ref': expected dict, got NoneType"),
    ("corpus", with_("domains", lambda _: [1]), "'domains': expected str, got int"),
    ("corpus", of_ref(sha256="short"), "'ref.sha256': expected a sha256, got 'short'"),
    ("corpus", of_ref(row_length=64), "'ref.row_length': expected 128 to 128, got 64"),
    ("evaluation", of_ref(tokens="3048"), "'ref.tokens': expected int, got str"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "change", "said"), MALFORMED, ids=[f"{part}: {said}" for part, _, said in MALFORMED])
def test_what_has_another_form_is_one_line(work: Workspace, part: str, change: Change, said: str) -> None:
    form, value = shipped(work, part)
    form.check(value)
    assert said in refusal(MalformedArtifact, lambda: form.check(change(value)))


def test_every_part_of_every_stage_is_in_the_table() -> None:
    assert {part for stage in stages() for part in stage.parts} - {part for part, _, _ in MALFORMED} <= {
        "null-permuted", "extensions",
    }  # fmt: skip


def test_a_malformed_artifact_in_a_store_is_named_with_its_folder(work: Workspace) -> None:
    case = stage_named("universality").cases(work)[0]
    stage = stage_named("null-rotated")
    artifact = work.store.read(stage.key(work, stage.cases(work)[0]))
    assert artifact is not None
    said = refusal(MalformedArtifact, lambda: check(work, stage_named("corpus"), Case(), [artifact]))
    assert said.startswith("fixtures/evidence/null-rotated/")
    assert "corpus of 100000 tokens of wheels: expected a record" in said
    assert case.step is not None


def bomb(rows: int, columns: int = 1) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({f"c{n}": pa.nulls(rows, pa.bool_()) for n in range(columns)}), sink, compression="zstd")
    return sink.getvalue()


def test_a_table_with_more_cells_than_the_suite_has_is_refused_before_its_rows_are_read(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, _ = shipped(work, "universality")
    data = bomb(1_000_000)
    assert len(data) < form.limits.size

    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("no row may be read")

    monkeypatch.setattr(pq, "read_table", read)
    said = refusal(PayloadError, lambda: decode("parquet", data, form.limits))
    assert said == "table: 1000000 rows of 1 columns; expected at most 36864 cells"
    with pytest.raises(AssertionError):
        decode("parquet", data, PayloadLimits())
