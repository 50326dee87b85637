"""A small study and its evidence, made up: the report is tested without models, tokens or pytest runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from universal_neurons.evidence.criteria import AtMost, Criterion, GreaterThan, Near, NotJudged, Published
from universal_neurons.evidence.record import ControlResult, EvidenceLog, EvidenceRecord
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.ids import CorpusRef, ModelRef
from universal_neurons.inputs.corpus import MaskPolicy
from universal_neurons.inputs.suite import (
    Checkpoint,
    CorpusSpec,
    ResamplingSpec,
    Suite,
    UniversalitySpec,
    ZooSpec,
)
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.universality import ReferenceTables, Resampling, UniversalityTable

CHECKOUT = Path(__file__).parents[2]
MODELS = ("a", "b", "c", "d", "e")
CHECKPOINTS = tuple(Checkpoint(step=1000 * i, share=i / 4, label=f"{25 * i} %") for i in (1, 2, 3, 4))
ARTIFACTS = (f"{1:064x}", f"{2:064x}")
LAYERS, WIDTH, BLOCKS, DRAWS = 4, 250, 20, 6


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
        "resampling": ResamplingSpec(resamples=200, level=0.95, seed=1),
        "checkpoints": CHECKPOINTS,
        "untrained": None,
        "layers": LAYERS,
    }  # fmt: skip
    return Suite(**{**settings, **changes})


def fake_tables(step: int) -> ReferenceTables:
    """Made-up tables of model a: few neurons far above the baseline, more of them later and in the first layer."""
    rng = np.random.default_rng(step)
    neurons = LAYERS * WIDTH
    layer = np.repeat(np.arange(LAYERS), WIDTH)
    chance = (0.01 + 0.012 * step / 1000) * np.array([1.8, 0.7, 0.6, 1.2])[layer]
    shared = rng.random(neurons) < chance
    excesses = {
        partner: np.clip(rng.beta(1.3, 10, neurons) + np.where(shared, rng.normal(0.48, 0.12, neurons), 0), -0.1, 0.95)
        for partner in MODELS[1:]
    }
    rows = np.flatnonzero(np.max(list(excesses.values()), axis=0) > 0.2)
    tables = {
        partner: UniversalityTable(
            reference="a", partner=partner, step=step, candidates=rows,
            frame=pd.DataFrame(
                {
                    "layer": layer.astype(np.int16), "neuron": np.tile(np.arange(WIDTH), LAYERS),
                    "partner_layer": layer.astype(np.int16), "correlation": excess + 0.2, "excess": excess,
                    "excess_half_a": excess + rng.normal(0, 0.02, neurons),
                    "excess_half_b": excess + rng.normal(0, 0.02, neurons),
                }
            ),
            influence=rng.normal(0, 0.006, (BLOCKS, rows.size)),
            draws=0.2 + rng.normal(0, 0.005, (DRAWS, rows.size)),
            resampling=Resampling(resamples=200, level=0.95, seed=1),
        )
        for partner, excess in excesses.items()
    }  # fmt: skip
    return ReferenceTables(reference="a", step=step, tables=tables)


@dataclass
class FakeStudy:
    """What the report asks of a study, without a store."""

    suite: Suite = field(default_factory=fake_suite)
    reference: str = "a"

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        return self.suite.checkpoints

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        return tuple(name for name in self.suite.zoo.models if name != (reference or self.reference))

    def reference_tables(self, *, checkpoint: Checkpoint, reference: str | None = None) -> ReferenceTables:
        return fake_tables(checkpoint.step)

    def model(self, name: str, checkpoint: Checkpoint) -> ModelRef:
        return ModelRef(
            name, self.suite.zoo.path, checkpoint.step, hashlib.sha256(f"{name}{checkpoint.step}".encode()).hexdigest()
        )

    def corpus(self) -> CorpusRef:
        return CorpusRef("wheels", "a1" * 32, "b2" * 32, 128, "published-first", 200_000, "c3" * 32)

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

    def provenance(self) -> pd.DataFrame:
        row = {
            "origin": "shipped", "created": "2025-11-20T10:00:00Z", "git_commit": "d4" * 20, "device": "cpu",
            "versions": {"python": "3.11.7", "torch": "2.10.0"}, "wall_seconds": 61.5, "peak_memory_bytes": 2**31,
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
    unsound = (control(Verdict.REPRODUCED, share(0.5, 0.05)),)
    pairs = [{"partner": p, "checkpoint": c.label} for p in MODELS[1:] for c in CHECKPOINTS[1:]]
    growth = np.random.default_rng(3).normal(0.011, 0.004, len(pairs))
    target = Published("nandan2025.table1", threshold=0.5, step=100000).at(0.0474)
    rare = [
        record(parameters={"partner": p}, measurement=share(0.012 + 0.002 * i, 0.004, half_a=0.011), controls=sound)
        for i, p in enumerate(MODELS[1:])
    ]
    grows = [
        record("N2", GreaterThan(0.0), share(float(m), 0.004), statement="It grows.", parameters=p, controls=sound)
        for p, m in zip(pairs, growth, strict=True)
    ]
    return [
        *rare,
        *grows,
        record("N3", Near(target), share(0.012, 0.003), statement="The shares are those of table 1."),
        record("N5", AtMost(0.0), share(-0.001, 0.004), statement="Growth slows down.", controls=sound),
        record("N6", GreaterThan(0.0), share(-0.012, 0.005), statement="Deeper layers grow more."),
        record("V5", NotJudged("it is about GPT-2 small"), share(0.4, 0.1), statement="They appear early."),
        record(
            "G6", AtMost(0.9), share(0.6, 0.05), verdict=Verdict.VACUOUS, statement="Depths agree.", controls=unsound
        ),
        record("G7", verdict=Verdict.ERROR, statement="A test that breaks.", reason="ZeroDivisionError"),
    ]


def write_log(folder: Path, records: list[EvidenceRecord]) -> Path:
    """The log of a finished run."""
    log = EvidenceLog(folder)
    for one in records:
        log.append(one)
    log.conclude({"suite": "mini"})
    return folder
