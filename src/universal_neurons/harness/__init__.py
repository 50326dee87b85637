"""What a claim file needs, and nothing else: the decorators, the criteria, the types of the arguments.

``universal_neurons.harness.plugin`` is the pytest plugin behind them and is not imported here: a claim file can be read
without pytest.
"""

from __future__ import annotations

from universal_neurons.evidence.claim import Claim, ClaimError
from universal_neurons.evidence.criteria import (
    AtLeast,
    AtMost,
    Between,
    Criterion,
    Equivalent,
    GreaterThan,
    LessThan,
    Near,
    NotJudged,
    Published,
)
from universal_neurons.harness.axes import Checkpoint, Interval
from universal_neurons.harness.declare import claim, control, reading, readings
from universal_neurons.measurement import Measurement

__all__ = [
    "AtLeast",
    "AtMost",
    "Between",
    "Checkpoint",
    "Claim",
    "ClaimError",
    "Criterion",
    "Equivalent",
    "GreaterThan",
    "Interval",
    "LessThan",
    "Measurement",
    "Near",
    "NotJudged",
    "Published",
    "claim",
    "control",
    "reading",
    "readings",
]
