"""A small study and its evidence, made up: the report is tested without models, tokens or pytest runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tests.measures.ablations import Ablated, table_of
from tests.measures.attended import Attended
from tests.measures.entropic import Entropic
from tests.measures.written import LAYER, Written
from tests.render.explained import made_duplicates, made_explanations, made_labels
from tests.render.neurons import VOCABULARY, AnyStudy, made_profiles
from universal_neurons.artifacts.receipt import Imported
from universal_neurons.evidence.criteria import AtMost, Criterion, GreaterThan, Near, NotJudged, Published
from universal_neurons.evidence.log import RECORDS, EvidenceLog
from universal_neurons.evidence.record import ControlResult, EvidenceRecord
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.ids import CorpusRef, ModelRef
from universal_neurons.inputs.corpus import MaskPolicy
from universal_neurons.inputs.suite import Checkpoint, Suite
from universal_neurons.inputs.suite_file import (
    AblationSpec,
    CorpusSpec,
    ProfilesSpec,
    ResamplingSpec,
    UniversalitySpec,
    VariantsSpec,
    ZooSpec,
)
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.ablation_table import AblationTable, SetKind
from universal_neurons.measures.tables import ReferenceTables, Resampling, UniversalityTable
from universal_neurons.stages.neuron_sets import NeuronSet, SetPlan

if TYPE_CHECKING:
    from universal_neurons.measures.extensions import Extensions
    from universal_neurons.measures.predictions import PredictionTables
    from universal_neurons.measures.profiles import NeuronProfiles
    from universal_neurons.measures.study import HasStep, NullKind

CHECKOUT = Path(__file__).parents[2]
MODELS = ("a", "b", "c", "d", "e")
CHECKPOINTS = tuple(Checkpoint(step=1000 * i, share=i / 4, label=f"{25 * i} %") for i in (1, 2, 3, 4))
ARTIFACTS = (f"{1:064x}", f"{2:064x}")
LAYERS, WIDTH, BLOCKS, DRAWS = 4, 250, 20, 6
DOSE = (0.25, 0.5, 0.75)
RESAMPLING = Resampling(resamples=200, level=0.95, seed=1)


def fake_suite(**changes: Any) -> Suite:
    """A suite like the mini one."""
    settings: dict[str, Any] = {
        "name": "mini",
        "title": "Mini: five small models",
        "description": "Five seeds of one recipe.",
        "zoo": ZooSpec(kind="fixtures", path="zoo/mini", models=MODELS, reference="a"),
        "corpus": CorpusSpec(recipe="wheels", tokens=200_000, row_length=128, mask=MaskPolicy.PUBLISHED_FIRST, seed=1),
        "universality": UniversalitySpec(
            threshold=0.5, thresholds=(0.4, 0.5, 0.6), rotation="gaussian", draws=DRAWS, half_draws=2, top_k=5,
            blocks=BLOCKS, floor=0.2, seed=1,
        ),
        "ablation": AblationSpec(tokens=3_048, blocks=BLOCKS, draws=DRAWS, dose=DOSE, orders=3, seed=1),
        "variants": VariantsSpec(
            masks=(MaskPolicy.PUBLISHED, MaskPolicy.ALL), tokens=(10_000, 50_000), rotations=("orthogonal",),
            single=(1,), padding="!", padded_tokens=50_000, draws=DRAWS, texts=("other_rows", "english"),
        ),
        "resampling": ResamplingSpec(resamples=200, level=0.95, seed=1),
        "checkpoints": CHECKPOINTS,
        "profiles": ProfilesSpec(top=8, bins=32, shown=10, ablation_rows=4),
        "untrained": None,
        "layers": LAYERS,
    }  # fmt: skip
    chosen = {**settings, **changes}
    return Suite(**{"references": chosen["zoo"].models, **chosen})


def fake_tables(step: int, reference: str = "a") -> ReferenceTables:
    """Made-up tables of one model: few neurons far above the baseline, more of them later and in the first layer.

    A neuron that is universal once tends to stay so, as it has the same talent at every step.
    """
    return _tables(step, reference, MODELS)


# Made anew for every question, tables would take more time than the report that is made of them.  The names are an
# argument, as hostile tests call the models otherwise.
@cache
def _tables(step: int, reference: str, models: tuple[str, ...]) -> ReferenceTables:
    place = models.index(reference)
    talents = np.random.default_rng(place)
    rng = np.random.default_rng([step, place])
    neurons = LAYERS * WIDTH
    layer = np.repeat(np.arange(LAYERS), WIDTH)
    chance = (0.01 + 0.012 * step / 1000) * np.array([1.8, 0.7, 0.6, 1.2])[layer]
    shared = talents.random(neurons) + rng.normal(0, 0.004, neurons) < chance
    excesses = {
        partner: np.clip(
            rng.beta(1.3, 10, neurons) + np.where(shared, talents.normal(0.5, 0.12, neurons), 0), -0.1, 0.95
        )
        for partner in models
        if partner != reference
    }
    near = np.random.default_rng([step, place, 5]).random(neurons) < 0.7
    rows = np.flatnonzero(np.max(list(excesses.values()), axis=0) > 0.2)
    tables = {
        partner: UniversalityTable(
            reference=reference, partner=partner, step=step, candidates=rows,
            frame=pd.DataFrame(
                {
                    "layer": layer.astype(np.int16), "neuron": np.tile(np.arange(WIDTH), LAYERS),
                    "partner_layer": np.where(near, layer, layer[::-1]).astype(np.int16),
                    "partner_neuron": np.tile(np.arange(WIDTH), LAYERS),
                    "correlation": excess + 0.2, "baseline": 0.2, "excess": excess,
                    "excess_half_a": excess + rng.normal(0, 0.02, neurons),
                    "excess_half_b": excess + rng.normal(0, 0.02, neurons),
                }
            ),
            influence=rng.normal(0, 0.006, (BLOCKS, rows.size)),
            draws=0.2 + rng.normal(0, 0.005, (DRAWS, rows.size)),
            resampling=RESAMPLING,
        )
        for partner, excess in excesses.items()
    }  # fmt: skip
    return ReferenceTables(reference=reference, step=step, tables=tables)


@cache
def _variant(table: UniversalityTable, name: str) -> UniversalityTable:
    """The table measured in another way: no interval, every excess a little different."""
    rng = np.random.default_rng(len(name))
    change = rng.normal(0.002 * (len(name) - 14), 0.01, len(table.frame))
    nothing = np.empty(0, dtype=np.int64)
    return replace(
        table, frame=table.frame.assign(excess=table.frame["excess"] + change), candidates=nothing,
        influence=np.empty((BLOCKS, 0)), draws=np.empty((DRAWS, 0)),
    )  # fmt: skip


@cache
def _null(table: UniversalityTable, kind: NullKind) -> UniversalityTable:
    """Partners that read other tokens: correlations of a hundredth, partners anywhere."""
    dice = np.random.default_rng(len(kind))
    noise = np.abs(dice.normal(0, 0.01, len(table.frame)))
    layers = dice.integers(0, LAYERS, len(table.frame))
    return replace(table, frame=table.frame.assign(correlation=noise, partner_layer=layers))


@cache
def _of_neurons(stage: str, step: int, model: str, models: tuple[str, ...]) -> Any:
    """Made-up properties of one model, with heavier tails where neurons are universal, and what explains them."""
    properties = _properties(step, model, models)
    if stage == "properties":
        return properties
    layer, neuron = (properties[column].to_numpy() for column in ("layer", "neuron"))
    if stage == "duplicates":
        return made_duplicates(layer, neuron)
    explained = properties["pre_kurtosis"].to_numpy() > 5
    table = made_explanations(model, layer, neuron, explained, seed=[step, models.index(model), 11])
    if stage == "labels":
        return made_labels(table, len(VOCABULARY))
    assert stage == "explanations"
    return table


@cache
def _properties(step: int, model: str, models: tuple[str, ...]) -> pd.DataFrame:
    tables = _tables(step, model, models).tables.values()
    excess = np.mean([table.frame["excess"].to_numpy() for table in tables], axis=0)
    dice = np.random.default_rng([step, models.index(model), 9])
    names = ("pre_mean", "pre_skewness", "input_bias", "w_in_norm", "w_out_norm", "vocabulary_kurtosis")
    cosine = dice.normal(0, 0.3, excess.size)
    return next(iter(tables)).frame[["layer", "neuron"]].assign(
        **{name: dice.normal(0, 1, excess.size) for name in (*names, "vocabulary_skewness")},
        pre_kurtosis=3 + dice.normal(0, 0.3, excess.size) + excess * 4,
        cos_in_out=np.clip(cosine, -0.99, 0.99),
        frequency=np.clip(0.3 - 0.3 * cosine + dice.normal(0, 0.1, excess.size), 0, 1),
        published_frequency=dice.uniform(0, 1, excess.size),
        twin_in=dice.uniform(0.2, 0.7, excess.size),
        twin_out=dice.uniform(0.2, 0.7, excess.size),
    )  # fmt: skip


# What neurons write, what they do to entropy, and to attention.
MadeUp = tuple[Written, Entropic, Attended]
ROLES: MadeUp = (Written(layers=LAYERS), Entropic(), Attended())


def fake_roles(stage: str, model: str, made: MadeUp = ROLES) -> Any:
    """Made-up tables of what the neurons of a model do; None for another stage."""
    # Made-up numbers are drawn for a letter, whatever a model is called.
    return _roles(stage, ascii_lowercase[MODELS.index(model)], made)


@cache
def _roles(stage: str, model: str, made: MadeUp) -> Any:
    written, entropic, attended = made
    match stage:
        case "predictions":
            return _of_the_width(written.tables(model, np.zeros(len(LAYER), dtype=np.bool_)))
        case "entropy":
            return entropic.tables(model)
        case "entropy-below":
            return entropic.below(model)
        case "heads":
            return attended.tables(model)
        case _:
            return None


def _of_the_width(tables: PredictionTables) -> PredictionTables:
    """The tables with as many neurons in each layer as the profiles have."""
    first = tables.neurons.groupby("layer").head(WIDTH)
    return replace(tables, neurons=first.assign(neuron=first.groupby("layer").cumcount()).reset_index(drop=True))


# What ablating a set of each kind does, in nats: universal neurons more than random ones, all others very much.
_EFFECTS = {
    SetKind.UNIVERSAL: 0.03, SetKind.OTHERS: 2.4, SetKind.TOP_NORM: 0.06, SetKind.RANDOM_OTHERS: 0.007,
    SetKind.LAYER_MATCHED: 0.011, SetKind.NORM_MATCHED: 0.02,
}  # fmt: skip


def fake_ablation(checkpoint: Checkpoint, reference: str = "a") -> AblationTable:
    """Made-up ablations: the sets that the suite's plan has, effects that grow over the training."""
    return _ablation(checkpoint, reference, MODELS, is_last=checkpoint == CHECKPOINTS[-1])


