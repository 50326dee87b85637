"""Coverage of every kind of interval that a claim is judged by, in simulated studies of which the truth is known.

Run by ``nox -s coverage`` (``pytest tests/bench/bench_coverage.py``); an ordinary test run has fewer studies
(``tests/measures/test_coverage.py``).  BENCH_STUDIES (2000) is their number.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.measures.coverage import KINDS, coverage

if TYPE_CHECKING:
    from tests.bench.publication import Publication

STUDIES = int(os.environ.get("BENCH_STUDIES", "2000"))


def test_coverage(publication: Publication) -> None:
    found = {name: coverage(kind, STUDIES, seed=20251109) for name, kind in KINDS.items()}
    for name, one in found.items():
        print(f"{KINDS[name].says}: {one.covered:.1%} (below the truth {one.below}, above it {one.above})")
    figures = {
        name: (f"{KINDS[name].says}, over {KINDS[name].over}", 100 * one.covered, "%") for name, one in found.items()
    }
    publication.add(
        "coverage", "Coverage of intervals of nominal 95 %", using="one thread", kind="cpu",
        settings={"studies": STUDIES}, figures=figures, command="nox -s coverage -- --publish",
    )  # fmt: skip
    assert all(0.93 <= one.covered <= 0.97 for one in found.values())
