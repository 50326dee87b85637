"""A record to vary in tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from universal_neurons.evidence.criteria import AtMost
from universal_neurons.evidence.record import EvidenceRecord
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measurement import Measurement, Over

MEASUREMENT = Measurement(0.0474, 0.0411, 0.0499, 900, Over.TOKEN_BLOCKS, details={"chance": 0.01})
CRITERION = AtMost(0.05)

RECORD = EvidenceRecord(
    claim="N1",
    role="claim",
    test="claims/test_n1.py::test_few[a-b-25%]",
    item="a-b-25%",
    statement="Few neurons are universal.",
    source="Nandan et al., table 1",
    family=None,
    promise="protocol-exact",
    suite="mini",
    parameters={"reference": "a", "partner": "b", "checkpoint": {"step": 100, "label": "25 %"}},
    measurement=MEASUREMENT.as_dict(),
    criterion=CRITERION.as_dict(),
    criterion_text=CRITERION.text(),
    verdict=Verdict.REPRODUCED,
    reason=CRITERION.judge(MEASUREMENT).reason,
    command=None,
    controls=(),
    artifacts=("0123abcd",),
    locator="claims/test_n1.py:12",
    duration_seconds=0.25,
)


def record(item: str = "a-b-25%", **changes: Any) -> EvidenceRecord:
    return replace(RECORD, **{"item": item, "test": f"claims/test_n1.py::test_few[{item}]", **changes})