@cache
def _ablation(checkpoint: Checkpoint, reference: str, models: tuple[str, ...], *, is_last: bool) -> AblationTable:
    rng = np.random.default_rng([7, checkpoint.step, models.index(reference)])
    partners = tuple(name for name in models if name != reference) if reference == "a" else ()
    plan = SetPlan(
        role="last" if is_last else "trained", partners=partners, thresholds=(0.4, 0.5, 0.6), threshold=0.5,
        layers=LAYERS, draws=DRAWS, dose=DOSE, orders=3,
    )  # fmt: skip
    sets = [_ablated(one, checkpoint.share, rng) for one in plan.sets()]
    table = table_of(sets, resampling=RESAMPLING, blocks=BLOCKS)
    return replace(table, reference=reference, step=checkpoint.step)


def _ablated(one: NeuronSet, trained: float, rng: np.random.Generator) -> Ablated:
    kind = SetKind(one.neurons)
    place = 1.0 if one.layer < 0 else (0.6, 0.1, 0.15, 0.25)[one.layer]
    size = max(round(40 * place * one.fraction * (1.6 - one.threshold) * (30 if kind is SetKind.OTHERS else 1)), 1)
    strength = _EFFECTS[kind] * place * (0.4 + trained) * one.fraction**1.3 * (1.6 - one.threshold)
    spread = rng.normal(1, 0.25) if kind.is_random or one.fraction < 1 else rng.normal(1, 0.05)
    blocks = np.abs(strength * spread) * rng.normal(1, 0.2, BLOCKS)
    return Ablated(
        kind, blocks, loss=blocks * 0.6 - 0.0005, draw=one.draw, partner=one.partner, definition=one.definition,
        threshold=one.threshold, layer=one.layer, mode=one.mode, fraction=one.fraction, size=size, norm=size * 0.5,
    )  # fmt: skip


