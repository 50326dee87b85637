"""Names that a claim file imports: the decorators, the criteria, the types of the arguments.

The pytest plugin behind them, ``universal_neurons.harness.plugin``, is not imported here: a claim file can be read
without pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.evidence.claim import Claim, ClaimError
from universal_neurons.evidence.criteria import (
    AboveDraws,
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
from universal_neurons.harness.axes import Interval, __getattr__  # noqa: F401 - gives Checkpoint when it is imported
from universal_neurons.harness.declare import claim, control, reading, readings
from universal_neurons.measurement import Measurement

if TYPE_CHECKING:
    from universal_neurons.inputs.suite import Checkpoint

__all__ = [
    "AboveDraws",
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
