"""A made-up run beside the made-up run of the report's tests, and a bench for the page on performance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.render.fakes import FakeStudy, fake_records, fake_suite, record, share
from universal_neurons.evidence.comparison import DifferingSetting, JudgedRun, KeyFigurePair, SideBySide, compared
from universal_neurons.evidence.criteria import AtMost, GreaterThan
from universal_neurons.evidence.summary import summaries
from universal_neurons.inputs.benchmarks import Benchmark
from universal_neurons.measures.key_figures import ablation_key_figures, share_key_figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.evidence.record import EvidenceRecord
    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.key_figures import KeyFigure

OTHER = "paper"


def other_records() -> list[EvidenceRecord]:
    """The fake records with N5 reproduced, N6 by another criterion, without G6 and with X1."""
    kept = [one for one in fake_records() if one.claim not in ("G6", "N5", "N6")]
    return [
        *kept,
        record("N5", AtMost(0.0), share(-0.02, 0.004), statement="Growth slows down.", artifacts=("f" * 64,)),
        record("N6", GreaterThan(-1.0), share(-0.012, 0.005), statement="Deeper layers grow more."),
        record("X1", AtMost(0.5), share(0.1, 0.01), statement="A claim of the other run."),
    ]


def side_by_side(
    left: Sequence[EvidenceRecord] | None = None, right: Sequence[EvidenceRecord] | None = None, **changes: Any
) -> SideBySide:
    """The report's run beside another that found some things otherwise."""
    lefts = summaries(fake_records() if left is None else left)
    rights = summaries(other_records() if right is None else right)
    code = {"commit": "c" * 40, "torch": "2.13.0"}
    both = SideBySide(
        compared(JudgedRun("mini", "mini", lefts, code), JudgedRun(OTHER, OTHER, rights)),
        key_figures=key_figures(),
        settings=(
            DifferingSetting("universality: draws", "20", "5"),
            DifferingSetting("computed with: torch", "2.13.0", "2.10.0"),
        ),
    )
    return replace(both, **changes)


def key_figures() -> tuple[KeyFigurePair, ...]:
    """Two checkpoints of the fake study as model a and as model b sees them; the second has one checkpoint more."""
    full = fake_suite().checkpoints
    lefts = _of(FakeStudy(fake_suite(checkpoints=full[2:])))
    rights = _of(FakeStudy(fake_suite(checkpoints=full[1:]), reference="b"))
    return tuple(
        KeyFigurePair(f.what, f.of, f.threshold, f.checkpoint, lefts.get(f), rights.get(f)) for f in {**rights, **lefts}
    )


def _of(study: FakeStudy) -> dict[KeyFigure, Measurement]:
    return share_key_figures(study, (0.4, 0.5)) | ablation_key_figures(study, 0.5)


def bench(**changes: Any) -> Benchmark:
    """A bench of the engine at the mini suite's size."""
    raw = {
        "format": 1, "bench": "engine", "title": "The correlation engine", "device": "A processor, 2 threads",
        "kind": "cpu", "date": "2026-11-21", "command": "nox -s bench -- --publish", "commit": "e5" * 20,
        "versions": {"torch": "2.13.0"},
        "settings": {
            "models": 5, "layers": 4, "width": 512, "residual": 128, "tokens": 100_000, "draws": 20, "half_draws": 5,
        },
        "figures": {
            "pass_seconds": {"says": "one pass over the tokens", "value": 54.0, "unit": "s"},
            "scores_seconds": {"says": "scores with all draws", "value": 18.2, "unit": "s"},
            "forward_tokens_per_second": {"says": "forward passes", "value": 43_097.0, "unit": "tokens/s"},
            "published_seconds": {"says": "published method", "value": 2631.0, "unit": "s"},
            "difference": {"says": "largest difference", "value": 3.5e-7, "unit": "nats"},
            "pass_fraction": {"says": "fraction of the products alone", "value": 0.9, "unit": ""},
        },
        "note": "",
    }  # fmt: skip
    return Benchmark.model_validate({**raw, **changes})