@dataclass
class FakeStudy(AnyStudy):  # type: ignore[misc]
    """What the report asks of a study, without a store."""

    suite: Suite = field(default_factory=fake_suite)
    reference: str = "a"
    untrained: None = None
    reads: list[str] = field(default_factory=list)
    elsewhere: Imported = field(default_factory=Imported)

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        return self.suite.checkpoints

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        return tuple(name for name in self.suite.zoo.models if name != (reference or self.reference))

    def reference_tables(self, *, checkpoint: HasStep, reference: str | None = None) -> ReferenceTables:
        self.reads.append(ARTIFACTS[1])
        return fake_tables(checkpoint.step, reference or self.reference)

    def universality(self, *, partner: str, checkpoint: HasStep, reference: str | None = None) -> UniversalityTable:
        return self.reference_tables(checkpoint=checkpoint, reference=reference).tables[partner]

    def null(
        self, *, partner: str, checkpoint: HasStep, kind: NullKind, reference: str | None = None
    ) -> UniversalityTable:
        return _null(self.universality(partner=partner, checkpoint=checkpoint, reference=reference), kind)

    def table(
        self,
        stage: str,
        *,
        model: str | None = None,
        partner: str | None = None,
        checkpoint: HasStep | None = None,
        text: str | None = None,
    ) -> Any:
        self.reads.append(ARTIFACTS[0])
        if stage == "texts":
            assert text in self.suite.variants.texts
            # The text of an earlier checkpoint: fewer universal neurons, most of them the same.
            there = self.checkpoints[0 if text == "english" else -1]
            return {partner: self.universality(partner=partner, checkpoint=there) for partner in self.partners()}
        step, name = (checkpoint or self.checkpoints[-1]).step, model or self.reference
        roles = fake_roles(stage, name)
        return _of_neurons(stage, step, name, MODELS) if roles is None else roles

    def ablation(self, *, checkpoint: HasStep, reference: str | None = None) -> AblationTable:
        self.reads.append(ARTIFACTS[0])
        return fake_ablation(self.suite.checkpoint(checkpoint.step), reference or self.reference)

    @property
    def variants(self) -> tuple[str, ...]:
        return self.suite.variants.names

    def variant(self, name: str, *, partner: str, checkpoint: HasStep) -> UniversalityTable:
        return _variant(self.universality(partner=partner, checkpoint=checkpoint), name)

    def variant_settings(self, checkpoint: HasStep) -> pd.DataFrame:
        tokens = [
            int(n.partition(":")[2]) if n.startswith("tokens:") else self.suite.corpus.tokens for n in self.variants
        ]
        return pd.DataFrame({"variant": self.variants, "tokens": tokens, "draws": DRAWS})

    def extensions(self, *, checkpoint: HasStep) -> Extensions:
        raise AssertionError(f"the report reads no extensions, not at step {checkpoint.step} either")

    def model(self, name: str, checkpoint: HasStep) -> ModelRef:
        return ModelRef(
            name, self.suite.zoo.path, checkpoint.step, hashlib.sha256(f"{name}{checkpoint.step}".encode()).hexdigest()
        )

    def corpus(self) -> CorpusRef:
        return CorpusRef("wheels", "a1" * 32, "b2" * 32, 128, "published-first", 200_000, "c3" * 32)

    def profiles(self, *, model: str | None = None) -> NeuronProfiles:
        name = model or self.reference
        return made_profiles(
            name, MODELS.index(name), step=self.checkpoints[-1].step, layers=LAYERS, width=WIDTH,
            vocabulary=len(VOCABULARY),
        )  # fmt: skip

    def training_log(self) -> pd.DataFrame:
        steps = np.arange(1, 801)
        return pd.concat(
            pd.DataFrame(
                {
                    "model": name, "step": steps * 5, "tokens": steps * 50_000,
                    "loss": 1.9 + 0.02 * i + 4.5 * steps**-0.55 + np.random.default_rng(i).normal(0, 0.05, steps.size),
                    "held_out_loss": np.where(steps % 80 == 0, 1.95 + 0.02 * i + 4.5 * steps**-0.55, np.nan),
                    "seconds": steps * 1.0, "device": "cpu",
                }
            )
            for i, name in enumerate(self.suite.zoo.models)
        )  # fmt: skip

    def imported(self) -> Imported:
        return self.elsewhere

    def training_digest(self) -> str:
        return "e5" * 32

    def provenance(self) -> pd.DataFrame:
        row = {
            "origin": "shipped", "created": "2025-11-20T10:00:00Z", "git_commit": "d4" * 20, "device": "cpu",
            "versions": {"python": "3.11.7", "torch": "2.10.0"}, "wall_seconds": 61.5, "peak_memory_bytes": 2**31,
            "shared": (),
        }  # fmt: skip
        return pd.DataFrame(
            [{"stage": s, "digest": d, **row} for s, d in zip(("corpus", "universality"), ARTIFACTS, strict=True)]
        )


def record(
    claim: str = "N1",
    criterion: Criterion | None = None,
    measurement: Measurement | None = None,
    *,
    verdict: Verdict | None = None,
    statement: str = "Few neurons are universal at the first checkpoint.",
    parameters: dict[str, Any] | None = None,
    reason: str = "",
    controls: tuple[ControlResult, ...] = (),
    **changes: Any,
) -> EvidenceRecord:
    """One record; the verdict follows from the criterion (at most five per cent) unless it is given."""
    criterion = criterion or AtMost(0.05)
    if measurement is None and verdict is None:
        measurement = Measurement(0.012, 0.009, 0.015, 1000, Over.TOKEN_BLOCKS, 0.95, "share", {"half_a": 0.011})
    judged = criterion.judge(measurement) if measurement is not None and verdict is None else None
    given = parameters or {}
    item = "-".join(str(value) for value in given.values())
    values: dict[str, Any] = {
        "claim": claim, "role": "claim", "test": f"claims/emergence/test_share.py::test_share[{item}]", "item": item,
        "statement": statement, "source": "Nandan et al. v1, section 4, table 1", "family": "emergence",
        "promise": "protocol-exact", "suite": "mini", "parameters": given,
        "measurement": None if measurement is None else measurement.as_dict(), "criterion": criterion.as_dict(),
        "criterion_text": criterion.text(), "verdict": judged.verdict if judged else verdict,
        "reason": judged.reason if judged else reason, "command": None, "controls": controls,
        "artifacts": (ARTIFACTS[-1],), "locator": "claims/emergence/test_share.py:12", "duration_seconds": 0.1,
    }  # fmt: skip
    return EvidenceRecord(**{**values, **changes})


def share(value: float, reach: float, **details: float) -> Measurement:
    """A share with a symmetric interval."""
    return Measurement(value, value - reach, value + reach, 1000, Over.TOKEN_BLOCKS, 0.95, "share", details)


def control(verdict: Verdict, measurement: Measurement) -> ControlResult:
    """A control with its measurement."""
    test = "claims/emergence/test_share.py::test_rotated_models_share_nothing[b]"
    return ControlResult(test, verdict, "", measurement.as_dict())


def fake_records() -> list[EvidenceRecord]:
    """Claims with every verdict but stale."""
    sound = (control(Verdict.REFUTED, share(0.0, 0.0)),)
    many = (control(Verdict.REFUTED, share(0.2, 0.01)),)
    unsound = (control(Verdict.REPRODUCED, share(0.5, 0.05)),)
    pairs = [{"partner": p, "checkpoint": c.label} for p in MODELS[1:] for c in CHECKPOINTS[1:]]
    growth = np.random.default_rng(3).normal(0.011, 0.004, len(pairs))
    target = Published("nandan2025.table1", threshold=0.5, step=100000).at(0.0474)
    rare = [
        record(parameters={"partner": p}, measurement=share(0.012 + 0.002 * i, 0.004, half_a=0.011), controls=many)
        for i, p in enumerate(MODELS[1:])
    ]
    grows = [
        record("N2", GreaterThan(0.0), share(float(m), 0.004), statement="It grows.", parameters=p, controls=sound)
        for p, m in zip(pairs, growth, strict=True)
    ]
    test = "claims/x.py::test_on_average"
    read: dict[str, Any] = {"role": "reading", "ambiguity": "A1", "says": "on average", "test": test}
    return [
        *rare,
        *grows,
        record("N1", measurement=share(0.09, 0.01), **read),
        record("N2", GreaterThan(0.0), share(0.001, 0.01), statement="It grows.", **read),
        record("N3", Near(target), share(0.012, 0.003), statement="The shares are those of table 1."),
        record("N5", AtMost(0.0), share(-0.001, 0.004), statement="Growth slows down.", controls=many),
        record("N6", GreaterThan(0.0), share(-0.012, 0.005), statement="Deeper layers grow more."),
        record("V5", NotJudged("it is about GPT-2 small"), share(0.4, 0.1), statement="They appear early."),
        record(
            "G6", AtMost(0.9), share(0.6, 0.05), verdict=Verdict.VACUOUS, statement="Depths agree.", controls=unsound
        ),
        record("G7", verdict=Verdict.ERROR, statement="A test that breaks.", reason="ZeroDivisionError"),
    ]


def write_log(folder: Path, records: list[EvidenceRecord]) -> Path:
    """The log of a finished run."""
    tests: dict[str, EvidenceRecord] = {}
    for one in records:
        # Made-up claims share a test file; in a log every test is there once.
        other = one.test.replace("::test_", f"::test_{one.claim.lower()}_")
        tests[other if one.test in tests else one.test] = replace(one, test=other) if one.test in tests else one
    EvidenceLog(tuple(tests.values())).write(folder / RECORDS)
    return folder
